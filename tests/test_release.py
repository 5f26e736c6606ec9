"""The version stands in one place, and the changelog has a form that a machine reads; a release is cut from what is unreleased."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from tools import release

DAY = datetime.date(2026, 3, 1)
GOOD = """# Changelog

## [Unreleased]

### Added

- A thing.

## [1.1.0] - 2026-02-01

### Fixed

- A fault.

## [1.0.0] - 2026-01-31

### Added

- All.
"""


def test_the_project_s_own_version_and_changelog_are_in_order() -> None:
    assert release.check() == []


def test_a_changelog_in_order_has_no_fault() -> None:
    assert release.faults(GOOD, "1.1.0") == []
    # Right after a release nothing is unreleased yet.
    assert release.faults(GOOD.replace("### Added\n\n- A thing.\n\n", "", 1), "1.1.0") == []
    assert release.faults(GOOD.replace("## [Unreleased]\n\n### Added\n\n- A thing.\n\n", ""), "1.1.0") == []


def test_before_the_first_release_the_version_is_the_one_to_come() -> None:
    assert release.faults(GOOD.partition("## [1.1.0]")[0], "0.1.0") == []


@pytest.mark.parametrize(
    ("right", "wrong", "words"),
    [
        ("1.1.0", "1.2.0", "the project's version is 1.1.0"),
        ("] - 2026-02-01", "]", "no heading of a version"),
        ("2026-02-01", "1 February", "no date"),
        ("2026-02-01", "2026-02-30", "no date"),
        ("2026-02-01", "20260201", "no date"),
        ("2026-02-01", "2025-02-01", "is from before 1.0.0"),
        ("## [1.1.0]", "## 1.1.0", "no heading of a version"),
        ("1.0.0", "1.3.0", "isn't newer"),
        ("1.0.0", "1.1.0", "isn't newer"),
        ("1.0.0", "1.0", "no version of three numbers"),
        ("### Fixed", "### Repaired", "'Repaired' is none of"),
        ("- A fault.\n", "", "nothing stands below 'Fixed'"),
        ("### Fixed", "### Added\n\n- More.\n\n### Added", "twice"),
        ("## [1.0.0] - 2026-01-31", "## [Unreleased]", "stands once, and first"),
        ("### Fixed", "#### Fixed", "no heading of a version"),
    ],
)
def test_a_fault_is_named(right: str, wrong: str, words: str) -> None:
    assert right in GOOD
    found = release.faults(GOOD.replace(right, wrong, 1), "1.1.0")
    assert words in "; ".join(found)


def test_what_is_unreleased_becomes_the_version() -> None:
    text = release.cut(GOOD, "1.2.0", DAY)
    assert release.faults(text, "1.2.0") == []
    newest = next(section for section in release.sections(text)[0] if section.version)
    assert (newest.version, newest.date, newest.kinds) == ("1.2.0", "2026-03-01", [("Added", True)])
    assert "- A thing." in text.partition("## [1.2.0]")[2]


@pytest.mark.parametrize(
    ("text", "version", "words"),
    [
        (GOOD, "1.1.0", "isn't newer"),
        (GOOD, "1.2", "no version of three numbers"),
        (GOOD, "v1.2.0", "no version of three numbers"),
        (GOOD.replace("### Added\n\n- A thing.\n\n", "", 1), "1.2.0", "nothing stands below"),
        ("# Changelog\n", "1.2.0", "nothing stands below"),
    ],
)
def test_a_release_of_nothing_or_of_an_old_version_is_refused(text: str, version: str, words: str) -> None:
    with pytest.raises(release.Refused, match=words):
        release.cut(text, version, DAY)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "CHANGELOG.md").write_text(GOOD)
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\nversion = "1.1.0"\n[tool.x]\nversion = "1.1.0"\n')
    (tmp_path / "galaxy.yml").write_text("namespace: x\nversion: 1.1.0\ndependencies: {a.b: '>=1.1.0'}\n")
    return tmp_path


def test_a_release_is_written_wherever_the_version_stands(project: Path) -> None:
    assert release.check(project) == []
    release.write(project, "2.0.0", DAY)
    assert release.versions(project) == {"pyproject.toml": "2.0.0", "galaxy.yml": "2.0.0"}
    assert release.check(project, "v2.0.0") == []
    # What only looks like it stays.
    assert (project / "pyproject.toml").read_text().count("1.1.0") == 1
    assert ">=1.1.0" in (project / "galaxy.yml").read_text()


def test_a_refused_release_changes_nothing(project: Path) -> None:
    before = {path.name: path.read_text() for path in project.iterdir()}
    with pytest.raises(release.Refused):
        release.write(project, "1.0.0", DAY)
    assert {path.name: path.read_text() for path in project.iterdir()} == before


def test_a_project_without_a_collection_has_one_version(project: Path) -> None:
    (project / "galaxy.yml").unlink()
    assert release.check(project) == []


@pytest.mark.parametrize(
    ("change", "tag", "words"),
    [
        ({"galaxy.yml": "version: 1.0.0\n"}, "", "galaxy.yml says 1.0.0"),
        ({"galaxy.yml": "namespace: x\n"}, "", "galaxy.yml says none"),
        ({}, "v1.0.0", "is to be v1.1.0"),
        ({}, "1.1.0", "is to be v1.1.0"),
        ({"CHANGELOG.md": "# Changelog\n\n## [Unreleased]\n"}, "v1.1.0", "doesn't tell of 1.1.0"),
    ],
)
def test_what_does_not_fit_is_found(project: Path, change: dict[str, str], tag: str, words: str) -> None:
    for name, text in change.items():
        (project / name).write_text(text)
    assert words in "; ".join(release.check(project, tag))
