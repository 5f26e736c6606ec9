"""Read the scale until somebody ends it: each thing on it becomes an event and a task."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from orchard import scale, tasks
from orchard.models import Event


class Command(BaseCommand):
    """Read the scale."""

    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the name of the scale."""
        parser.add_argument("--name", required=True)

    def handle(self, *_: Any, name: str, **__: Any) -> None:
        """Read it."""
        client = scale.client()
        while True:
            if read := client.blpop([scale.LIST], timeout=2):
                task = tasks.pick.delay(read[1])
                Event.objects.create(kind=f"weighed-{name}", detail=f"{read[1]} {task.id}")
