"""Deletes old task results in chunks: Celery's own clean-up is one transaction."""

import time
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django_celery_results.models import TaskResult


class Command(BaseCommand):
    """`manage.py remove_old_results --days 30`, for a timer."""

    help = "Delete results of tasks that ended more than so many days ago, in chunks."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--days", type=int, default=30)
        parser.add_argument("--chunk", type=int, default=1000, help="rows in a transaction")
        parser.add_argument("--pause", type=float, default=0.1, help="seconds between chunks, for the others")

    def handle(self, *_: Any, days: int, chunk: int, pause: float, **__: Any) -> None:
        """Delete until nothing old is left."""
        if days < 1 or chunk < 1 or pause < 0:
            raise CommandError("--days and --chunk must be at least 1, --pause at least 0.")
        old = TaskResult.objects.filter(date_done__lt=timezone.now() - timedelta(days=days)).order_by(
            "date_done"
        )
        deleted = 0
        while keys := list(old.values_list("pk", flat=True)[:chunk]):
            deleted += TaskResult.objects.filter(pk__in=keys).delete()[0]
            time.sleep(pause)
        self.stdout.write(f"{deleted} results deleted")
