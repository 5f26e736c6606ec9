"""Variables that a project reads its servers from, made of a unit's own credentials before anything of the project runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from celery_runtime.configuration import Configuration
from celery_runtime.environment import variables
from psycopg.conninfo import conninfo_to_dict

SOURCES = Path(__file__).resolve().parents[1] / "src"
ADDRESSES = {
    "database": "postgresql://:5432/shop?host=/run/postgresql",
    "broker": "redis+socket:///run/redis/redis-server.sock?virtual_host=2",
    "cache": "rediss://cache.example.com:6390/1?ssl_cert_reqs=required",
}
# A password with what has a meaning in an address.
PASSWORD = "p@/:?#% ü"
HELD = {
    "database_user": "shop_web",
    "database_password": PASSWORD,
    "broker_url": "redis+socket://web:b%40d@/run/redis/redis-server.sock?virtual_host=2",
    "cache_url": "rediss://web:c@cache.example.com:6390/1?ssl_cert_reqs=required",
    "secret_key": "k" * 50,
}


def found(sources: dict[str, str], held: dict[str, str], **changes: Any) -> dict[str, str]:
    given: dict[str, Any] = {"database": {"USER": "shop"}, "addresses": ADDRESSES, "environment": sources} | changes
    return variables(Configuration(project_settings="p", celery_app="p", **given), lambda name: held.get(name, ""))


def test_the_database_s_address_has_the_service_s_own_login_as_libpq_reads_it() -> None:
    url = found({"DATABASE_URL": "database"}, HELD)["DATABASE_URL"]
    assert conninfo_to_dict(url) == {
        "user": "shop_web",
        "password": PASSWORD,
        "host": "/run/postgresql",
        "port": "5432",
        "dbname": "shop",
    }


def test_an_address_over_the_network_keeps_what_verifies_the_server() -> None:
    address = "postgresql://db.example.com:5433/shop?sslmode=verify-full&sslrootcert=/etc/shop/tls/ca.pem"
    url = found({"DB": "database"}, HELD, addresses={"database": address})["DB"]
    seen = conninfo_to_dict(url)
    assert (seen["sslmode"], seen["sslrootcert"]) == ("verify-full", "/etc/shop/tls/ca.pem")
    assert (seen["host"], seen["port"], seen["password"]) == ("db.example.com", "5433", PASSWORD)


@pytest.mark.parametrize("kind", ["broker", "cache"])
def test_the_address_of_a_redis_is_the_service_s_credential(kind: str) -> None:
    assert found({"X": kind}, HELD) == {"X": HELD[f"{kind}_url"]}


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("database.host", "/run/postgresql"),
        ("database.port", "5432"),
        ("database.user", "shop_web"),
        ("database.password", PASSWORD),
        ("database.name", "shop"),
        ("broker.socket", "/run/redis/redis-server.sock"),
        ("broker.user", "web"),
        ("broker.password", "b@d"),
        ("broker.name", "2"),
        ("cache.host", "cache.example.com"),
        ("cache.port", "6390"),
        ("cache.name", "1"),
        ("cache.2", "rediss://web:c@cache.example.com:6390/2?ssl_cert_reqs=required"),
        ("secret_key", "k" * 50),
    ],
)
def test_a_part_of_an_address(source: str, value: str) -> None:
    assert found({"X": source}, HELD) == {"X": value}


def test_a_database_of_a_cache_behind_a_socket_is_named_with_and_without_a_login() -> None:
    address = "unix:///run/redis-cache/redis-server.sock?db=0"
    login = address.replace("unix://", "unix://web:c@")
    for held, wanted in (({}, address), ({"cache_url": login}, login)):
        assert found({"X": "cache.3"}, held, addresses={"cache": address}) == {"X": wanted.replace("db=0", "db=3")}


@pytest.mark.parametrize(("source", "value"), [("broker.port", "6379"), ("broker.name", "0")])
def test_what_an_address_leaves_open_is_what_redis_clients_take(source: str, value: str) -> None:
    assert found({"X": source}, {"broker_url": "rediss://u:p@redis.example.com"}) == {"X": value}


def test_a_service_without_a_login_has_the_address_without_one_so_that_settings_load() -> None:
    sources = {"DB": "database", "PW": "database.password", "BROKER": "broker", "KEY": "secret_key"}
    assert found(sources, {}) == {
        "DB": "postgresql://shop@:5432/shop?host=/run/postgresql",
        "PW": "",
        "BROKER": ADDRESSES["broker"],
        "KEY": "",
    }


def test_a_file_of_a_credential_is_named_by_its_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/django-web.service")
    assert found({"SHOP_CONFIG": "file.shop_ini"}, HELD) == {
        "SHOP_CONFIG": "/run/credentials/django-web.service/shop_ini"
    }


def start(tmp_path: Path, code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Start Python as a unit does, where the runtime is installed beside its line of `site`."""
    config = tmp_path / "settings.json"
    sources = {"DATABASE_URL": "database", "KEY": "secret_key"}
    content = {"project_settings": "p", "celery_app": "p", "environment": sources, "addresses": ADDRESSES}
    config.write_text(json.dumps(content))
    (tmp_path / "credentials").mkdir()
    for name, value in HELD.items():
        (tmp_path / "credentials" / name).write_text(f"{value}\n")
    given = {"CELERY_RUNTIME_CONFIG": str(config), "CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")}
    before = f"import site; site.addsitedir({str(SOURCES)!r}); "
    return subprocess.run(
        [sys.executable, "-S", "-c", before + code],
        env={"PATH": os.environ["PATH"], **given, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_variables_are_there_before_anything_is_imported_and_proc_does_not_show_them(tmp_path: Path) -> None:
    code = "import os, pathlib; print(os.environ['KEY']); print(pathlib.Path('/proc/self/environ').read_text())"
    done = start(tmp_path, code)
    assert done.stderr == ""
    key, shown = done.stdout.split("\n", 1)
    assert key == "k" * 50
    assert "CELERY_RUNTIME_CONFIG" in shown
    assert "k" * 50 not in shown
    assert "DATABASE_URL" not in shown


def test_it_needs_neither_celery_nor_django(tmp_path: Path) -> None:
    done = start(tmp_path, "import sys; print([name for name in ('celery', 'kombu', 'django') if name in sys.modules])")
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_outside_of_a_deployment_nothing_happens(tmp_path: Path) -> None:
    done = start(tmp_path, "import os; print('KEY' in os.environ)", CELERY_RUNTIME_CONFIG="")
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_a_broken_configuration_is_for_the_settings_to_tell(tmp_path: Path) -> None:
    done = start(tmp_path, "print('on')", CELERY_RUNTIME_CONFIG="/nonexistent")
    assert (done.stdout, done.stderr) == ("on\n", "")
