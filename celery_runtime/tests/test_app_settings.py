"""What a project says on its Celery app wins over Django's settings, and so would win over the deployment's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import SETTINGS_AND_APP, SOURCES

READ = 'app.config_from_object("django.conf:settings", namespace="CELERY")\n'
OPTIONS = {"visibility_timeout": 7200, "socket_timeout": 5}
DEPLOYMENT: dict[str, Any] = {
    "project_settings": "shop",
    "celery_app": "shop",
    "celery": {"task_acks_late": True, "task_default_queue": "low", "broker_transport_options": OPTIONS},
    "celery_defaults": {
        "task_time_limit": 1800,
        "task_soft_time_limit": 900,
        "accept_content": ["json"],
        "result_accept_content": ["json"],
        "result_backend": "disabled",
    },
    "credentials": {"CELERY_BROKER_URL": "broker_url"},
    "queues": ["low"],
}


@pytest.fixture
def python(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(app: str, *arguments: str, **deployment: Any) -> subprocess.CompletedProcess[str]:
        (tmp_path / "shop.py").write_text(SETTINGS_AND_APP + app)
        (tmp_path / "settings.json").write_text(json.dumps(DEPLOYMENT | deployment))
        (tmp_path / "broker_url").write_text("redis://127.0.0.1:1/0\n")
        environment = os.environ | {
            "PYTHONPATH": f"{SOURCES}:{tmp_path}",
            "DJANGO_SETTINGS_MODULE": "celery_runtime.settings",
            "CELERY_RUNTIME_CONFIG": str(tmp_path / "settings.json"),
            "CREDENTIALS_DIRECTORY": str(tmp_path),
        }
        return subprocess.run(
            [sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False
        )

    return run


@pytest.fixture
def conf(python: Callable[..., Any]) -> Callable[..., list[Any]]:
    def ask(app: str, *names: str, **deployment: Any) -> list[Any]:
        done = python(
            app, "-c", f"import json, shop; print(json.dumps([shop.app.conf[name] for name in {names}]))", **deployment
        )
        assert done.returncode == 0, done.stderr
        return list(json.loads(done.stdout))

    return ask


@pytest.mark.parametrize(
    "app",
    [
        f"app = Celery('shop')\n{READ}app.conf.task_acks_late = False\n",
        f"app = Celery('shop')\napp.conf.task_acks_late = False\n{READ}",
        f"app = Celery('shop')\n{READ}app.conf.update(task_acks_late=False, task_default_queue='lost')\n",
        f"app = Celery('shop')\n{READ}app.conf.CELERY_ACKS_LATE = False\n",
        f"app = Celery('shop', task_acks_late=False)\n{READ}",
    ],
)
def test_the_deployment_s_word_holds_wherever_the_project_s_stands(conf: Any, app: str) -> None:
    assert conf(app, "task_acks_late", "task_default_queue") == [True, "low"]


def test_a_server_that_is_named_there_is_not_asked(conf: Any) -> None:
    app = f"app = Celery('shop', broker='redis://localhost:6379/0', backend='redis://localhost:6379/1')\n{READ}"
    assert conf(app, "broker_url", "result_backend") == ["redis://127.0.0.1:1/0", "disabled"]


def test_options_of_the_broker_stay_beside_the_deployment_s(conf: Any) -> None:
    app = f"app = Celery('shop')\n{READ}app.conf.broker_transport_options = {{'visibility_timeout': 1, 'client_name': 'shop'}}\n"
    assert conf(app, "broker_transport_options") == [{**OPTIONS, "client_name": "shop"}]


def test_what_the_project_may_choose_holds_there_too(conf: Any) -> None:
    app = f"app = Celery('shop', backend='rpc')\n{READ}app.conf.task_time_limit = 600\napp.conf.task_compression = 'gzip'\n"
    names = ("task_time_limit", "task_soft_time_limit", "task_compression", "result_backend")
    assert conf(app, *names) == [600, None, "gzip", "disabled"]
    app = f"app = Celery('shop')\n{READ}app.conf.accept_content = ['json', 'yaml']\napp.conf.result_backend = 'django-cache'\n"
    assert conf(app, "accept_content", "result_accept_content", "result_backend") == [
        ["json", "yaml"],
        None,
        "django-cache",
    ]


def test_an_app_that_reads_something_else_is_left_alone(conf: Any) -> None:
    assert conf("app = Celery('shop', task_acks_late=False)\n", "task_acks_late") == [False]


def test_older_names_are_known_where_there_is_no_namespace(conf: Any) -> None:
    app = (
        "BROKER_URL = 'redis://other'\napp = Celery('shop')\napp.config_from_object('django.conf:settings')\n"
        "app.conf.CELERY_ACKS_LATE = False\n"
    )
    names = ("task_acks_late", "broker_url")
    assert conf(app, *names, namespace="", credentials={"BROKER_URL": "broker_url"}) == [True, "redis://127.0.0.1:1/0"]


def test_the_probe_lets_it_through_and_says_what_is_replaced(python: Any) -> None:
    app = (
        f"app = Celery('shop', broker='redis://localhost:6379/0')\n{READ}"
        "app.conf.update(task_acks_late=False, task_time_limit=600, worker_prefetch_multiplier=1)\n"
        "app.conf.broker_transport_options = {'visibility_timeout': 1, 'client_name': 'shop'}\n"
    )
    done = python(app, "-m", "celery_runtime.probe")
    assert done.returncode == 0, done.stderr
    lines = json.loads(done.stdout.splitlines()[-1])["laid_over"]
    assert [line.split()[0] for line in lines[1:]] == [
        "CELERY_BROKER_TRANSPORT_OPTIONS[visibility_timeout]",
        "CELERY_BROKER_URL",
        "CELERY_TASK_ACKS_LATE",
    ]
    assert "a task outlives its worker" in lines[3]


def test_what_is_said_when_the_settings_are_read_already_is_refused(python: Any) -> None:
    app = (
        f"app = Celery('shop')\n{READ}\n"
        "@app.on_after_configure.connect\ndef late(sender, **_):\n    sender.conf.task_acks_late = False\n"
    )
    done = python(app, "-m", "celery_runtime.probe")
    assert done.returncode == 1
    assert "task_acks_late is False in the loaded app; the deployment asks for True" in done.stderr


def test_a_format_that_runs_code_is_refused_there_too(python: Any) -> None:
    done = python(
        f"app = Celery('shop')\n{READ}app.conf.accept_content = ['json', 'pickle']\n", "-m", "celery_runtime.probe"
    )
    assert done.returncode == 1
    assert "pickle" in done.stderr
    assert "stack_celery_settings_extra" in done.stderr
