"""Argument specs are the one home of inputs: what is written from them says the same, and is written anew when they change."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import input_name_faults as names
import pytest
import yaml
from conftest import ROLES, ROOT

from tools import inputs, role_docs

SPECS = """---
argument_specs:
  main:
    short_description: Bake
    options: &options
      # --- Broker ---
      bake_password:
        type: str
        required: true
        no_log: true
        description: Password of the oven, at least 16 characters. It has no default.
      bake_dir:
        type: path
        default: "/srv/{{ bake_name | replace('-', '_') }}"  # as the oven has it
        description: Folder of C(loaves), such as V(rye). Nobody else writes there.
      # --- Hosts and network ---
      bake_header:
        type: str
        default: >-
          {{ [ansible_facts['memtotal_mb'] | int,
             1] | min }}
        description: >-
          First part of a header, of O(bake_dir)
          too. Second.
      bake_trays:
        type: list
        elements: dict
        default:
          - {name: upper, heat: 1}

          - name: lower
            heat: 2
        description: [Trays of the oven., From the top.]
        options:
          heat: {type: int, default: 3, description: A number.}
  preflight:
    short_description: Check
    options: *options
"""

BAKED = """---
# Written by `make docs` from meta/argument_specs.yml: change that file, and not this one. README.md says more of each input.

# --- Broker ---------------------------------------------------------------------------------------------------------------

# Required. Password of the oven, at least 16 characters.
bake_password: ""

# Folder of loaves, such as rye.
bake_dir: "/srv/{{ bake_name | replace('-', '_') }}"  # as the oven has it

# --- Hosts and network ----------------------------------------------------------------------------------------------------

# First part of a header, of bake_dir too.
bake_header: >-
  {{ [ansible_facts['memtotal_mb'] | int,
     1] | min }}

# Trays of the oven.
bake_trays:
  - {name: upper, heat: 1}

  - name: lower
    heat: 2
"""


@pytest.fixture
def bake(tmp_path: Path) -> Path:
    """Return a role of its own with inputs of every kind."""
    path = tmp_path / "bake" / "meta" / "argument_specs.yml"
    path.parent.mkdir(parents=True)
    path.write_text(SPECS)
    return path.parent.parent


def test_defaults_are_written_as_the_specs_have_them(bake: Path) -> None:
    text = role_docs.defaults(bake)
    assert text == BAKED
    options = yaml.safe_load(SPECS)["argument_specs"]["main"]["options"]
    assert yaml.safe_load(text) == {
        name: "" if option.get("required") else option["default"] for name, option in options.items()
    }


def test_an_input_without_a_default_is_required(bake: Path) -> None:
    path = bake / "meta/argument_specs.yml"
    path.write_text(SPECS.replace("        required: true\n", ""))
    with pytest.raises(SystemExit, match="bake_password has no default, and isn't required"):
        role_docs.defaults(bake)


def test_a_heading_that_is_no_topic_is_refused(bake: Path) -> None:
    path = bake / "meta/argument_specs.yml"
    path.write_text(SPECS.replace("--- Broker ---", "--- Brokr ---"))
    with pytest.raises(SystemExit, match=r"bake_password stands below the heading 'Brokr': use one of .*, Broker,"):
        role_docs.defaults(bake)


@pytest.mark.parametrize(
    ("kind", "description", "unit"),
    [
        ("int", "Seconds after which a task is killed.", "seconds"),
        ("int", "Size of a message, in bytes.", "bytes"),
        ("int", "Largest body of a request in MiB.", "MiB"),
        ("int", "Greatest number of connections at once.", "number"),
        ("int", "A pool's share of busy CPUs (a number from 1 to 10000).", "number"),
        ("float", "Share of the memory (a fraction, at most 0.4).", "fraction"),
        ("float", "Seconds that it waits.", "seconds"),
        ("int", "As it comes.", ""),
        ("str", "Seconds, in words.", ""),
    ],
)
def test_a_number_has_the_unit_that_its_description_says(kind: str, description: str, unit: str) -> None:
    assert inputs.unit_of({"type": kind, "description": description}) == unit


@pytest.mark.parametrize("role", ROLES)
def test_what_is_written_from_a_role_s_specs_is_up_to_date(role: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert role_docs.main(["--check", role]) == 0, capsys.readouterr().out


def test_a_file_that_is_out_of_date_is_found_and_written(
    bake: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(role_docs, "ROLES", bake.parent)
    assert role_docs.main(["--check", "bake"]) == 1
    assert "bake/defaults/main.yml is out of date; run `make docs`" in capsys.readouterr().out
    assert role_docs.main(["bake"]) == 0
    assert role_docs.main(["--check", "bake"]) == 0
    assert (bake / "defaults/main.yml").read_text() == role_docs.defaults(bake)


def given_by_callers(node: Any) -> Iterator[str]:
    """Yield the variables that tasks set for a role which they include."""
    if isinstance(node, list):
        for one in node:
            yield from given_by_callers(one)
    elif isinstance(node, dict):
        if any(name.endswith(("include_role", "import_role")) for name in node):
            yield from node.get("vars", {})
        for one in node.values():
            yield from given_by_callers(one)


@pytest.mark.parametrize("role", ROLES)
def test_what_a_caller_always_sets_stands_below_that_heading(role: str) -> None:
    given = {
        name for path in ROOT.glob("roles/*/tasks/*.yml") for name in given_by_callers(yaml.safe_load(path.read_text()))
    }
    wired = set(names.wiring())
    found = {one.name for one in inputs.of_role(ROOT / "roles" / role) if one.topic == inputs.BY_CALLERS}
    assert found - wired == {one.name for one in inputs.of_role(ROOT / "roles" / role)} & given


def test_what_users_may_set_is_listed_by_topic_with_nothing_left_out() -> None:
    text = (ROOT / "docs/variables.md").read_text()
    assert text == role_docs.variables(), "run `make docs`"
    # Every default of every role, but for what the playbooks set and what a role's caller does.
    given = {
        name for path in ROOT.glob("roles/*/tasks/*.yml") for name in given_by_callers(yaml.safe_load(path.read_text()))
    }
    settable = {
        name: role
        for role in ROLES
        for name in yaml.safe_load((ROOT / "roles" / role / "defaults/main.yml").read_text())
        if name not in names.wiring() and name not in given
    }
    rows = {row[0].strip("`"): row for row in table_rows(text)}
    assert sorted(rows) == sorted(settable)
    assert all(row[5] == f"[{settable[name]}](../roles/{settable[name]}/README.md)" for name, row in rows.items())


def table_rows(text: str) -> list[list[str]]:
    """Return the cells of each row that is about an input."""
    rows = [re.split(r" \| ", line.strip("| ")) for line in text.splitlines() if line.startswith("| `")]
    assert {len(row) for row in rows} == {6}
    return rows


def test_a_variable_has_its_type_unit_default_and_one_line() -> None:
    rows = {row[0]: row for row in table_rows(role_docs.variables())}
    assert rows["`stack_time_limit`"][1:5] == ["int", "seconds", "`0`", "Seconds after which a task is killed."]
    assert rows["`stack_publish_timeout`"][1:3] == ["float", "seconds"]
    assert rows["`stack_root`"][3] == "`/opt/{{ stack_app }}`"
    assert (
        rows["`celery_beat_log_level`"][4]
        == "Level of the log. One of `DEBUG`, `INFO`, `WARNING`, `ERROR`, `CRITICAL`."
    )


@pytest.mark.parametrize("path", ["README.md", "docs/operations.md"])
def test_readers_are_led_to_the_list(path: str) -> None:
    links = re.findall(r"\]\(([^)#]+)", (ROOT / path).read_text())
    assert ROOT / "docs/variables.md" in [(ROOT / path).parent / link for link in links]
