"""Versions of Celery and the like that a project's locks pin, and that the runtime isn't made for."""

from __future__ import annotations

import importlib.util
import tomllib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
ROLE = ROOT / "roles/celery_runtime/files"


@cache
def rules() -> Any:
    """Return the module that the host goes by, too."""
    spec = importlib.util.spec_from_file_location("plainhost_supported", ROLE / "supported.py")
    if spec is None or spec.loader is None:
        raise ImportError(ROLE / "supported.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def ranges() -> list[Requirement]:
    """Return the supported ranges: the runtime's with all its extras, and those of what comes beside it."""
    project = tomllib.loads((ROOT / "celery_runtime/pyproject.toml").read_text())["project"]
    of_extras = (line for lines in project["optional-dependencies"].values() for line in lines)
    of_role = rules().requirements((ROLE / "requirements.in").read_text())
    return [*map(Requirement, [*project["dependencies"], *of_extras]), *of_role]


def pinned_versions(locks: Iterable[str]) -> dict[str, list[str]]:
    """Return the versions that locks pin, by the canonical name of the package; see the documentation of the filter."""
    present: dict[str, list[str]] = {}
    for path in map(Path, locks):
        if path.is_file():
            text = path.read_text(errors="replace")
            try:
                found = (
                    rules().locked(text) if path.name == "uv.lock" or path.suffix == ".toml" else rules().pinned(text)
                )
            except tomllib.TOMLDecodeError:
                # The build says what is wrong with it.
                continue
            for name, versions in found.items():
                present.setdefault(name, []).extend(versions)
    return present


def unsupported_versions(locks: Iterable[str], parts: Iterable[str]) -> dict[str, list[str]]:
    """Return a sentence for each package that is refused, and for each that is warned of; see DOCUMENTATION."""
    present = pinned_versions(locks)
    refused, warned = rules().judge(present, [*ranges(), *rules().beside_kombu(present, ROLE)], list(parts))
    return {"refused": refused, "warned": warned}


class FilterModule:
    """The filters."""

    def filters(self) -> dict[str, Any]:
        """Return them by their names."""
        return {"unsupported_versions": unsupported_versions, "pinned_versions": pinned_versions}
