"""How often workers ask Redis: counted by what Redis itself says that it was asked (MONITOR)."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import jobs_client
import pytest
from conftest import Server, wait_for


@dataclass
class Overheard:
    """What clients ordered of a server, a line each, with the time at which the server began to listen."""

    server: Server
    begun: float = field(default_factory=time.monotonic)
    lines: list[str] = field(default_factory=list)

    def fetches(self, node: str) -> int:
        """Return how often a node has asked for a message so far."""
        mark = uuid.uuid4().hex
        self.server.client.echo(mark)
        wait_for(lambda: any(mark in line for line in self.lines), "the end of what was said")
        asked = ("evalsha", "fcall")
        return sum(node in line and "unacked" in line and line.split()[0].lower() in asked for line in self.lines)

    @property
    def ticks(self) -> int:
        """Return how often an idle worker may have asked by its own clock, once a second, begun seconds included."""
        return int(time.monotonic() - self.begun) + 2


@contextmanager
def overhear(server: Server) -> Iterator[Overheard]:
    """Listen to what clients order of a server."""
    with server.client.monitor() as monitor:
        heard = Overheard(server)

        def listen() -> None:
            # The end of the connection ends it.
            try:
                for entry in monitor.listen():
                    heard.lines.append(entry["command"])
            except (OSError, ValueError, AttributeError):
                return

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        yield heard


@pytest.mark.parametrize("running", ["with tasks that run", "idle"])
def test_a_worker_is_not_woken_for_the_tasks_of_others(celery: Any, server: Server, running: str) -> None:
    """What another worker fetches, records and settles is no matter of a worker of another queue."""
    celery.worker("idle", queues="high")
    celery.worker("busy", queues="low")
    if running != "idle":
        # It has room for more, so it asks; and there is something of its own in the record.
        celery.send("hold", "long", queue="high")
        wait_for(lambda: "begin-long" in celery.effects(), "a task of its own")
    names = [f"n{number}" for number in range(100)]
    with overhear(server) as heard:
        jobs_client.send_notes(celery, names)
        wait_for(lambda: set(names) <= set(celery.effects()), "the tasks")
        assert heard.fetches("busy@test") >= len(names)
        assert heard.fetches("idle@test") <= heard.ticks


def test_an_idle_worker_asks_once_a_second_and_once_for_each_message(celery: Any, server: Server) -> None:
    celery.worker("one", queues="low")
    with overhear(server) as heard:
        for number in range(20):
            jobs_client.send_notes(celery, [f"n{number}"])
            wait_for(lambda done=f"n{number}": done in celery.effects(), "the task")
        wait_for(lambda: not server.client.exists("unacked"), "settled")
        # One that brings the message, and one that brings nothing, before it waits again; two children ask for two.
        assert heard.fetches("one@test") <= 3 * 20 + heard.ticks


def test_a_worker_hears_of_each_of_its_lists(celery: Any, server: Server) -> None:
    """Also of those that it has seen empty many times, and of suspects: this one would look by itself after a minute only."""
    celery.settings = {"broker_transport_options": {"polling_interval": 60}}
    celery.worker("one", queues="high,low", concurrency=1)
    lists = [f"{queue}{step}" for queue in ("high", "low") for step in ("", "\x06\x163", "\x06\x166", "\x06\x169")]
    for number, name in enumerate([*lists, "celery_runtime:suspects:high", "celery_runtime:suspects:low", *lists]):
        jobs_client.send_notes(celery, [f"n{number}"], to="nowhere")
        server.client.rename("nowhere", name)
        wait_for(lambda done=f"n{number}": done in celery.effects(), name)
