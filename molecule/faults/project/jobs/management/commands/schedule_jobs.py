"""Has beat run jobs at given times, each once: a line of JSON on standard input with `id`, `queue` and `at` (s since 1970)."""

import json
import sys
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand
from django.db import transaction
from django_celery_beat.models import ClockedSchedule, PeriodicTask


class Command(BaseCommand):
    """Schedule jobs."""

    help = __doc__

    @transaction.atomic
    def handle(self, *_args: Any, **_options: Any) -> None:
        """Write an entry for each line, all or none."""
        for line in sys.stdin:
            job = json.loads(line)
            clock, _ = ClockedSchedule.objects.get_or_create(clocked_time=datetime.fromtimestamp(job["at"], UTC))
            PeriodicTask.objects.create(
                name=job["id"],
                task="jobs.work",
                kwargs=json.dumps({"job": job["id"]}),
                queue=job["queue"],
                clocked=clock,
                one_off=True,
            )
            self.stdout.write(json.dumps({"id": job["id"]}))
