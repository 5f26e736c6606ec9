"""Flower's end of its questions to the workers, in place of Celery's client for remote control: see `celery_runtime.questions`."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from celery.app import control
from kombu import Producer

from .questions import Question, exchange, topic


class Control(control.Control):
    """Celery's client for remote control, in Flower's process."""

    def broadcast(
        self,
        command: str,
        arguments: dict[str, Any] | None = None,
        destination: list[str] | None = None,
        connection: Any = None,
        reply: bool = False,
        timeout: float = 1.0,
        limit: int | None = None,
        callback: Callable[[Any], None] | None = None,
        channel: Any = None,
        **options: Any,
    ) -> list[dict[str, Any]] | None:
        """Ask, and return the answers of those who answered in time (s); None where none was wanted. See Celery's `broadcast`."""
        with self.app.connection_or_acquire(connection) as connected:
            if connected.transport.driver_type != "redis":
                answers: list[dict[str, Any]] | None = super().broadcast(
                    command, arguments, destination, connected, reply, timeout, limit, callback, channel, **options
                )
                return answers
            channel = channel or connected.default_channel
            ticket = str(uuid.uuid4()) if reply else None
            question = Question(command, arguments or {}, destination, ticket)
            if ticket is None:
                _publish(channel, question)
                return None
            return _ask(channel, question, ticket, timeout, limit or len(destination or []), callback)


def _publish(channel: Any, question: Question) -> None:
    Producer(channel, exchange(), serializer="json").publish(asdict(question))


def _ask(
    channel: Any, question: Question, ticket: str, timeout: float, limit: int, callback: Callable[[Any], None] | None
) -> list[dict[str, Any]]:
    """Return the answers, at most `limit` where that isn't 0."""
    answers: list[dict[str, Any]] = []
    deadline = time.monotonic() + timeout
    with channel.conn_or_acquire() as client, client.pubsub() as line:
        # Nobody keeps an answer for who isn't there yet.
        line.subscribe(topic(channel, ticket))
        while (left := deadline - time.monotonic()) > 0 and (not limit or len(answers) < limit):
            heard = line.get_message(timeout=left)
            if heard and heard["type"] == "subscribe":
                _publish(channel, question)
            elif heard and heard["type"] == "message":
                answers.append(json.loads(heard["data"]))
                if callback:
                    callback(answers[-1])
    return answers
