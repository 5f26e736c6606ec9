"""What a host loses that left a group: only what belongs to that group, and never data."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from conftest import ROOT, Role

GROUPS = ("redis", "database", "app", "web", "workers", "beat", "flower")


def wired(left: set[str], files: tuple[str, ...] = ("retire",), **variables: Any) -> dict[str, Any]:
    """Return what the role gets for a host that is in all groups but these."""
    stack = Role("stack").variables | {
        "inventory_hostname": "shop1",
        "inventory_dir": "/inventory",
        "groups": {name: [] if name in left else ["shop1"] for name in GROUPS},
        "stack_app": "shop",
        "stack_cache": True,
        **variables,
    }
    for name in files:
        stack |= DataLoader().load_from_file(str(ROOT / f"playbooks/wiring/{name}.yml"), trusted_as_template=True)
    templar = Templar(loader=DataLoader(), variables=stack)
    return {
        name: templar.template(stack[name])
        for name in ("retire_units", "retire_paths", "retire_kept", "retire_restart")
    }


def test_a_host_with_a_part_in_everything_is_not_even_asked() -> None:
    assert wired(set()) == {"retire_units": [], "retire_paths": [], "retire_kept": [], "retire_restart": []}


def test_a_host_that_left_a_group_loses_that_group_s_units() -> None:
    assert wired({"workers"})["retire_units"] == ["celery-worker@*.service"]
    assert wired({"workers"})["retire_paths"] == ["/run/celery-worker"]
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


def test_a_cache_goes_as_a_whole_where_there_is_none_any_more() -> None:
    gone = wired(set(), stack_cache=False)
    assert gone["retire_units"] == ["redis-cache.service", "redis-guard-cache.service"]
    assert {"/etc/redis-cache", "/var/lib/redis-cache", "/etc/shop/tls/cache.key"} < set(gone["retire_paths"])
    assert gone["retire_kept"] == []


@pytest.mark.parametrize("group", ["redis", "database"])
def test_what_holds_data_is_warned_of_and_left_alone(group: str) -> None:
    # The cache has a host of its own.
    gone = wired({group}, stack_cache_hosts=["shop1"])
    assert (gone["retire_units"], gone["retire_paths"]) == ([], [])
    (kept,) = gone["retire_kept"]
    assert f"shop1 is not in the group {group}" in kept["says"]


def test_the_scheduler_is_stopped_before_another_starts_also_outside_the_application() -> None:
    (play,) = yaml.safe_load((ROOT / "playbooks/beat.yml").read_text())
    assert play["hosts"] == "all"


def removed(**variables: Any) -> dict[str, Any]:
    return wired(set(), ("retire", "remove"), **variables)


def test_an_application_that_is_removed_takes_nothing_of_the_one_beside_it() -> None:
    first, second = removed(stack_app="shop"), removed(stack_app="blog", stack_prefix="blog")
    for pattern in second["retire_units"]:
        assert pattern.startswith(("blog-", "blog.", "redis-blog", "redis-guard-blog")), pattern
    for path in second["retire_paths"]:
        assert "blog" in path, path
    # By their patterns neither means a unit of the other.
    assert [one for one in first["retire_units"] if "blog" in one] == []
    assert {"blog-celery-beat.service", "redis-blog.service", "redis-blogcache.service", "blog.target"} <= set(
        second["retire_units"]
    )
    assert {"/etc/blog", "/opt/blog", "/usr/local/libexec/blog-celery-worker-note"} <= set(second["retire_paths"])
    # The folders of sockets and notes would be there until the host is booted again.
    assert {"/run/blog-web", "/run/blog-celery-flower", "/run/blog-celery-worker"} <= set(second["retire_paths"])


def test_data_of_a_removed_application_stays_and_is_warned_of() -> None:
    for variables in ({"stack_app": "shop"}, {"stack_app": "blog", "stack_prefix": "blog"}):
        gone = removed(**variables)
        data = [path for path in gone["retire_paths"] if path.startswith("/var/lib/") and "cache" not in path]
        assert data == []
        assert len(gone["retire_kept"]) >= 2


def test_a_further_application_that_leaves_the_front_has_it_read_what_is_left() -> None:
    gone = wired({"web", "flower"}, stack_app="blog", stack_prefix="blog")
    assert [unit for unit in gone["retire_units"] if "nginx" in unit] == []
    assert "/etc/nginx/applications/blog.conf" in gone["retire_paths"]
    (reader,) = gone["retire_restart"]
    assert reader == removed(stack_app="blog", stack_prefix="blog")["retire_restart"][0]
    assert reader["name"] == "nginx.service"
    # That of the first application is stopped with its sockets.
    assert wired({"web", "flower"})["retire_restart"] == []


def test_a_host_without_any_part_is_forgotten() -> None:
    assert "/etc/plainhost/applications/shop.json" in wired(set(GROUPS), stack_cache_hosts=[])["retire_paths"]
    assert (
        "/etc/plainhost/applications/shop.json"
        not in wired(set(GROUPS) - {"database"}, stack_cache_hosts=[])["retire_paths"]
    )
