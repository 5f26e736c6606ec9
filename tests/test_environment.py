"""Where a project finds its servers by variables of the environment, and what of that is refused."""

from __future__ import annotations

from typing import Any

import pytest
from environment import environment_faults, service_addresses

DATABASE: dict[str, Any] = {
    "ENGINE": "django.db.backends.postgresql",
    "HOST": "/run/postgresql",
    "PORT": "5432",
    "NAME": "shop",
    "USER": "shop",
    "OPTIONS": {},
}
SOCKET = ("redis+socket", "/run/redis/redis-server.sock", "?virtual_host=0")


def addresses(database: dict[str, Any] | None = None, url: str = "", cache: str = "") -> dict[str, str]:
    scheme, location, query = SOCKET
    return service_addresses(DATABASE | (database or {}), scheme, location, query, url=url, cache=cache)


def test_a_socket_s_folder_stands_where_every_reader_looks_for_it() -> None:
    # As libpq, dj-database-url, django-environ and SQLAlchemy read it.
    assert addresses()["database"] == "postgresql://:5432/shop?host=/run/postgresql"
    assert addresses()["broker"] == "redis+socket:///run/redis/redis-server.sock?virtual_host=0"


@pytest.mark.parametrize(
    ("changes", "address"),
    [
        (
            {"HOST": "db.example.com", "OPTIONS": {"sslmode": "verify-full", "sslrootcert": "/etc/a b.pem"}},
            "postgresql://db.example.com:5432/shop?sslmode=verify-full&sslrootcert=/etc/a%20b.pem",
        ),
        ({"HOST": "fd00::1", "PORT": "5433", "NAME": "a/b"}, "postgresql://[fd00::1]:5433/a%2Fb"),
        # What is Django's alone is no option of the address.
        ({"HOST": "db", "OPTIONS": {"isolation_level": 3}}, "postgresql://db:5432/shop"),
        ({"HOST": "db", "ENGINE": "django.contrib.gis.db.backends.postgis"}, "postgis://db:5432/shop"),
        ({"HOST": "db", "ENGINE": "django_prometheus.db.backends.postgresql"}, "postgresql://db:5432/shop"),
    ],
)
def test_the_address_of_a_database(changes: dict[str, Any], address: str) -> None:
    assert addresses(changes)["database"] == address


@pytest.mark.parametrize("engine", ["", "django.db.backends.oracle"])
def test_without_a_known_engine_there_is_no_address(engine: str) -> None:
    assert "database" not in addresses({"ENGINE": engine})
    assert "database" not in service_addresses({}, *SOCKET, url="")


def test_an_address_that_is_given_loses_its_login() -> None:
    found = addresses(url="rediss://user:secret@redis.example.com:6380/2?password=secret")
    assert found["broker"] == "rediss://redis.example.com:6380/2"
    found = addresses(cache="unix://web:secret@/run/redis-cache.sock?db=0")
    assert found["cache"] == "unix:///run/redis-cache.sock?db=0"


GOOD = {
    "DATABASE_URL": "database",
    "POSTGRES_PASSWORD": "database.password",
    "KEY": "secret_key",
    "B": "broker.socket",
} | {"INI": "file.ini"}


def test_what_is_right_is_let_through() -> None:
    assert environment_faults(GOOD, addresses(), {"stack_environment": {"OTHER"}}, ["ini"]) == []
    for source in ("cache", "cache.0", "cache.15"):
        assert environment_faults({"C": source}, addresses(cache="unix:///run/cache.sock"), {}, []) == []


@pytest.mark.parametrize(
    ("sources", "fault"),
    [
        ({"A-B": "database"}, "A-B is no name of a variable"),
        ({"DJANGO_SETTINGS_MODULE": "database"}, "DJANGO_SETTINGS_MODULE is the deployment's own variable"),
        ({"PYTHONPATH": "database"}, "PYTHONPATH is the deployment's own variable"),
        ({"OTHER": "database"}, "OTHER stands in stack_environment, too"),
        ({"X": "databse"}, "X is from 'databse', which is nothing known. Known are database, broker"),
        ({"X": "database.socket"}, "X is from 'database.socket', which is nothing known"),
        ({"X": "secret_key.name"}, "X is from 'secret_key.name', which is nothing known"),
        ({"X": "file.other"}, "X is from 'file.other', and there is no credential of that name"),
        ({"X": "cache"}, "X is from 'cache': there is no cache: set stack_cache: true"),
        ({"X": "cache.1"}, "X is from 'cache.1': there is no cache: set stack_cache: true"),
        ({"X": "cache.16"}, "X is from 'cache.16', which is nothing known"),
        ({"X": "cache.01"}, "X is from 'cache.01', which is nothing known"),
        ({"X": "broker.1"}, "X is from 'broker.1', which is nothing known"),
        ({"X": "broker.host"}, "X is from 'broker.host', and the broker is behind a unix socket: take broker or"),
    ],
)
def test_what_is_wrong_is_told_with_the_mend(sources: dict[str, str], fault: str) -> None:
    [found] = environment_faults(sources, addresses(), {"stack_environment": {"OTHER"}}, ["ini"])
    assert found.startswith(f"stack_environment_from: {fault}")


def test_a_socket_that_is_not_there_and_an_engine_that_nobody_knows() -> None:
    [found] = environment_faults({"X": "broker.socket"}, addresses(url="redis://h:1/0"), {}, [])
    assert "the broker is met over the network: take broker, broker.host" in found
    [found] = environment_faults({"X": "database"}, addresses({"ENGINE": ""}), {}, [])
    assert "stack_database_engine is none whose address is known" in found
