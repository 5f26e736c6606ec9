"""The welcome e-mail."""

from typing import Any

from celery import shared_task
from django.core.mail import EmailMessage
from pydantic import BaseModel, ConfigDict, PositiveInt
from sample.jobs import RecordedTask, attempt, publish_due
from sample.mailing import MAX_RETRIES, SOFT_TIME_LIMIT, TIME_LIMIT

from accounts.models import WelcomeEmail


class WelcomeJob(BaseModel):
    """Whom to welcome. An identifier, no address: messages and results have many readers."""

    model_config = ConfigDict(extra="forbid", strict=True)

    user_id: PositiveInt


@shared_task(
    name="accounts.send_welcome_email",
    base=RecordedTask,
    bind=True,
    pydantic=True,
    pydantic_strict=True,
    max_retries=MAX_RETRIES,
    soft_time_limit=SOFT_TIME_LIMIT,
    time_limit=TIME_LIMIT,
)
def send_welcome_email(self: RecordedTask, job: WelcomeJob) -> dict[str, Any]:
    """Send the welcome, once, however often this task is delivered."""
    return attempt(self, WelcomeEmail.claim(user_id=job.user_id), compose)


def compose(row: WelcomeEmail) -> EmailMessage:
    """Write the welcome."""
    return row.message("accounts/welcome", subject="Welcome")


# Its result is of no use, and would be most of what stands in the table of results.
@shared_task(name="accounts.send_pending_welcome_emails", ignore_result=True)
def send_pending_welcome_emails() -> dict[str, int]:
    """Publish what is due: the broker was away, or lost it, or a worker died with it."""
    published = publish_due(send_welcome_email, WelcomeEmail.due(), lambda row: WelcomeJob(user_id=row.user_id))
    return {"published": published}
