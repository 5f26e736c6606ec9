"""Runs in `sample-manage shell`: sends tasks and a pickled message; prints what became of them."""

import base64
import json
import pathlib
import pickle
import time
import uuid

from celery import current_app, states
from django.conf import settings
from django.db import connection
from django_celery_results.models import TaskResult
from housekeeping.tasks import echo

PATIENCE = 180
# Where the worker may write, so that nothing but the refusal keeps the message from doing it.
PROOF = pathlib.Path(settings.MEDIA_ROOT, "unpickled")


class Exploit:
    """Makes a file in whoever unpickles it; starts no program, which the sandbox would refuse."""

    def __reduce__(self):
        """Say what unpickling calls."""
        return pathlib.Path.touch, (PROOF,)


def stored(task_id):
    """Wait for the row of a task that is over."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        row = TaskResult.objects.filter(task_id=task_id, status__in=states.READY_STATES).first()
        if row:
            return {"status": row.status, "worker": row.worker, "result": json.loads(row.result)}
        time.sleep(0.1)
    return {"status": "no result in time"}


def send(queue):
    """Send an echo through a queue."""
    return echo.apply_async(kwargs={"job": {"text": queue, "numbers": [2, 3]}}, queue=queue).id


def pickled_message():
    """Return a message that a worker would take, its body pickled."""
    body = base64.b64encode(pickle.dumps([[], {"job": Exploit()}, {}])).decode()
    task_id = str(uuid.uuid4())
    return {
        "body": body,
        "content-type": "application/x-python-serialize",
        "content-encoding": "binary",
        "headers": {"lang": "py", "task": echo.name, "id": task_id, "root_id": task_id, "retries": 0},
        "properties": {
            "correlation_id": task_id,
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": "default"},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": str(uuid.uuid4()),
        },
    }


def main():
    """Print one line of JSON."""
    tasks = {queue: send(queue) for queue in ("high", "default", "low")}
    seen = {"vendor": connection.vendor, "queues": {queue: stored(task) for queue, task in tasks.items()}}
    with current_app.connection_for_write() as link:
        channel = link.default_channel
        message = pickled_message()
        # It works where it is read.
        pickle.loads(base64.b64decode(message["body"]))  # noqa: S301 (made above)
        seen["works_where_read"] = PROOF.exists()
        PROOF.unlink(missing_ok=True)
        channel.client.lpush("default", json.dumps(message))
        seen["pickled_id"] = message["headers"]["id"]
        # The same queue, the same worker, after it.
        seen["next"] = stored(send("default"))
        seen["left"] = channel.client.llen("default")
        # Settled: were it delivered again and again, it would be among these.
        seen["unacknowledged"] = [
            str(value) for value in channel.client.hgetall("unacked").values() if seen["pickled_id"] in str(value)
        ]
    seen["proof"] = PROOF.exists()
    seen["pickled"] = stored(seen["pickled_id"])["status"]
    print("answer:" + json.dumps(seen))


main()
