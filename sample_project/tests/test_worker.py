"""A real worker process with a real broker."""

import base64
import json
import os
import pickle
from datetime import datetime

import pytest
from accounts.models import WelcomeEmail
from accounts.services import register
from accounts.tasks import send_pending_welcome_emails
from celery import states
from django.utils import timezone
from django_celery_results.models import TaskResult
from housekeeping.tasks import echo

from tests.conftest import SCRATCH, wait_for


def result(task_id: str) -> TaskResult:
    ready = TaskResult.objects.filter(task_id=task_id, status__in=states.READY_STATES)
    return wait_for(ready.first)


def worker_holds(worker) -> list[dict]:
    """Return the messages that it took and has not acknowledged."""
    return [json.loads(held)[0] for held in worker.broker.client.hvals("unacked")]


@pytest.mark.parametrize("queue", ["high", "default", "low"])
def test_each_queue_is_served_and_results_are_stored(worker, queue):
    sent = echo.apply_async(kwargs={"job": {"text": queue, "numbers": [1, 2]}}, queue=queue)
    stored = result(sent.id)
    assert json.loads(stored.result) == {"text": queue, "numbers": [1, 2], "sum": 3}
    assert (stored.status, stored.task_name) == ("SUCCESS", "housekeeping.echo")


def test_registering_sends_mail(worker, client, smtp):
    response = client.post("/register/", {"email": "ada@example.com", "name": "Ada"}, content_type="application/json")
    assert response.status_code == 201
    stored = wait_for(TaskResult.objects.filter(status="SUCCESS").first)
    assert json.loads(stored.result) == {"sent": True, "to": "a***@example.com"}
    assert "ada@" not in f"{stored.task_args} {stored.task_kwargs}"
    assert [mail["To"] for mail in smtp.messages] == ["ada@example.com"]
    assert WelcomeEmail.objects.get().status == "sent"


def test_a_refusal_that_can_pass_is_retried_by_the_worker(worker, client, smtp):
    smtp.replies[:] = ["451 try later"]
    client.post("/register/", {"email": "ada@example.com", "name": "Ada"}, content_type="application/json")
    stored = wait_for(TaskResult.objects.filter(status="RETRY").first)
    assert "TransientMailError" in stored.result
    assert WelcomeEmail.objects.get().status == "pending"
    # The retry waits in the worker, unacknowledged, so that a crash cannot lose it.
    waiting = wait_for(
        lambda: [
            m for m in worker_holds(worker) if (m["headers"]["id"], m["headers"]["retries"]) == (stored.task_id, 1)
        ]
    )
    seconds = (datetime.fromisoformat(waiting[0]["headers"]["eta"]) - timezone.now()).total_seconds()
    assert 50 < seconds <= 90


def test_wrong_input_fails_and_is_stored(worker):
    sent = echo.apply_async(kwargs={"job": {"text": 5}})
    stored = result(sent.id)
    assert stored.status == "FAILURE"
    assert "ValidationError" in json.loads(stored.result)["exc_type"]


class Exploit:
    """Runs a command in whoever unpickles it."""

    def __reduce__(self):
        return os.system, (f"touch {SCRATCH}/exploited",)


def pickled(message: dict) -> dict:
    """Turn a good message into the same with a pickled body."""
    message["body"] = base64.b64encode(pickle.dumps([[], {"job": Exploit()}, {}])).decode()
    message["content-type"] = "application/x-python-serialize"
    message["content-encoding"] = "binary"
    return message


def test_a_pickled_message_is_refused_and_the_worker_goes_on(worker, broker):
    # One that would have worked, so that only the pickle is what it is refused for. Taken from a queue that
    # is nobody's.
    echo.apply_async(kwargs={"job": {}}, queue="nobody")
    message = json.loads(broker.client.rpop("nobody"))
    # Proof that the exploit works where it is read.
    pickle.loads(base64.b64decode(pickled(dict(message))["body"]))  # noqa: S301 - made three lines above  # nosec B301
    proof = SCRATCH / "exploited"
    assert proof.exists()
    proof.unlink()

    seen = len(worker.lines())
    broker.client.lpush("default", json.dumps(pickled(message)))
    wait_for(lambda: any("ContentDisallowed" in line for line in worker.lines()[seen:]))
    assert echo.apply_async(kwargs={"job": {}}) and result(echo.apply_async(kwargs={"job": {}}).id).status == "SUCCESS"
    assert not proof.exists()
    assert worker.process.poll() is None
    assert broker.client.llen("default") == 0
    assert not TaskResult.objects.filter(task_id=message["headers"]["id"]).exists()


def test_every_log_line_is_json_and_names_its_task(worker):
    sent = echo.apply_async(kwargs={"job": {"text": 5}})
    result(sent.id)
    lines = wait_for(lambda: [line for line in worker.lines() if "raised unexpected" in line and sent.id in line])
    event = json.loads(lines[0])
    assert event["level"] == "error"
    assert "Traceback" in event["exception"]
    for line in worker.lines():
        assert {"event", "level", "logger", "timestamp"} <= set(json.loads(line))


def test_a_message_that_arrived_though_publishing_timed_out_sends_no_second_mail(worker, smtp):
    """A frozen Redis finds the message in its socket when it goes on, and then the sweep publishes the job again."""

    def done() -> int:
        results = TaskResult.objects.filter(task_name="accounts.send_welcome_email")
        return results.filter(status__in=states.READY_STATES).count()

    # Opens the connection on which the message then waits.
    register("ada@example.com", "Ada")
    wait_for(lambda: done() == 1)
    worker.broker.freeze()
    try:
        user = register("bob@example.com", "Bob")
    finally:
        worker.broker.thaw()
    row = WelcomeEmail.objects.get(user=user)
    WelcomeEmail.objects.filter(pk=row.pk).update(due_at=timezone.now())
    send_pending_welcome_emails()
    wait_for(lambda: done() == 3)
    assert [mail["To"] for mail in smtp.messages] == ["ada@example.com", "bob@example.com"]
