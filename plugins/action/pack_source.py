"""Pack a folder of the controller, or texts, into an archive whose name says what is in it; documented in ../modules/pack_source.py."""

from __future__ import annotations

import fnmatch
import gzip
import hashlib
import io
import os
import stat
import subprocess
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase


def listed(src: Path, exclude: list[str], gitignore: bool = True) -> list[str]:
    """Return the relative paths of the files to pack, sorted.

    Args:
        src: the folder.
        exclude: shell patterns of names or relative paths to leave out.
        gitignore: whether to leave out what git ignores, where the folder is in a work tree.
    """
    names = _listed_by_git(src) if gitignore else None
    if names is None:
        names = {
            str((Path(folder) / name).relative_to(src)) for folder, _folders, files in os.walk(src) for name in files
        }
    return sorted(name for name in names if os.path.lexists(src / name) and not _excluded(name, exclude))


def _listed_by_git(src: Path) -> set[str] | None:
    """Return what git doesn't ignore; nothing where there is no work tree, or no git."""
    command = ["git", "-C", str(src), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        output = subprocess.run(command, check=True, capture_output=True).stdout
    except (subprocess.CalledProcessError, FileNotFoundError):
        return None
    return {name.decode() for name in output.split(b"\0") if name}


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


@contextmanager
def _reproducible(archive: Path) -> Iterator[tarfile.TarFile]:
    """Open an archive to write, which appears when it is whole."""
    temporary = archive.with_suffix(f".{os.getpid()}")
    with (
        temporary.open("wb") as file,
        # No name and no time in its header.
        gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w") as tar,
    ):
        yield tar
    temporary.rename(archive)


def _plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.mtime, info.uid, info.gid, info.uname, info.gname = 0, 0, 0, "root", "root"
    info.mode = 0o755 if info.mode & stat.S_IXUSR else 0o644
    return info


def pack(src: Path, names: list[str], archive: Path) -> None:
    """Write the files as a reproducible tar archive (fixed times and owners)."""
    with _reproducible(archive) as tar:
        for name in names:
            tar.add(src / name, arcname=name, recursive=False, filter=_plain)


def digest_of_texts(files: Mapping[str, str]) -> str:
    """Return the SHA-256 over names and contents."""
    total = hashlib.sha256()
    for name, text in sorted(files.items()):
        content = text.encode()
        total.update(f"file {len(content)} {name}\0".encode() + content)
    return total.hexdigest()


def pack_texts(files: Mapping[str, str], archive: Path) -> None:
    """Write texts as such an archive."""
    with _reproducible(archive) as tar:
        for name, text in sorted(files.items()):
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            tar.addfile(_plain(info), io.BytesIO(text.encode()))


def outside(names: Iterable[str]) -> list[str]:
    """Return the names that aren't paths below a folder in their plain form."""
    return [
        name
        for name in names
        if not name
        or name.startswith("/")
        or ".." in name.split("/")
        or str(PurePosixPath(name)) != name
        or name == "."
    ]


class ActionModule(ActionBase):
    """The action; it never contacts the host."""

    _requires_connection = False
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """List, digest and, where asked, pack."""
        result = super().run(tmp, task_vars)
        _validation, arguments = self.validate_argument_spec(
            {
                "src": {"type": "path"},
                "files": {"type": "dict"},
                "exclude": {"type": "list", "elements": "str", "default": []},
                "gitignore": {"type": "bool", "default": True},
                "dest": {"type": "path"},
            },
            mutually_exclusive=[("src", "files")],
            required_one_of=[("src", "files")],
        )
        if arguments["files"]:
            files = {name: str(text) for name, text in arguments["files"].items()}
            if out := outside(files):
                raise AnsibleActionFail(f"{', '.join(out)}: name files by relative paths without ..")
            result.update(changed=False, digest=digest_of_texts(files), file_count=len(files))
            return self._packed(result, arguments["dest"], lambda archive: pack_texts(files, archive))
        src = Path(arguments["src"])
        if not src.is_dir():
            raise AnsibleActionFail(f"{src} is no folder on the controller")
        names = listed(src, arguments["exclude"], arguments["gitignore"])
        if not names:
            raise AnsibleActionFail(f"{src} holds no file to deploy (after its excludes and what git ignores)")
        if out := strays(src, names):
            raise AnsibleActionFail(
                f"{src} has links that lead out of it: {', '.join(out)}. Take them out, or exclude them"
            )
        result.update(changed=False, digest=digest(src, names), file_count=len(names))
        return self._packed(result, arguments["dest"], lambda archive: pack(src, names, archive))

    def _packed(self, result: dict[str, Any], dest: str | None, write: Callable[[Path], None]) -> dict[str, Any]:
        """Write the archive where it is asked for and isn't there, and return the result with its path."""
        if dest:
            folder = Path(dest)
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            archive = folder / f"{result['digest']}.tar.gz"
            if not archive.exists():
                write(archive)
            result["archive"] = str(archive)
        return result
