"""The task that sends the welcome e-mail, against a real SMTP server."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from accounts.models import User, WelcomeEmail
from accounts.tasks import send_welcome_email
from celery.exceptions import Retry
from django.db import connection
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from sample.mailing import PermanentMailError, TransientMailError, retry_delay
from sample.outgoing import GRACE, MAX_ATTEMPTS

from tests.conftest import free_port


@pytest.fixture
def row(db) -> WelcomeEmail:
    user = User.objects.create_user("ada@example.com", name="Ada <b>")
    return WelcomeEmail.objects.create(user=user)


def deliver(row: WelcomeEmail, retries: int = 0):
    """Run the task as a worker would for its nth delivery; a retry is raised, not run."""
    send_welcome_email.push_request(retries=retries, called_directly=False, is_eager=False, id="1", delivery_info={})
    try:
        return send_welcome_email.run(job={"user_id": row.user_id})
    finally:
        send_welcome_email.pop_request()


@pytest.fixture
def retries(monkeypatch) -> list[int]:
    """Collect the countdowns of retries, which no broker takes here."""
    waits = []

    def retry(exc=None, countdown=None, **_):
        waits.append(countdown)
        return Retry(exc=exc, when=countdown)

    monkeypatch.setattr(send_welcome_email._get_current_object(), "retry", retry)
    return waits


def test_mail_is_sent_and_recorded(row, smtp):
    assert deliver(row) == {"sent": True, "to": "a***@example.com"}
    (mail,) = smtp.messages
    assert mail["To"] == "ada@example.com"
    assert mail["Message-ID"].startswith(f"<{row.key}@")
    assert "Hello Ada <b>," in mail.get_body(("plain",)).get_content()
    assert "Hello Ada &lt;b&gt;," in mail.get_body(("html",)).get_content()
    row.refresh_from_db()
    assert (row.status, row.attempts) == ("sent", 1)
    assert row.sent_at is not None


@contextmanager
def database_away(seconds: float) -> Iterator[Callable[[], None]]:
    """Give a function after whose call no statement of this thread's connection succeeds until it is opened anew."""
    name = connection.settings_dict["NAME"]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            (process,) = cursor.fetchone()
        other = connection.copy()
        with other.cursor() as cursor:
            yield lambda: cursor.execute("SELECT pg_terminate_backend(%s)", [process])
        other.close()
        return
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout = 50")
    other = sqlite3.connect(name, isolation_level=None, check_same_thread=False)
    unlock = threading.Timer(seconds, other.rollback)

    def lock() -> None:
        other.execute("BEGIN EXCLUSIVE")
        unlock.start()

    yield lock
    unlock.join()
    other.close()


def test_a_database_that_goes_away_while_the_mail_is_sent_does_not_send_it_twice(transactional_db, smtp):
    row = WelcomeEmail.objects.create(user=User.objects.create_user("ada@example.com", name="Ada"))
    with database_away(0.5) as happens:
        smtp.on_data = happens
        assert deliver(row)["sent"] is True
    row.refresh_from_db()
    assert row.status == "sent"
    assert len(smtp.messages) == 1


def test_second_delivery_has_no_second_effect(row, smtp):
    deliver(row)
    assert deliver(row) == {"sent": False, "reason": "not pending"}
    assert len(smtp.messages) == 1


def test_a_row_that_another_worker_has_is_left_to_it(row, smtp):
    assert WelcomeEmail.claim(user_id=row.user_id)
    assert deliver(row)["sent"] is False
    assert smtp.messages == []


def test_a_claim_whose_worker_died_is_taken_over(row, smtp):
    dead = WelcomeEmail.claim(user_id=row.user_id)
    WelcomeEmail.objects.update(due_at=timezone.now())
    assert deliver(row)["sent"] is True
    # Should it not be dead after all, its word counts no more.
    dead.finish("failed", "too late")
    row.refresh_from_db()
    assert row.status == "sent"


def test_a_mail_that_kills_its_workers_is_given_up(row, smtp):
    WelcomeEmail.objects.update(attempts=MAX_ATTEMPTS)
    assert deliver(row)["sent"] is False
    row.refresh_from_db()
    assert row.status == "failed"
    assert "given up" in row.last_error


def test_temporary_refusal_is_retried_then_recorded(row, smtp, retries):
    smtp.replies[:] = ["451 4.3.0 <ada@example.com> try later"] * 4
    for attempt in range(3):
        before = timezone.now()
        with pytest.raises(Retry):
            deliver(row, attempt)
        row.refresh_from_db()
        assert (row.status, row.attempts) == ("pending", attempt + 1)
        # The sweep waits until the retry has had its time.
        assert row.due_at >= before + timedelta(seconds=retries[-1]) + GRACE
    with pytest.raises(TransientMailError) as error:
        deliver(row, 3)
    row.refresh_from_db()
    assert row.status == "failed"
    assert "451 4.3.0 <a***@example.com> try later" in row.last_error
    assert "ada@example.com" not in str(error.value)
    assert 60 <= retries[0] <= 90 and 120 <= retries[1] <= 180 and 240 <= retries[2] <= 360
    assert smtp.messages == []


def test_retry_after_a_temporary_refusal_sends_the_same_message(row, smtp, retries):
    smtp.replies[:] = ["421 busy"]
    with pytest.raises(Retry):
        deliver(row)
    assert deliver(row, 1)["sent"] is True
    assert smtp.messages[0]["Message-ID"].startswith(f"<{row.key}@")


def test_mail_server_that_is_away_is_retried(row, settings, smtp, retries):
    settings.EMAIL_PORT = free_port()
    with pytest.raises(Retry):
        deliver(row)
    row.refresh_from_db()
    assert row.status == "pending"
    assert "ConnectionRefusedError" in row.last_error


def test_permanent_refusal_fails_at_once(row, smtp, retries):
    smtp.replies[:] = ["550 5.1.1 <ada@example.com> no such user"]
    with pytest.raises(PermanentMailError, match=r"550 5\.1\.1 <a\*\*\*@example.com>"):
        deliver(row)
    assert retries == []
    row.refresh_from_db()
    assert (row.status, row.attempts) == ("failed", 1)
    assert deliver(row)["sent"] is False


@pytest.mark.parametrize(
    ("reply", "error", "status"),
    [("452 mailbox full", Retry, "pending"), ("554 looks like spam", PermanentMailError, "failed")],
)
def test_a_refusal_after_the_text_is_sorted_alike(row, smtp, retries, reply, error, status):
    smtp.data_replies[:] = [reply]
    with pytest.raises(error):
        deliver(row)
    row.refresh_from_db()
    assert row.status == status
    assert reply in row.last_error


@pytest.mark.parametrize(
    "job", [None, 5, {}, {"user_id": 0}, {"user_id": "5"}, {"user_id": 5, "more": 1}, {"user_id": True}]
)
def test_input_is_validated(job):
    with pytest.raises(ValidationError):
        send_welcome_email.run(job=job)


def test_a_user_that_is_gone_is_no_error(db):
    assert send_welcome_email.run(job={"user_id": 4711})["sent"] is False


@given(st.integers(0, 2))
def test_retries_wait_longer_each_time_and_never_less_than_a_minute(retries):
    base = 60 * 2**retries
    assert base <= retry_delay(retries) <= base * 1.5


def test_limits_of_the_task():
    assert send_welcome_email.max_retries == 3
    assert send_welcome_email.acks_late is True
    assert (send_welcome_email.soft_time_limit, send_welcome_email.time_limit) == (60, 90)
