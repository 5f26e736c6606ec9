"""Several applications on one host: what each calls its own, and which inventory is refused because of another's."""

from __future__ import annotations

from typing import Any

import applications
import pytest
import yaml
from conftest import ROOT, Role


def record(name: str, prefix: str = "", **other: Any) -> dict[str, Any]:
    """Return what an application leaves on a host, with names as the role `stack` derives them."""
    begin = f"{prefix}-" if prefix else ""
    return {
        "application": name,
        "prefix": prefix,
        "share": 0.5,
        "front": True,
        "folder": {"stack_root": f"/opt/{name}", "stack_config_dir": f"/etc/{name}"},
        "account": {"stack_group": name, "stack_beat_user": f"{begin}celery-beat"},
        "port": {"stack_database_port": 5433 if prefix else 5432},
        "site": {"stack_web_hosts": [f"{name}.example.com"], "stack_flower_hosts": []},
    } | other


SHOP = record("shop")
BLOG = record("blog", "blog")


def faults(mine: dict[str, Any], *others: dict[str, Any], targets: tuple[str, ...] = ()) -> list[str]:
    lines = applications.application_lines([*others], targets)
    return applications.application_faults(lines, mine, "host1")


@pytest.mark.parametrize("others", [(), (SHOP,), (SHOP, record("news", "news", share=0.0, port={}))])
def test_applications_with_names_of_their_own_stand_side_by_side(others: tuple[dict[str, Any], ...]) -> None:
    assert faults(BLOG if others else SHOP, *others) == []
    # A second run finds its own.
    assert faults(SHOP, SHOP, BLOG, targets=("shop.target", "blog.target")) == []


@pytest.mark.parametrize(
    ("mine", "others", "named"),
    [
        # Two that never heard of each other: the names of the units are one and the same.
        (record("blog"), (SHOP,), ["stack_prefix is ''", "shop", "set stack_prefix"]),
        (record("blog", "news"), (SHOP, record("news", "news", share=0)), ["stack_prefix is 'news'"]),
        # redis-newscache would be the cache of one and the broker of the other.
        (record("blog", "newscache"), (SHOP, record("news", "news", share=0)), ["stack_prefix is 'newscache'", "news"]),
        (record("blog", "news"), (SHOP, record("old", "newscache", share=0)), ["stack_prefix is 'news'"]),
        (record("shop", "blog"), (SHOP,), ["stack_prefix is 'blog'", "stack_app", "set up with ''"]),
        (record("blog", "blog", share=0.6), (SHOP,), ["stack_host_share is 0.6", "1.1", "shop (0.5)"]),
        (
            record("blog", "blog", folder={"stack_root": "/opt/shop"}),
            (SHOP,),
            ["stack_root is /opt/shop", "stack_root of shop"],
        ),
        (
            record("blog", "blog", account={"stack_web_user": "celery-beat"}),
            (SHOP,),
            ["stack_web_user is celery-beat", "stack_beat_user of shop"],
        ),
        (
            record("blog", "blog", port={"stack_flower_port": 5432}),
            (SHOP,),
            ["stack_flower_port is 5432", "stack_database_port of shop"],
        ),
        (
            record("blog", "blog", site={"stack_web_hosts": ["Shop.example.com"]}),
            (SHOP,),
            ["stack_web_hosts has shop.example.com", "stack_web_hosts of shop"],
        ),
        (BLOG, (), ["stack_prefix is 'blog'", "without stack_prefix", "stack_front: false"]),
        (BLOG, (record("shop", front=False),), ["stack_front: false"]),
        (record("shop", front=False), (SHOP, BLOG), ["front", "blog"]),
    ],
)
def test_what_another_has_is_refused_by_the_variable_that_names_it(
    mine: dict[str, Any], others: tuple[dict[str, Any], ...], named: list[str]
) -> None:
    (fault,) = faults(mine, *others)
    assert "host1" in fault
    assert [words for words in named if words not in fault] == []


def test_without_a_front_none_is_needed() -> None:
    assert faults(record("blog", "blog", front=False)) == []


def test_units_that_nobody_has_a_record_of_are_another_s() -> None:
    # Set up by a version that left no record: its names and its share aren't known.
    (fault,) = faults(record("blog"), targets=("shop.target",))
    assert "shop" in fault
    assert "stack_prefix" in fault
    assert faults(SHOP, targets=("shop.target",)) == []


def test_a_host_that_has_no_part_in_the_application_is_asked_nothing() -> None:
    assert applications.application_faults(applications.application_lines([SHOP], ()), {}, "host1") == []


@pytest.mark.parametrize(
    ("mine", "others", "fault"),
    [
        ("shop", (SHOP,), ""),
        ("blog", (SHOP, BLOG), ""),
        ("shop", (SHOP, record("blog", "blog", front=False)), ""),
        ("shop", (SHOP, BLOG), "blog"),
        ("news", (SHOP,), "stack_prefix"),
    ],
)
def test_the_application_that_carries_the_front_goes_last(mine: str, others: tuple[Any, ...], fault: str) -> None:
    found = applications.removal_faults(applications.application_lines([*others], ()), mine, "", "host1")
    if mine == "blog":
        found = applications.removal_faults(applications.application_lines([*others], ()), mine, "blog", "host1")
    assert (fault in found[0]) if fault else found == []


def test_what_was_written_by_hand_is_named() -> None:
    with pytest.raises(applications.AnsibleFilterError, match="/etc/plainhost/applications"):
        applications.application_faults(["{broken"], SHOP, "host1")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, ""),
        ({"prefix": "Blog"}, "stack_prefix is 'Blog'"),
        ({"prefix": "ninechars"}, "stack_prefix is 'ninechars'"),
        # redis-server.service is the first application's.
        ({"prefix": "server"}, "stack_prefix is 'server'"),
        ({"share": 0}, "stack_host_share is 0"),
        ({"share": 1.1}, "stack_host_share is 1.1"),
    ],
)
def test_prefix_and_share_are_checked_before_a_host_is_asked(change: dict[str, Any], words: str) -> None:
    role = Role("preflight", preflight_app="blog", preflight_record=BLOG | change)
    found = [
        fault for fault in role.evaluate("__preflight_faults") if "stack_prefix" in fault or "stack_host_share" in fault
    ]
    assert (words in found[0] and len(found) == 1) if words else found == []


def table(case: str, row: str) -> dict[str, Any]:
    """Return a row of the table of a case's units: units, a comma between them, and what they have."""
    found: dict[str, Any] = yaml.safe_load((ROOT / f"tests/tables/{case}/units.yml").read_text())[row]
    return found


def test_no_unit_account_or_folder_is_both_the_first_and_the_second_application_s() -> None:
    # The operators' commands and steps of a build, which have names of the table's own.
    steps = {"manage", "python", "step-check", "step-commands", "step-git", "step-install"}
    units = [set(table(case, "all of [Service]")) - steps for case in ("local", "second")]
    assert units[0] & units[1] == set()
    users = [set(table(case, "[Service] User").values()) for case in ("local", "second")]
    # Both clusters are of the account that Debian's package brings.
    assert users[0] & users[1] == {"postgres"}
    written = [
        {path for value in table(case, "[Service] ReadWritePaths").values() for path in str(value).split()}
        for case in ("local", "second")
    ]
    assert {path for path in written[0] & written[1] if path.startswith("/") and "postgresql" not in path} == set()
