"""What the mail tasks share: publishing that never breaks its caller, and one attempt at sending."""

import logging
from collections.abc import Callable
from typing import Any

from celery import Task
from celery.contrib.django.task import DjangoTask
from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models import QuerySet
from pydantic import BaseModel

from sample.mailing import PermanentMailError, TransientMailError, masked, retry_delay, send
from sample.outgoing import OutgoingEmail, after_grace

logger = logging.getLogger(__name__)

BATCH = 500


class RecordedTask(DjangoTask):
    """A task whose job also stands in the database, so that a broker outage costs a delay, no error."""

    abstract = True

    def publish(self, **kwargs: Any) -> bool:
        """Publish now; on failure log it (which reaches Sentry too), for the sweep to try again."""
        try:
            self.apply_async(kwargs=kwargs)
        except Exception:
            # All of them, because the caller has committed and must not fail now: a broker that is away, that
            # is full, that refuses the account. kombu raises a different class for each.
            logger.exception("%s was not published, its row stays pending", self.name)
            return False
        return True

    def delay_on_commit(self, *args: Any, **kwargs: Any) -> None:
        """Publish when the transaction has committed, and never raise into the request that did it."""
        if args:
            raise TypeError("name the arguments")
        transaction.on_commit(lambda: self.publish(**kwargs))


def publish_due(task: RecordedTask, rows: QuerySet[Any], to_job: Callable[[Any], BaseModel]) -> int:
    """Publish rows that are due, a batch of them, and return how many; stop where the broker is away."""
    published = 0
    for row in rows[:BATCH]:
        if not task.publish(job=to_job(row)):
            break
        published += 1
        # Left alone for a while now. A condition, because a worker may have claimed it already.
        rows.model.objects.filter(pk=row.pk, due_at=row.due_at).update(due_at=after_grace())
    return published


def attempt(
    task: Task, row: OutgoingEmail | None, compose: Callable[[OutgoingEmail], EmailMessage]
) -> dict[str, Any]:
    """Send a claimed row's e-mail once; retry what can pass, record how it ended."""
    if row is None:
        logger.info("nothing to send: already sent, given up, or another worker has it")
        return {"sent": False, "reason": "not pending"}
    try:
        send(compose(row))
    except TransientMailError as error:
        if task.request.retries >= task.max_retries:
            row.finish(row.Status.FAILED, str(error))
            raise
        delay = retry_delay(task.request.retries)
        row.finish(row.Status.PENDING, str(error), delay)
        raise task.retry(exc=error, countdown=delay) from None
    except PermanentMailError as error:
        row.finish(row.Status.FAILED, str(error))
        raise
    row.finish(row.Status.SENT)
    return {"sent": True, "to": masked(row.user.email)}
