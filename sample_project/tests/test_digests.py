"""The weekly digest: once to each user and week."""

from datetime import date

import pytest
from accounts.models import User
from digests.models import DigestEmail, iso_week
from digests.tasks import send_user_digest, send_weekly_digest
from django.db import IntegrityError
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

WEEK = "2026-W07"


@pytest.fixture
def users(db) -> list[User]:
    User.objects.create_user("gone@example.com", is_active=False)
    User.objects.create_user("quiet@example.com", wants_digest=False)
    return [User.objects.create_user(f"u{number}@example.com", name="U") for number in range(3)]


def test_fan_out_happens_once_a_week(users, broker):
    assert send_weekly_digest(job={"week": WEEK}) == {"week": WEEK, "published": 3}
    assert send_weekly_digest(job={"week": WEEK}) == {"week": WEEK, "published": 0}
    assert broker.client.llen("low") == DigestEmail.objects.count() == 3
    assert send_weekly_digest(job={"week": "2026-W08"})["published"] == 3


def test_two_runs_at_the_same_time_are_one(users, broker, monkeypatch):
    insert = DigestEmail.objects.bulk_create

    def slow_insert(rows, **options):
        # What another run did between our look and our insert.
        DigestEmail.objects.create(user=users[0], week=WEEK)
        return insert(rows, **options)

    monkeypatch.setattr(DigestEmail.objects, "bulk_create", slow_insert)
    # The other run's own row is the other's to publish.
    assert send_weekly_digest(job={"week": WEEK})["published"] == 2
    assert DigestEmail.objects.count() == 3


def test_a_later_run_sends_what_is_left(users, broker):
    send_weekly_digest(job={"week": WEEK})
    DigestEmail.objects.update(due_at=timezone.now())
    DigestEmail.objects.filter(user=users[0]).update(status="sent")
    assert send_weekly_digest(job={"week": WEEK})["published"] == 2


def test_a_broker_that_is_away_costs_a_delay_only(users, broker):
    from tests.conftest import free_port, use_broker

    use_broker(f"redis://127.0.0.1:{free_port()}/0")
    assert send_weekly_digest(job={"week": WEEK})["published"] == 0
    use_broker(broker.url)
    assert send_weekly_digest(job={"week": WEEK})["published"] == 3


def test_each_message_expires(users, broker):
    import json

    send_weekly_digest()
    message = json.loads(broker.client.lindex("low", 0))
    assert message["headers"]["task"] == "digests.send_user_digest"
    assert message["headers"]["expires"] is not None


def test_second_delivery_has_no_second_effect(users, smtp):
    DigestEmail.objects.create(user=users[0], week=WEEK)
    job = {"user_id": users[0].pk, "week": WEEK}
    assert send_user_digest.run(job=job)["sent"] is True
    assert send_user_digest.run(job=job)["sent"] is False
    (mail,) = smtp.messages
    assert WEEK in mail["Subject"]


def test_the_row_is_unique(users):
    DigestEmail.objects.create(user=users[0], week=WEEK)
    with pytest.raises(IntegrityError):
        DigestEmail.objects.create(user=users[0], week=WEEK)


@pytest.mark.parametrize("week", ["", "2026", "2026-W7", "2026-W54", "2025-W53", "2026-W00", 7])
def test_weeks_are_validated(week):
    with pytest.raises(ValidationError):
        send_weekly_digest(job={"week": week})


@given(st.dates(min_value=date(1000, 1, 1)))
def test_every_day_has_a_week_that_is_accepted(day):
    from digests.tasks import WeeklyJob

    assert WeeklyJob(week=iso_week(day)).week == iso_week(day)
