"""Nothing of a project's settings is replaced in silence: the probe and a command say what is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from celery_runtime import laid_over
from celery_runtime.configuration import Configuration
from celery_runtime.overlay import overlay
from conftest import SOURCES

PROJECT = """
from pathlib import Path
from celery import Celery

SECRET_KEY = "the project's own key"
INSTALLED_APPS = ["django.contrib.contenttypes"]
USE_TZ = True
ALLOWED_HOSTS = ("www.example.com",)
MEDIA_ROOT = Path("/var/lib/shop/media")
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db", "PASSWORD": "hidden word", "ATOMIC_REQUESTS": True}}
CELERY_TASK_TIME_LIMIT = 5
CELERY_BROKER_URL = "redis://:hidden@localhost/0"
app = Celery("shop")
app.config_from_object("django.conf:settings", namespace="CELERY")
"""
DEPLOYMENT: dict[str, Any] = {
    "project_settings": "shop",
    "celery_app": "shop",
    "celery": {"task_time_limit": 1800, "task_acks_late": True, "task_default_queue": "celery"},
    "django": {"ALLOWED_HOSTS": ["www.example.com"], "MEDIA_ROOT": "/var/lib/shop/media"},
    "database": {"ENGINE": "django.db.backends.sqlite3", "NAME": "/nowhere/db.sqlite3"},
    "credentials": {"CELERY_BROKER_URL": "broker_url", "SECRET_KEY": "secret_key"},
    "installed_apps": ["celery_runtime"],
    "queues": ["celery"],
}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "shop.py").write_text(PROJECT)
    (tmp_path / "settings.json").write_text(json.dumps(DEPLOYMENT))
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials/broker_url").write_text("redis://:also-hidden@127.0.0.1:1/0\n")
    (tmp_path / "credentials/secret_key").write_text("another hidden word\n")
    return os.environ | {
        "PYTHONPATH": f"{SOURCES}:{tmp_path}",
        "DJANGO_SETTINGS_MODULE": "celery_runtime.settings",
        "CELERY_RUNTIME_CONFIG": str(tmp_path / "settings.json"),
        "CREDENTIALS_DIRECTORY": str(tmp_path / "credentials"),
    }


def run(environment: dict[str, str], *arguments: str, stdin: str = "") -> str:
    done = subprocess.run(
        [sys.executable, "-m", *arguments], env=environment, input=stdin, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "hidden" not in done.stdout + done.stderr
    return done.stdout


def settings(lines: list[str]) -> list[str]:
    return [line.split()[0] for line in lines[1:]]


def test_the_probe_says_what_is_replaced(environment: dict[str, str]) -> None:
    lines = json.loads(run(environment, "celery_runtime.probe"))["laid_over"]
    assert settings(lines) == [
        "CELERY_BROKER_URL",
        "CELERY_TASK_TIME_LIMIT",
        "DATABASES[default][NAME]",
        "DATABASES[default][PASSWORD]",
        "SECRET_KEY",
    ]
    (limit,) = (line for line in lines if line.startswith("CELERY_TASK_TIME_LIMIT"))
    assert limit.split()[1:4] == ["5", "1800", "stack_time_limit"]
    (key,) = (line for line in lines if line.startswith("SECRET_KEY"))
    assert "(credential secret_key)" in key


def test_a_project_whose_tasks_never_reach_a_worker_is_refused(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(f"{PROJECT}\nCELERY_TASK_ALWAYS_EAGER = True\n")
    done = subprocess.run(
        [sys.executable, "-m", "celery_runtime.probe"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "task_always_eager is on" in done.stderr
    assert "stack_celery_settings_extra: {task_always_eager: false}" in done.stderr


def test_a_command_says_it_of_this_deployment_and_of_another(environment: dict[str, str]) -> None:
    now = run(environment, "django", "laid_over").splitlines()
    assert "CELERY_TASK_TIME_LIMIT" in settings(now)
    other = DEPLOYMENT | {"celery": {"task_time_limit": 5}, "said": ["SECRET_KEY"]}
    then = run(environment, "django", "laid_over", "--settings-file", "-", stdin=json.dumps(other)).splitlines()
    assert set(settings(now)) - set(settings(then)) == {"CELERY_TASK_TIME_LIMIT"}


def found(project: dict[str, Any], **deployment: Any) -> dict[str, laid_over.Row]:
    configuration = Configuration(project_settings="p", celery_app="p", **deployment)
    rows = laid_over.rows(project, overlay(project, configuration, str), configuration)
    return {row.setting: row for row in rows}


def test_the_same_in_another_type_is_no_replacement() -> None:
    project = {"MEDIA_ROOT": Path("/a"), "HOSTS": ("b",), "EMAIL_PORT": 25, "lower": 1}
    assert found(project, django={"MEDIA_ROOT": "/a", "HOSTS": ["b"], "EMAIL_PORT": 25}) == {}


def test_what_the_project_does_not_set_is_none() -> None:
    assert found({}, celery={"task_time_limit": 5}, django={"DEBUG": False}) == {}


def test_secrets_inside_of_values_are_masked() -> None:
    project = {"CACHES": {"default": {"LOCATION": "redis://:hidden@host", "OPTIONS": {"PASSWORD": "hidden"}}}}
    row = found(project, django={"CACHES": {}})["CACHES"]
    assert "hidden" not in row.project
    assert row.variable == "stack_django_settings_extra"


def test_who_asked_for_it_is_the_reason() -> None:
    project = {"CELERY_TASK_ACKS_LATE": False, "EMAIL_PORT": 25}
    stack = found(project, celery={"task_acks_late": True}, django={"EMAIL_PORT": 26})
    said = found(
        project, celery={"task_acks_late": True}, django={"EMAIL_PORT": 26}, said=["task_acks_late", "EMAIL_PORT"]
    )
    assert stack["CELERY_TASK_ACKS_LATE"].why != said["CELERY_TASK_ACKS_LATE"].why == "the inventory says so"
    assert (stack["EMAIL_PORT"].variable, said["EMAIL_PORT"].variable) == (
        "stack_mail_port",
        "stack_django_settings_extra",
    )


def test_options_of_the_database_are_compared_one_by_one() -> None:
    own = {"ENGINE": "django.db.backends.postgresql", "OPTIONS": {"service": "mine", "isolation_level": 3}}
    rows = found({"DATABASES": {"default": own}}, database={"ENGINE": "django.db.backends.postgresql", "HOST": "x"})
    (row,) = rows.values()
    assert (row.setting, row.ours) == ("DATABASES[default][OPTIONS][service]", "(nothing)")


def test_the_encryption_of_mail_is_told_with_its_variable_and_what_is_the_same_is_not() -> None:
    mail = {"EMAIL_HOST": "192.0.2.25", "EMAIL_USE_TLS": False, "EMAIL_USE_SSL": False}
    rows = found({"EMAIL_USE_TLS": True, "EMAIL_USE_SSL": False}, django=mail)
    assert {name: (row.project, row.ours, row.variable) for name, row in rows.items()} == {
        "EMAIL_USE_TLS": ("True", "False", "stack_mail_encryption")
    }
