"""Registering while Redis is away, in each way that it can be: quick all the same, nothing lost, nothing sent twice."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from accounts.models import User, WelcomeEmail
from accounts.tasks import send_pending_welcome_emails
from django.db.models import F
from django.test import Client
from sample.celery import app

from tests.conftest import Broker, use_broker

# What a person may have to wait for an answer, in seconds.
PATIENCE = 1.0

pytestmark = pytest.mark.usefixtures("transactional_db")


def register(name: str) -> float:
    """Register somebody; return the seconds that it took."""
    body = json.dumps({"email": f"{name}@example.com", "name": name})
    began = time.monotonic()
    response = Client().post("/register/", body, content_type="application/json")
    seconds = time.monotonic() - began
    assert response.status_code == 201, response.content
    return seconds


def pass_time(seconds: float) -> None:
    """Let time pass for the rows, without waiting for it."""
    WelcomeEmail.objects.update(due_at=F("due_at") - timedelta(seconds=seconds))


def sweep() -> int:
    """Run the sweep; return how many rows it published."""
    return send_pending_welcome_emails()["published"]


def interval() -> float:
    """Return the seconds from one sweep to the next."""
    return app.conf.beat_schedule["send-pending-welcome-emails"]["schedule"]


@pytest.fixture
def own_redis() -> Iterator[Broker]:
    """Give a Redis that a test may hurt."""
    server = Broker()
    use_broker(server.url)
    yield server
    server.client.close()
    server.kill()


@contextmanager
def refused(server: Broker) -> Iterator[None]:
    """Nobody listens; what comes back is empty."""
    server.kill()
    yield
    server.start()


@contextmanager
def frozen(server: Broker) -> Iterator[None]:
    """Connections are taken, and nobody answers."""
    server.freeze()
    yield
    server.thaw()


@contextmanager
def dropped(server: Broker) -> Iterator[None]:
    """Nothing that is sent arrives: the kernel drops what would connect to a listener whose queue is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        use_broker(f"redis://127.0.0.1:{listener.getsockname()[1]}/0")
        yield
        for filler in fillers:
            filler.close()
    use_broker(server.url)


OUTAGES = [refused, frozen, dropped]


@pytest.mark.parametrize("outage", OUTAGES)
@pytest.mark.parametrize("used_before", [True, False])
def test_registering_is_quick_and_the_mail_goes_out_soon_after(own_redis, outage, used_before):
    if used_before:
        register("warm")
    with outage(own_redis):
        waits = [register(f"u{number}") for number in range(8)]
        assert max(waits) < PATIENCE
        # Not each of them waits for what the first has found out.
        assert sum(waits) < 2 * PATIENCE
        assert sweep() == 0
    own_redis.client.delete("high")
    # A minute after the end, whatever the sweep's rhythm: a run is due, and the rows are.
    pass_time(60 - interval())
    assert sweep() == 8
    assert own_redis.client.llen("high") == 8
    # They wait for a worker now, and are left alone for a while.
    pass_time(300)
    assert sweep() == 0


def test_the_broker_is_asked_again_after_a_pause(own_redis, monkeypatch):
    monkeypatch.setattr("sample.publishing.PAUSE", 0.5)
    with refused(own_redis):
        register("first")
    register("paused")
    assert own_redis.client.llen("high") == 0
    time.sleep(0.5)
    register("after")
    assert own_redis.client.llen("high") == 1


def test_a_restart_of_redis_between_two_requests_goes_unnoticed(own_redis):
    register("before")
    own_redis.kill()
    own_redis.start()
    register("after")
    assert own_redis.client.llen("high") == 1


def test_what_was_published_is_left_alone(own_redis):
    register("ada")
    pass_time(9 * 60)
    assert sweep() == 0
    pass_time(2 * 60)
    assert sweep() == 1


def test_a_process_that_dies_between_commit_and_publishing_costs_less_than_a_minute(own_redis):
    # What it leaves is a row that nobody has published.
    WelcomeEmail.objects.create(user=User.objects.create_user("ada@example.com", name="Ada"))
    pass_time(60 - interval())
    assert sweep() == 1


def test_a_row_that_a_worker_took_before_its_publishing_was_recorded_stays_the_workers(own_redis, monkeypatch):
    from accounts.tasks import WelcomeJob, send_welcome_email

    row = WelcomeEmail.objects.create(user=User.objects.create_user("ada@example.com", name="Ada"))
    claimed = WelcomeEmail.claim(user_id=row.user_id)
    assert send_welcome_email.publish(row, WelcomeJob(user_id=row.user_id))
    row.refresh_from_db()
    assert (row.status, row.due_at) == ("sending", claimed.due_at)


def test_the_sweep_runs_often_and_never_piles_up():
    entry = app.conf.beat_schedule["send-pending-welcome-emails"]
    assert entry["schedule"] <= 20
    assert entry["options"]["expire_seconds"] <= entry["schedule"]
