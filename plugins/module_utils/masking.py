"""What several modules keep out of what they show: contents of files that hold secrets."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from urllib.parse import unquote, urlsplit

MASK = "*" * 8
URL_PASSWORD = re.compile(r"(://[^\s/:@]*):[^\s@/]+@")
# Characters; a shorter text would be masked where it stands by chance.
SHORTEST = 8


def secrets(paths: list[str], shown: list[str]) -> list[str]:
    """Return what isn't to be shown, the longest first: contents, passwords of URLs, and values of assignments.

    Args:
        paths: files, and folders of files.
        shown: patterns of names of files that hold no secret.
    """
    found: set[str] = set()
    for file in files(paths):
        if any(fnmatch(file.name, pattern) for pattern in shown):
            continue
        text = file.read_text(errors="replace").strip()
        found |= {text, *text.splitlines(), *assigned(text)}
        for value in (text, *assigned(text)):
            try:
                password = urlsplit(value).password or ""
            except ValueError:
                continue
            found |= {password, unquote(password)}
    return sorted((value for value in found if len(value) >= SHORTEST), key=len, reverse=True)


def files(paths: list[str]) -> Iterator[Path]:
    """Find the files among these paths and in their folders."""
    for path in map(Path, paths):
        yield from (one for one in (path.iterdir() if path.is_dir() else [path]) if one.is_file())


def assigned(text: str) -> list[str]:
    """Return the values of lines such as NAME="value"; none where they can't be read as such."""
    try:
        words = shlex.split(text, comments=True)
    except ValueError:
        return []
    return [word.partition("=")[2] for word in words if re.match(r"\w+=", word)]


def masked(text: str, hidden: list[str]) -> str:
    """Return a text without secrets."""
    for value in hidden:
        text = text.replace(value, MASK)
    return URL_PASSWORD.sub(rf"\1:{MASK}@", text)
