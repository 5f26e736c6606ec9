"""Beat's database scheduler, in two layers that are each a part's: signs of life, and retries."""

from __future__ import annotations

import time
from collections.abc import Collection
from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from celery.beat import SchedulingError
from celery.utils.log import get_logger
from django.core.exceptions import ObjectDoesNotExist
from django.db import DatabaseError, InterfaceError
from django_celery_beat.schedulers import DatabaseScheduler as StockScheduler

from . import compatibility
from .broker_errors import broker_error_passes
from .notify import notify
from .outages import ERRORS, close_all
from .watchdog import alive

logger = get_logger(__name__)

# Seconds between two attempts to reach the broker or the database, at most.
LONGEST_PAUSE = 5.0
# Seconds between two signs of life, at most: a third of the unit's WatchdogSec.
LONGEST_SILENCE = 20.0


class Scheduler(StockScheduler):
    """The stock scheduler with places for its layers to give signs of life."""

    def keep_alive(self) -> None:
        """Give a sign of life while something is waited for; the part `watchdog` fills this in."""


class Watched(Scheduler):
    """The share of the part `watchdog`: ready after the first tick, then a sign of life with each, and while the broker is waited for."""

    max_interval: float
    _announced = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.max_interval = min(self.max_interval, LONGEST_SILENCE)

    def keep_alive(self) -> None:
        """Give a sign of life."""
        alive()

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Run what is due; return the seconds until the next tick."""
        seconds: float = super().tick(*args, **kwargs)
        if not self._announced:
            notify("READY=1\nSTATUS=scheduling")
            self._announced = True
        self.keep_alive()
        return seconds

    def _ensure_connected(self) -> Any:
        return self.connection.ensure_connection(
            _tell, self.app.conf.broker_connection_max_retries, callback=self.keep_alive
        )


class Retrying(Scheduler):
    """The share of the part `beat`: a run that is due is published, however long that takes, and only then is it written down as run.

    Stock Celery writes it down first and swallows the error of publishing. Here a beat that is killed may publish one run twice, with
    one id.
    """

    def setup_schedule(self) -> None:
        """Read the schedule, as soon as the database is there."""
        while True:
            try:
                super().setup_schedule()
            except ERRORS as error:
                self._database_is_away(error)
                self._initial_read = True
                self.wait(LONGEST_PAUSE)
            else:
                return

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

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Run what is due; return the seconds until the next tick."""
        try:
            seconds: float = super().tick(*args, **kwargs)
        except ERRORS as error:
            self._database_is_away(error)
            # An entry that was being looked at isn't in the heap now.
            self._heap = None
            self.keep_alive()
            return LONGEST_PAUSE
        return seconds

    def all_as_schedule(self) -> dict[str, Any]:
        """Read the entries; without the database go on with those that are known."""
        try:
            entries: dict[str, Any] = super().all_as_schedule()
        except ERRORS as error:
            if self._schedule is None:
                raise
            self._database_is_away(error)
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
        # One attempt at a time, since those of Celery's own give no sign of life between them.
        entry.options |= {"task_id": _run_id(entry), "retry": False}
        pause: float = 0
        while True:
            try:
                result = super().apply_async(entry, producer=producer or self.producer, advance=False, **kwargs)
            except SchedulingError as error:
                # Celery raises it beside the error of publishing.
                if not broker_error_passes(error.__cause__ or error.__context__):
                    self._write_down(entry.name)
                    raise
                pause = min(pause + 1, LONGEST_PAUSE)
                logger.error("beat: %s; trying again in %s seconds", error, pause)
            else:
                # The next times of all entries were computed before the wait.
                self._heap_invalidated |= pause > 0
                self._write_down(entry.name)
                return result
            producer = None
            self._disconnect()
            self.wait(pause)

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
                self._database_is_away(error)
                return
            self._dirty.discard(name)

    def wait(self, seconds: float) -> None:
        """Wait, with signs of life; SIGTERM ends it."""
        until = time.monotonic() + seconds
        while (rest := until - time.monotonic()) > 0:
            self.keep_alive()
            time.sleep(min(1.0, rest))

    def _ensure_connected(self) -> Any:
        return self.connection.ensure_connection(
            _tell, None, interval_start=1, interval_step=1, interval_max=LONGEST_PAUSE, callback=self.keep_alive
        )

    def _disconnect(self) -> None:
        self.__dict__.pop("producer", None)
        connection = self.__dict__.pop("connection", None)
        if connection is not None:
            with suppress(Exception):  # it is broken, and given up
                connection.release()

    def _database_is_away(self, error: Exception) -> None:
        logger.error("beat: database error: %s", error)
        close_all()
        # Read the whole schedule at the next opportunity.
        self._last_full_sync = datetime.min


def _tell(error: Exception, interval: float) -> None:
    logger.error("beat: connection error: %s. Trying again in %s seconds...", error, interval)


def _run_id(entry: Any) -> str:
    """Return the id of this run of an entry: the same for every attempt to publish it, also those of a beat that was killed over it."""
    return str(uuid5(NAMESPACE_URL, f"{entry.name}\n{entry.total_run_count}\n{entry.last_run_at.isoformat()}"))


def scheduler_class(parts: Collection[str]) -> type[StockScheduler]:
    """Return the scheduler for the parts that are on.

    Raises:
        ConfigurationError: Celery or django-celery-beat isn't as they need it.
    """
    compatibility.require(parts, "beat")
    layers = [layer for part, layer in (("beat", Retrying), ("watchdog", Watched)) if part in parts]
    return type("DatabaseScheduler", (*layers, Scheduler) if layers else (StockScheduler,), {"__module__": __name__})
