"""docs/security.md names a test for each promise. A test that was renamed or removed takes its promise with it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from conftest import ROOT

DOCUMENT = ROOT / "docs/security.md"
FOLDERS = {
    "default": "molecule/default/tests",
    "security": "molecule/security/tests",
    "runtime": "celery_runtime/tests",
    "host-free": "tests",
    "sample": "sample_project/tests",
}
NAMED = re.compile(r"`([a-z-]+)/(test_\w+\.py)(?:::(test_\w+))?`")
# Anything that looks like a test, however it is written: none escapes the pattern above by a slip.
MENTIONED = re.compile(r"test_\w+\.py(?:::\w+)?|::test_\w+")


def defined_in(path: Path) -> set[str]:
    """Return the names of a file's tests."""
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}


def faults(text: str) -> list[str]:
    """Return what a text names and isn't there."""
    wrong = []
    for folder, file, test in NAMED.findall(text):
        path = ROOT / FOLDERS.get(folder, "unknown") / file
        if not path.is_file() or (test and test not in defined_in(path)):
            wrong.append(f"{folder}/{file}::{test}")
    return wrong + MENTIONED.findall(NAMED.sub("", text))


@pytest.mark.parametrize(
    "text",
    [
        "`default/test_units.py::test_the_sandbox_is_tigh`",
        "`default/test_unit.py`",
        "`elsewhere/test_units.py`",
        "default/test_units.py",
        "`test_units.py::test_the_sandbox_is_tight`",
        "`default/test_units.py::tests_the_sandbox`",
    ],
)
def test_a_wrong_name_is_noticed(text: str) -> None:
    assert faults(text)


def test_a_right_name_is_no_fault() -> None:
    assert faults("`default/test_units.py::test_the_sandbox_is_tight` and `default/test_units.py`, `make lint`") == []


def test_each_test_that_the_document_names_is_there() -> None:
    text = DOCUMENT.read_text()
    assert faults(text) == []
    assert len(set(NAMED.findall(text))) > 50


def test_each_promise_has_a_test() -> None:
    _, _, after = DOCUMENT.read_text().partition("## Who attacks")
    promises = after.partition("## What others say")[0]
    rows = [line for line in promises.splitlines() if line.startswith("| ") and not line.startswith("| Promise")]
    assert rows
    assert [row for row in rows if not NAMED.search(row.split("|")[2])] == []
