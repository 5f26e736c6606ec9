from __future__ import annotations

import signal
from typing import Any

import jobs_client
import pytest
from celery import Celery
from celery_runtime import probe


@pytest.fixture
def app(celery: Any) -> Any:
    with jobs_client.runtime(celery):
        yield Celery("probed", broker=celery.url)


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
