"""Which versions of Celery and the like a project may bring: what is refused, what is warned of, and which lock completes it.

Used by `install.py` on the host, which sees what is installed, and by the filter `unsupported_versions` on the controller, which reads locks.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

# Parts of the runtime that hang on nobody's insides (celery_runtime/src/celery_runtime/internals.py).
INDEPENDENT = frozenset({"guard", "memory"})
# Packages without which a deployment can do, in a version that nobody has tested: the parts that hang on them, where those aren't all others.
PARTS = {
    "celery": frozenset[str](),
    "kombu": frozenset[str](),
    "redis": frozenset[str](),
    "django-celery-beat": frozenset({"beat", "watchdog"}),
    "django-celery-results": frozenset({"results"}),
}
# The oldest that runs, with whichever parts.
OLDEST = {"celery": Requirement("celery>=5.3")}
# A pinned line of a lock.
PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])?==([^\s;\\]+)", re.MULTILINE)


def requirements(text: str) -> list[Requirement]:
    """Return the requirements of a file without options."""
    lines = (line.split("#")[0].strip() for line in text.splitlines())
    return [Requirement(line) for line in lines if line]


def pinned(text: str) -> dict[str, list[str]]:
    """Return the versions that a lock pins, by canonical name; several where they depend on the Python."""
    found: dict[str, list[str]] = {}
    for name, version in PIN.findall(text):
        found.setdefault(canonicalize_name(name), []).append(version)
    return found


def locked(text: str) -> dict[str, list[str]]:
    """Return the versions that a lock of uv's, or a pylock.toml, pins, in the same way."""
    tables = tomllib.loads(text)
    found: dict[str, list[str]] = {}
    for package in (*tables.get("package", []), *tables.get("packages", [])):
        if "version" in package:
            found.setdefault(canonicalize_name(package["name"]), []).append(package["version"])
    return found


def fits(wanted: Requirement, version: str) -> bool:
    """Tell whether a version is in a range; a preview of a version counts as that version."""
    return wanted.specifier.contains(Version(version).base_version)


def judge(
    present: Mapping[str, Collection[str]], ranges: Iterable[Requirement], parts: Collection[str] | None = None
) -> tuple[list[str], list[str]]:
    """Return a line for each package that is refused, and one for each that is only warned of.

    Args:
        present: the versions of packages by canonical name; one that fits is enough.
        ranges: what is supported.
        parts: the parts of the runtime that are on; None where nobody knows.
    """
    refused: list[str] = []
    warned: list[str] = []
    for wanted in ranges:
        name = canonicalize_name(wanted.name)
        versions = present.get(name, ())
        if not versions or any(fits(wanted, one) for one in versions):
            continue
        says = f"{wanted.name} {', '.join(versions)} comes from the project's requirements; supported is {wanted.name}{wanted.specifier}"
        floor = OLDEST.get(name)
        if name not in PARTS or (floor and not any(fits(floor, one) for one in versions)):
            refused.append(f"{says}. Change the project's lock (django_project_requirements)")
            continue
        on = sorted(_dependent(name, parts))
        if parts is None or on:
            without = f"leave {', '.join(on) or 'the parts that hang on it'} out of stack_runtime_parts"
            refused.append(
                f"{says}. Change the project's lock (django_project_requirements), or {without}: then it runs, untested"
            )
        else:
            warned.append(
                f"{says}. Nobody has tested it; it runs without the parts of stack_runtime_parts that hang on it"
            )
    return list(dict.fromkeys(refused)), list(dict.fromkeys(warned))


def beside_kombu(present: Mapping[str, Collection[str]], folder: Path) -> list[Requirement]:
    """Return the range of redis-py that goes with a project's kombu: kombu 5.6 hangs in silence with redis-py 8 (celery#10502)."""
    for path in folder.glob("runtime-*.in"):
        ranges = {one.name: one for one in requirements(path.read_text())}
        if any(fits(ranges["kombu"], one) for one in present.get("kombu", ())):
            return [ranges["redis"]]
    return []


def _dependent(name: str, parts: Collection[str] | None) -> set[str]:
    """Return those of the parts that hang on a package."""
    return {one for one in parts or () if (one in PARTS[name] if PARTS[name] else one not in INDEPENDENT)}


def lock_for(present: Mapping[str, str], folder: Path) -> str:
    """Return the text of the lock that completes what a project brings: the newest that fits its Celery, or its other packages.

    Beside each lock lie the ranges that it was made for, as `runtime-5.6.in`.
    """
    names = sorted(folder.glob("runtime-*.in"), key=lambda path: Version(path.stem.partition("-")[2]), reverse=True)
    locks = [(path.with_suffix(".lock"), requirements(path.read_text())) for path in names]

    def score(ranges: list[Requirement]) -> tuple[bool, int]:
        known = {one.name: fits(one, present[one.name]) for one in ranges if one.name in present}
        return known.get("celery", True), sum(known.values())

    # Of equals the newest, which comes first.
    best = max(locks, key=lambda one: score(one[1]))
    return best[0].read_text()
