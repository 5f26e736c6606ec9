"""What each role refuses of its inputs: a message of its own for each fault, which names the variable and the fix. No host is asked."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROLES, ROOT, Role
from test_nginx_role import GOOD as NGINX

from tools import inputs

Roles = Callable[..., Role]
PASSWORD = "0123456789abcdef"
PEM = "-----BEGIN CERTIFICATE-----\nmade up\n-----END CERTIFICATE-----"
ACME = {"email": "ops@example.com", "directory": "https://acme.example/dir"}
ASGI = {"django_web_wsgi_app": "", "django_web_asgi_app": "shop.asgi:application"}
WITH_WEBSOCKETS = ASGI | {"django_web_websocket_paths": ["/ws/"]}
REPOSITORY = {
    "django_project_source": "",
    "django_project_git_repository": "https://git.example/x.git",
    "django_project_git_ref": "v1",
}
LOCK = ROOT / "sample_project/requirements.lock"
PACKAGE = {
    "django_project_source": "",
    "django_project_package": f"Django=={re.findall(r'^django==([^ ]+)', LOCK.read_text(), re.MULTILINE)[0]}",
    "django_project_requirements": [str(LOCK)],
}
GOOD: dict[str, dict[str, Any]] = {
    "accounts": {"accounts_group": "shop"},
    "celery_beat": {},
    "celery_worker": {"celery_worker_app": "shop"},
    "certificates": {"certificates_ca_dir": "/srv/secrets/ca"},
    "django_processes": {"django_processes_entries": [{"name": "bot", "manage": "run_bot", "memory_mib": 2048}]},
    "django_project": {
        "django_project_source": str(ROOT / "sample_project"),
        "django_project_settings_module": "shop.settings",
        "django_project_celery_app": "shop",
    },
    "django_web": {"django_web_wsgi_app": "shop.wsgi:application"},
    "flower": {"flower_password": PASSWORD},
    "nginx": NGINX,
    "postgresql": {
        "postgresql_password": PASSWORD,
        "postgresql_service_roles": [{"name": "app_web", "password": PASSWORD, "share": 0.5}],
    },
    "redis": {"redis_password": PASSWORD},
}
MORE_GOOD: dict[str, list[dict[str, Any]]] = {
    "accounts": [{"accounts_users": [{"name": "a-b2", "comment": "x"}]}, {"accounts_users": []}],
    "celery_beat": [{"celery_beat_watchdog": 0}, {"celery_beat_watchdog": 60}],
    "celery_worker": [{"celery_worker_stop_grace": 1800}, {"celery_worker_watchdog": 0}],
    "certificates": [{"certificates_ca_certificate": PEM, "certificates_ca_key": "key", "certificates_trusted": [PEM]}],
    "django_processes": [{"django_processes_entries": []}],
    "django_project": [
        {
            "django_project_source": "",
            "django_project_git_repository": "https://git.example/x.git",
            "django_project_git_ref": "v1",
        },
        {"django_project_steps": [{"at": "after_switch", "manage": "warm_cache"}]},
        {"django_project_build": ["DJANGO"], "django_project_build_packages": ["gcc", "libpq-dev", "g++"]},
        {"django_project_files": {"site/local.py": "DEBUG = False\n"}},
        PACKAGE,
        PACKAGE | {"django_project_requirements": [], "django_project_require_hashes": False},
        {
            "django_project_environment_from": {"DATABASE_URL": "database", "SECRET_KEY": "secret_key"},
            "django_project_addresses": {"database": "postgresql://:5432/shop?host=/run/postgresql"},
        },
        {"django_project_build_commands": [{"run": "npm ci", "hosts": ["packages.example.com"]}]},
        {"django_project_superuser": "admin", "django_project_superuser_password": PASSWORD},
    ],
    "django_web": [{"django_web_listen": "[::1]:8000"}, {"django_web_listen": "/run/web/http.sock"}, WITH_WEBSOCKETS],
    "flower": [{"flower_socket": "/run/celery-flower/http.sock"}],
    "nginx": [
        {"nginx_site_hosts": ["[2001:db8::1]", "localhost"], "nginx_flower_socket": ""},
        {"nginx_acme": ACME},
        {"nginx_websocket_paths": ["/", "/ws/", "/live.v1/x/"]},
        {"nginx_websocket_paths": ["/flower/"], "nginx_flower_socket": ""},
        {
            "nginx_static_path": "/static/v1.0/",
            "nginx_static_folder": "/opt/shop/current/static",
            "nginx_websocket_paths": ["/"],
        },
        {
            "nginx_media_path": "/media/",
            "nginx_media_internal_path": "/_media/",
            "nginx_media_folder": "/var/lib/shop/media",
        },
    ],
    "postgresql": [
        {"postgresql_listen_addresses": ["10.0.0.1", "::1"], "postgresql_client_networks": ["10.0.0.0/8", "fd00::/8"]},
        {"postgresql_service_roles": []},
        {"postgresql_administrator_connections": 50},
    ],
    "redis": [
        {"redis_bind": ["-::1", "10.0.0.1"], "redis_client_networks": ["10.0.0.0/8", "::1"]},
        {"redis_maxmemory": "75%"},
        {"redis_save": []},
        {"redis_instance": "cache2"},
        {"redis_maxmemory_policy": "allkeys-lru", "redis_purpose": "cache"},
        # The share isn't used.
        {"redis_maxmemory": "16mb", "redis_maxmemory_share": 0.5},
    ],
}
SERVICE = {"name": "app_web", "password": PASSWORD, "share": 0.5}
# A further application behind the front of the first.
FURTHER: dict[str, Any] = {
    "nginx_application": "blog",
    "nginx_flower_local_port": 0,
    "nginx_flower_hosts": [],
    "nginx_site_hosts": ["blog.example.com"],
}

BAD: dict[str, list[tuple[dict[str, Any], str]]] = {
    "accounts": [
        ({"accounts_group": "Shop"}, "accounts_group is 'Shop': use lower-case letters"),
        ({"accounts_group": "root"}, "accounts_group is root: name another"),
        (
            {"accounts_users": [{"name": "good", "comment": "x"}, {"name": "not good", "comment": "x"}]},
            "accounts_users has 'not good': use lower-case letters",
        ),
        ({"accounts_users": [{"name": "root", "comment": "x"}]}, "has root: name an account that is a service's alone"),
        (
            {"accounts_users": [{"name": "one", "comment": "x"}] * 2},
            "has one more than once: give each kind of service an account of its own",
        ),
    ],
    "celery_beat": [
        ({"celery_beat_watchdog": 59}, "celery_beat_watchdog is 59 s: below 60 s"),
        ({"celery_beat_schedule_file": "/srv/beat/schedule"}, "celery_beat_schedule_file is '/srv/beat/schedule'"),
        ({"celery_beat_schedule_file": "/var/lib/schedule"}, "celery_beat_schedule_file is '/var/lib/schedule'"),
        ({"celery_beat_schedule_file": "/var/lib/../x/y"}, "celery_beat_schedule_file is '/var/lib/../x/y'"),
    ],
    "celery_worker": [
        ({"celery_worker_pools": [{"name": "main", "queues": []}]}, "celery_worker_pools[0] (main): queues is empty"),
        (
            {"celery_worker_user": "blog-celery-of-a-team-elsewhere"},
            "an account's name has at most 32 characters; shorten the pool's name",
        ),
        ({"celery_worker_stop_margin": 29}, "celery_worker_stop_margin is 29 s"),
        ({"celery_worker_stop_grace": 1801}, "celery_worker_stop_grace is 1801 s: no task runs longer"),
        ({"celery_worker_stop_grace": -1}, "celery_worker_stop_grace is -1 s: set the seconds"),
        ({"celery_worker_reboot_grace": 0}, "celery_worker_reboot_grace is 0 s"),
        ({"celery_worker_watchdog": 59}, "celery_worker_watchdog is 59 s: below 60 s"),
    ],
    "certificates": [
        ({"certificates_ca_dir": ""}, "certificates_ca_dir is empty"),
        ({"certificates_ca_key": "x"}, "certificates_ca_certificate is empty, and"),
        ({"certificates_ca_certificate": PEM}, "certificates_ca_key is empty, and"),
        ({"certificates_renew_days": 0}, "certificates_renew_days is 0: set at least 1"),
        ({"certificates_renew_days": 365}, "certificates_renew_days (365) must be less than certificates_days (365)"),
        (
            {"certificates_days": 3650},
            "certificates_days (3650) must be less than certificates_ca_days (3650)",
        ),
        ({"certificates_trusted": ["/etc/ca.pem"]}, "certificates_trusted lists"),
        (
            {
                "certificates_own": {"front": {"certificate": PEM}},
                "certificates_wanted": [{"name": "front", "subjects": []}],
            },
            "certificates_own, front: needs the entries certificate and key",
        ),
    ],
    "django_processes": [
        (
            {"django_processes_user": "blog-django-of-a-team-elsewhere"},
            "an account's name has at most 32 characters; shorten the name in stack_processes",
        ),
        (
            {"django_processes_entries": [{"name": "a", "memory_mib": 1500}, {"name": "b", "memory_mib": 700}]},
            "stack_processes and stack_timers may take 2200 MiB on a host with 2048 MiB",
        ),
    ],
    "django_project": [
        ({"django_project_source": ""}, "django_project_package none is set: exactly one must be set"),
        (
            {"django_project_git_repository": "https://git.example/x.git", "django_project_git_ref": "v1"},
            "django_project_source and django_project_git_repository are set: exactly one must be set",
        ),
        ({"django_project_source": "/nowhere"}, "django_project_source: the folder '/nowhere' does not exist"),
        (
            {"django_project_source": "", "django_project_git_repository": "https://git.example/x.git"},
            "django_project_git_ref is empty; name the tag",
        ),
        ({"django_project_settings_module": "shop/settings"}, "stack_settings_module is 'shop/settings'"),
        ({"django_project_celery_app": ""}, "stack_celery_app is ''"),
        ({"django_project_build": ["celery>=5"]}, "django_project_build has 'celery>=5': name a package"),
        (
            {"django_project_build": ["pillow-simd"]},
            "'pillow-simd', which requirements.lock doesn't pin: correct the name",
        ),
        (
            {"django_project_python": "/usr/bin/python3.9"},
            "pyproject.toml asks for Python >=3.11, and the release's is 3.9: name another one in stack_python",
        ),
        ({"django_project_build_packages": ["-y"]}, "django_project_build_packages has '-y': name Debian packages"),
        ({"django_project_environment_from": {"DB": "databse"}}, "DB is from 'databse', which is nothing known"),
        (
            {
                "django_project_environment_from": {"KEY": "secret_key"},
                "django_project_secret_environment": {"KEY": "x"},
            },
            "stack_environment_from: KEY stands in stack_secret_environment, too",
        ),
        ({"django_project_files": {"../x": "y"}}, "django_project_files has '../x': name files below the source"),
        (
            {
                "django_project_files": {"x.ini": "key = secret-of-ours"},
                "django_project_credentials": {"k": "secret-of-ours"},
            },
            "django_project_files: x.ini holds the secret k, and everybody on the host may read a release",
        ),
        (
            REPOSITORY | {"django_project_requirements": ["poetry.lock"]},
            "has poetry.lock, which uv doesn't read: run `poetry export",
        ),
        (PACKAGE | {"django_project_package": "django"}, "django_project_package is 'django': write name==version"),
        (PACKAGE | {"django_project_package": "Django==1.0"}, "is 'Django==1.0', and django_project_requirements pins"),
        (
            PACKAGE | {"django_project_requirements": []},
            "uv pip compile --universal --python-version 3.11 --generate-hashes",
        ),
        (
            PACKAGE | {"django_project_requirements": ["requirements.lock"]},
            "django_project_requirements has requirements.lock: beside django_project_package it is a file on the controller",
        ),
        ({"django_project_wheels": "/nowhere"}, "django_project_wheels: the folder '/nowhere' does not exist"),
        (
            {"django_project_requirements": ["requirements.lock", "../x.lock"]},
            "django_project_requirements has ../x.lock: name files below the source",
        ),
        (
            {"django_project_requirements": ["requirements.lock", "x.lock"]},
            "django_project_requirements: x.lock does not exist in",
        ),
        (
            {
                "django_project_source": "",
                "django_project_git_repository": "-x",
                "django_project_git_ref": "v1",
            },
            "django_project_git_repository is '-x': an address doesn't begin with -",
        ),
        ({"django_project_git_ref": "-x"}, "django_project_git_ref is '-x': a tag, branch or commit doesn't begin"),
        ({"django_project_keep_releases": 1}, "django_project_keep_releases is 1; keep at least 2"),
        (
            {
                "django_project_source": str(ROOT / "tests/stand_ins/old_project"),
                "django_project_requirements": ["pins.txt"],
                "django_project_runtime": {"parts": ["transport"]},
            },
            "celery 5.2.7",
        ),
        ({"django_project_superuser": "admin"}, "django_project_superuser_password is shorter than 12 characters"),
        (
            {"django_project_build_commands": [{"run": "npm 'ci"}]},
            "django_project_build_commands[0]: run can't be split into words",
        ),
        (
            {"django_project_steps": [{"at": "sometime", "manage": "warm_cache"}]},
            "stack_release_steps[0]: at is 'sometime'; it must be one of before_migration",
        ),
    ],
    "django_web": [
        ({"django_web_wsgi_app": ""}, "neither stack_wsgi_app nor stack_asgi_app is set"),
        ({"django_web_asgi_app": "shop.asgi:application"}, "both stack_wsgi_app and stack_asgi_app are set"),
        ({"django_web_wsgi_app": "shop wsgi"}, "stack_wsgi_app is 'shop wsgi'"),
        ({"django_web_wsgi_app": "--config=x"}, "stack_wsgi_app is '--config=x'"),
        (ASGI | {"django_web_asgi_app": "shop/asgi.py"}, "stack_asgi_app is 'shop/asgi.py'"),
        (ASGI | {"django_web_asgi_worker": "x --y"}, "django_web_asgi_worker is 'x --y'; set it to asgi"),
        ({"django_web_websocket_paths": ["/ws/"]}, "stack_websocket_paths is set, and a WSGI application has no"),
        ({"django_web_listen": "8000"}, "stack_web_listen is '8000'"),
    ],
    "flower": [
        ({"flower_password": "short"}, "flower_password has 5 characters"),
        ({"flower_socket": "/run/flower.sock"}, "stack_flower_socket is '/run/flower.sock'"),
        ({"flower_username": "a:b"}, "flower_username is 'a:b'"),
    ],
    "nginx": [
        (
            {"nginx_site_socket": "127.0.0.1:8000"},
            "nginx_site_socket is '127.0.0.1:8000': set the path of a unix socket",
        ),
        ({"nginx_flower_socket": "127.0.0.1:1"}, "nginx_flower_socket is '127.0.0.1:1': set the path of a unix"),
        ({"nginx_site_hosts": ["*"]}, "nginx_site_hosts has *: the front answers to host names"),
        ({"nginx_site_hosts": ["a.example; return 200"]}, "nginx_site_hosts has a.example; return 200"),
        ({"nginx_flower_hosts": ["*"]}, "nginx_flower_hosts has *: the front answers to host names"),
        ({"nginx_site_hosts": []}, "is empty: list the names under which the front is met"),
        ({"nginx_certificate": ""}, "nginx_certificate is '': set its path on the host"),
        ({"nginx_certificate_key": "key"}, "nginx_certificate_key is 'key': set its path on the host"),
        ({"nginx_acme": ACME | {"email": "ops"}}, "nginx_acme has the email 'ops': set an address"),
        (
            {"nginx_acme": ACME | {"directory": "http://a.example"}},
            "has the directory 'http://a.example': set the https://",
        ),
        ({"nginx_acme": ACME, "nginx_site_hosts": ["localhost"]}, "has no name that an authority could ask for"),
        ({"nginx_max_body_mib": 0}, "nginx_max_body_mib: set a number of at least 1"),
        ({"nginx_content_security_policy": 'a"; b'}, "nginx_content_security_policy: take out what no header"),
        ({"nginx_referrer_policy": "a\nb"}, "nginx_referrer_policy: take out what no header may have"),
        (
            {"nginx_rate_limits": [{"path": "register", "per_minute": 1, "burst": 1}]},
            "nginx_rate_limits has the path register: a path begins with /",
        ),
        (
            {"nginx_rate_limits": [{"path": "/", "per_minute": 0, "burst": 1}]},
            "nginx_rate_limits: per_minute is at least 1",
        ),
        ({"nginx_websocket_paths": ["/ws/", "live"]}, "nginx_websocket_paths has live: write paths that begin and end"),
        ({"nginx_websocket_paths": ["/ws", "/a b/"]}, "nginx_websocket_paths has /ws, /a b/: write paths"),
        ({"nginx_websocket_paths": ["/ws/", "/ws/"]}, "nginx_websocket_paths names a path twice"),
        ({"nginx_websocket_paths": ["/flower/"]}, "nginx_websocket_paths has /flower/, where Flower is met"),
        (
            {"nginx_static_path": "static", "nginx_static_folder": "/s"},
            "nginx_static_path: write a path that begins and",
        ),
        (
            {"nginx_static_path": '/s";/', "nginx_static_folder": "/s"},
            "nginx_static_path: write a path that begins and",
        ),
        (
            {"nginx_static_path": "/static/", "nginx_static_folder": "/s", "nginx_websocket_paths": ["/static/ws/"]},
            "nginx_static_path: each needs a path of its own",
        ),
        ({"nginx_static_path": "/static/"}, "nginx_static_folder: set the whole path of a folder"),
        ({"nginx_static_earlier_folder": "x"}, "nginx_static_earlier_folder: set the whole path of a folder"),
        ({"nginx_media_path": "/media/", "nginx_media_folder": "/a b"}, "nginx_media_folder: set the whole path"),
        ({"nginx_websocket_timeout": 0}, "nginx_websocket_timeout: set a number of at least 1"),
        (
            FURTHER | {"nginx_application": "a-b"},
            "nginx_application is 'a-b'",
        ),
        (FURTHER | {"nginx_application": "front"}, "nginx_application is front"),
        (FURTHER | {"nginx_site_hosts": ["192.0.2.7"]}, "nginx_site_hosts or nginx_flower_hosts has an address"),
        (FURTHER | {"nginx_flower_local_port": 5555}, "nginx_flower_local_port is 5555"),
        (FURTHER | {"nginx_stop_timeout": 20}, "nginx_stop_timeout is 20"),
        (
            FURTHER | {"nginx_acme": {"email": "a@example.com", "directory": "https://acme.example/d"}},
            "nginx_acme is set for a further application",
        ),
        (
            {"nginx_flower_rate_limit": {"per_minute": 0, "burst": 1}},
            "nginx_flower_rate_limit: per_minute is at least 1",
        ),
    ],
    "postgresql": [
        ({"postgresql_password": ""}, "postgresql_password is missing: set at least 16"),
        ({"postgresql_password": "a b" * 9}, "postgresql_password is too short, or holds"),
        ({"postgresql_database": "Shop"}, "postgresql_database is 'Shop': use lower-case"),
        ({"postgresql_database": "template1"}, "postgresql_database is template1, a name"),
        ({"postgresql_user": "9"}, "postgresql_user is '9': use lower-case"),
        ({"postgresql_user": "pg_x"}, "postgresql_user is pg_x, a name"),
        ({"postgresql_cluster": "a-b"}, "postgresql_cluster is 'a-b'"),
        ({"postgresql_version": ""}, "postgresql_version is '': this release of the distribution has no known version"),
        ({"postgresql_tls_key_file": "/k"}, "set both for TLS, or neither"),
        ({"postgresql_listen_addresses": ["db1"], "postgresql_client_networks": ["10.0.0.0/8"]}, "has db1: list IP"),
        ({"postgresql_listen_addresses": ["10.0.0.1"]}, "postgresql_client_networks is empty, and"),
        ({"postgresql_client_networks": ["10.0.0.0"]}, "postgresql_client_networks has 10.0.0.0: list networks"),
        ({"postgresql_port": 80}, "postgresql_port is 80: set a port from 1024 to 65535"),
        ({"postgresql_unix_socket_group": "a b"}, "postgresql_unix_socket_group is 'a b'"),
        (
            {"postgresql_max_connections": 19, "postgresql_administrator_connections": 1},
            "postgresql_max_connections is 19: set at least 20",
        ),
        ({"postgresql_administrator_connections": 0}, "postgresql_administrator_connections is 0: set at least 1"),
        ({"postgresql_administrator_connections": 51}, "is 51: leave the services three quarters"),
        ({"postgresql_authentication_timeout": 601}, "postgresql_authentication_timeout is 601: set 1 to 600 seconds"),
        ({"postgresql_shared_buffers_share": 0.5}, "postgresql_shared_buffers_share is 0.5: set a fraction above 0"),
        (
            {"postgresql_service_roles": [SERVICE | {"name": "App"}]},
            "postgresql_service_roles has the name 'App'",
        ),
        (
            {"postgresql_service_roles": [SERVICE | {"password": "short"}]},
            "has a password for app_web that is too short",
        ),
        (
            {"postgresql_service_roles": [SERVICE | {"share": 0}]},
            "has no share of the connections for app_web: set one above 0",
        ),
        (
            {"postgresql_service_roles": [SERVICE, SERVICE | {"name": "other"}]},
            "the shares of the connections add up to 1.0: take less than 1, or",
        ),
    ],
    "redis": [
        ({"redis_password": ""}, "redis_password is missing: set at least 16"),
        ({"redis_password": "short"}, "redis_password is too short, or holds"),
        ({"redis_maxmemory_policy": "allkeys-lru"}, "redis_maxmemory_policy is 'allkeys-lru': an evicting policy"),
        ({"redis_maxmemory": "512mbb"}, "redis_maxmemory is '512mbb', which is no size"),
        ({"redis_maxmemory_share": 0.8}, "redis_maxmemory_share is 0.8: set a number above 0 and at most 0.75"),
        ({"redis_maxmemory": "1mb"}, "redis_maxmemory comes to 1.0 MiB on a host with 2048 MiB"),
        ({"redis_maxmemory": "2gb"}, "redis_maxmemory comes to 2048.0 MiB on a host with 2048 MiB"),
        ({"redis_tls_certificate_file": "/c"}, "set both for TLS, or neither"),
        ({"redis_bind": ["db1"], "redis_client_networks": ["10.0.0.0/8"]}, "redis_bind has db1: list IP"),
        ({"redis_bind": ["10.0.0.1"]}, "redis_client_networks is empty, and redis_bind"),
        ({"redis_client_networks": ["net"]}, "redis_client_networks has net: list networks"),
        ({"redis_instance": "a-b"}, "redis_instance is 'a-b': use lower-case letters"),
        (
            {"redis_instance": "c", "redis_unix_socket": "/run/redis/x"},
            "redis_unix_socket is '/run/redis/x': name a path in /run/redis-c",
        ),
        ({"redis_unix_socket": "/tmp/x"}, "redis_unix_socket is '/tmp/x': name a path in /run/redis"),
        ({"redis_unix_socket_group": "a b"}, "redis_unix_socket_group is 'a b'"),
        ({"redis_port": 70000}, "redis_port is 70000: set a port from 1024 to 65535"),
        ({"redis_maxclients": 15}, "redis_maxclients is 15: set at least 16"),
        ({"redis_login_timeout": 0}, "redis_login_timeout is 0: set at least 1 second"),
        ({"redis_stop_timeout": 9}, "redis_stop_timeout is 9: set at least 10 seconds"),
        ({"redis_save": ["300 100", "60"]}, "redis_save has 60: list pairs"),
    ],
}


def refusing() -> list[str]:
    """Return the roles that check their inputs."""
    return [role for role in ROLES if (ROOT / "roles" / role / "tasks/preflight.yml").is_file()]


def tried(roles: Roles, role: str, variables: dict[str, Any]) -> Role:
    return roles(role, facts={"all_ipv6_addresses": []}, **GOOD[role] | variables)


def faults(roles: Roles, role: str, variables: dict[str, Any]) -> list[str]:
    return list(tried(roles, role, variables).evaluate(f"__{role}_faults"))


def test_every_role_that_refuses_something_is_tried() -> None:
    assert sorted(BAD) == refusing()
    assert GOOD.keys() == MORE_GOOD.keys() == BAD.keys()


@pytest.mark.parametrize("name", sorted(GOOD))
def test_good_inputs_are_let_through(role: Roles, name: str) -> None:
    assert {str(more): found for more in [{}, *MORE_GOOD[name]] if (found := faults(role, name, more))} == {}


@pytest.mark.parametrize(
    ("name", "variables", "words"),
    [
        pytest.param(name, variables, words, id=f"{name}-{words[:40]}")
        for name, cases in BAD.items()
        for variables, words in cases
    ],
)
def test_a_fault_has_a_message_of_its_own(role: Roles, name: str, variables: dict[str, Any], words: str) -> None:
    (message,) = faults(role, name, variables)
    assert words in message
    # It names what to set, which is there to be set.
    known = {one.name for one in [*inputs.of_role(ROOT / "roles" / name), *inputs.of_role(ROOT / "roles/stack")]}
    named = set(re.findall(rf"\b(?:{name}|stack)_\w+", message))
    assert named
    assert named <= known
    for secret in (PASSWORD, "a b" * 9):
        assert secret not in message


@pytest.mark.parametrize("name", sorted(GOOD))
def test_every_rule_is_tried(role: Roles, name: str) -> None:
    failing: set[int] = set()
    for variables, _ in BAD[name]:
        one = tried(role, name, variables)
        failing |= {number for number, ok in enumerate(one.evaluate(f"__{name}_rules | map(attribute='ok')")) if not ok}
    assert failing == set(range(len(tried(role, name, {}).evaluate(f"__{name}_rules"))))


@pytest.mark.parametrize("name", [*refusing(), "preflight"])
def test_a_role_asserts_that_there_are_no_faults_and_nothing_else(name: str) -> None:
    path = ROOT / "roles" / name / "tasks" / ("inputs.yml" if name == "preflight" else "preflight.yml")
    tasks = [task for task in yaml.safe_load(path.read_text()) if "ansible.builtin.assert" in task]
    # A role knows its own inputs; of a message it says besides from which of the stack's they are set.
    sources = f"{{{{ lookup('plainhost.stack.input_sources', __{name}_faults) }}}}"
    assert [task["ansible.builtin.assert"] for task in tasks] == [
        {
            "that": f"__{name}_faults | length == 0",
            "fail_msg": f"{{{{ __{name}_faults | join('; ') }}}}" + ("" if name == "preflight" else sources),
            "quiet": True,
        }
    ]
    assert all("vars" not in task for task in tasks)


def test_inputs_are_checked_in_files_of_one_name() -> None:
    # Beside these, what a role finds on a host, and the rules across hosts.
    others = {"certificates/tasks/issue.yml"} | {
        f"preflight/tasks/{name}.yml" for name in ("platform", "fleet", "applications", "removal")
    }
    having = {
        str(path.relative_to(ROOT / "roles")) for path in ROOT.glob("roles/*/tasks/*.yml") if asserts(path)
    } - others
    assert having == {f"{role}/tasks/preflight.yml" for role in refusing()} | {"preflight/tasks/inputs.yml"}


def asserts(path: Path) -> bool:
    return "ansible.builtin.assert:" in path.read_text()


def test_preflight_calls_every_role_that_refuses_something() -> None:
    plays = (ROOT / "playbooks/preflight.yml").read_text()
    called = set(re.findall(r"name: plainhost\.stack\.(\w+)\n +tasks_from: (?:preflight|plan)", plays))
    assert called == set(refusing())
