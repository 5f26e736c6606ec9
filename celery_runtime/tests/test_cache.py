"""The cache's users on a real Redis: Django's cache and sessions, and Celery's results, as a service finds its address."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from broker_access import refusals
from celery import Celery
from celery_runtime.probe import differences
from conftest import SOURCES, Server

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "plugins/filter"))
from cache_server import cache_users
from connections import cache_urls

PASSWORD = "p" * 20
PROJECT = """
import os
from celery import Celery

SECRET_KEY = "the project's own key"
INSTALLED_APPS = []
SESSION_ENGINE = "django.contrib.sessions.backends.cache"
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "KEY_PREFIX": "shop"}}
app = Celery("shop")
app.config_from_object("django.conf:settings", namespace="CELERY")
"""


class Service:
    """A process of a project, with the login of the service `web`."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.folder, self.server = folder, server
        for user in cache_users({"web": PASSWORD}):
            server.client.execute_command("ACL", "SETUSER", user["name"], "reset", "on", f">{PASSWORD}", *user["rules"])
        (folder / "credentials").mkdir()
        self.find()
        (folder / "shop.py").write_text(PROJECT)
        self.deployment: dict[str, Any] = {
            "project_settings": "shop",
            "celery_app": "shop",
            "celery": {"result_backend": "django-db"},
            "queues": ["celery"],
            "cache": {"BACKEND": "django.core.cache.backends.redis.RedisCache"},
            "credentials": {"CACHE_URL": "cache_url", "CELERY_RESULT_BACKEND": "cache_celery_url"},
        }

    def find(self, host: str = "", ca_file: str = "") -> None:
        """Let it find the server at its socket, or at a host over TLS."""
        place: dict[str, Any] = {
            "host": host,
            "port": self.server.tls_port,
            "socket": str(self.server.folder / "redis.sock"),
            "on_host": not host,
            "encrypted": bool(host),
        }
        for name in ("cache_url", "cache_celery_url"):
            urls = cache_urls({"web": PASSWORD}, ca_file=ca_file, for_celery=name == "cache_celery_url", **place)
            (self.folder / "credentials" / name).write_text(urls["web"])

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Python with the deployment's settings."""
        (self.folder / "settings.json").write_text(json.dumps(self.deployment))
        environment = os.environ | {
            "PYTHONPATH": f"{SOURCES}:{self.folder}",
            "DJANGO_SETTINGS_MODULE": "celery_runtime.settings",
            "CELERY_RUNTIME_CONFIG": str(self.folder / "settings.json"),
            "CREDENTIALS_DIRECTORY": str(self.folder / "credentials"),
        }
        return subprocess.run(
            [sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False, timeout=120
        )

    def python(self, code: str) -> str:
        """Return what code prints."""
        done = self.run("-c", f"import django; django.setup()\n{code}")
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture
def service(server: Server, tmp_path: Path) -> Service:
    return Service(tmp_path, server)


def test_django_s_cache_and_sessions_work_with_the_rights_of_a_service(service: Service) -> None:
    said = service.python(
        "from django.core.cache import cache\n"
        "from django.contrib.sessions.backends.cache import SessionStore\n"
        "cache.set('a', {'b': 1}, 60); cache.set_many({'x': 1, 'y': 2}); cache.touch('a', 30); cache.incr('x')\n"
        "session = SessionStore(); session['user'] = 'ada'; session.save()\n"
        "print(cache.get('a'), cache.get('x'), SessionStore(session.session_key)['user'])\n"
        "cache.clear(); print(cache.get('a'))"
    )
    assert said.splitlines() == ["{'b': 1} 2 ada", "None"]
    assert refusals(service.server) == []


def test_what_clears_the_cache_leaves_what_else_is_in_the_server(service: Service) -> None:
    service.server.client.set("a channel's", "message")
    service.python("from django.core.cache import cache; cache.set('a', 1)")
    assert service.server.client.info("keyspace").keys() == {"db0", "db1"}
    service.python("from django.core.cache import cache; cache.clear()")
    assert service.server.client.info("keyspace").keys() == {"db0"}


def test_results_may_be_kept_in_the_cache(service: Service) -> None:
    store = "from shop import app; backend = app.backend; backend.store_result('id', {'sum': 3}, 'SUCCESS')"
    said = service.python(f"{store}\nprint(type(backend).__name__, app.AsyncResult('id').get(timeout=10))")
    assert said == "RedisBackend {'sum': 3}"
    assert refusals(service.server) == []


def test_between_hosts_the_server_is_verified_by_authority_and_name(service: Service) -> None:
    key, certificate = service.folder / "key.pem", service.folder / "cert.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    )
    subprocess.run([*command.split(), "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    service.server.start_tls(key, certificate)
    ask = (
        "from django.core.cache import cache\n"
        "from shop import app\n"
        "def attempt(use):\n"
        "    try: return use()\n"
        "    except Exception as error: return 'certificate' in str(error).lower()\n"
        "print(attempt(lambda: cache.set('a', 1) or cache.get('a')), attempt(lambda: app.backend.client.ping()))"
    )
    service.find("localhost", str(certificate))
    assert service.python(ask) == "1 True"
    # The certificate is for another name, and the authorities of the distribution know nothing of it.
    for host, authorities in (("127.0.0.1", str(certificate)), ("localhost", "/etc/ssl/certs/ca-certificates.crt")):
        service.find(host, authorities)
        assert service.python(ask.replace("client.ping()", "client.ping() and 'in'")) == "True True"


def test_a_setting_that_a_credential_gives_is_no_difference_to_the_probe(service: Service) -> None:
    done = service.run("-m", "celery_runtime.probe")
    assert done.returncode == 0, done.stderr
    # Nor where a part lies over the backend.
    service.deployment |= {"runtime": {"parts": ["results"]}, "installed_apps": ["django_celery_results"]}
    done = service.run("-m", "celery_runtime.probe")
    assert done.returncode == 0, done.stderr
    assert PASSWORD not in done.stdout + done.stderr


def test_a_difference_is_told_without_the_login() -> None:
    app = Celery("one", set_as_current=False)
    app.conf.result_backend = f"redis+socket://web:{PASSWORD}@/run/redis.sock"
    (line,) = differences(app, {"result_backend": "django-db"})
    assert line.startswith("result_backend is 'redis+socket://web:")
    assert PASSWORD not in line
