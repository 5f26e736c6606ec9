"""Publishing from a request: it waits for the broker for a moment only, and after a failure not at all for a while.

Celery's own way retries, with the worker's patience: seconds for each try. That is right for a worker, which must
not drop its connection at every hiccup, and wrong for a person who waits. It is safe to give up here because the
job stands in the database, from where it is published again.
"""

import time
from typing import Any

from celery import Task
from kombu import Connection
from kombu.pools import producers

# Seconds to wait for a connection, and as long again for each answer. A Redis that is well needs one of a thousand.
WAIT = 0.3
# Seconds during which nobody waits again after a failure. Until then the requests of this process don't even try.
PAUSE = 5.0

_OPTIONS = {
    "socket_connect_timeout": WAIT,
    "socket_timeout": WAIT,
    # The pool finds a closed connection without asking, and a silent one is found by the wait for the answer.
    "health_check_interval": 0,
    # No second try: kombu would make it after 2 s, and it costs the same wait again.
    "max_retries": 0,
}


class Publisher:
    """Publishes without patience, and remembers when it failed."""

    def __init__(self) -> None:
        self._asks_again_at = 0.0

    @property
    def paused(self) -> bool:
        """Tell whether the broker failed a moment ago, so that a request should not ask it."""
        return time.monotonic() < self._asks_again_at

    def publish(self, task: Task, kwargs: dict[str, Any]) -> None:
        """Publish a task now, once.

        Raises:
            Exception: it did not work, or nobody knows: what timed out may have arrived all the same. The classes
                are kombu's, redis-py's and OSError, depending on where it broke.
        """
        try:
            with producers[self._connection(task)].acquire(block=True, timeout=WAIT) as producer:
                task.apply_async(kwargs=kwargs, producer=producer, retry=False)
        except Exception:
            self._asks_again_at = time.monotonic() + PAUSE
            raise
        self.resume()

    def resume(self) -> None:
        """Forget a failure."""
        self._asks_again_at = 0.0

    @staticmethod
    def _connection(task: Task) -> Connection:
        """Describe the connection; what is open is kept in kombu's pool under this description."""
        return task.app.connection_for_write(transport_options=_OPTIONS)


publisher = Publisher()
