"""What a host loses that left a group: only what belongs to that group, and never data."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from conftest import ROOT, Role

GROUPS = ("redis", "database", "app", "web", "workers", "beat", "flower")


def wired(left: set[str], **variables: Any) -> dict[str, Any]:
    """Return what the role gets for a host that is in all groups but these."""
    stack = Role("stack").variables | {
        "inventory_hostname": "shop1",
        "inventory_dir": "/inventory",
        "groups": {name: [] if name in left else ["shop1"] for name in GROUPS},
        "stack_app": "shop",
        **variables,
    }
    file = ROOT / "playbooks/wiring/retire.yml"
    stack |= DataLoader().load_from_file(str(file), trusted_as_template=True)
    templar = Templar(loader=DataLoader(), variables=stack)
    return {name: templar.template(stack[name]) for name in ("retire_units", "retire_paths", "retire_kept")}


def test_a_host_with_a_part_in_everything_is_not_even_asked() -> None:
    assert wired(set()) == {"retire_units": [], "retire_paths": [], "retire_kept": []}


def test_a_host_that_left_a_group_loses_that_group_s_units() -> None:
    assert wired({"workers"})["retire_units"] == ["celery-worker@*.service"]
    assert wired({"workers"})["retire_paths"] == []
    assert wired({"web"})["retire_units"] == ["django-web.socket", "django-web.service"]
    assert wired({"flower"})["retire_units"] == ["celery-flower.service"]
    assert "/etc/shop/flower.conf" in wired({"flower"})["retire_paths"]


def test_the_front_goes_with_the_last_of_what_it_serves() -> None:
    gone = wired({"web", "flower"})
    assert {"nginx.socket", "nginx.service"} < set(gone["retire_units"])
    assert "/etc/shop/tls/front.key" in gone["retire_paths"]
    # Somebody else's front is left alone.
    assert "nginx.service" not in wired({"web", "flower"}, stack_front=False)["retire_units"]


def test_a_host_that_left_the_application_keeps_no_secret_and_no_code_but_its_uploads() -> None:
    gone = wired({"app", "web", "workers", "beat", "flower"})
    assert "shop.target" in gone["retire_units"]
    assert {"/etc/shop/credentials", "/etc/shop/environment.secret", "/opt/shop"} < set(gone["retire_paths"])
    assert [path for path in gone["retire_paths"] if path.startswith("/var/lib/")] == []


@pytest.mark.parametrize("group", ["redis", "database"])
def test_what_holds_data_is_warned_of_and_left_alone(group: str) -> None:
    gone = wired({group})
    assert (gone["retire_units"], gone["retire_paths"]) == ([], [])
    (kept,) = gone["retire_kept"]
    assert f"shop1 is not in the group {group}" in kept["says"]


def test_the_scheduler_is_stopped_before_another_starts_also_outside_the_application() -> None:
    (play,) = yaml.safe_load((ROOT / "playbooks/beat.yml").read_text())
    assert play["hosts"] == "all"
