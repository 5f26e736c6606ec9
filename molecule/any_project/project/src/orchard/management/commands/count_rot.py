"""Note what has rotted."""

from typing import Any

from django.core.management.base import BaseCommand

from orchard.models import Event


class Command(BaseCommand):
    """Note what has rotted."""

    help = __doc__

    def handle(self, *_: Any, **__: Any) -> None:
        """Note it."""
        Event.objects.create(kind="rot")
