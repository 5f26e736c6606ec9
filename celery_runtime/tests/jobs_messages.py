"""Tasks of the tests about messages, beside those of `jobs`, and the calls that stock Celery runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from celery import chain, chord, group
from jobs import app, hold, leave
from kombu import compression

TENANT = UUID("6f6d2c1e-0c9a-4a55-8d5f-2d6f4d1c0a11")
# What of a request a call may decide.
SEEN = (
    "id",
    "root_id",
    "parent_id",
    "group",
    "retries",
    "timelimit",
    "stamps",
    "stamped_headers",
    "ignore_result",
    "lang",
)
HEADERS = {
    "tenant": TENANT,
    "amount": Decimal("1.10"),
    "bytes": b"\xff\x00",
    "at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    "list": [1, {"a": None}],
    "text": "ü\n\0",
    "number": 1.5,
    "none": None,
}


@app.task(bind=True)
def tell(self: Any, name: str, *_: Any) -> str:
    """Leave a trace, and return what of the request a call may decide."""
    leave(f"ran-{name}")
    seen = {field: getattr(self.request, field, None) for field in (*SEEN, *HEADERS)}
    # An id that is a UUID is a text under the runtime.
    seen["id"] = str(seen["id"])
    return json.dumps(seen | {"priority": self.request.delivery_info["priority"]}, default=repr, sort_keys=True)


@app.task
def count(parts: list[Any], name: str) -> int:
    """End a chord."""
    leave(f"ran-{name}-end")
    return len(parts)


@app.task
def failed(*_: Any) -> None:
    """Follow a failure."""
    leave("ran-errback")


@app.task
def fail(name: str) -> None:
    """Fail."""
    leave(f"ran-{name}")
    raise ValueError(name)


@app.task
def quick(*_: Any, **__: Any) -> None:
    """Take any argument."""


@app.task(rate_limit="100/s")
def limited(name: str = "") -> None:
    """Run under a limit of rate."""
    leave(f"ran-{name}")


@app.task
def no_memory() -> None:
    """Ask for more memory than there is."""
    raise MemoryError("more than there is")


def _now() -> datetime:
    return datetime.now(UTC)


def _options() -> dict[str, dict[str, Any]]:
    """Return the options of each call by its name."""
    calls: dict[str, dict[str, Any]] = {
        **{f"priority{value}": {"priority": value} for value in (-1, 0, 9, 10, 255, 1000, 2.5, True)},
        **{f"time-limit{value}": {"time_limit": value} for value in (0, 0.0, 60, 60.5, True, 1e12, float("inf"))},
        **{f"soft-limit{value}": {"soft_time_limit": value} for value in (0, None, 60, 60.5, float("inf"))},
        "both-limits-none-at-all": {"time_limit": 0, "soft_time_limit": 0},
        "soft-above-hard": {"time_limit": 60, "soft_time_limit": 600},
        "shadow-long": {"shadow": "x" * 300},
        "shadow-two-lines": {"shadow": "one\ntwo"},
        "shadow-number": {"shadow": 5},
        "root-long": {"root_id": "r" * 300},
        "root-number": {"root_id": 5},
        "group-long": {"group_id": "g" * 300},
        "parent-long": {"parent_id": "p\n" * 300},
        "typed-headers": {"headers": HEADERS},
        "typed-headers-and-limits": {"headers": {"tenant": TENANT}, "soft_time_limit": 0},
        "other-language": {"headers": {"lang": "php", "meth": ["x"]}},
        "eta-naive": {"eta": datetime.now()},
        "eta-aware": {"eta": _now() + timedelta(seconds=0.3)},
        "eta-long-ago": {"eta": datetime(1970, 1, 1, tzinfo=UTC)},
        "eta-text": {"eta": _now().isoformat()},
        "countdown": {"countdown": 0.3},
        "countdown-negative": {"countdown": -5},
        "expires-number": {"expires": 600.5},
        "expires-time": {"expires": _now() + timedelta(hours=1)},
        "expires-never": {"expires": datetime.max},
        "expired": {"expires": _now() - timedelta(hours=1)},
        "expires-at-once": {"expires": -1},
        "id-uuid": {"task_id": TENANT},
        "id-text": {"task_id": "Rechnung 2026/3 \u2013 \u00fc\u00a0\U0001f468\u200d\U0001f469"},
        "id-two-lines": {"task_id": "one\ntwo"},
        "id-percent": {"task_id": "%s %(name)d %"},
        "id-255": {"task_id": "i" * 255},
        "id-600": {"task_id": "i" * 600},
        "argsrepr-long": {"argsrepr": "x" * 5000},
        "argsrepr-number": {"argsrepr": 5, "kwargsrepr": ["x"]},
        "reply-to-long": {"reply_to": "x" * 300},
        "retries-negative": {"retries": -1},
        "retries-half": {"retries": 2.5},
        "stamped": {"stamped_headers": ["customer", "order"], "customer": ["acme"], "order": 5},
        "no-result": {"ignore_result": True},
        "link": {"link": tell.si("linked")},
        "links": {"link": [tell.si("linked-1"), tell.si("linked-2").set(priority=1000)]},
        "link-group": {"link": group(tell.si("linked-3"), tell.si("linked-4"))},
        "link-error": {"link_error": failed.s()},
    }
    return calls | {f"compressed-{kind}": {"compression": kind} for kind in compression.encoders()}


def calls() -> dict[str, Callable[[], Any]]:
    """Return the calls by their names."""

    def called(name: str, options: dict[str, Any]) -> Callable[[], Any]:
        return lambda: tell.apply_async([name], **{"task_id": f"id-{name}", **options})

    return {name: called(name, options) for name, options in _options().items()} | {
        "time-limit-negative": lambda: hold.apply_async(["limit"], task_id="id-time-limit-negative", time_limit=-1),
        "chain": lambda: chain(tell.si("chained-1"), tell.si("chained-2")).apply_async(),
        "group": lambda: group(tell.si("grouped-1"), tell.si("grouped-2")).apply_async(),
        "chord": lambda: chord([tell.si("part-1"), tell.si("part-2")])(count.s("chord")),
        "failing": lambda: fail.apply_async(["failing"], task_id="id-failing", link_error=[failed.s(), failed.si()]),
        "protocol-1": lambda: _by_protocol_1("protocol-1"),
    }


def _by_protocol_1(name: str) -> None:
    current, app.amqp.create_task_message = app.amqp.create_task_message, app.amqp.as_task_v1
    try:
        tell.apply_async([name], task_id=f"id-{name}", priority=1000, time_limit=0)
    finally:
        app.amqp.create_task_message = current


def send_all() -> None:
    """Send each call."""
    for call in calls().values():
        call()
