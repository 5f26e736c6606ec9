"""The Python of a release: which one the inputs mean, what can't work about them, and whether the project asks for another.

Each filter is documented in a file of its name beside this one.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

HOSTS_OWN = "/usr/bin/python3"
# Debian's, by its release: https://packages.debian.org/python3
OF_DEBIAN = {"12": "3.11", "13": "3.13"}
VERSION = re.compile(r"3\.[0-9]+")
SHA256 = re.compile(r"[0-9a-f]{64}")
WANTED = Path(__file__).resolve().parents[2] / "roles/django_project/files/build/python_wanted.py"


@cache
def _rules() -> Any:
    """Return the module that the host goes by, too."""
    spec = importlib.util.spec_from_file_location("plainhost_python_wanted", WANTED)
    if spec is None or spec.loader is None:
        raise ImportError(WANTED)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def interpreter(python: str, sha256: str, folder: str) -> dict[str, Any]:
    """Return which interpreter the inputs mean.

    Args:
        python: `stack_python`.
        sha256: of the archive; empty without one.
        folder: where interpreters of archives are.

    Returns:
        `path`, `packages` of Debian's that bring it, and `exec_paths`, which services must be let execute besides.
    """
    if sha256:
        return {"path": f"{folder}/{sha256[:12]}/bin/python3", "packages": [], "exec_paths": [folder]}
    if VERSION.fullmatch(python):
        return {
            "path": f"/usr/bin/python{python}",
            "packages": [f"python{python}"],
            "exec_paths": [f"/usr/bin/python{python}"],
        }
    if not python:
        return {"path": HOSTS_OWN, "packages": [], "exec_paths": []}
    libraries = PurePosixPath(python).parent.parent / "lib"
    return {"path": python, "packages": [], "exec_paths": [python, f"-{libraries}"]}


def interpreter_faults(python: str, archive: str, sha256: str, debian: str) -> list[str]:
    """Return what can't work, each with the variable and the mend.

    Args:
        python: `stack_python`.
        archive: `stack_python_archive`.
        sha256: `stack_python_sha256`.
        debian: the host's release of Debian; empty where it is none.
    """
    faults = []
    if archive and python:
        faults.append(
            f"stack_python ('{python}') and stack_python_archive both are set: leave stack_python empty for the archive's"
        )
    if archive and not SHA256.fullmatch(sha256):
        faults.append(
            f"stack_python_sha256 is '{sha256}': set the SHA-256 of stack_python_archive, 64 digits of 0-9 and a-f"
        )
    if sha256 and not archive:
        faults.append("stack_python_sha256 is set, and stack_python_archive is not: set both, or neither")
    if archive and "://" in archive and not archive.startswith("https://"):
        faults.append(f"stack_python_archive is '{archive}': use https://, or a file on the controller")
    if archive and "://" not in archive:
        faults += _file_faults(Path(archive), sha256)
    known = OF_DEBIAN.get(debian, "")
    if VERSION.fullmatch(python) and known not in ("", python):
        faults.append(
            f"stack_python is '{python}', and Debian {debian} has {known}: take that, name the path of an interpreter that the host has, "
            "or bring one (stack_python_archive, stack_python_sha256)"
        )
    if python and not VERSION.fullmatch(python) and not re.fullmatch(r"/[A-Za-z0-9._+/-]+", python):
        faults.append(
            f"stack_python is '{python}': write a version such as 3.13, or the path of an interpreter on the host"
        )
    return faults


def _file_faults(archive: Path, sha256: str) -> list[str]:
    if not archive.is_file():
        return [f"stack_python_archive: the file '{archive}' does not exist on the controller; correct the path"]
    with archive.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if SHA256.fullmatch(sha256) and found != sha256:
        return [
            f"stack_python_archive: '{archive}' has the SHA-256 {found}, and stack_python_sha256 is another: bring the right file"
        ]
    return []


def python_faults(python: str, debian: str, source: str, names: Iterable[str]) -> list[str]:
    """Return why a project doesn't want an interpreter, as far as the controller knows.

    Args:
        python: path of the interpreter.
        debian: the host's release of Debian; empty where it is none.
        source: the project's folder; empty where it isn't on the controller.
        names: its locks.
    """
    found = re.fullmatch(r"/usr/bin/python(3\.[0-9]+)", python)
    version = found.group(1) if found else OF_DEBIAN.get(debian, "") if python == HOSTS_OWN else ""
    if not version or not source:
        return []
    faults: list[str] = _rules().faults(Path(source), list(names), version)
    return faults


class FilterModule:
    """Ansible's way to find filters."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {function.__name__: function for function in (interpreter, interpreter_faults, python_faults)}
