from __future__ import annotations

import re
import signal
from typing import Any

import jobs_client
import pytest
from celery import Celery
from celery_runtime import probe
from kombu import Queue


@pytest.fixture
def app(celery: Any) -> Any:
    with jobs_client.runtime(celery):
        yield Celery("probed", broker=celery.url)


class Router:
    """A class that routes, as a dotted name in `task_routes` may lead to one."""

    def route_for_task(self, task: str, *_: Any, **__: Any) -> Any:
        return {"queue": "lost"} if task == "shop.report" else None


def report() -> None:
    """Be a task."""


def route(name: str, args: Any, kwargs: Any, options: Any, task: Any = None, **_: Any) -> Any:
    return "lost" if name == "shop.report" else None


@pytest.mark.parametrize(
    "routes",
    [
        {"shop.*": {"queue": "lost"}},
        {"shop.*": "lost"},
        {"shop.*": {"queue": Queue("lost")}},
        [("shop.*", {"queue": "lost"})],
        ([("shop.other", {"queue": "low"}), (re.compile(r"shop\..*"), {"queue": "lost"})],),
        ({"shop.other": "low"}, {"shop.report": "lost"}),
        route,
        [route],
        "test_probe.route",
        (Router(),),
        "test_probe:Router",
        # Also where nobody has such a task yet.
        [{"elsewhere.*": {"queue": "lost"}}],
    ],
)
def test_a_queue_that_nobody_consumes_is_found_in_each_form_of_routes(routes: Any) -> None:
    app = Celery("probed", task_default_queue="low", task_routes=routes)
    for name in ("shop.report", "shop.other"):
        app.task(name=name, shared=False)(report)
    (fault,) = probe.orphaned_queues(app, ["low"])
    assert "'lost'" in fault
    assert "task_routes" in fault
    assert probe.orphaned_queues(app, ["low", "lost"]) == probe.orphaned_queues(app, ["low", "lo*"]) == []


def test_a_route_that_wants_arguments_is_told_of(capsys: Any) -> None:
    app = Celery("probed", task_default_queue="low", task_routes=lambda _name, args, *_, **__: args[0])
    assert probe.orphaned_queues(app, ["low"]) == []
    assert "can't be asked for" in capsys.readouterr().err


def test_names_of_keys_are_those_that_rights_were_computed_from() -> None:
    app = Celery("probed", broker_transport_options={"global_keyprefix": "shop:", "socket_timeout": 5})
    (fault,) = probe.unknown_names(app, {})
    assert 'stack_celery_settings_extra: {broker_transport_options: {"global_keyprefix": "shop:"}}' in fault
    assert probe.unknown_names(app, {"global_keyprefix": "shop:"}) == []
    options = {"fanout_prefix": "shop."}
    (fault,) = probe.unknown_names(Celery("probed", broker_transport_options=options), options)
    assert "fanout_prefix" in fault


def test_other_options_of_the_project_s_are_no_difference() -> None:
    app = Celery("probed", broker_transport_options={"socket_timeout": 5, "client_name": "shop"})
    assert probe.differences(app, {"broker_transport_options": {"socket_timeout": 5}}) == []
    (fault,) = probe.differences(app, {"broker_transport_options": {"socket_timeout": 6}})
    assert "broker_transport_options" in fault


def test_a_broker_that_is_new_enough_is_taken(app: Any) -> None:
    assert probe.old_broker(app) == []


def test_one_that_is_too_old_is_refused_with_both_versions(app: Any, server: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(probe, "OLDEST_BROKER", 99)
    (fault,) = probe.old_broker(app)
    assert server.client.info("server")["redis_version"] in fault
    assert "needs 99.0" in fault
    assert "stack_runtime_parts" in fault


def test_one_that_is_away_is_no_reason_against_a_deployment(app: Any, server: Any, capsys: Any) -> None:
    server.signal(signal.SIGKILL)
    assert probe.old_broker(app) == []
    assert "can't be reached" in capsys.readouterr().err
