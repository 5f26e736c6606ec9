"""What the runtime adds to beat's scheduler, whichever it is, in two layers that are each a part's: signs of life, and retries."""

from __future__ import annotations

import dbm
import shelve
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from celery.beat import Scheduler as StockScheduler
from celery.beat import SchedulingError
from celery.utils.log import get_logger

from .broker_errors import broker_error_passes
from .notify import notify
from .watchdog import alive

logger = get_logger(__name__)

# Seconds between two attempts to reach the broker or where the schedule is kept, at most.
LONGEST_PAUSE = 5.0
# Seconds between two signs of life, at most: a third of the unit's WatchdogSec.
LONGEST_SILENCE = 20.0


class Layer(StockScheduler):
    """Places for the layers to give signs of life."""

    def keep_alive(self) -> None:
        """Give a sign of life while something is waited for; the part `watchdog` fills this in."""


class Watched(Layer):
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
        # Some schedulers heed no `max_interval`.
        return min(seconds or 0, LONGEST_SILENCE)

    def _ensure_connected(self) -> Any:
        return self.connection.ensure_connection(
            _tell, self.app.conf.broker_connection_max_retries, callback=self.keep_alive
        )


class Retrying(Layer):
    """The share of the part `beat`: a run that is due is published, however long that takes, and only then is it written down as run.

    Stock Celery writes it down first and swallows the error of publishing. Here a beat that is killed may publish one run twice, with
    one id.
    """

    # The entry whose run was published when it was reserved, before and after that, and what came of it.
    _published: tuple[Any, Any, Any] | None = None

    def setup_schedule(self) -> None:
        """Read the schedule, as soon as it can be read."""
        while True:
            try:
                super().setup_schedule()
            except Exception as error:
                if not self._is_away(error):
                    raise
                self._store_is_away(error)
                self._begin_anew()
                self.wait(LONGEST_PAUSE)
            else:
                return

    def _begin_anew(self) -> None:
        """Forget what an attempt to read the schedule has left."""

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Run what is due; return the seconds until the next tick."""
        self._published = None
        try:
            seconds: float = super().tick(*args, **kwargs)
        except Exception as error:
            if not self._is_away(error):
                raise
            self._store_is_away(error)
            # An entry that was being looked at isn't in the heap now.
            self._heap = None
            self.keep_alive()
            return LONGEST_PAUSE
        return seconds

    def reserve(self, entry: Any) -> Any:
        """Publish a run, and only then let the scheduler write it down; return the entry as it is after it."""
        try:
            result = self._publish(entry, None)
        except SchedulingError as error:
            result = error
        following = self._written_down(entry)
        self._published = entry, following, result
        return following

    def apply_async(self, entry: Any, producer: Any = None, advance: bool = True, **kwargs: Any) -> Any:
        """Publish a run until the broker has it, and write it down.

        Raises:
            SchedulingError: the run can never be published, as for arguments that can't be encoded; it counts as run.
        """
        if self._published and any(one is entry for one in self._published[:2]):
            *_, result = self._published
            if isinstance(result, SchedulingError):
                raise result
            return result
        try:
            result = self._publish(entry, producer, **kwargs)
        except SchedulingError:
            if advance:
                self._written_down(entry)
            raise
        if advance:
            self._written_down(entry)
        return result

    def _publish(self, entry: Any, producer: Any, **kwargs: Any) -> Any:
        """Publish a run until the broker has it.

        Raises:
            SchedulingError: it can never be published.
        """
        pause: float = 0
        while True:
            try:
                with _known_run(entry):
                    result = super().apply_async(entry, producer=producer or self.producer, advance=False, **kwargs)
            except SchedulingError as error:
                # Celery raises it beside the error of publishing.
                if not broker_error_passes(error.__cause__ or error.__context__):
                    raise
                pause = min(pause + 1, LONGEST_PAUSE)
                logger.error("beat: %s; trying again in %s seconds", error, pause)
            else:
                if pause:
                    # The next times of all entries were computed before the wait.
                    self._look_again()
                return result
            producer = None
            self._disconnect()
            self.wait(pause)

    def _look_again(self) -> None:
        self.old_schedulers = None

    def _written_down(self, entry: Any) -> Any:
        """Let the scheduler write a run down, as soon as it can, and return the entry after it."""
        while True:
            try:
                following = super().reserve(entry)
            except Exception as error:
                if not self._is_away(error):
                    raise
                self._store_is_away(error)
                self.wait(LONGEST_PAUSE)
            else:
                self._do_sync()
                return following

    def sync(self) -> None:
        """Write down what ran; what can't be written now is kept for later."""
        try:
            super().sync()
        except Exception as error:
            if not isinstance(error, OSError) and not self._is_away(error):
                raise
            self._store_is_away(error)
            if (store := self._shelf()) is not None:
                # It forgets this over an error, and would write nothing ever after.
                store.writeback = True
            return
        store = self._shelf()
        if store is not None and not hasattr(store.dict, "sync"):
            # Berkeley DB, which Debian's Python has before 3.13, keeps all in memory until it is closed.
            store.dict.close()
            store.dict = dbm.open(self.schedule_filename, "c")  # noqa: SIM115 (it stays open)

    def _shelf(self) -> Any:
        """Return the file of Celery's PersistentScheduler, where this is one and its file is open."""
        store = getattr(self, "_store", None)
        return (
            store
            if isinstance(store, shelve.DbfilenameShelf) and getattr(self, "persistence", None) is shelve
            else None
        )

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

    def _is_away(self, error: BaseException) -> bool:
        """Tell whether an error says that where the schedule is kept is away for now."""
        database = sys.modules.get("django.db")
        if database and isinstance(error, (database.OperationalError, database.InterfaceError)):
            return True
        return broker_error_passes(error)

    def _store_is_away(self, error: BaseException) -> None:
        logger.error("beat: the schedule can't be read or written now: %s", error)
        if "django.db" in sys.modules:
            from .outages import close_all

            close_all()


def _tell(error: Exception, interval: float) -> None:
    logger.error("beat: connection error: %s. Trying again in %s seconds...", error, interval)


@contextmanager
def _known_run(entry: Any) -> Iterator[None]:
    """Give the run of an entry its id; and one attempt at a time, since those of Celery's own give no sign of life between them."""
    options = entry.options
    entry.options = {**options, "task_id": run_id(entry), "retry": False}
    try:
        yield
    finally:
        entry.options = options


def run_id(entry: Any) -> str:
    """Return the id of this run of an entry: the same for every attempt to publish it, also those of a beat that was killed over it."""
    return str(uuid5(NAMESPACE_URL, f"{entry.name}\n{entry.total_run_count}\n{entry.last_run_at.isoformat()}"))
