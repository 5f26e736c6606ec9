"""A worker's heartbeats are tried once. Celery tries each until the broker takes it, within the event loop.

While it does so nothing else happens there: a lost connection isn't noticed, a stop isn't obeyed, and no sign of life is given. It took
a heartbeat that was due in the moment in which the broker went away.
"""

from __future__ import annotations

from typing import Any

from celery.worker.heartbeat import Heart

_send = Heart._send


def once(heart: Heart, event: str, retry: bool = False) -> Any:  # noqa: ARG001 (Celery's signature)
    """Send a heartbeat; while the broker is away the dispatcher keeps it for later."""
    return _send(heart, event, retry=False)


def install() -> None:
    """Let every heart of this process beat so."""
    Heart._send = once
