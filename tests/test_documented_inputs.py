"""What the pages tell a user to set is an input of today's, and one that an inventory may set."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import input_name_faults as names
import pytest
import yaml
from conftest import ROLES, ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "examples").glob("*/README.md"))]
BLOCK = re.compile(r"^ *```yaml\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
# The role's own name begins its inputs' names; this one is said in full by each page that has it.
PREFIXES = tuple(f"{role}_" for role in ROLES)


def inputs() -> dict[str, dict[str, Any]]:
    """Return what each role's specification says of its inputs, by name."""
    found: dict[str, dict[str, Any]] = {}
    for file in ROOT.glob("roles/*/meta/argument_specs.yml"):
        found |= yaml.safe_load(file.read_text())["argument_specs"]["main"]["options"]
    return found


def blocks(page: Path) -> list[Any]:
    """Return what the blocks of a page hold that are YAML."""
    return [yaml.safe_load(text) for text in BLOCK.findall(page.read_text())]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_variable_of_a_page_is_an_input_of_an_inventory(page: Path) -> None:
    said = {name for block in blocks(page) if isinstance(block, dict) for name in block}
    ours = {name for name in said if str(name).startswith(PREFIXES)}
    assert ours - set(inputs()) == set()
    assert names.input_name_faults({**dict.fromkeys(ours), "stack_cache": True}) == []


def test_the_pages_have_such_blocks() -> None:
    assert sum(len(blocks(page)) for page in PAGES) > 30
