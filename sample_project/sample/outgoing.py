"""E-mails recorded before they are sent: the record is the job, a message only wakes a worker.

A row is written in the transaction that gave reason for the mail. Whatever happens to the broker, a sweep finds the
rows that are due: soon where nobody could publish them, after a while where a message is on its way. Sending is claimed
by an UPDATE that only one delivery can win, so a second delivery of the same task has no second effect. What is left is
the gap between the mail server's "250 accepted" and our UPDATE: a crash just there sends again, under the same
Message-ID, because losing the mail would be worse.
"""

import uuid
from datetime import datetime, timedelta
from typing import Any, Self

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db import models
from django.db.models import F, Q
from django.template.loader import render_to_string
from django.utils import timezone

from sample.mailing import TIME_LIMIT

# A claim outlives the hard time limit of the task that holds it, so that nobody takes it from a living one.
CLAIM_TIME = timedelta(seconds=TIME_LIMIT + 30)
# How long the sweep leaves a new row to the process that wrote it, which publishes it at once if it can.
UNPUBLISHED = timedelta(seconds=5)
# How long a published row is left alone before it is published again: a busy worker is no broker that forgot.
GRACE = timedelta(minutes=10)
# A mail that takes its worker down with it would come back for ever. Three retries need four.
MAX_ATTEMPTS = 12


def after_grace() -> datetime:
    """Return when a row that is published now may be published again."""
    return timezone.now() + GRACE


def soon() -> datetime:
    """Return when a row that is written now may be published by the sweep."""
    return timezone.now() + UNPUBLISHED


class OutgoingEmail(models.Model):
    """One e-mail to one user: what became of it, and when to look at it again."""

    class Status(models.TextChoices):
        """Where the e-mail stands."""

        PENDING = "pending"
        SENDING = "sending"
        SENT = "sent"
        FAILED = "failed"

    key = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    last_error = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    due_at = models.DateTimeField(
        default=soon, help_text="When the sweep publishes it, unless it was published or is done by then."
    )
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        """Found by the sweep through an index."""

        abstract = True
        indexes = (models.Index(fields=["status", "due_at"], name="%(class)s_due"),)

    @classmethod
    def due(cls, **lookup: Any) -> models.QuerySet[Self]:
        """Return what should have been sent by now and was not: its message is lost, or its worker died."""
        unfinished = [cls.Status.PENDING, cls.Status.SENDING]
        return cls._default_manager.filter(status__in=unfinished, due_at__lte=timezone.now(), **lookup).order_by(
            "due_at"
        )

    @classmethod
    def claim(cls, **lookup: Any) -> Self | None:
        """Take the one row that matches for this delivery; None when it is done, given up, or another's."""
        now = timezone.now()
        free = Q(status=cls.Status.PENDING) | Q(status=cls.Status.SENDING, due_at__lte=now)
        row = cls._default_manager.filter(free, **lookup)
        row.filter(attempts__gte=MAX_ATTEMPTS).update(
            status=cls.Status.FAILED, last_error=f"given up after {MAX_ATTEMPTS} attempts"
        )
        # One statement tests and sets, so two workers cannot both win.
        if not row.update(status=cls.Status.SENDING, attempts=F("attempts") + 1, due_at=now + CLAIM_TIME):
            return None
        return cls._default_manager.select_related("user").get(**lookup)

    def record_published(self) -> None:
        """Have the sweep leave the row alone for a while: its message is on its way."""
        # A condition, because a worker may have claimed it before we come to write this.
        fresh = type(self)._default_manager.filter(pk=self.pk, due_at=self.due_at)
        fresh.update(due_at=after_grace())

    def finish(self, status: str, error: str = "", delay: int = 0) -> None:
        """Record how the attempt ended; `delay` is the wait in seconds until a retry that is on its way."""
        now = timezone.now()
        # The count is the claim's number: who lost the claim meanwhile may not overwrite what its new holder
        # wrote.
        type(self)._default_manager.filter(pk=self.pk, attempts=self.attempts).update(
            status=status,
            last_error=error[:500],
            due_at=now + timedelta(seconds=delay) + GRACE,
            sent_at=now if status == self.Status.SENT else None,
        )

    def message(self, template: str, subject: str, **context: Any) -> EmailMultiAlternatives:
        """Compose the e-mail from `<template>.txt` and `<template>.html`."""
        sender = settings.DEFAULT_FROM_EMAIL
        domain = sender.rpartition("@")[2].rstrip("> ")
        context = {"user": self.user, "site_url": settings.SITE_URL, **context}
        mail = EmailMultiAlternatives(
            subject,
            render_to_string(f"{template}.txt", context),
            sender,
            [self.user.email],
            # The same at every attempt, so that a mail server or reader can drop a duplicate.
            headers={"Message-ID": f"<{self.key}@{domain}>", "Auto-Submitted": "auto-generated"},
        )
        mail.attach_alternative(render_to_string(f"{template}.html", context), "text/html")
        return mail
