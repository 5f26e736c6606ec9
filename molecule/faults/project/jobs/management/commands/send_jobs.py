"""Sends the jobs that come in on standard input, a line of JSON each, and says of each what became of it."""

import json
import sys
import time
from typing import Any

from django.core.management.base import BaseCommand

from jobs.sending import send


class Command(BaseCommand):
    """Send jobs."""

    help = __doc__

    def handle(self, *_args: Any, **_options: Any) -> None:
        """Answer a line for each line."""
        for line in sys.stdin:
            job = json.loads(line)
            answer = {"id": job["id"], "error": ""}
            try:
                send(job)
            except Exception as error:  # Whatever it was, the job wasn't accepted, and the next one may be.
                answer["error"] = f"{type(error).__name__}: {error}"
            self.stdout.write(json.dumps({**answer, "at": time.time()}))
            self.stdout.flush()
