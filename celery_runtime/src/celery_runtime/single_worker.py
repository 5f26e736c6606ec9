"""One worker under a name on a host, on a broker whose record it can read.

A worker puts back at its start what its name holds in the record, since the worker of that name has ended. If that one still lives, all that it
runs is done twice. So a second one is refused before it touches anything. The name is held by a socket in the kernel's abstract
namespace (unix(7)): it goes with its process, however that ends, and nothing is left over to be taken for a living worker. Anybody on the
host may take a name there, so its holder is asked, and the kernel says whose answer that is. Workers in network namespaces of
their own don't see each other's; there systemd's unit is what keeps a pool single.
"""

from __future__ import annotations

import hashlib
import logging
import os
import socket
import struct
import sys
import threading
import time
from typing import Any

from celery import signals

logger = logging.getLogger(__name__)

# struct ucred, see unix(7): process, user, group.
CREDENTIALS = struct.Struct("3i")
# A holder answers at once (s); one that doesn't is frozen, or none of ours.
ANSWER_TIMEOUT = 2.0
# A holder answers so often at most: whoever asks must not keep it from its work (s).
PAUSE = 0.05
# kombu's options that would put its record elsewhere than where the runtime keeps the rest of it.
FIXED_OPTIONS = {
    "unacked_key": "unacked",
    "unacked_index_key": "unacked_index",
    "unacked_mutex_key": "unacked_mutex",
    "ack_emulation": True,
    "sep": "\x06\x16",
}


def moved_options(options: dict[str, Any]) -> list[str]:
    """Return those of kombu's transport options that move the record of unacknowledged messages, or switch it off."""
    return [name for name, value in FIXED_OPTIONS.items() if options.get(name, value) != value]


def complaint(options: dict[str, Any]) -> str:
    """Return what is wrong with kombu's transport options; nothing where they are fine."""
    moved = moved_options(options)
    return (
        f"broker_transport_options sets {', '.join(moved)}: the part 'transport' of stack_runtime_parts keeps a record beside kombu's. "
        "Take it out of stack_celery_settings_extra, or leave the part out"
        if moved
        else ""
    )


def take_name(broker: str, node: str) -> socket.socket | None:
    """Take a node's name on this host; the socket that is returned holds it.

    Args:
        broker: the broker's address, without a password.
        node: the node's name.

    Returns:
        None where somebody else, who has nothing to do with this application, sits on the name: an account without rights must not be able
        to keep a worker from starting.

    Raises:
        BlockingIOError: a worker of this application has it; the text says which process.
    """
    name = b"\0celery_runtime:" + hashlib.sha256(f"{broker} {node}".encode()).hexdigest().encode()
    until = time.monotonic() + ANSWER_TIMEOUT
    while time.monotonic() < until:
        # Datagrams: a service that accepts no connections may not listen, either.
        holder = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            holder.bind(name)
        except OSError:
            holder.close()
        else:
            # The children of the pool may outlive a worker that is killed.
            os.register_at_fork(after_in_child=holder.close)
            threading.Thread(target=_answer, args=(holder,), name="name", daemon=True).start()
            return holder
        try:
            process, user, group = _ask(name, until)
        except ConnectionRefusedError:
            # It ended at this moment.
            continue
        except TimeoutError:
            break
        if user == os.geteuid() or group == os.getegid():
            raise BlockingIOError(f"the worker {node} runs already on this host, as process {process}")
        break
    logger.warning("somebody sits on this worker's name: a second worker of the name would not be noticed")
    return None


def _answer(holder: socket.socket) -> None:
    """Answer whoever asks, until the process ends."""
    while True:
        try:
            _, asker = holder.recvfrom(1)
            holder.sendto(b"!", socket.MSG_DONTWAIT, asker)
        except OSError:
            # Who asked is gone, or takes nothing; or the socket is closed.
            if holder.fileno() < 0:
                return
        time.sleep(PAUSE)


def _ask(name: bytes, until: float) -> tuple[int, int, int]:
    """Return process, user and group of who holds a name, as the kernel says them.

    Raises:
        ConnectionRefusedError: nobody does any more.
        TimeoutError: no answer until then (monotonic clock).
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as asking:
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        # A name that the kernel chooses, for the answer.
        asking.bind("")
        asking.settimeout(max(until - time.monotonic(), PAUSE))
        asking.sendto(b"?", name)
        while True:
            _, control, _, sender = asking.recvmsg(1, socket.CMSG_SPACE(CREDENTIALS.size))
            for level, kind, content in control:
                if sender == name and (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
                    process, user, group = CREDENTIALS.unpack(content[: CREDENTIALS.size])
                    return process, user, group
            if time.monotonic() > until:
                raise TimeoutError


class _Held:
    """What this process holds until it ends."""

    name: socket.socket | None = None


def _look(sender: Any = None, **_: Any) -> None:
    """Refuse to begin where this worker would harm another, or what it holds."""
    if wrong := complaint(sender.app.conf.broker_transport_options):
        sys.exit(f"the worker is not started: {wrong}")
    connection = sender.app.connection_for_read()
    try:
        _Held.name = _Held.name or take_name(connection.as_uri(), sender.hostname)
    except BlockingIOError as error:
        # What it runs would be handed out again.
        sys.exit(f"the worker is not started: {error}. Stop that one, or give this one another name (--hostname)")


def install() -> None:
    """Look before the worker begins: Celery logs what a receiver of its signals raises, and goes on, but not over an exit."""
    signals.worker_init.connect(_look, weak=False, dispatch_uid="celery_runtime.single_worker")
