"""Check the version and CHANGELOG.md, and turn what is unreleased into a release: `python -m tools.release check|cut`.

The version stands in pyproject.toml. galaxy.yml and the runtime must name one too, so `cut` writes all and `check` compares them. A release is a
version in CHANGELOG.md with its date, and a tag `v<version>` on the commit that names it.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import re
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSION = re.compile(r"(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)")
UNRELEASED = "## [Unreleased]"
HEADING = re.compile(r"## \[(?P<version>[^]]+)\] - (?P<date>.+)")
# https://keepachangelog.com/en/1.1.0/
KINDS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
# Where the version stands, each with what it stands behind at the beginning of a line.
PLACES = {
    "pyproject.toml": 'version = "{}"',
    "celery_runtime/pyproject.toml": 'version = "{}"',
    "galaxy.yml": "version: {}",
}


class Refused(Exception):
    """A release that can't be made, with the reason."""


@dataclass
class Section:
    """A version of the changelog; without a version, what is unreleased.

    Attributes:
        version: as it stands there.
        date: of the release, as it stands there.
        kinds: the headings below it, each with whether something stands below that.
    """

    version: str = ""
    date: str = ""
    kinds: list[tuple[str, bool]] = field(default_factory=list)


def sections(text: str) -> tuple[list[Section], list[str]]:
    """Return the sections of a changelog from top to bottom, and the headings that are of no known form."""
    found: list[Section] = []
    strange = []
    for line in text.splitlines():
        if line.rstrip() == UNRELEASED:
            found.append(Section())
        elif heading := HEADING.fullmatch(line.rstrip()):
            found.append(Section(heading["version"], heading["date"]))
        elif line.startswith("### ") and found:
            found[-1].kinds.append((line.removeprefix("### ").strip(), False))
        elif line.startswith("#") and not line.startswith("# "):
            strange.append(line)
        elif line.strip() and found and found[-1].kinds:
            found[-1].kinds[-1] = (found[-1].kinds[-1][0], True)
    return found, strange


def numbers(version: str) -> tuple[int, ...]:
    """Return a version as it is compared; nothing for a text that is none."""
    return tuple(int(part) for part in version.split(".")) if VERSION.fullmatch(version) else ()


def _date(text: str) -> datetime.date | None:
    try:
        # Only the form with dashes: fromisoformat takes others.
        return datetime.date.fromisoformat(text) if re.fullmatch(r"\d{4}-\d\d-\d\d", text) else None
    except ValueError:
        return None


def faults(changelog: str, version: str) -> list[str]:
    """Return what is wrong with a changelog, given the project's version."""
    found, strange = sections(changelog)
    result = [f"'{line}' is no heading of a version ('## [1.2.3] - 2026-01-31')" for line in strange]
    if [section.version for section in found[1:]].count(""):
        result.append(f"'{UNRELEASED}' stands once, and first")
    released = [section for section in found if section.version]
    for section in found:
        name = section.version or "Unreleased"
        names = [kind for kind, _ in section.kinds]
        result += [f"{name}: '{kind}' is none of {', '.join(KINDS)}" for kind in names if kind not in KINDS]
        result += [f"{name}: '{kind}' stands there twice" for kind in dict.fromkeys(names) if names.count(kind) > 1]
        result += [f"{name}: nothing stands below '{kind}'" for kind, filled in section.kinds if not filled]
    for section in released:
        if not numbers(section.version):
            result.append(f"'{section.version}' is no version of three numbers")
        if not _date(section.date):
            result.append(f"{section.version}: '{section.date}' is no date such as 2026-01-31")
    for newer, older in itertools.pairwise(released):
        if numbers(newer.version) <= numbers(older.version):
            result.append(f"{newer.version} stands above {older.version}, and isn't newer")
        if (_date(newer.date) or datetime.date.max) < (_date(older.date) or datetime.date.min):
            result.append(f"{newer.version} is from before {older.version}")
    # Before the first release the version is the one that it will have.
    if released and released[0].version != version:
        result.append(f"the project's version is {version}, and the newest of CHANGELOG.md {released[0].version}")
    return result


def cut(changelog: str, version: str, date: datetime.date) -> str:
    """Return a changelog in which what was unreleased is the version.

    Raises:
        Refused: nothing is unreleased, or the version isn't newer than the last one.
    """
    if not VERSION.fullmatch(version):
        raise Refused(f"'{version}' is no version of three numbers")
    found, _ = sections(changelog)
    if not found or found[0].version or not found[0].kinds:
        raise Refused(f"nothing stands below '{UNRELEASED}' in CHANGELOG.md")
    if len(found) > 1 and numbers(version) <= numbers(found[1].version):
        raise Refused(f"{version} isn't newer than {found[1].version}")
    return changelog.replace(UNRELEASED, f"{UNRELEASED}\n\n## [{version}] - {date.isoformat()}", 1)


def versions(root: Path = ROOT) -> dict[str, str]:
    """Return the version of each file that names it."""
    found = {
        name: tomllib.loads((root / name).read_text())["project"]["version"]
        for name in ("pyproject.toml", "celery_runtime/pyproject.toml")
        if (root / name).exists()
    }
    galaxy = root / "galaxy.yml"
    if galaxy.exists():
        line = re.search(r"^version:\s*(\S+)", galaxy.read_text(), re.MULTILINE)
        found["galaxy.yml"] = line.group(1).strip("\"'") if line else "none"
    return found


def check(root: Path = ROOT, tag: str = "") -> list[str]:
    """Return what is wrong with the version, the changelog and, where one is given, the tag."""
    known = versions(root)
    version = known["pyproject.toml"]
    changelog = (root / "CHANGELOG.md").read_text()
    result = [f"{file} says {other}, pyproject.toml {version}" for file, other in known.items() if other != version]
    result += faults(changelog, version)
    if tag and tag != f"v{version}":
        result.append(f"the tag is {tag}, and the version {version}; the tag is to be v{version}")
    if tag and not any(section.version == version for section in sections(changelog)[0]):
        result.append(f"CHANGELOG.md doesn't tell of {version}")
    return result


def write(root: Path, version: str, date: datetime.date) -> None:
    """Write a release's version into every file that names it, and the changelog."""
    changelog = root / "CHANGELOG.md"
    text = cut(changelog.read_text(), version, date)
    for file, old in versions(root).items():
        before, after = (PLACES[file].format(one) for one in (old, version))
        path = root / file
        path.write_text(re.sub(rf"^{re.escape(before)}", after, path.read_text(), count=1, flags=re.MULTILINE))
    changelog.write_text(text)


def main() -> int:
    """Check, or cut a release; 1 when something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tools.release", description=__doc__)
    parts = parser.add_subparsers(dest="part", required=True)
    parts.add_parser("check").add_argument("--tag", default="", help="a tag that must fit the version, such as v1.2.3")
    parts.add_parser("cut").add_argument("version", help="the version to release, such as 1.2.3")
    options = parser.parse_args()
    try:
        if options.part == "cut":
            write(ROOT, options.version, datetime.datetime.now(datetime.UTC).date())
    except Refused as reason:
        print(f"  {reason}")
        return 1
    wrong = check(ROOT, options.tag if options.part == "check" else "")
    for fault in wrong:
        print(f"  {fault}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
