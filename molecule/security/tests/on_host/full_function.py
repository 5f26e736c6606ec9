"""Runs in the deployed Django of a host: all that tasks are used for, so that whatever Redis withholds shows in its log."""

from __future__ import annotations

import json
import time
from typing import Any

from celery import chain, chord, current_app, group
from housekeeping.tasks import echo

PATIENCE = 60


def one(number: int, **options: Any) -> Any:
    """Return a signature that needs nothing of the one before it."""
    return echo.si(job={"text": "acl", "numbers": [number]}).set(**options)


def results() -> dict[str, Any]:
    """Send each kind and wait for its result."""
    kinds = {queue: one(1, queue=queue) for queue in ("high", "default", "low")}
    kinds |= {
        "priority": one(2, priority=9),
        "later": one(3, countdown=1),
        "expires": one(4, expires=60),
        "chain": chain(one(5), one(6)),
        "group": group(one(7), one(8)),
        "chord": chord([one(9), one(10)], one(11)),
    }
    sent = {name: signature.apply_async() for name, signature in kinds.items()}
    deadline = time.monotonic() + PATIENCE
    while not all(result.ready() for result in sent.values()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return {name: result.successful() for name, result in sent.items()}


control = current_app.control
answer = {
    "results": results(),
    "ping": sorted(name.split("@")[0] for reply in control.ping(timeout=3) for name in reply),
    "inspected": bool(control.inspect(timeout=3).active_queues()),
    "revoked": control.revoke("11111111-1111-4111-8111-111111111111"),
}
print("answer:" + json.dumps(answer))
