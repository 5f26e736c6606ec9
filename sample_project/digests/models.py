"""The record of each user's digest of each week."""

from datetime import date

from django.conf import settings
from django.db import models
from sample.outgoing import OutgoingEmail


def iso_week(day: date) -> str:
    """Return the ISO week as `2026-W07`: its year is not always the day's."""
    year, week, _ = day.isocalendar()
    return f"{year}-W{week:02}"


class DigestEmail(OutgoingEmail):
    """One user's digest of one week."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="digest_emails")
    week = models.CharField(max_length=8)

    class Meta(OutgoingEmail.Meta):
        """One each, whatever runs twice."""

        abstract = False
        constraints = (models.UniqueConstraint(fields=["user", "week"], name="digest_once_a_week"),)

    def __str__(self) -> str:
        """Return what the admin shows."""
        return f"digest {self.week} to user {self.user_id}: {self.status}"
