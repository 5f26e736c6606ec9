"""Which command of Celery's this process is, for what imports nothing of Celery's."""

from __future__ import annotations

import sys
from typing import Any


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
    if context is None:
        return False
    root = context.find_root()
    return (root.invoked_subcommand or _announced(root)) == command


def _announced(root: Any) -> str | None:
    """Return the command that the command line names, where click is still at the options before it.

    Celery before 5.5 loads the application there, and a project may read its settings meanwhile.
    """
    from click import UsageError  # It is loaded, or there would be no context.

    try:
        _, rest, _ = root.command.make_parser(root).parse_args(args=sys.argv[1:])
    except UsageError:
        # It isn't this command line that click reads.
        return None
    return rest[0] if rest else None
