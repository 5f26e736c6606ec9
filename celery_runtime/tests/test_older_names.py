"""A project whose Celery reads Django's settings without a namespace: there its settings have the names that they had before Celery 4."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from celery.app.defaults import DEFAULTS
from celery_runtime import laid_over
from celery_runtime.configuration import Configuration
from celery_runtime.overlay import overlay
from conftest import SETTINGS_AND_APP, SOURCES

OWN = """
BROKER_URL = "redis://localhost/0"
CELERYBEAT_SCHEDULE = {}
CELERYD_TASK_TIME_LIMIT = 700
CELERY_ACKS_LATE = False
app = Celery("shop")
app.config_from_object("django.conf:settings")
"""
DEPLOYMENT: dict[str, Any] = {
    "project_settings": "shop",
    "celery_app": "shop",
    "namespace": "",
    "celery": {
        "task_acks_late": True,
        "result_expires": None,
        "task_default_queue": "low",
        "broker_transport_options": {"visibility_timeout": 7200},
        "worker_cancel_long_running_tasks_on_connection_loss": False,
    },
    "celery_defaults": {
        "task_time_limit": 1800,
        "task_soft_time_limit": 900,
        "accept_content": ["json"],
        "result_accept_content": ["json"],
        "task_serializer": "json",
        "result_backend": "disabled",
    },
    "credentials": {"BROKER_URL": "broker_url"},
    "queues": ["low"],
}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "shop.py").write_text(SETTINGS_AND_APP + OWN)
    (tmp_path / "settings.json").write_text(json.dumps(DEPLOYMENT))
    (tmp_path / "broker_url").write_text("redis://127.0.0.1:1/0\n")
    return os.environ | {
        "PYTHONPATH": f"{SOURCES}:{tmp_path}",
        "DJANGO_SETTINGS_MODULE": "celery_runtime.settings",
        "CELERY_RUNTIME_CONFIG": str(tmp_path / "settings.json"),
        "CREDENTIALS_DIRECTORY": str(tmp_path),
    }


def python(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)


def test_its_app_has_the_deployment_s_settings(environment: dict[str, str]) -> None:
    names = ["task_acks_late", "task_time_limit", "task_soft_time_limit", "result_accept_content", "broker_url"]
    code = f"import json, shop; print(json.dumps([shop.app.conf[name] for name in {names}]))"
    done = python(environment, "-c", code)
    assert done.returncode == 0, done.stderr
    # Its own limit holds, and the soft one that would be above it is left to Celery.
    assert json.loads(done.stdout) == [True, 700, None, ["json"], "redis://127.0.0.1:1/0"]


def test_it_is_let_through_and_told_what_is_replaced_by_the_names_that_it_has(environment: dict[str, str]) -> None:
    done = python(environment, "-m", "celery_runtime.probe")
    assert done.returncode == 0, done.stderr
    lines = json.loads(done.stdout.splitlines()[-1])["laid_over"]
    assert [line.split()[0] for line in lines[1:]] == ["BROKER_URL", "CELERY_ACKS_LATE"]
    assert "a task outlives its worker" in lines[2]


def test_the_wrong_namespace_is_refused_with_the_variable_that_says_it(
    environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "settings.json").write_text(json.dumps(DEPLOYMENT | {"namespace": "CELERY", "credentials": {}}))
    done = python(environment, "-m", "celery_runtime.probe")
    assert done.returncode == 1
    assert 'stack_celery_namespace: ""' in done.stderr


def test_every_setting_has_a_name_that_django_s_settings_may_have() -> None:
    configuration = Configuration(project_settings="shop", celery_app="shop", namespace="")
    names = {name: configuration.setting(name) for name in DEFAULTS}
    assert all(name.isupper() for name in names.values())
    assert {configuration.celery_name(there): name for name, there in names.items()}.keys() <= names.keys()
    assert configuration.celery_name("SECRET_KEY") is None


def test_the_project_s_own_options_of_the_broker_stay_beside_the_deployment_s() -> None:
    project = {"BROKER_TRANSPORT_OPTIONS": {"visibility_timeout": 1, "client_name": "shop"}}
    configuration = Configuration("shop", "shop", "", celery={"broker_transport_options": {"visibility_timeout": 7200}})
    used = overlay(project, configuration, str)
    assert used["BROKER_TRANSPORT_OPTIONS"] == {"visibility_timeout": 7200, "client_name": "shop"}
    (row,) = laid_over.rows(project, used, configuration)
    assert row.setting == "BROKER_TRANSPORT_OPTIONS[visibility_timeout]"
    assert row.variable == "stack_celery_settings_extra"
