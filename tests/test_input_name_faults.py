"""What the stack sets can't be set by an inventory, nor what has another name now; whoever tries is told what to set."""

from __future__ import annotations

from pathlib import Path

import input_name_faults as names
import pytest
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
    assert names.input_name_faults({"celery_worker_time_limit": 7000, "stack_app": "shop"}) == [
        "celery_worker_time_limit has no effect in an inventory, since the stack sets it: set stack_time_limit instead"
    ]


def test_an_input_that_is_computed_is_to_be_taken_out() -> None:
    (fault,) = names.input_name_faults({"celery_worker_unit": {}})
    assert fault == "celery_worker_unit has no effect in an inventory, since the stack computes it: take it out"


def test_what_may_be_set_is_no_fault() -> None:
    assert names.input_name_faults({"celery_worker_pools": [], "redis_maxmemory": "1gb", "stack_time_limit": 9}) == []


@pytest.mark.parametrize(
    "name, fault",
    [
        (
            "stack_web_host",
            "stack_web_host is no input of the stack, and no other name may begin with stack_: stack_web_hosts may be meant "
            "(docs/variables.md lists all)",
        ),
        (
            "stack_of_books",
            "stack_of_books is no input of the stack, and no other name may begin with stack_: rename it, or take it out "
            "(docs/variables.md lists all)",
        ),
        (
            "stack_named_peers",
            "stack_named_peers has no effect in an inventory, since the stack computes it: take it out",
        ),
    ],
)
def test_a_name_that_the_stack_does_not_know_is_refused(name: str, fault: str) -> None:
    assert names.input_name_faults({name: "x", "stack_app": "shop"}) == [fault]


def test_what_the_run_itself_has_computed_is_nobodys_fault() -> None:
    kept = {name: "x" for name, value in names.computed().items() if name.startswith("stack_") and "{{" in value}
    assert len(kept) > 50
    assert names.input_name_faults(kept) == []
    (fault,) = names.input_name_faults(kept | {"stack_of_books": "x"})
    assert fault.startswith("stack_of_books is no input")
    del kept["stack_peers"]
    assert len(names.input_name_faults(kept)) == len(kept)


@pytest.mark.parametrize("switch", [{}, {"stack_cache": False}, {"stack_cache": "no"}], ids=str)
def test_what_a_switch_is_needed_for_is_refused_without_it(switch: dict[str, object]) -> None:
    (fault,) = names.input_name_faults({**switch, "stack_cache_policy": "noeviction", "stack_cache_port": 6390})
    assert fault == (
        "stack_cache_policy, stack_cache_port have no effect without stack_cache: set stack_cache: true, or take out the rest"
    )


@pytest.mark.parametrize("on", [True, "yes"])
def test_what_a_switch_is_needed_for_may_be_set_with_it(on: object) -> None:
    assert names.input_name_faults({"stack_cache": on, "stack_cache_port": 6390}) == []


def test_the_origin_of_what_is_computed_is_found() -> None:
    assert names.sources("postgresql_service_roles") == []
    assert names.origins("postgresql_service_roles") == ["stack_database_user", "stack_database_shares"]
    assert names.origins("celery_worker_time_limit") == ["stack_time_limit"]


@pytest.mark.parametrize(
    "old, new",
    [
        ("stack_authority_key", "stack_ca_key"),
        ("stack_trusted_authorities", "stack_trusted_ca_certificates"),
        ("certificates_authority_days", "certificates_ca_days"),
        ("celery_user_home", "accounts_home"),
    ],
)
def test_an_old_name_is_refused_with_the_new_one(old: str, new: str) -> None:
    assert names.input_name_faults({old: "x"}) == [f"{old} is called {new} now: rename it in the inventory"]


def test_each_new_name_may_be_set_and_no_old_one_is_left() -> None:
    settable = {
        name for file in ROOT.glob("roles/*/defaults/main.yml") for name in yaml.safe_load(file.read_text()) or {}
    }
    assert set(names.RENAMED.values()) <= settable - set(names.wiring())
    assert not set(names.RENAMED) & (settable | set(names.wiring()))


def test_every_source_that_is_named_may_be_set() -> None:
    assert names.settable() >= {source for name in names.wiring() for source in names.sources(name)}
    assert len(names.wiring()) > 100


@pytest.mark.parametrize("path", INVENTORIES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_no_inventory_of_ours_sets_one(path: Path) -> None:
    found = names_in(path)
    assert found & set(names.wiring()) == set()
    assert names._strangers(dict.fromkeys(found)) == set()
