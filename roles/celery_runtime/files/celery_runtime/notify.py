"""Tells systemd when a worker is ready and when it stops (sd_notify(3)), so that `systemctl start` means what it says."""

from __future__ import annotations

import os
import socket
from typing import Any

from celery import signals


def notify(message: str) -> None:
    """Send a message to the service manager; without one, as on a laptop, do nothing.

    Raises:
        OSError: the manager's socket is named but can't be reached.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
        connection.connect(address)
        connection.sendall(message.encode())


def _ready(**_: Any) -> None:
    notify("READY=1\nSTATUS=consuming")


def _stopping(**_: Any) -> None:
    notify("STOPPING=1\nSTATUS=warm shutdown: running tasks end first")


def connect() -> None:
    """Follow the worker's life. Strong references: a weakly held handler would be gone at once."""
    signals.worker_ready.connect(_ready, weak=False, dispatch_uid="celery_runtime.ready")
    signals.worker_shutting_down.connect(_stopping, weak=False, dispatch_uid="celery_runtime.stopping")
