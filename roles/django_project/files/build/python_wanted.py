"""Which Python a project asks for. Used by a build on the host, and by the filter `python_faults` on the controller."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet

# Of a minor version alone any patch may be meant.
PATCHES = range(50)
# Poetry's own sign, beside those of everybody: https://python-poetry.org/docs/dependency-specification/#caret-requirements
CARET = re.compile(r"\^\s*([0-9]+)((?:\.[0-9]+)*)")


def _said(name: str, content: dict[str, Any]) -> Iterator[Any]:
    """Return what a file says of Python, in the form of each tool that writes such."""
    if name == "pyproject.toml":
        yield content.get("project", {}).get("requires-python")
        yield content.get("tool", {}).get("poetry", {}).get("dependencies", {}).get("python")
    else:
        # uv.lock and pylock.toml; pdm.lock; poetry.lock.
        yield content.get("requires-python")
        yield content.get("metadata", {}).get("requires_python")
        yield content.get("metadata", {}).get("python-versions")


def wanted(folder: Path, names: Iterable[str]) -> list[tuple[str, SpecifierSet]]:
    """Return the ranges that a project and its locks ask for, each with the file that does; what can't be read asks for nothing."""
    found = []
    for name in dict.fromkeys(["pyproject.toml", *names]):
        path = folder / name
        if not path.is_file() or path.suffix not in (".toml", ".lock"):
            continue
        try:
            said = list(_said(path.name, tomllib.loads(path.read_text())))
        except (OSError, ValueError, AttributeError):
            # A requirements file may be named so, too.
            continue
        for text in said:
            try:
                if isinstance(text, str):
                    found.append((name, SpecifierSet(CARET.sub(r">=\1\2,<\1.999", text))))
            except InvalidSpecifier:
                continue
    return found


def faults(folder: Path, names: Iterable[str], version: str) -> list[str]:
    """Return a sentence for each file that asks for another Python.

    Args:
        folder: the project's.
        names: its locks.
        version: of the interpreter; without a patch any of that minor version is meant.
    """
    meant = [version] if version.count(".") > 1 else [f"{version}.{patch}" for patch in PATCHES]
    return list(
        dict.fromkeys(
            f"{name} asks for Python {asked}, and the release's is {version}: name another one in stack_python, or bring one with "
            "stack_python_archive and stack_python_sha256"
            for name, asked in wanted(folder, names)
            if not any(asked.contains(one, prereleases=True) for one in meant)
        )
    )
