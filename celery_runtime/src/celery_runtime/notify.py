"""Messages to the service manager, see sd_notify(3)."""

from __future__ import annotations

import os
import socket


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


def watchdog_interval() -> float:
    """Return the seconds after which the manager wants the next sign of life at the latest; 0 where it wants none."""
    return int(os.environ.get("WATCHDOG_USEC", "0")) / 1e6
