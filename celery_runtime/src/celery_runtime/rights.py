"""What a service may do at the broker beside its work: who may ask workers does so as Flower does, and who may not is told what to set.

Celery sends questions (`inspect`) and orders (`control`) to the workers the same way. A service that is to ask and not to order therefore has
Flower's channel, on which no order is obeyed (see `celery_runtime.questions`).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from redis.exceptions import NoPermissionError

from .configuration import Runtime

ADVICE = (
    "this service may not do that at the broker. plainhost's variables: stack_broker_rights for inspect, control and the reading of queues, "
    "stack_queues and stack_queue_patterns for queues"
)
BROKER_URL = "broker_url"


def user() -> str:
    """Return as whom this unit logs in to the broker; an empty text where no credential says it."""
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    path = Path(directory or "/nonexistent", BROKER_URL)
    return (urlsplit(path.read_text()).username or "") if path.exists() else ""


def advising(method: Callable[..., Any]) -> Callable[..., Any]:
    """Let what a channel does say which variables decide, where Redis refuses it."""

    @wraps(method)
    def advised(*arguments: Any, **options: Any) -> Any:
        try:
            return method(*arguments, **options)
        except NoPermissionError as error:
            if ADVICE in str(error):
                raise
            raise NoPermissionError(f"{error}; {ADVICE}") from error

    return advised


def install(runtime: Runtime) -> None:
    """Let this process ask in the way that its login may."""
    if user() in runtime.inspectors:
        from celery.app import control  # As in `parts`: what they are can be read without Celery.

        from .flower_control import Control

        # By the name that every application has for it: one may have been made before its settings, and with them this, were loaded.
        control.Control = Control
