"""Pack a folder of the controller into an archive whose name says what is in it."""

from __future__ import annotations

import fnmatch
import gzip
import hashlib
import os
import stat
import subprocess
import tarfile
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

DOCUMENTATION = r"""
module: pack_source
short_description: Pack a folder of the controller into an archive whose name says what is in it
description:
  - Lists the files of a folder (by git where it is in a work tree, so that ignored files stay behind), computes a digest of names,
    modes and contents, and writes a reproducible archive. The same folder always gives the same digest.
  - Runs on the controller alone.
options:
  src: {description: The folder., type: path, required: true}
  exclude: {description: Shell patterns of names or relative paths to leave out., type: list, elements: str, default: []}
  dest: {description: Folder for the archive. Without it only the digest is computed., type: path}
author: The plainhost maintainers
"""


def listed(src: Path, exclude: list[str]) -> list[str]:
    """Return the relative paths of the files to pack, sorted.

    Raises:
        OSError: git can't be run in a folder that is a git work tree.
    """
    command = ["git", "-C", str(src), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        output = subprocess.run(command, check=True, capture_output=True).stdout
        names = {name.decode() for name in output.split(b"\0") if name}
    except (subprocess.CalledProcessError, FileNotFoundError):
        # No work tree, or no git: the excludes alone decide.
        names = {str((Path(folder) / name).relative_to(src)) for folder, _, files in os.walk(src) for name in files}
    return sorted(name for name in names if os.path.lexists(src / name) and not _excluded(name, exclude))


def _excluded(name: str, patterns: list[str]) -> bool:
    parts = name.split("/")
    return any(
        fnmatch.fnmatch(name, pattern) or any(fnmatch.fnmatch(part, pattern) for part in parts) for pattern in patterns
    )


def strays(src: Path, names: list[str]) -> list[str]:
    """Return the links that lead out of the folder, with their targets; also those whose targets aren't in their plain form (up, then down).

    What they lead to here isn't what they would lead to on a host, where it may be a secret.
    """
    found = []
    for name in names:
        if not (src / name).is_symlink():
            continue
        target = str((src / name).readlink())
        parts = [part for part in target.split("/") if part not in ("", ".")]
        ups = next((at for at, part in enumerate(parts) if part != ".."), len(parts))
        if target.startswith("/") or ".." in parts[ups:] or ups > name.count("/"):
            found.append(f"{name} -> {target}")
    return found


def digest(src: Path, names: list[str]) -> str:
    """Return the SHA-256 over names, executable bits and contents."""
    total = hashlib.sha256()
    for name in names:
        path = src / name
        if path.is_symlink():
            kind, content = "link", str(path.readlink()).encode()
        else:
            kind = "exec" if path.stat().st_mode & stat.S_IXUSR else "file"
            content = path.read_bytes()
        total.update(f"{kind} {len(content)} {name}\0".encode() + content)
    return total.hexdigest()


def pack(src: Path, names: list[str], archive: Path) -> None:
    """Write the files as a reproducible tar archive (fixed times and owners)."""

    def plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
        info.mtime, info.uid, info.gid, info.uname, info.gname = 0, 0, 0, "root", "root"
        info.mode = 0o755 if info.mode & stat.S_IXUSR else 0o644
        return info

    temporary = archive.with_suffix(f".{os.getpid()}")
    with (
        temporary.open("wb") as file,
        # No name and no time in its header.
        gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w") as tar,
    ):
        for name in names:
            tar.add(src / name, arcname=name, recursive=False, filter=plain)
    temporary.rename(archive)


class ActionModule(ActionBase):
    """The action; it never contacts the host."""

    _requires_connection = False
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """List, digest and, where asked, pack."""
        result = super().run(tmp, task_vars)
        src = Path(str(self._task.args["src"])).expanduser()
        exclude = [str(pattern) for pattern in self._task.args.get("exclude", [])]
        if not src.is_dir():
            raise AnsibleActionFail(f"{src} is no folder on the controller")
        names = listed(src, exclude)
        if not names:
            raise AnsibleActionFail(f"{src} holds no file to deploy (after its excludes and what git ignores)")
        if out := strays(src, names):
            raise AnsibleActionFail(
                f"{src} has links that lead out of it: {', '.join(out)}. Take them out, or exclude them"
            )
        result.update(changed=False, digest=digest(src, names), file_count=len(names))
        if self._task.args.get("dest"):
            folder = Path(str(self._task.args["dest"]))
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            archive = folder / f"{result['digest']}.tar.gz"
            if not archive.exists():
                pack(src, names, archive)
            result["archive"] = str(archive)
        return result
