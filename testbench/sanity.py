"""Run `ansible-test sanity` on the collection: `python -m testbench.sanity [TEST …]`, in a tree of the form that it wants."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from testbench.console import say
from testbench.lint import files
from testbench.podman import ROOT

FOLDER = ROOT / ".cache" / "sanity"
# What Ansible reads or runs. What roles install on hosts and never run by themselves (roles/*/files, the runtime) has linters and tests
# of its own: the pylint of ansible-test refuses `_` there, and its list of interpreters knows no `#!lua`, which Redis asks for.
PARTS = ("CHANGELOG.md", "LICENSE", "README.md", "galaxy.yml", "meta", "playbooks", "plugins", "roles")
# ansible-test fetches pip from an address of its own, which not every network reaches. Python brings one that can fetch it from the index.
PIP = """
import subprocess
import sys

subprocess.run([sys.executable, "-m", "ensurepip", "--default-pip"], check=True)
wanted = [word for word in sys.argv[1:] if word not in ("--no-setuptools", "--no-wheel")]
subprocess.run([sys.executable, "-m", "pip", "install", *wanted], check=True)
"""


def lay_out() -> Path:
    """Copy the collection to ansible_collections/<namespace>/<name>, as a repository of its own; return where."""
    galaxy = yaml.safe_load((ROOT / "galaxy.yml").read_text())
    tree = FOLDER / "ansible_collections" / galaxy["namespace"] / galaxy["name"]
    shutil.rmtree(FOLDER / "ansible_collections", ignore_errors=True)
    for path in files():
        name = path.relative_to(ROOT)
        wanted = name.parts[0] in PARTS and not (name.parts[0] == "roles" and name.parts[2:3] == ("files",))
        if wanted or name.parts[:2] == ("tests", "sanity"):
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, tree / name)
    # Without a repository it would look at every file, and so at what an earlier run left there.
    subprocess.run(["git", "init", "--quiet", str(tree)], check=True)
    subprocess.run(["git", "-C", str(tree), "add", "--all"], check=True)
    return tree


def home() -> Path:
    """Return a home for its environments, with pip's configuration of the user's own."""
    folder = FOLDER / "home"
    cache = folder / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    for version in ("24_2", "23_1_2", "20_3_4"):
        (cache / f"get_pip_{version}.py").write_text(PIP)
    for name in (".config", ".pip"):
        own = Path.home() / name
        if own.is_dir() and not (folder / name).is_symlink():
            (folder / name).symlink_to(own)
    return folder


def main(tests: list[str]) -> int:
    """Run all sanity tests, or those named; return the status."""
    tree = lay_out()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    chosen = [word for test in tests for word in ("--test", test)]
    command = [
        str(Path(sys.executable).parent / "ansible-test"),
        "sanity",
        "--color",
        "no",
        "--python",
        version,
        *chosen,
    ]
    # Given as a file, so that what it installs for itself is shown only when something went wrong.
    log = FOLDER / "sanity.log"
    with log.open("w") as opened:
        status = subprocess.run(
            command,
            cwd=tree,
            env={**os.environ, "HOME": str(home())},
            stdout=opened,
            stderr=subprocess.STDOUT,
            check=False,
        ).returncode
    lines = log.read_text().splitlines()
    say("\n".join(line for line in lines if status or line.startswith(("Running sanity", "ERROR", "FATAL"))))
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
