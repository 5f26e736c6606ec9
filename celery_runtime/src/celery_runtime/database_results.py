"""What the part `results` adds to the backends of django-celery-results: whose connection is made anew, and how chords are counted."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any

from celery import states
from django.db import router

from . import outages
from .chords import count_part
from .result_backend import Patient


class InDatabase(Patient):
    """Stores results in Django's database by the models of django-celery-results."""

    counts_again = True
    counts_the_lost = True

    def _passes(self, error: BaseException) -> bool:
        # What the backend says itself closes another connection than its own.
        return outages.passes(error)

    def _renew(self, error: BaseException | None = None) -> bool:  # noqa: ARG002 (every error that passes is the database's)
        return outages.close(router.db_for_write(self.TaskModel))

    def _stored_since(self, task_id: str, when: datetime, ready: bool = False) -> bool:
        found = self.TaskModel._default_manager.filter(task_id=task_id, date_done__gte=when)
        return bool((found.filter(status__in=states.READY_STATES) if ready else found).exists())

    def on_chord_part_return(self, request: Any, state: str, result: Any, **kwargs: Any) -> None:  # noqa: ARG002 (Celery's signature)
        """Count a finished part of a chord, as soon as the database and the broker are there."""
        self._count(partial(count_part, self, request), request)
