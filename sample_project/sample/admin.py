"""The admin of recorded e-mails: to look at, and to send again what failed."""

from typing import Any

from django.contrib import admin
from django.db import models, transaction
from django.http import HttpRequest
from django.utils import timezone

from sample.outgoing import OutgoingEmail

admin.site.site_header = admin.site.site_title = "Sample"


class OutgoingEmailAdmin(admin.ModelAdmin):
    """Read-only: the tasks write these rows, and a hand-made change would race with them."""

    list_display = ("user", "status", "attempts", "created_at", "sent_at", "last_error")
    list_filter = ("status",)
    list_select_related = ("user",)
    search_fields = ("user__email",)
    actions = ("send_again",)

    def has_add_permission(self, *_: Any) -> bool:
        """Rows are made by the code that has reason for a mail."""
        return False

    def has_change_permission(self, *_: Any) -> bool:
        """Nothing is edited by hand."""
        return False

    def has_send_permission(self, request: HttpRequest) -> bool:
        """Ask for what editing would have taken."""
        return super().has_change_permission(request)

    def publish(self, row: OutgoingEmail) -> None:
        """Wake a worker for the row."""
        raise NotImplementedError

    @admin.action(description="Send again what failed", permissions=["send"])
    def send_again(self, request: HttpRequest, queryset: models.QuerySet[OutgoingEmail]) -> None:
        """Start over with the failed ones among those selected."""
        with transaction.atomic():
            rows = list(queryset.select_for_update().filter(status=OutgoingEmail.Status.FAILED))
            for row in rows:
                row.attempts = 0
                row.status, row.due_at = OutgoingEmail.Status.PENDING, timezone.now()
                row.save(update_fields=["attempts", "status", "due_at"])
                self.publish(row)
        self.message_user(request, f"{len(rows)} will be sent again.")
