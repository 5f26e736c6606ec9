"""The default cache: the deployment's server under the project's own word for the rest."""

from __future__ import annotations

from typing import Any

import pytest
from celery_runtime import laid_over
from celery_runtime.caches import with_database
from celery_runtime.configuration import Configuration
from celery_runtime.overlay import overlay

PLAIN = "django.core.cache.backends.redis.RedisCache"
URL = "unix://web:hidden@/run/redis-cache/redis-server.sock?db=0"
CONFIGURATION = Configuration(
    project_settings="p", celery_app="p", cache={"BACKEND": PLAIN}, credentials={"CACHE_URL": "cache_url"}
)


def merged(own: dict[str, Any] | None, ours: dict[str, Any] | None = None) -> dict[str, Any]:
    configuration = Configuration(
        project_settings="p",
        celery_app="p",
        cache={"BACKEND": PLAIN} | (ours or {}),
        credentials={"CACHE_URL": "cache_url"},
    )
    project = {} if own is None else {"CACHES": {"default": own, "other": {"BACKEND": "x"}}}
    result = overlay(project, configuration, {"cache_url": URL}.__getitem__)
    assert "CACHE_URL" not in result
    assert own is None or result["CACHES"]["other"] == {"BACKEND": "x"}
    return result["CACHES"]["default"]


def database(entry: dict[str, Any]) -> str:
    return entry["LOCATION"].rpartition("=")[2]


def test_a_project_that_says_nothing_of_caches_gets_the_deployment_s() -> None:
    assert merged(None) == {
        "BACKEND": PLAIN,
        "LOCATION": "unix://web:hidden@/run/redis-cache/redis-server.sock?db=1",
    }


def test_a_backend_for_redis_stays_with_its_options() -> None:
    own = {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": "redis://elsewhere:6379/3",
        "KEY_PREFIX": "shop",
        "TIMEOUT": 60,
        "OPTIONS": {"CLIENT_CLASS": "django_redis.client.DefaultClient"},
    }
    assert merged(own) == own | {"LOCATION": URL.replace("db=0", "db=3")}
    # Unless the inventory asks for another.
    assert merged(own, {"BACKEND": "shop.redis.Cache"})["BACKEND"] == "shop.redis.Cache"


def test_another_kind_of_cache_is_replaced_with_its_options() -> None:
    own = {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "LOCATION": "unique-snowflake-7",
        "TIMEOUT": 60,
        "OPTIONS": {"MAX_ENTRIES": 1000},
    }
    entry = merged(own)
    assert (entry["BACKEND"], entry["TIMEOUT"], database(entry)) == (PLAIN, 60, "1")
    assert "OPTIONS" not in entry


def test_what_the_inventory_says_wins() -> None:
    assert merged({"BACKEND": PLAIN, "TIMEOUT": 60}, {"TIMEOUT": 5})["TIMEOUT"] == 5


@pytest.mark.parametrize(
    ("location", "number"),
    [
        ("redis://h/2", "2"),
        # The first one is nobody's choice: it's what each client takes, and what the deployment's own address names.
        ("redis://h/0", "1"),
        ("unix:///s.sock?db=0", "1"),
        (URL, "1"),
        ("redis://h", "1"),
        ("redis://h?db=4", "4"),
        ("unix:///s.sock?db=5", "5"),
        ("unix:///7", "1"),
        (["redis://h/6", "redis://i/6"], "6"),
        (None, "1"),
        ([], "1"),
    ],
)
def test_the_database_that_the_project_names_stays_its_own(location: Any, number: str) -> None:
    assert database(merged({"BACKEND": PLAIN, "LOCATION": location})) == number


@pytest.mark.parametrize("url", [URL, "rediss://web:hidden@192.0.2.1:6380/0?ssl_cert_reqs=required"])
def test_no_cache_shares_its_database_with_what_the_project_does_with_the_address_by_itself(url: str) -> None:
    own = {
        "default": {"BACKEND": PLAIN, "LOCATION": url},
        "sessions": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": [url], "TIMEOUT": 60},
        "chosen": {"BACKEND": PLAIN, "LOCATION": with_database(url, 2)},
        "elsewhere": {"BACKEND": PLAIN, "LOCATION": "redis://192.0.2.9:6379/0"},
        "files": {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache", "LOCATION": "/var/lib/shop/cache"},
    }
    result = overlay({"CACHES": own}, CONFIGURATION, {"cache_url": url}.__getitem__)["CACHES"]
    assert result["default"]["LOCATION"] == with_database(url, 1)
    assert result["sessions"] == own["sessions"] | {"LOCATION": [with_database(url, 1)]}
    assert {name: result[name] for name in ("chosen", "elsewhere", "files")} == {
        name: own[name] for name in ("chosen", "elsewhere", "files")
    }
    # The project's own settings are what the table is made from, so they stay as they were.
    assert own["sessions"]["LOCATION"] == [url]


def test_the_table_tells_of_another_cache_that_leaves_the_first_database() -> None:
    project = {"CACHES": {"default": {"BACKEND": PLAIN}, "sessions": {"BACKEND": PLAIN, "LOCATION": URL}}}
    [row] = laid_over.rows(project, overlay(project, CONFIGURATION, lambda _: URL), CONFIGURATION)
    assert (row.setting, row.ours, row.variable) == (
        "CACHES[sessions][LOCATION]",
        "(credential cache_url)",
        "stack_cache_backend",
    )
    assert "hidden" not in row.project
    assert "database 1" in row.why


def test_an_address_over_the_network_keeps_what_verifies_the_server() -> None:
    url = "rediss://web:hidden@192.0.2.1:6380/0?ssl_cert_reqs=required&ssl_ca_certs=/ca.pem"
    assert with_database(url, 3) == url.replace("/0?", "/3?")


def test_a_unit_without_a_login_to_the_cache_keeps_the_project_s() -> None:
    own = {"default": {"BACKEND": "locmem"}}
    result = overlay({"CACHES": own}, CONFIGURATION, str, lambda name: name != "cache_url")
    assert result["CACHES"] == own
    assert "CACHES" not in overlay({}, CONFIGURATION, str, lambda name: name != "cache_url")


def test_without_a_cache_of_the_deployment_s_nothing_is_touched() -> None:
    own = {"default": {"BACKEND": "locmem"}}
    configuration = Configuration(project_settings="p", celery_app="p")
    assert overlay({"CACHES": own}, configuration, str)["CACHES"] == own


def test_the_table_says_what_is_replaced_and_hides_the_login() -> None:
    own = {"BACKEND": PLAIN, "LOCATION": "redis://:hidden@elsewhere/0", "TIMEOUT": 60}
    project = {"CACHES": {"default": own}}
    rows = laid_over.rows(project, overlay(project, CONFIGURATION, lambda _: URL), CONFIGURATION)
    (row,) = rows
    assert (row.setting, row.ours, row.variable) == (
        "CACHES[default][LOCATION]",
        "(credential cache_url)",
        "stack_cache_backend",
    )
    assert "hidden" not in row.project
    local = {"CACHES": {"default": {"BACKEND": "locmem", "OPTIONS": {"MAX_ENTRIES": 9}, "TIMEOUT": 60}}}
    said = Configuration(
        project_settings="p",
        celery_app="p",
        cache={"BACKEND": PLAIN, "TIMEOUT": 5},
        credentials={"CACHE_URL": "cache_url"},
    )
    rows = laid_over.rows(local, overlay(local, said, lambda _: URL), said)
    assert {row.setting: row.variable for row in rows} == {
        "CACHES[default][BACKEND]": "stack_cache_backend",
        "CACHES[default][OPTIONS]": "stack_cache_backend",
        "CACHES[default][TIMEOUT]": "stack_cache_settings_extra",
    }
