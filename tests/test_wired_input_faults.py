"""What the stack sets can't be set by an inventory, and whoever tries is told what to set."""

from __future__ import annotations

from pathlib import Path

import pytest
import wired_input_faults as wired
import yaml
from conftest import ROOT

INVENTORIES = sorted(
    [*ROOT.glob("inventories/*"), *ROOT.glob("molecule/*/inventory"), *ROOT.glob("examples/*/inventor*")]
)


def names_in(path: Path) -> set[str]:
    """Return the names of all variables in an inventory's files."""
    found: set[str] = set()
    for file in path.rglob("*.yml") if path.is_dir() else [path]:
        content = yaml.safe_load(file.read_text().replace("!vault", "")) or {}
        if file.parent.parent.name in ("group_vars", "host_vars") or file.parent.name in ("group_vars", "host_vars"):
            found |= set(content)
    return found


def test_an_input_with_one_source_names_it() -> None:
    assert wired.wired_input_faults({"celery_worker_time_limit": 7000, "stack_app": "shop"}) == [
        "celery_worker_time_limit has no effect in an inventory, since the stack sets it: set stack_time_limit instead"
    ]


def test_an_input_that_is_computed_is_to_be_taken_out() -> None:
    (fault,) = wired.wired_input_faults({"celery_worker_unit": {}})
    assert fault == "celery_worker_unit has no effect in an inventory, since the stack computes it: take it out"


def test_what_may_be_set_is_no_fault() -> None:
    assert wired.wired_input_faults({"celery_worker_pools": [], "redis_maxmemory": "1gb", "stack_time_limit": 9}) == []


def test_every_source_that_is_named_may_be_set() -> None:
    assert wired.settable() >= {source for name in wired.wiring() for source in wired.sources(name)}
    assert len(wired.wiring()) > 100


@pytest.mark.parametrize("path", INVENTORIES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_no_inventory_of_ours_sets_one(path: Path) -> None:
    assert names_in(path) & set(wired.wiring()) == set()
