"""Debian packages that are on a host for the time of a build alone. Runs as root, and nothing of the project's.

`note` writes down what a host has before they are installed; `remove` takes away what came since. What a run has left that died in between
is still written down, so the next build takes it away.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

HERE = Path(__file__).resolve().parent
NOTED = HERE / "compilers.json"
# Packages that were there before may recommend what came; that is no reason to keep it.
AUTOREMOVE = ("-oAPT::AutoRemove::RecommendsImportant=false", "-oAPT::AutoRemove::SuggestsImportant=false")
REMOVED = re.compile(r"^Remv (\S+)", re.MULTILINE)
# Bytes; a build may write anything, and no library is of this size.
LARGEST = 2**30
LIBRARY = re.compile(r"lib[^/]*\.so\.[0-9.]+")


def say(*command: str) -> str:
    """Return what a command prints."""
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def installed() -> set[str]:
    """Return the names of the packages that the host has."""
    lines = say("dpkg-query", "--show", "--showformat=${db:Status-Abbrev}\t${Package}\n").splitlines()
    return {name for state, name in (line.split("\t") for line in lines) if state.startswith("ii")}


def note(names: list[str]) -> int:
    """Write down what the host has, unless it has all of these packages."""
    earlier = json.loads(NOTED.read_text()) if NOTED.is_file() else {"names": [], "before": sorted(installed())}
    if not set(names) <= set(earlier["before"]):
        NOTED.write_text(json.dumps(earlier | {"names": [*earlier["names"], *names]}))
    return 0


def needed(tree: Path, libraries: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """Return the packages whose libraries a tree's own libraries are linked with, each with the name of one of these.

    Args:
        tree: a folder, with all below it.
        libraries: names of files by package.
    """
    sonames = {name.encode(): package for package, names in libraries.items() for name in names}
    found: dict[str, str] = {}
    for path in sorted(tree.rglob("*.so*")) if sonames else []:
        if path.is_symlink() or not path.is_file() or not 0 < path.stat().st_size < LARGEST:
            continue
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            found |= {
                package: path.name for name, package in sonames.items() if content.find(b"\0" + name + b"\0") >= 0
            }
    return found


def libraries_of(packages: Iterable[str]) -> dict[str, list[str]]:
    """Return the names of the shared libraries that packages brought."""
    return {
        package: [
            Path(line).name
            for line in say("dpkg-query", "--listfiles", package).splitlines()
            if LIBRARY.fullmatch(Path(line).name)
        ]
        for package in packages
    }


def remove(tree: Path) -> int:
    """Take away what came since `note`; 1 where what was built doesn't run without."""
    if not NOTED.is_file():
        return 0
    noted = json.loads(NOTED.read_text())
    came = installed() - set(noted["before"])
    runs_with = needed(tree / "venv", libraries_of(came))
    if named := came & set(noted["names"]):
        say("apt-mark", "auto", *sorted(named))
    goes = sorted(came & set(REMOVED.findall(say("apt-get", "--simulate", *AUTOREMOVE, "autoremove"))))
    if goes:
        os.environ["DEBIAN_FRONTEND"] = "noninteractive"
        say("apt-get", "--assume-yes", "--quiet", "-oDPkg::Lock::Timeout=300", "purge", *goes)
    NOTED.unlink()
    sys.stdout.write(f"removed: {' '.join(goes) or 'nothing'}\n")
    for package, library in runs_with.items():
        sys.stderr.write(
            f"{library} was built with a library of {package}, which goes with the compilers: add {package} to django_project_packages\n"
        )
    return 1 if runs_with else 0


def main() -> int:
    """Do what the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parts = parser.add_subparsers(dest="part", required=True)
    parts.add_parser("note").add_argument("names", nargs="+")
    parts.add_parser("remove").add_argument("tree", type=Path)
    options = parser.parse_args()
    return note(options.names) if options.part == "note" else remove(options.tree)


if __name__ == "__main__":
    sys.exit(main())
