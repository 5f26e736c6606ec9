"""The request class of the part `limits`."""

from __future__ import annotations

from typing import Any, ClassVar

from celery.worker.request import Request as BaseRequest

Limits = tuple[float | None, float | None]


class Request(BaseRequest):
    """A task's request under the limits of the pool that runs it.

    Attributes:
        time_limits: hard and soft limit of this task (s), which its worker keeps.
        general: hard and soft limit of the settings (s).
        pool: hard and soft limit of this worker (s).
    """

    time_limits: Limits
    general: ClassVar[Limits] = (None, None)
    pool: ClassVar[Limits] = (None, None)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        task = (getattr(self.task, "time_limit", None), getattr(self.task, "soft_time_limit", None))
        # Before Celery 5.7 a task doesn't know the limits of the settings.
        hard, soft = (
            own or default or general
            for own, default, general in zip(self.time_limits, task, self.general, strict=True)
        )
        # The pool begins to count towards the hard limit when the soft one is over (`celery.concurrency.asynpool`): a hard limit that a call
        # asks for would come as late as the soft one of the settings.
        if hard and soft and soft > hard:
            soft = hard
        # Both together: who has a limit of his own has none of the pool's, not even the other of the two.
        self.time_limits = self.pool if (hard, soft) == self.general else (hard, soft)
