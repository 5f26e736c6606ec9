"""Flower asks workers on a channel of its own, on which they answer questions and take no orders.

Celery sends questions (`inspect`) and orders (`control`) to the workers the same way, and whoever may publish there may stop them all. Redis
can tell channels apart and no more. So Flower's questions have one channel, and the answers another, with a name for each question. Both
are pub/sub: nothing is stored, and so Flower's login needs no key to write to. `stack_flower_read_only: false` lets it give orders there, too.

Here is the form of a question. Flower's end is `celery_runtime.flower_control`, the workers' `celery_runtime.answers`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from kombu import Exchange

from .envelope import Refused, is_text

EXCHANGE = "flower.celery.pidbox"
ANSWERS = "reply.flower.celery.pidbox"
TICKET = re.compile(r"[0-9a-f-]{36}")


def exchange() -> Exchange:
    """Return where questions are sent to."""
    return Exchange(EXCHANGE, type="fanout", durable=False, delivery_mode="transient")


@dataclass(frozen=True)
class Question:
    """What Flower wants to know, or to have done.

    Attributes:
        command: name of a command of `celery inspect` or `celery control`.
        arguments: the command's.
        nodes: names of the workers who are meant; None for all of them.
        ticket: where the answers go to; None where none is wanted.
    """

    command: str
    arguments: dict[str, Any] = field(default_factory=dict)
    nodes: list[str] | None = None
    ticket: str | None = None

    @classmethod
    def read(cls, body: Any) -> Question:
        """Return the question of a message.

        Raises:
            Refused: it is none.
        """
        try:
            question = cls(**body)
        except TypeError as error:
            raise Refused(f"no question: {error}") from None
        nodes, ticket = question.nodes, question.ticket
        if not is_text(question.command) or not isinstance(question.arguments, dict):
            raise Refused("command: not a name with arguments")
        if nodes is not None and not (isinstance(nodes, list) and all(is_text(node) for node in nodes)):
            raise Refused("nodes: not a list of names")
        if ticket is not None and not (isinstance(ticket, str) and TICKET.fullmatch(ticket)):
            raise Refused("ticket: no UUID")
        return question


def topic(channel: Any, ticket: str) -> str:
    """Return the name of the channel in Redis for the answers to a question."""
    name: str = channel._get_publish_topic(ANSWERS, ticket)
    return name
