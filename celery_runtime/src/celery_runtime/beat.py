"""The part `beat`: no due run is lost because the broker or the database was away. And beat's share of the part `watchdog`.

Both need a scheduler of our own; it is put together from what the parts that are on bring (see `celery_runtime.scheduler`).
"""

from __future__ import annotations

from typing import Any

from .configuration import Runtime, load


def settings(_: Runtime) -> dict[str, Any]:
    """Return the Celery settings of this part."""
    return {"beat_scheduler": "celery_runtime.beat:DatabaseScheduler"}


def install() -> None:
    """Connect nothing: the scheduler is all."""


def __getattr__(name: str) -> Any:
    """Return the scheduler class: it needs Django's models, and this module is loaded before they are."""
    if name == "DatabaseScheduler":
        from .scheduler import scheduler_class

        return scheduler_class(load().runtime.parts)
    raise AttributeError(name)
