"""What the part `beat` adds to the scheduler of django-celery-beat beside `scheduler`: it goes on with what it knows of its database."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from celery.beat import SchedulingError
from celery.utils.log import get_logger
from django.core.exceptions import ObjectDoesNotExist
from django.db import DatabaseError, InterfaceError
from django_celery_beat.schedulers import DatabaseScheduler

from .outages import ERRORS
from .scheduler import Retrying

logger = get_logger(__name__)


class RetryingInDatabase(Retrying, DatabaseScheduler):
    """The share of the part `beat`: see `Retrying`."""

    def _begin_anew(self) -> None:
        self._initial_read = True

    def update_from_dict(self, mapping: dict[str, Any]) -> None:
        """Write the entries of the project's settings into the database. Stock drops those for which it was away."""
        entries = {}
        for name, fields in mapping.items():
            try:
                entry = self.Entry.from_entry(name, app=self.app, **fields)
            except ERRORS:
                raise
            except Exception:
                logger.exception("cannot add entry %r to the database's schedule: %r", name, fields)
            else:
                if entry.model.enabled:
                    entries[name] = entry
        self.schedule.update(entries)

    def all_as_schedule(self) -> dict[str, Any]:
        """Read the entries; without the database go on with those that are known."""
        try:
            entries: dict[str, Any] = super().all_as_schedule()
        except ERRORS as error:
            if self._schedule is None:
                raise
            self._store_is_away(error)
            entries = self._schedule
            return entries
        # The database may be readable and yet take nothing, as when its disk is full: what couldn't be written is still known here.
        for name in self._dirty & entries.keys() & (self._schedule or {}).keys():
            model = self._schedule[name].model
            fresh = entries[name].model
            fresh.last_run_at, fresh.total_run_count = model.last_run_at, model.total_run_count
            entries[name] = self.Entry(fresh, app=self.app)
        return entries

    def reserve(self, entry: Any) -> Any:
        """Return the entry as it is after this run, which isn't written down yet."""
        following = next(entry)
        if self._schedule.get(entry.name) is entry:
            self._schedule[entry.name] = following
        return following

    def apply_async(self, entry: Any, producer: Any = None, advance: bool = True, **kwargs: Any) -> Any:
        """Publish a run until the broker has it, then write it down.

        Raises:
            SchedulingError: the run can never be published, as for arguments that can't be encoded; it counts as run.
        """
        if advance:
            self.reserve(entry)
        try:
            result = self._publish(entry, producer, **kwargs)
        except SchedulingError:
            self._write_down(entry.name)
            raise
        self._write_down(entry.name)
        return result

    def _look_again(self) -> None:
        self._heap_invalidated = True

    def _write_down(self, name: str) -> None:
        self._dirty.add(name)
        self._do_sync()

    def sync(self) -> None:
        """Write down what ran; what the database doesn't take now is kept for later. Stock forgets it."""
        for name in sorted(self._dirty):
            try:
                self._schedule[name].save()
            except (KeyError, ObjectDoesNotExist):
                logger.info("beat: the entry %s is gone", name)
            except (DatabaseError, InterfaceError) as error:
                self._store_is_away(error)
                return
            self._dirty.discard(name)

    def _store_is_away(self, error: BaseException) -> None:
        super()._store_is_away(error)
        # Read the whole schedule at the next opportunity.
        self._last_full_sync = datetime.min
