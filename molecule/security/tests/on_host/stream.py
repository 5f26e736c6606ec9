"""Runs in the release: sends tasks until a file is there, each through a connection of its own; then waits for them. Prints JSON."""

import json
import pathlib
import sys
import time

import django
from celery.app.utils import find_app

django.setup()

from django_celery_results.models import TaskResult  # noqa: E402 (the settings come first)

END, LONGEST, PATIENCE = pathlib.Path(sys.argv[1]), 180, 60
QUEUES = ("high", "default", "low")


def main():
    """Send, wait, count."""
    app = find_app("sample")
    app.loader.import_default_modules()
    task, sent, refused = app.tasks["housekeeping.echo"], [], []
    end = time.monotonic() + LONGEST
    while time.monotonic() < end and not END.exists():
        try:
            with app.connection_for_write() as link:
                sent.append(
                    task.apply_async(kwargs={"job": {"text": "x"}}, queue=QUEUES[len(sent) % 3], connection=link).id
                )
        except Exception as error:
            refused.append(f"{type(error).__name__}: {error}")
        time.sleep(0.2)
    deadline = time.monotonic() + PATIENCE
    done = 0
    while time.monotonic() < deadline and done < len(sent):
        done = TaskResult.objects.filter(task_id__in=sent, status="SUCCESS").count()
        time.sleep(0.3)
    print("answer:" + json.dumps({"sent": len(sent), "done": done, "refused": refused[:5], "refusals": len(refused)}))


main()
