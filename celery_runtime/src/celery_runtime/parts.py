"""The parts of the runtime. Each can be left out, and then Celery does what it does without it.

A part is a module of this package with `settings`, the Celery settings that it needs, and `install`, which connects it.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .commands import is_flower
from .configuration import ConfigurationError, Runtime

# What Flower has in place of the parts' settings: it has no login to the database, where results are.
OF_FLOWER = {"result_backend": "disabled"}

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


def install(runtime: Runtime) -> None:
    """Connect the parts, and what comes with all of them; a second call changes nothing.

    A worker on packages that don't fit them refuses to start. Flower gets none of them: it runs no task, and its login to the broker
    may do nothing that they do there.
    """
    from . import answers, compatibility, flower_broker  # They need Celery; what the parts are can be read without.

    modules = _modules(runtime)
    if is_flower():
        flower_broker.install()
        return
    compatibility.install(runtime.parts)
    for module in modules:
        module.install()
    answers.install()
