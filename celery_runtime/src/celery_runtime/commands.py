"""Which command of Celery's this process is, for what imports nothing of Celery's."""

from __future__ import annotations

import sys


def is_flower() -> bool:
    """Tell whether this process is `celery … flower`: Celery is asked, since a queue or an application may have that name, too."""
    click = sys.modules.get("click")
    context = click.get_current_context(silent=True) if click else None
    return context is not None and context.find_root().invoked_subcommand == "flower"
