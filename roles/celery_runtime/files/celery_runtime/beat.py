"""The database scheduler, which tells systemd when it has begun to tick."""

from __future__ import annotations

from typing import Any

from django_celery_beat.schedulers import DatabaseScheduler as BaseScheduler

from .notify import notify


class DatabaseScheduler(BaseScheduler):
    """Beat's database scheduler under `Type=notify`: ready once the schedule was read and its first tick is done."""

    _announced = False

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Run what is due; return the seconds until the next tick."""
        seconds = super().tick(*args, **kwargs)
        if not self._announced:
            notify("READY=1\nSTATUS=scheduling")
            self._announced = True
        return seconds
