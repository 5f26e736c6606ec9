"""Remove the releases of a project that nobody goes back to."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pruned_releases
short_description: Remove the releases of a project that nobody goes back to
description:
  - Keeps the O(keep) releases that were current last, and of each of the O(keep) codes that were current last the newest release. A change
    of settings makes a release, too; without the second part of the rule a few of them would push the code before out.
  - A release without a file C(.deployed) was refused, and goes. The time of that file says when a release was made current last; C(.code)
    says what it was built of. One without C(.code) counts as a code of its own.
options:
  folder: {description: The folder whose folders are the releases., type: path, required: true}
  current: {description: Path of the release that is in use. It stays., type: path, required: true}
  keep: {description: Number of releases and number of codes to keep., type: int, required: true}
  interpreters:
    description: A folder of interpreters. One that the environment of no release that stays was made with is removed, too.
    type: path
author: The plainhost maintainers
"""

EXAMPLES = r"""
- name: Remove old releases
  plainhost.stack.pruned_releases:
    folder: /opt/shop/releases
    current: /opt/shop/releases/0123456789ab
    keep: 3
"""

RETURN = r"""
removed:
  description: Names of the releases that were removed (or would be, in check mode).
  returned: always
  type: list
  elements: str
removed_interpreters:
  description: Names of the interpreters that were removed (or would be, in check mode).
  returned: always
  type: list
  elements: str
"""

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DEPLOYED = ".deployed"
BUILT = ".built"
CODE = ".code"


@dataclass(frozen=True)
class Release:
    """A release that was current once.

    Attributes:
        name: of its folder.
        made_current: when it was made current last, in seconds since the epoch.
        code: digest of what it was built of; empty where it isn't known.
    """

    name: str
    made_current: float
    code: str


def kept(releases: Iterable[Release], keep: int) -> set[str]:
    """Return the names of the releases that stay, at most `2 * keep - 1`.

    The last ones stay whatever their code: after a run that died, services still run on the one before.
    """
    newest_first = sorted(releases, key=lambda release: release.made_current, reverse=True)
    newest_of: dict[str, str] = {}
    for release in newest_first:
        newest_of.setdefault(release.code or f"release {release.name}", release.name)
    return {release.name for release in newest_first[:keep]} | set(list(newest_of.values())[:keep])


def read(folder: Path) -> tuple[list[Release], list[str]]:
    """Return the releases that were current once, and the names of those that never were."""
    releases, refused = [], []
    for path in sorted(folder.iterdir()):
        if path.is_symlink() or not path.is_dir():
            continue
        if not (path / DEPLOYED).exists():
            refused.append(path.name)
            continue
        code = (path / CODE).read_text().strip() if (path / CODE).exists() else ""
        releases.append(Release(path.name, (path / DEPLOYED).stat().st_mtime, code))
    return releases, refused


def remove(release: Path) -> None:
    """Remove a release; if that fails half-way, what is left is taken for neither built nor deployed."""
    for mark in (BUILT, DEPLOYED):
        (release / mark).unlink(missing_ok=True)
    shutil.rmtree(release)


def removable(folder: Path, current: str, keep: int) -> list[str]:
    """Return the names of the releases to remove, sorted."""
    releases, refused = read(folder)
    # Also where its mark is older than others, since check mode writes none.
    counted = [Release(r.name, float("inf"), r.code) if r.name == current else r for r in releases]
    stay = kept(counted, keep) | {current}
    return sorted(name for name in [*refused, *(release.name for release in releases)] if name not in stay)


def unused(interpreters: Path, releases: Iterable[Path]) -> list[str]:
    """Return the names of the interpreters that no environment of these releases was made with, sorted."""
    files = [release / "venv/pyvenv.cfg" for release in releases]
    made_with = " ".join(file.read_text() for file in files if file.is_file())
    names = [path.name for path in interpreters.iterdir()] if interpreters.is_dir() else []
    return sorted(name for name in names if f"{interpreters / name}/" not in made_with)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "folder": {"type": "path", "required": True},
            "current": {"type": "path", "required": True},
            "keep": {"type": "int", "required": True},
            "interpreters": {"type": "path"},
        },
        supports_check_mode=True,
    )
    folder, current = Path(module.params["folder"]), Path(module.params["current"])
    if not current.is_dir():
        if not module.check_mode:
            module.fail_json(msg=f"{current} does not exist, so it can't be the release in use; nothing was removed")
        # It isn't built in check mode, and what it pushes out isn't known before it is.
        module.exit_json(changed=False, removed=[], removed_interpreters=[])
    names = removable(folder, current.name, module.params["keep"])
    if not module.check_mode:
        # It is the newest from now on, though it may have been deployed before with the same marks.
        (current / DEPLOYED).touch()
        os.utime(current / DEPLOYED)
        for name in names:
            remove(folder / name)
    interpreters = Path(module.params["interpreters"] or "/nonexistent")
    idle = unused(interpreters, (path for path in folder.iterdir() if path.name not in names))
    for name in [] if module.check_mode else idle:
        shutil.rmtree(interpreters / name)
    module.exit_json(changed=bool(names or idle), removed=names, removed_interpreters=idle)


if __name__ == "__main__":
    main()
