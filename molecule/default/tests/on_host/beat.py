"""Runs in `sample-manage shell`: has beat send a task every two seconds; prints the runs that were stored."""

import json
import time

from django_celery_beat.models import IntervalSchedule, PeriodicTask
from django_celery_results.models import TaskResult

NAME = "test-every-two-seconds"
# Beat looks for changes of its schedule every five seconds.
PATIENCE = 30
WANTED = 3


def runs():
    """Return the runs that are stored."""
    done = TaskResult.objects.filter(periodic_task_name=NAME, status="SUCCESS")
    return list(done.values_list("worker", flat=True))


def main():
    """Print one line of JSON."""
    TaskResult.objects.filter(periodic_task_name=NAME).delete()
    every, _ = IntervalSchedule.objects.get_or_create(every=2, period=IntervalSchedule.SECONDS)
    entry, _ = PeriodicTask.objects.update_or_create(
        name=NAME,
        defaults={
            "task": "housekeeping.echo",
            "interval": every,
            "kwargs": json.dumps({"job": {"text": "beat"}}),
            "expire_seconds": 60,
            "enabled": True,
        },
    )
    try:
        deadline = time.monotonic() + PATIENCE
        while len(runs()) < WANTED and time.monotonic() < deadline:
            time.sleep(0.5)
        print("answer:" + json.dumps(runs()))
    finally:
        entry.delete()


main()
