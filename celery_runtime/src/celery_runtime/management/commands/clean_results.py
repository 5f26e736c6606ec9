"""Removes old task results in chunks."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from django_celery_results.models import GroupResult, TaskResult


class Command(BaseCommand):
    """Deletes by primary key, a chunk to a transaction.

    Celery's own clean-up is one transaction over everything, which fails at about a million rows (django-celery-results
    issues 232 and 430).
    """

    help = "Remove task results that are older than a number of days, in chunks."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--days", type=float, required=True, help="age in days from which a result is removed")
        parser.add_argument("--chunk", type=int, default=1000, help="rows to a transaction (default: 1000)")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Delete until nothing old is left."""
        if options["days"] <= 0 or options["chunk"] < 1:
            raise CommandError("--days must be above 0 and --chunk at least 1")
        limit = timezone.now() - timedelta(days=options["days"])
        for model in (TaskResult, GroupResult):
            removed = 0
            old = model.objects.filter(date_done__lt=limit).order_by("pk").values_list("pk", flat=True)
            while chunk := list(old[: options["chunk"]]):
                # Never counts rows of related objects: these models have none.
                removed += model.objects.filter(pk__in=chunk).delete()[0]
            self.stdout.write(f"{model.__name__}: removed {removed} older than {limit:%Y-%m-%d %H:%M} UTC")
