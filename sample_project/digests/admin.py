"""Digest e-mails, for administrators."""

from django.contrib import admin
from sample.admin import OutgoingEmailAdmin

from digests.models import DigestEmail
from digests.tasks import DigestJob, send_user_digest


@admin.register(DigestEmail)
class DigestEmailAdmin(OutgoingEmailAdmin):
    """Digest e-mails, which can be sent again when they failed."""

    list_display = ("user", "week", *OutgoingEmailAdmin.list_display[1:])
    list_filter = ("status", "week")

    def publish(self, row: DigestEmail) -> None:
        """Wake a worker once the change is committed."""
        send_user_digest.publish_on_commit(row, DigestJob(user_id=row.user_id, week=row.week))
