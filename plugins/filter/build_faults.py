"""What can't work in the inputs of a build from source."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

DOCUMENTATION = r"""
name: build_faults
short_description: What can't work in the packages that are built from source
description:
  - Names of packages that are none, and such as no lock pins.
  - Where a lock includes another file, or isn't on the controller, nothing is known of what is pinned.
options:
  _input: {description: Names of packages to build; C(django_project_build)., type: list, elements: str, required: true}
  locks: {description: Paths of the project's locks on the controller., type: list, elements: path, required: true}
  debian: {description: Debian packages for the build; C(django_project_build_packages)., type: list, elements: str, required: true}
positional: locks, debian
author: The plainhost maintainers (!UNKNOWN)
"""

EXAMPLES = r"""
faults: "{{ ['promise'] | plainhost.stack.build_faults(['/home/me/shop/requirements.lock'], ['gcc']) }}"
"""

RETURN = r"""
_value:
  description: A sentence for each fault, with the variable and the mend.
  type: list
  elements: str
"""

PACKAGE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
# https://www.debian.org/doc/debian-policy/ch-controlfields.html#source
DEBIAN_PACKAGE = re.compile(r"[a-z0-9][a-z0-9.+-]+")
PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])?\s*(?:==|@)", re.MULTILINE)
INCLUDES = re.compile(r"^\s*(-r|--requirement|-e|--editable)\b", re.MULTILINE)


def _plain(name: str) -> str:
    """Return the name of a package as an index has it."""
    # https://packaging.python.org/en/latest/specifications/name-normalization/
    return re.sub(r"[-_.]+", "-", name).lower()


def build_faults(names: Iterable[str], locks: Iterable[str], debian: Iterable[str]) -> list[str]:
    """Return a sentence for each fault; see DOCUMENTATION."""
    asked = [str(name) for name in names]
    files = [Path(path) for path in locks]
    faults = [
        f"django_project_build has '{name}': name a package of the project's lock, such as promise, and no version"
        for name in asked
        if not PACKAGE.fullmatch(name)
    ]
    faults += [
        f"django_project_build_packages has '{name}': name Debian packages, such as gcc"
        for name in map(str, debian)
        if not DEBIAN_PACKAGE.fullmatch(name)
    ]
    texts = [path.read_text(errors="replace") for path in files if path.is_file()]
    if len(texts) == len(files) > 0 and not any(map(INCLUDES.search, texts)):
        pinned = {_plain(name) for text in texts for name in PIN.findall(text)}
        faults += [
            f"django_project_build has '{name}', which {', '.join(path.name for path in files)} doesn't pin: correct the name, or take it out"
            for name in asked
            if PACKAGE.fullmatch(name) and _plain(name) not in pinned
        ]
    return faults


class FilterModule:
    """The filter."""

    def filters(self) -> dict[str, Any]:
        """Return it by its name."""
        return {"build_faults": build_faults}
