"""The weekly digest: one task that writes the week's rows and publishes one task for each."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

from accounts.models import User
from celery import shared_task
from django.core.mail import EmailMessage
from django.utils import timezone
from pydantic import AfterValidator, BaseModel, ConfigDict, PositiveInt
from sample.jobs import RecordedTask, attempt, publish_due
from sample.mailing import MAX_RETRIES, SOFT_TIME_LIMIT, TIME_LIMIT

from digests.models import DigestEmail, iso_week

# A digest that could not be sent within a day is no news any more.
EXPIRES = 24 * 3600


def monday(week: str) -> date:
    """Return the first day of an ISO week."""
    return datetime.strptime(f"{week}-1", "%G-W%V-%u").replace(tzinfo=UTC).date()


def canonical_week(week: str) -> str:
    """Refuse what is no week, or one spelt differently: `2026-W7` would get a second row."""
    if iso_week(monday(week)) != week:
        raise ValueError("say the week as 2026-W07")
    return week


Week = Annotated[str, AfterValidator(canonical_week)]


class WeeklyJob(BaseModel):
    """Which week; none means the one that it is."""

    model_config = ConfigDict(extra="forbid", strict=True)

    week: Week | None = None


class DigestJob(BaseModel):
    """Whose digest of which week. The week is named, so that a late task still belongs to its own."""

    model_config = ConfigDict(extra="forbid", strict=True)

    user_id: PositiveInt
    week: Week


@shared_task(name="digests.send_weekly_digest", pydantic=True, pydantic_strict=True)
def send_weekly_digest(job: WeeklyJob | None = None) -> dict[str, Any]:
    """Make sure that each user who wants it has a row for the week, and publish the rows that are due.

    May run any number of times: rows are unique, and one that was sent or just published is left alone.
    """
    week = (job and job.week) or iso_week(timezone.now().date())
    readers = User.objects.filter(is_active=True, wants_digest=True).exclude(digest_emails__week=week)
    now = timezone.now()
    rows = [DigestEmail(user_id=pk, week=week, due_at=now) for pk in readers.values_list("pk", flat=True)]
    # A second run of this task at the same time may have written some of them.
    DigestEmail.objects.bulk_create(rows, batch_size=500, ignore_conflicts=True)
    published = 0
    while batch := publish_due(
        send_user_digest, DigestEmail.due(week=week), lambda row: DigestJob(user_id=row.user_id, week=week)
    ):
        published += batch
    return {"week": week, "published": published}


@shared_task(
    name="digests.send_user_digest",
    base=RecordedTask,
    bind=True,
    pydantic=True,
    pydantic_strict=True,
    max_retries=MAX_RETRIES,
    soft_time_limit=SOFT_TIME_LIMIT,
    time_limit=TIME_LIMIT,
    expires=EXPIRES,
)
def send_user_digest(self: RecordedTask, job: DigestJob) -> dict[str, Any]:
    """Send one user's digest of one week, once."""
    return attempt(self, DigestEmail.claim(user_id=job.user_id, week=job.week), compose)


def compose(row: DigestEmail) -> EmailMessage:
    """Write the digest."""
    since = timezone.now() - timedelta(days=7)
    count = User.objects.filter(date_joined__gte=since).count()
    return row.message("digests/digest", subject=f"Your week {row.week}", week=row.week, newcomers=count)
