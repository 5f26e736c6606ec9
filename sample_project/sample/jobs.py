"""What the mail tasks share: publishing that never breaks its caller, and one attempt at sending."""

import logging
import time
from collections.abc import Callable
from typing import Any

from celery import Task
from celery.contrib.django.task import DjangoTask
from django.core.mail import EmailMessage
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import QuerySet
from pydantic import BaseModel

from sample.mailing import PermanentMailError, TransientMailError, masked, retry_delay, send
from sample.outgoing import OutgoingEmail
from sample.publishing import publisher

logger = logging.getLogger(__name__)

# A sweep publishes so many in a few seconds, well within its interval.
BATCH = 2000
# Seconds to wait for a database that is away with a mail sent and not recorded: the soft limit without the
# time that sending may take.
PATIENCE = 40


class RecordedTask(DjangoTask):
    """A task whose job also stands in the database, so that a broker outage costs a delay, no error."""

    abstract = True

    def publish(self, row: OutgoingEmail, job: BaseModel) -> bool:
        """Publish a row's job now and record that; on failure log it (which reaches Sentry too), for the sweep."""
        try:
            publisher.publish(self, {"job": job})
        except Exception:
            # All of them, because the caller has committed and must not fail now: a broker that is away, that
            # is full, that refuses the account. kombu raises a different class for each.
            logger.exception("%s was not published, its row stays due", self.name)
            return False
        row.record_published()
        return True

    def publish_on_commit(self, row: OutgoingEmail, job: BaseModel) -> None:
        """Publish when the transaction has committed, and never raise into the request that did it.

        While the broker is known to be away nothing is tried: the row is due in a moment, and the sweep finds it.
        """
        transaction.on_commit(lambda: publisher.paused or self.publish(row, job), robust=True)


def publish_due(task: RecordedTask, rows: QuerySet[Any], to_job: Callable[[Any], BaseModel]) -> int:
    """Publish rows that are due, a batch of them, and return how many; stop where the broker is away."""
    published = 0
    for row in rows[:BATCH]:
        if not task.publish(row, to_job(row)):
            break
        published += 1
    return published


def insist(write: Callable[[], None]) -> None:
    """Write down what cannot be undone, as soon as the database takes it: forgotten, it would be done again.

    Raises:
        django.db.Error: the database is away for longer than `PATIENCE`.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return write()
        except (OperationalError, InterfaceError):
            if time.monotonic() > deadline:
                raise
            logger.warning("the database is away, and an e-mail was sent: it is written down when it is back")
            # A broken connection stays broken.
            connection.close()
            time.sleep(0.5)


def attempt(task: Task, row: OutgoingEmail | None, compose: Callable[[OutgoingEmail], EmailMessage]) -> dict[str, Any]:
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
    insist(lambda: row.finish(row.Status.SENT))
    return {"sent": True, "to": masked(row.user.email)}
