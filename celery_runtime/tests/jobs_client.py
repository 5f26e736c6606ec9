"""What tests do to the broker from their own process."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery_runtime import transport
from celery_runtime.ledger import Ledger
from kombu import Connection


@contextmanager
def runtime(celery: Any) -> Iterator[None]:
    """Let this process be one of the deployment."""
    before = dict(os.environ)
    os.environ.update(celery.environment)
    transport.install()
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def send_notes(celery: Any, names: list[str], seconds: float = 0, to: str = "low", **headers: Any) -> None:
    """Publish a `note` for each name, whose ids are the beginnings of the names."""
    with runtime(celery), Connection(celery.url) as connection:
        producer = connection.Producer()
        for name in names:
            producer.publish(
                json.dumps([[name, seconds], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]),
                # The nameless exchange reaches a queue by its name; nobody needs to have declared it.
                exchange="",
                routing_key=to,
                headers={
                    "lang": "py",
                    "task": "jobs.note",
                    "id": name[:100],
                    "root_id": name[:100],
                    "parent_id": None,
                    "group": None,
                    **headers,
                },
                content_type="application/json",
                content_encoding="utf-8",
                retry=False,
            )


def made_up(name: str, tag: str, **headers: Any) -> dict[str, Any]:
    """Return a message of a list, as it lies there."""
    return {
        "body": "W10=",
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"id": tag, **headers},
        "properties": {
            "body_encoding": "base64",
            "delivery_tag": tag,
            "delivery_info": {"exchange": name, "routing_key": name},
        },
    }


def record(ledger: Ledger, node: str, tag: str, name: str, **headers: Any) -> str:
    """Put a message into a list and fetch it as a node does; return it as it lay there."""
    raw = json.dumps(made_up(name, tag, **headers))
    ledger.client.lpush(name, raw)
    answer = ledger.fetch(node, [name], [name])
    while answer and len(answer) == 4:
        # Something before it was set aside.
        answer = ledger.fetch(node, [name], [name])
    assert answer
    return raw
