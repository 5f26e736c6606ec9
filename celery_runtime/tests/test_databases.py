"""The default database: the deployment's connection under the project's own word for the rest."""

from __future__ import annotations

from typing import Any

import pytest
from celery_runtime.configuration import Configuration
from celery_runtime.overlay import overlay

PLAIN = "django.db.backends.postgresql"
OURS = {
    "ENGINE": PLAIN,
    "HOST": "/run/postgresql",
    "PORT": "5432",
    "NAME": "shop",
    "USER": "shop",
    "OPTIONS": {"sslmode": "verify-full"},
}
DEFAULTS = {"CONN_MAX_AGE": 600, "CONN_HEALTH_CHECKS": True, "OPTIONS": {"connect_timeout": 5}}


def merged(own: dict[str, Any], ours: dict[str, Any] = OURS, **others: Any) -> dict[str, Any]:
    configuration = Configuration(
        project_settings="p",
        celery_app="p",
        database=ours,
        database_defaults=DEFAULTS,
        credentials={"DATABASE_PASSWORD": "password"},
    )
    result = overlay({"DATABASES": {"default": own, **others}}, configuration, lambda name: f"secret {name}")
    assert {name: result["DATABASES"][name] for name in others} == others
    return result["DATABASES"]["default"]


def test_what_decides_about_the_project_s_data_stays() -> None:
    own = {
        "ENGINE": PLAIN,
        "ATOMIC_REQUESTS": True,
        "AUTOCOMMIT": False,
        "CONN_MAX_AGE": 30,
        "CONN_HEALTH_CHECKS": False,
        "DISABLE_SERVER_SIDE_CURSORS": True,
        "TIME_ZONE": "Asia/Tokyo",
        "TEST": {"NAME": "test"},
    }
    result = merged(own, replica={"ENGINE": "x", "HOST": "replica", "PASSWORD": "its own"})
    assert {name: result[name] for name in own} == own
    assert {name: result[name] for name in OURS if name != "OPTIONS"} == {
        name: value for name, value in OURS.items() if name != "OPTIONS"
    }
    assert result["PASSWORD"] == "secret password"


def test_what_the_project_leaves_out_it_gets() -> None:
    result = merged({"ENGINE": PLAIN})
    assert (result["CONN_MAX_AGE"], result["CONN_HEALTH_CHECKS"]) == (600, True)
    assert "ATOMIC_REQUESTS" not in result


def test_options_are_merged_one_by_one_and_none_of_them_leads_elsewhere() -> None:
    own = {
        "isolation_level": 3,
        "connect_timeout": 9,
        "sslmode": "disable",
        "service": "other",
        "hostaddr": "192.0.2.9",
    }
    assert merged({"ENGINE": PLAIN, "OPTIONS": own})["OPTIONS"] == {
        "isolation_level": 3,
        "connect_timeout": 9,
        "sslmode": "verify-full",
    }


def test_no_connection_of_the_project_s_own_is_left() -> None:
    own = {"ENGINE": PLAIN, "HOST": "elsewhere", "PORT": "1", "NAME": "n", "USER": "u", "PASSWORD": "p"}
    ours = {"ENGINE": PLAIN, "NAME": "shop"}
    configuration = Configuration(project_settings="p", celery_app="p", database=ours)
    result = overlay({"DATABASES": {"default": own}}, configuration, str)["DATABASES"]["default"]
    assert result == ours


@pytest.mark.parametrize(
    "engine",
    ["django_prometheus.db.backends.postgresql", "django.contrib.gis.db.backends.postgis", "under_another_name"],
)
def test_an_engine_that_extends_the_one_for_postgresql_stays(
    engine: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "under_another_name").mkdir()
    (tmp_path / "under_another_name/base.py").write_text("class DatabaseWrapper:\n    vendor = 'postgresql'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert merged({"ENGINE": engine, "OPTIONS": {"isolation_level": 3}})["ENGINE"] == engine
    # Unless the deployment asks for one that can more.
    named = OURS | {"ENGINE": "django.contrib.gis.db.backends.postgis"}
    assert merged({"ENGINE": engine}, named)["ENGINE"] == named["ENGINE"]


@pytest.mark.parametrize("engine", ["django.db.backends.sqlite3", "django.db.backends.mysql", "not.there", ""])
def test_an_engine_for_another_server_is_replaced_with_its_options(engine: str) -> None:
    result = merged({"ENGINE": engine, "ATOMIC_REQUESTS": True, "OPTIONS": {"timeout": 20}})
    assert (result["ENGINE"], result["ATOMIC_REQUESTS"]) == (PLAIN, True)
    assert "timeout" not in result["OPTIONS"]


def test_a_pool_of_connections_that_django_keeps_can_be_used() -> None:
    assert merged({"ENGINE": PLAIN, "OPTIONS": {"pool": True}})["CONN_MAX_AGE"] == 0
