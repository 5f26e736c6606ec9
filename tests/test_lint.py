"""The linters: which of them look at which files, when all are looked at and when a commit's are."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import ROOT

from testbench import lint


def called_for(*names: str) -> dict[str, list[str]]:
    """Return the files that each linter gets when these are looked at alone."""
    commands = lint.commands([ROOT / name for name in names])
    return {linter: [word for word in command if word in names] for linter, command in commands.items()}


def test_every_linter_looks_at_the_project() -> None:
    names = {"ruff", "yamllint", "shellcheck", "bandit", "mypy", "collections", "ansible-lint"}
    assert set(lint.commands()) == names
    assert "testbench/setup.sh" in lint.commands()["shellcheck"]


@pytest.mark.parametrize(
    ("name", "linters"),
    [
        ("plugins/modules/managed_files.py", {"ruff", "bandit"}),
        ("tests/test_lint.py", {"ruff"}),
        ("roles/redis/tasks/main.yml", {"yamllint", "ansible-lint"}),
        (".pre-commit-config.yaml", {"yamllint"}),
        ("site.yml", {"yamllint", "ansible-lint"}),
        ("testbench/setup.sh", {"shellcheck"}),
        (".ci/run", {"shellcheck"}),
        ("README.md", set()),
        ("LICENSE", set()),
    ],
)
def test_a_changed_file_is_looked_at_by_its_linters(name: str, linters: set[str]) -> None:
    assert called_for(name) == {linter: [name] for linter in linters}


def test_new_ranges_of_collections_are_compared_with_what_is_installed() -> None:
    assert set(called_for("galaxy.yml")) == {"yamllint", "collections"}


def test_types_are_checked_as_a_whole() -> None:
    name = "celery_runtime/src/celery_runtime/parts.py"
    assert called_for(name) == {"ruff": [name], "bandit": [name], "mypy": []}
    assert set(called_for("celery_runtime/tests/test_readme.py")) == {"ruff"}


@pytest.mark.parametrize(("text", "status"), [("import os\n", 1), ('"""Fine."""\n', 0)])
def test_what_a_linter_finds_in_a_named_file_fails(tmp_path: Path, text: str, status: int) -> None:
    (tmp_path / "changed.py").write_text(text)
    assert lint.main([str(tmp_path / "changed.py"), str(tmp_path / "removed.py")]) == status


def test_a_commit_that_only_removes_files_has_nothing_to_look_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lint, "run", lambda *_: pytest.fail("a linter ran"))
    assert lint.main([str(tmp_path / "removed.py")]) == 0
