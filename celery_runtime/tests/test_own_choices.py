"""Time limits and serializers of a project's own: they hold, and what can't hold is refused before it is current."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery_runtime import choices
from celery_runtime.configuration import Configuration
from celery_runtime.overlay import defaults
from conftest import wait_for
from django_project import DEFAULTS as OF_THE_TESTS
from django_project import Project, project

DEFAULTS = OF_THE_TESTS | {"task_soft_time_limit": 900, "task_time_limit": 1800}
PARTS = ("watchdog", "transport", "guard", "limits", "results", "database", "memory", "beat")
WORDED = {
    "CELERY_TASK_SERIALIZER": "worded",
    "CELERY_RESULT_SERIALIZER": "worded",
    "CELERY_ACCEPT_CONTENT": ["json", "worded"],
}


@pytest.fixture
def jobs(server: Any, tmp_path: Path) -> Iterator[Project]:
    yield from project(server, tmp_path, *PARTS)


def probe(jobs: Project) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "celery_runtime.probe"],
        env=jobs.environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_project_s_own_hold_in_a_worker(jobs: Project, server: Any) -> None:
    jobs.own = WORDED | {"CELERY_TASK_TIME_LIMIT": 4}
    jobs.consume(concurrency=2)
    long = jobs.delay("note", "long", 600)
    task = jobs.delay("note", "one")
    wait_for(lambda: jobs.states().get(task) == "SUCCESS", "its result")
    with jobs.session() as connection:
        query = "SELECT content_type FROM django_celery_results_taskresult WHERE task_id = ?"
        assert connection.execute(query, [task]).fetchone() == ("application/x-worded",)
    assert jobs.python(f"print(django_jobs.app.AsyncResult({task!r}).get())") == "one"
    wait_for(lambda: jobs.states().get(long) == "FAILURE", "its end")
    assert f"Hard time limit (4s) exceeded for django_jobs.note[{long}]" in jobs.log()
    jobs.delay("note", "pickled", serializer="pickle")
    wait_for(lambda: server.client.exists("celery_runtime:dead_letters"), f"it is refused; {jobs.log()}")
    assert "begin-pickled" not in jobs.effects()


def test_the_probe_says_what_can_not_hold_and_which_variable_decides(jobs: Project) -> None:
    jobs.defaults = DEFAULTS
    jobs.own = {
        "CELERY_RESULT_BACKEND": "own_choices:Missing",
        "CELERY_BEAT_SCHEDULER": "own_choices:Own",
        "CELERY_TASK_TIME_LIMIT": 3600,
        "CELERY_ACCEPT_CONTENT": ["json", "pickle"],
    }
    said = probe(jobs).stderr
    assert "result_backend is 'own_choices:Missing', and can't be loaded" in said
    assert "beat_scheduler is <class 'own_choices.Own'>" in said
    assert "set stack_time_limit: 3600 to keep it" in said
    assert "stack_celery_settings_extra: {accept_content: ['json', 'pickle']}" in said
    assert "deployment asks for" not in said


def conf(**settings: Any) -> Celery:
    return Celery("chosen", **({"beat_scheduler": "celery.beat:PersistentScheduler"} | settings))


def report() -> None:
    """Be a task."""


def configured(**changes: Any) -> Configuration:
    return Configuration(project_settings="p", celery_app="p", **({"celery_defaults": DEFAULTS} | changes))


@pytest.mark.parametrize(
    ("settings", "changes", "says"),
    [
        ({"task_time_limit": 600, "task_soft_time_limit": 500}, {}, ""),
        ({"task_time_limit": 1801}, {}, "stack_time_limit: 1801"),
        ({"task_time_limit": 1801}, {"celery": {"task_time_limit": 1801}}, ""),
        ({"task_time_limit": 600, "task_soft_time_limit": 900}, {}, "stack_soft_time_limit"),
        ({"accept_content": ["json", "pickle"]}, {}, "accept_content of the project has pickle"),
        ({"accept_content": ["json", "application/x-python-serialize"]}, {}, "has pickle"),
        ({"accept_content": ["json", "pickle"]}, {"celery": {"accept_content": ["json", "pickle"]}}, ""),
        ({"accept_content": ["json", "unheard-of"]}, {}, "nobody has registered"),
        ({"task_serializer": "yaml", "accept_content": ["json"]}, {}, "task_serializer is 'yaml'"),
        ({"result_serializer": "yaml", "accept_content": ["json", "yaml"]}, {}, ""),
    ],
)
def test_what_can_not_hold_is_found(settings: dict[str, Any], changes: dict[str, Any], says: str) -> None:
    found = choices.faults(conf(**settings), configured(**changes))
    assert len(found) == bool(says)
    assert says in "".join(found)


@pytest.mark.parametrize(
    ("limit", "longest", "dangerous", "refused"),
    [(1800, 0, False, False), (1801, 0, True, False), (1801, 2000, False, False), (7140, 7200, False, True)],
)
def test_a_task_s_own_limit_is_looked_at(limit: int, longest: int, dangerous: bool, refused: bool) -> None:
    app = conf(task_time_limit=1800, broker_transport_options={"visibility_timeout": 7200})
    app.task(name="shop.report", time_limit=limit, shared=False)(report)
    app.finalize()
    configuration = configured(longest_time_limit=longest)
    assert bool(choices.dangers(app, configuration)) is dangerous
    assert ["stack_visibility_timeout" in one for one in choices.faults(app, configuration)] == [True] * refused


@pytest.mark.parametrize(
    ("project", "left_out"),
    [
        ({}, set()),
        ({"CELERY_RESULT_BACKEND": "shop.results:Backend"}, {"result_backend"}),
        # An address on the developer's machine.
        ({"CELERY_RESULT_BACKEND": "redis://localhost/0"}, set()),
        ({"CELERY_TASK_TIME_LIMIT": 60}, {"task_time_limit", "task_soft_time_limit"}),
        ({"CELERY_TASK_SOFT_TIME_LIMIT": 60}, {"task_soft_time_limit"}),
        ({"CELERY_ACCEPT_CONTENT": ["yaml"]}, {"accept_content", "result_accept_content"}),
        ({"CELERY_BEAT_SCHEDULER": None}, set()),
    ],
)
def test_a_default_holds_where_the_project_says_nothing(project: dict[str, Any], left_out: set[str]) -> None:
    assert set(DEFAULTS) - set(defaults(project, configured())) == left_out
    assert "task_time_limit" not in defaults({}, configured(celery={"task_time_limit": 5}))


def test_the_probe_tells_of_dangers(jobs: Project) -> None:
    jobs.own = {"CELERY_TASK_TIME_LIMIT": 60}
    jobs.settings = {"task_annotations": {"django_jobs.note": {"time_limit": 90}}}
    done = probe(jobs)
    assert done.returncode == 0, done.stderr
    (danger,) = json.loads(done.stdout)["dangers"]
    assert "django_jobs.note has a time_limit of 90 s" in danger


AWAY = {"EMAIL_HOST": "192.0.2.25", "EMAIL_USE_TLS": False, "EMAIL_USE_SSL": False}
LOGIN = {"EMAIL_HOST_USER": "shop"}


@pytest.mark.parametrize(
    ("own", "deployed", "said", "refused"),
    [
        (LOGIN, AWAY, [], True),
        (LOGIN, AWAY | {"EMAIL_HOST": "mail.example.com"}, [], True),
        (LOGIN, AWAY | {"EMAIL_USE_TLS": True}, [], False),
        (LOGIN, AWAY | {"EMAIL_USE_SSL": True}, [], False),
        # Somebody has said it of this network.
        (LOGIN, AWAY, ["EMAIL_USE_TLS"], False),
        (LOGIN, AWAY | {"EMAIL_HOST": "127.0.0.1"}, [], False),
        (LOGIN, AWAY | {"EMAIL_HOST": "::1"}, [], False),
        (LOGIN, AWAY | {"EMAIL_HOST": "localhost"}, [], False),
        ({"EMAIL_HOST_USER": ""}, AWAY, [], False),
        # The server is the project's own, and how it is spoken to.
        (LOGIN | {"EMAIL_HOST": "192.0.2.25"}, {}, [], False),
    ],
)
def test_a_login_for_mail_does_not_cross_the_network_in_plain_text(
    own: dict[str, Any], deployed: dict[str, Any], said: list[str], refused: bool
) -> None:
    configuration = Configuration("shop.settings", "shop", django=deployed, said=said)
    found = choices.plain_login(own | deployed, configuration)
    assert bool(found) is refused
    if refused:
        assert all(words in found[0] for words in ("EMAIL_HOST_USER", deployed["EMAIL_HOST"], "stack_mail_encryption"))
