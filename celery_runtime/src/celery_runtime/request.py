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
        wanted = tuple(own or default for own, default in zip(self.time_limits, task, strict=True))
        if wanted == self.general:
            self.time_limits = self.pool
