"""A team's folder with the collection installed from this work tree: `python -m testbench.team FOLDER`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from testbench.console import say
from testbench.inventory import shown
from testbench.lint import files
from testbench.podman import ROOT

EXAMPLE = ROOT / "examples" / "team"


def build(folder: Path) -> Path:
    """Build the collection from what is, or could be, committed; return the tarball in a folder."""
    with tempfile.TemporaryDirectory(prefix="plainhost-") as name:
        tree = Path(name)
        for path in files():
            target = tree / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target, follow_symlinks=False)
        _galaxy(folder, "build", "--force", "--output-path", str(folder), str(tree))
    (tarball,) = folder.glob("*.tar.gz")
    return tarball


def make(folder: Path) -> None:
    """Lay out a team's folder as examples/team has it, with the collection installed in it and no inventory."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copy2(EXAMPLE / "ansible.cfg", folder)
    _galaxy(folder, "install", "--offline", str(build(folder)))


def _galaxy(folder: Path, *words: str) -> None:
    """Run ansible-galaxy with the folder's configuration: with that of the work tree, the collection is there already, by its link."""
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-galaxy"), "collection", *words],
        cwd=folder,
        env={**os.environ, "ANSIBLE_CONFIG": str(folder / "ansible.cfg")},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"ansible-galaxy collection {words[0]} failed:\n{done.stdout}{done.stderr}")


def main() -> None:
    """Make the folder that is named."""
    folder = Path(sys.argv[1]).resolve()
    make(folder)
    say(f"  {shown(folder)}: the collection is installed")


if __name__ == "__main__":
    main()
