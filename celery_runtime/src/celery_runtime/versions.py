"""Which versions of other packages are installed, where something depends on it."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version

from packaging.requirements import Requirement
from packaging.version import Version


@cache
def holds(condition: str) -> bool:
    """Tell whether an installed package is as a requirement says, such as `kombu<5.7`; a preview of 5.7 counts as 5.7.

    Raises:
        importlib.metadata.PackageNotFoundError: it isn't installed.
    """
    wanted = Requirement(condition)
    return wanted.specifier.contains(Version(version(wanted.name)).base_version)
