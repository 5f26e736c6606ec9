"""The part `beat`: no due run is lost because the broker was away. And beat's share of the part `watchdog`.

What the parts that are on add (see `celery_runtime.scheduler`) is put over the scheduler that is configured, whichever it is. The setting
`beat_scheduler` still says which that is.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import wraps
from typing import Any

from celery.utils.imports import load_extension_class_names, symbol_by_name

from . import commands
from .configuration import ConfigurationError, Runtime, load

MARK = "_celery_runtime"
OF_DATABASE = "django_celery_beat.schedulers"


def named(name: Any) -> Any:
    """Return what `beat_scheduler` names, as beat does it: a class, a dotted name, or a name that a package brings.

    Raises:
        ImportError, AttributeError: there is no such thing.
    """
    return symbol_by_name(name, aliases=dict(load_extension_class_names("celery.beat_schedulers")))


def scheduler_class(stock: Any, parts: Collection[str]) -> Any:
    """Return a scheduler class with what the parts that are on add.

    Raises:
        ConfigurationError: it is none, or Celery or django-celery-beat isn't as they need it.
    """
    # These are beat's alone.
    from celery.beat import Scheduler

    from . import compatibility, scheduler

    compatibility.require(parts, "beat")
    if not isinstance(stock, type) or not issubclass(stock, Scheduler):
        raise ConfigurationError(
            f"beat_scheduler is {stock!r}, which is no scheduler class of Celery's kind: derive it from celery.beat.Scheduler, or leave "
            "'watchdog' and 'beat' out of stack_runtime_parts"
        )
    if issubclass(stock, scheduler.Layer):
        # Beat asks twice: it tells what it is before it begins.
        return stock
    layers: list[type] = []
    if "beat" in parts:
        layers.append(scheduler.Retrying)
        if any((one.__module__, one.__name__) == (OF_DATABASE, "DatabaseScheduler") for one in stock.__mro__):
            from .database_scheduler import RetryingInDatabase

            layers = [RetryingInDatabase]
    if "watchdog" in parts:
        layers.append(scheduler.Watched)
    return (
        type(stock.__name__, (*layers, stock), {"__module__": __name__, "__doc__": stock.__doc__}) if layers else stock
    )


def settings(_: Runtime) -> dict[str, Any]:
    """Return the Celery settings of this part: none."""
    return {}


def install() -> None:
    """Let beat put its scheduler together from what the parts bring, where this process is beat."""
    if not commands.is_beat():
        return
    from celery.beat import Service

    stock = Service.get_scheduler
    if hasattr(stock, MARK):
        return

    @wraps(stock)
    def get_scheduler(self: Any, *args: Any, **kwargs: Any) -> Any:
        self.scheduler_cls = scheduler_class(named(self.scheduler_cls), load().runtime.parts)
        return stock(self, *args, **kwargs)

    setattr(get_scheduler, MARK, True)
    Service.get_scheduler = get_scheduler
