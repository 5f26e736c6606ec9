"""Note what has rotted."""

from typing import Any

from django.core.management.base import BaseCommand

from orchard.models import Event


class Command(BaseCommand):
    """Note what has rotted."""

    help = __doc__
    # Checks load the site and with it the tasks, which ask the cache; who counts has no login there.
    requires_system_checks = ()

    def handle(self, *_: Any, **__: Any) -> None:
        """Note it."""
        Event.objects.create(kind="rot")
