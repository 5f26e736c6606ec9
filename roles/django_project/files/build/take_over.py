"""Copies a finished tree that an account without rights has written into one of root's, and refuses what has no place in it.

Runs as root, on files alone: nothing of the tree is executed, and no link is followed. A copy has new inodes, so whatever an owner of
the old ones still holds (an open file, an access list, an attribute, another name) doesn't reach what is taken over.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import re
import shutil
import stat
import sys
from dataclasses import dataclass, field
from pathlib import Path

# Faults that are shown; a hostile tree may have any number.
SHOWN = 20
# The interpreter's names in an environment.
PROGRAM = re.compile(r"python(3(\.[0-9]+)?)?")
# renameat2(2): both names stay, with each other's content.
RENAME_EXCHANGE = 2
AT_FDCWD = -100


@dataclass
class Tree:
    """A tree to take over, and what is found wrong in it.

    Attributes:
        owner: number of the account that alone may have written it.
        seen_as: path under which the services see the tree's root; absolute links may lead there.
        interpreters: paths of the interpreter, where links in a folder `bin` of an environment may lead.
        apart: whether a link must stay within the name that is taken over, and may not lead to another of the release.
    """

    source: Path
    owner: int
    seen_as: str
    interpreters: frozenset[str]
    apart: bool = False
    faults: list[str] = field(default_factory=list)

    def fault(self, name: str, what: str) -> None:
        """Note a fault; a name is shown so that it can't be mistaken for output."""
        self.faults.append(f"{ascii(name)[1:-1]} {what}")

    def link_fault(self, name: str, target: str) -> str:
        """Return why a link may not lead where it does; empty when it may.

        Only targets in their plain form are let through: up first, then down. Then each link stays inside if it does by its letters, and
        what it leads through are links of which the same is known.
        """
        if not self.apart and target in self.interpreters and Path(name).parent.name == "bin":
            return ""
        inside = target.startswith(f"{self.seen_as}/")
        if target.startswith("/") and not inside:
            return "out of the release"
        parts = [part for part in target.removeprefix(self.seen_as).split("/") if part not in ("", ".")]
        ups = next((at for at, part in enumerate(parts) if part != ".."), len(parts))
        if ".." in parts[ups:]:
            return "by a detour"
        if self.apart:
            own = parts[:1] == [Path(name).parts[0]] if inside else ups <= len(Path(name).parts) - 2
            return "" if own else f"out of {Path(name).parts[0]}"
        return "out of the release" if ups > (0 if inside else len(Path(name).parts) - 1) else ""

    def copy(self, name: str, into: Path) -> None:
        """Copy one name of the tree, and all below it."""
        parent = os.open(self.source, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            self._entry(parent, name, name, into / name, os.fstat(parent).st_dev)
        except FileNotFoundError:
            self.fault(name, "is missing, or went away")
        finally:
            os.close(parent)

    def _entry(self, parent: int, entry: str, name: str, target: Path, device: int) -> None:
        status = os.stat(entry, dir_fd=parent, follow_symlinks=False)
        if status.st_uid != self.owner or status.st_dev != device:
            # Such as another name of a file that the account can't read.
            self.fault(name, "isn't of the account that made the release")
        elif stat.S_ISLNK(status.st_mode):
            leads = os.readlink(entry, dir_fd=parent)
            if why := self.link_fault(name, leads):
                self.fault(name, f"is a link that leads {why}, to {ascii(leads)[1:-1]}")
            else:
                target.symlink_to(leads)
        elif stat.S_ISDIR(status.st_mode):
            self._directory(parent, entry, name, target, device)
        elif not stat.S_ISREG(status.st_mode):
            self.fault(name, "is neither a file, a directory nor a link")
        elif status.st_mode & (stat.S_ISUID | stat.S_ISGID):
            self.fault(name, "would run with rights of its owner or group (set-user-id, set-group-id)")
        else:
            self._file(parent, entry, target, status)

    def _directory(self, parent: int, entry: str, name: str, target: Path, device: int) -> None:
        target.mkdir(mode=0o755)
        here = os.open(entry, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
        try:
            for child in sorted(os.listdir(here)):  # noqa: PTH208 (of the open folder, whatever its name leads to by now)
                self._entry(here, child, f"{name}/{child}", target / child, device)
        finally:
            os.close(here)

    def _file(self, parent: int, entry: str, target: Path, status: os.stat_result) -> None:
        handle = os.open(entry, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=parent)
        with os.fdopen(handle, "rb") as old, target.open("xb") as new:
            now = os.fstat(old.fileno())
            if (now.st_dev, now.st_ino) != (status.st_dev, status.st_ino):
                raise OSError(f"{target} changed while it was taken over")
            while os.sendfile(new.fileno(), old.fileno(), None, 2**24):
                pass
            os.fchmod(new.fileno(), 0o755 if status.st_mode & stat.S_IXUSR else 0o644)
            # Bytecode names the time of its source.
            os.utime(new.fileno(), ns=(status.st_mtime_ns, status.st_mtime_ns))


def environment_faults(venv: Path, interpreters: frozenset[str]) -> list[str]:
    """Return what is wrong with an environment's interpreter: a wheel may bring a program of that name."""
    programs = [path for path in (venv / "bin").iterdir() if PROGRAM.fullmatch(path.name)]
    return [
        f"{path.relative_to(venv.parent)} is not the interpreter that the environment was made with"
        for path in sorted(programs)
        if not path.is_symlink() or str(path.readlink()) not in interpreters | {item.name for item in programs}
    ]


def exchange(one: Path, other: Path) -> None:
    """Let two names change places in one step."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(one))


def take_over(tree: Tree, names: list[str], into: Path) -> list[str]:
    """Copy these names of a tree into a folder of root's, in place of what is there; return the faults, with which nothing is changed."""
    staging = into / ".taken"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(mode=0o755)
    try:
        for name in names:
            tree.copy(name, staging)
        if "venv" in names and (staging / "venv").is_dir():
            tree.faults += environment_faults(staging / "venv", tree.interpreters)
        for name in [] if tree.faults else names:
            if (into / name).exists():
                exchange(staging / name, into / name)
            else:
                (staging / name).rename(into / name)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return tree.faults


def main() -> int:
    """Take over what the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--owner", type=int, required=True, help="number of the account that wrote the tree")
    parser.add_argument("--seen-as", required=True, help="where services see the tree's root")
    parser.add_argument("--apart", action="store_true", help="refuse links to other names of the release")
    parser.add_argument("--interpreter", default="/usr/bin/python3")
    parser.add_argument("source", type=Path)
    parser.add_argument("into", type=Path)
    parser.add_argument("names", nargs="+")
    options = parser.parse_args()
    os.umask(0o022)
    interpreters = frozenset({options.interpreter, str(Path(options.interpreter).resolve())})
    tree = Tree(options.source, options.owner, options.seen_as, interpreters, options.apart)
    faults = take_over(tree, options.names, options.into)
    for fault in faults[:SHOWN]:
        sys.stderr.write(f"refused: {fault}\n")
    if len(faults) > SHOWN:
        sys.stderr.write(f"refused: {len(faults) - SHOWN} more\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
