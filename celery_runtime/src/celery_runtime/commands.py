"""Which command of Celery's this process is, for what imports nothing of Celery's."""

from __future__ import annotations

import sys


def is_flower() -> bool:
    """Tell whether this process is `celery … flower`."""
    return _is("flower")


def is_beat() -> bool:
    """Tell whether this process is `celery … beat`."""
    return _is("beat")


def _is(command: str) -> bool:
    """Ask Celery which of its commands this is, since a queue or an application may have that name, too."""
    click = sys.modules.get("click")
    context = click.get_current_context(silent=True) if click else None
    return context is not None and context.find_root().invoked_subcommand == command
