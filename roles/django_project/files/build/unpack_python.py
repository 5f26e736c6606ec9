"""Unpacks an archive with a Python into a folder of root's. Runs as root, on files alone: nothing of the archive is executed.

The archive is compared with its hash before it is opened. Files, folders and links that stay inside come out of it; anything else is refused.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import posixpath
import shutil
import stat
import sys
import tarfile
from pathlib import Path, PurePosixPath


class Refused(Exception):
    """An archive that isn't used, with the reason."""


def members(tar: tarfile.TarFile) -> list[tuple[str, tarfile.TarInfo]]:
    """Return what an archive holds, each with its path below the one folder in which all of it lies.

    Raises:
        Refused: something in it has no place in a folder of root's.
    """
    found = []
    top = ""
    for entry in tar:
        parts = PurePosixPath(entry.name).parts
        if entry.name.startswith("/") or ".." in parts:
            raise Refused(f"{entry.name} leads out of it")
        if not (entry.isfile() or entry.isdir() or entry.issym() or entry.islnk()):
            raise Refused(f"{entry.name} is neither a file, a folder nor a link")
        leads = posixpath.normpath(entry.linkname if entry.islnk() else posixpath.join(*parts[:-1], entry.linkname))
        if (entry.issym() or entry.islnk()) and (leads.startswith("/") or leads.split("/")[0] != parts[0]):
            raise Refused(f"{entry.name} is a link that leads out of it, to {entry.linkname}")
        if len(parts) > 1:
            found.append(("/".join(parts[1:]), entry))
            top = top or parts[0]
            if parts[0] != top:
                raise Refused(f"it has several folders: {top}, {parts[0]}")
    return found


def unpack(archive: Path, folder: Path) -> None:
    """Write what an archive holds into a new folder."""
    folder.mkdir(mode=0o755)
    with tarfile.open(archive) as tar:
        for name, entry in members(tar):
            target = folder / name
            if not target.resolve().is_relative_to(folder.resolve()):
                raise Refused(f"{entry.name} lies behind a link")
            target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            if entry.isdir():
                target.mkdir(mode=0o755, exist_ok=True)
            elif entry.issym():
                target.symlink_to(entry.linkname)
            else:
                content = tar.extractfile(entry)
                if content is None:
                    raise Refused(f"{entry.name} has no content")
                with content, target.open("xb") as file:
                    shutil.copyfileobj(content, file)
                target.chmod(0o755 if entry.mode & stat.S_IXUSR else 0o644)
                os.utime(target, (entry.mtime, entry.mtime))


def install(archive: Path, sha256: str, folder: Path) -> None:
    """Compare an archive with its hash, and unpack it in place of a folder.

    Raises:
        Refused: the archive is another one, or has no Python in it.
    """
    with archive.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise Refused(f"its SHA-256 is {found}, and stack_python_sha256 is {sha256}")
    folder.parent.mkdir(mode=0o755, exist_ok=True)
    new = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    try:
        unpack(archive, new)
        if not (new / "bin/python3").is_file():
            raise Refused("it has no bin/python3 in its folder")
        shutil.rmtree(folder, ignore_errors=True)
        new.rename(folder)
    except tarfile.TarError as error:
        raise Refused(f"it is no tar archive that this host can read ({error})") from error
    finally:
        shutil.rmtree(new, ignore_errors=True)


def main() -> int:
    """Install what the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("sha256")
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    os.umask(0o022)
    try:
        install(options.archive, options.sha256, options.folder)
    except Refused as reason:
        sys.stderr.write(f"stack_python_archive is refused: {reason}\n")
        return 1
    finally:
        options.archive.unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
