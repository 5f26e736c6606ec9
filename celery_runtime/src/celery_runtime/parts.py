"""The parts of the runtime. Each can be left out, and then Celery does what it does without it.

A part is a module of this package with `settings`, the Celery settings that it needs, and `install`, which connects it.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from . import rights
from .commands import is_flower
from .configuration import ConfigurationError, Runtime
from .versions import holds

# What Flower has in place of the parts' settings: it has no login to the database, where results are.
OF_FLOWER = {"result_backend": "disabled"}

# Parts that hang on nobody's insides. With one of the others on, an older Celery is completed (`older_requests`).
INDEPENDENT = frozenset({"guard", "memory"})

# In the order in which they are installed.
PARTS = ("watchdog", "transport", "guard", "limits", "results", "database", "memory", "beat", "signing")


def _modules(runtime: Runtime) -> list[Any]:
    unknown = sorted(set(runtime.parts) - set(PARTS))
    if unknown:
        raise ConfigurationError(
            f"stack_runtime_parts: no part is called {', '.join(unknown)}; there are {', '.join(PARTS)}"
        )
    return [import_module(f".{name}", __package__) for name in PARTS if name in runtime.parts]


def settings(runtime: Runtime) -> dict[str, Any]:
    """Return the Celery settings that the parts need, by their lower-case names.

    Raises:
        ConfigurationError: there is no such part.
    """
    result: dict[str, Any] = {}
    for module in _modules(runtime):
        result |= module.settings(runtime)
    return result | (OF_FLOWER if is_flower() else {})


def _complete(**_: Any) -> None:
    # Loaded in workers alone.
    from . import older_requests

    older_requests.install()


def install(runtime: Runtime) -> None:
    """Connect the parts, and what comes with all of them; a second call changes nothing.

    A worker on packages that don't fit them refuses to start. Flower gets none of them: it runs no task, and its login to the broker
    may do nothing that they do there.
    """
    from . import (
        answers,
        beat,
        compatibility,
        flower_broker,
    )  # They need Celery; what the parts are can be read without.

    modules = _modules(runtime)
    if is_flower():
        flower_broker.install()
        return
    compatibility.install(runtime.parts)
    if set(runtime.parts) - INDEPENDENT and holds("celery<5.7"):
        from celery import signals

        # Before the parts', which wrap more around it.
        signals.worker_init.connect(_complete, weak=False, dispatch_uid="celery_runtime.older")
    for module in modules:
        module.install()
    if "watchdog" in runtime.parts:
        # Beat has a share in it.
        beat.install()
    answers.install()
    rights.install(runtime)
