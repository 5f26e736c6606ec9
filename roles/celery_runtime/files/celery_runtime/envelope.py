"""What a message must look like before anything of it is used.

Whoever can write into a queue can write anything. Celery and kombu rely on the form of a message in many places, also where an
error ends the worker's main process and all that it runs; a message that isn't as Celery makes them is refused here instead.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

# A name or an id: what fits into the column of a result. Limits of time (s) and numbers of retries are those of sane people.
LONGEST_NAME = 255
LONGEST_TIME = 10 * 365 * 86400
MOST_RETRIES = 10**6
ENCODINGS = (None, "base64")


class Refused(Exception):
    """A message that can't be used; the text says why."""


def describe(error: BaseException) -> str:
    """Return what is wrong with a message as one short line: errors of parsers may quote all of it."""
    text = str(error) if isinstance(error, Refused) else f"{type(error).__name__}: {error}"
    return ascii(text)[1:-1][:300]


def _require(ok: bool, what: str) -> None:
    if not ok:
        raise Refused(what)


def is_text(value: Any) -> bool:
    """Tell whether a value is a short text without control characters."""
    return isinstance(value, str) and len(value) <= LONGEST_NAME and value.isprintable()


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def check_outside(message: Any) -> None:
    """Check what kombu relies on.

    Args:
        message: the message as it lies in Redis, decoded.

    Raises:
        Refused: it isn't fit for use.
    """
    _require(isinstance(message, dict), "no message of Celery: not an object")
    properties, headers, body = message.get("properties"), message.get("headers"), message.get("body")
    _require(isinstance(properties, dict), "properties: not an object")
    _require(isinstance(headers, dict), "headers: not an object")
    _require(isinstance(body, str) and body != "", "body: missing, empty, or not a text")
    info = properties.get("delivery_info")
    _require(
        isinstance(info, dict) and all(isinstance(info.get(name) or "", str) for name in ("exchange", "routing_key")),
        "delivery_info: not an object with an exchange and a routing_key",
    )
    _require(isinstance(properties.get("delivery_tag"), str), "delivery_tag: not a text")
    _require(properties.get("body_encoding") in ENCODINGS, "body_encoding: neither base64 nor none")
    for name in ("content-type", "content-encoding"):
        _require(is_text(message.get(name)), f"{name}: missing, or not a short text")
    for name in ("correlation_id", "reply_to"):
        _require(properties.get(name) is None or is_text(properties[name]), f"{name}: not a short text")
    priority = properties.get("priority")
    _require(
        priority is None or (_is_number(priority) and 0 <= priority <= 255), "priority: not a number from 0 to 255"
    )


def check_request(headers: dict[str, Any]) -> None:
    """Check what a worker relies on.

    Args:
        headers: a message's headers, or its body where it is one of protocol 1.

    Raises:
        Refused: it isn't fit for use.
    """
    for name in ("id", "task"):
        _require(is_text(headers.get(name)) and headers[name] != "", f"{name}: missing, or not a short, printable text")
    for name in ("root_id", "parent_id", "group", "shadow", "lang", "meth"):
        _require(headers.get(name) is None or is_text(headers[name]), f"{name}: not a short, printable text")
    for name in ("argsrepr", "kwargsrepr"):
        _require(headers.get(name) is None or isinstance(headers[name], str), f"{name}: not a text")
    retries = headers.get("retries")
    _require(
        retries is None or (isinstance(retries, int) and _is_number(retries) and 0 <= retries <= MOST_RETRIES),
        f"retries: not a number from 0 to {MOST_RETRIES}",
    )
    _check_limits(headers.get("timelimit"))
    _check_times(headers)
    stamped, stamps = headers.get("stamped_headers"), headers.get("stamps")
    _require(stamped is None or isinstance(stamped, list), "stamped_headers: not a list")
    _require(stamps is None or isinstance(stamps, dict), "stamps: not an object")


def _check_limits(limits: Any) -> None:
    if limits is None:
        return
    _require(isinstance(limits, (list, tuple)) and len(limits) in (0, 2), "timelimit: not a list of two")
    ok = all(limit is None or (_is_number(limit) and 0 < limit <= LONGEST_TIME) for limit in limits)
    _require(ok, f"timelimit: not above 0 and up to {LONGEST_TIME} s")


def _check_times(headers: dict[str, Any]) -> None:
    now = datetime.now(UTC)
    for name in ("eta", "expires"):
        value = headers.get(name)
        if value is None:
            continue
        try:
            when = datetime.fromisoformat(value)
            # Near the ends of the calendar a change of the time zone fails.
            when = (when if when.tzinfo else when.replace(tzinfo=UTC)).astimezone(UTC)
        except (TypeError, ValueError, OverflowError):
            raise Refused(f"{name}: not a time in ISO 8601") from None
        if name == "eta":
            # Not the visibility timeout, after which it is handed out again: it was accepted, and late or twice is better than not at all.
            _require((when - now).total_seconds() <= LONGEST_TIME, f"eta: more than {LONGEST_TIME} s ahead")


def check_payload(payload: Any) -> None:
    """Check a decoded body: arguments, and what the task is to be followed by.

    Raises:
        Refused: it isn't fit for use.
    """
    if isinstance(payload, dict):
        # Protocol 1, where it is all in one object.
        check_arguments(payload.get("args", ()), payload.get("kwargs", {}))
        check_followers(payload)
        return
    _require(isinstance(payload, (list, tuple)) and len(payload) == 3, "body: not a list of args, kwargs and embed")
    args, kwargs, embed = payload
    check_arguments(args, kwargs)
    if embed is not None:
        _require(isinstance(embed, dict), "embed: not an object")
        check_followers(embed)


def check_followers(embed: dict[str, Any]) -> None:
    """Check what a task is to be followed by.

    Raises:
        Refused: it isn't fit for use.
    """
    for name in ("callbacks", "errbacks", "chain"):
        signatures = embed.get(name)
        _require(
            signatures is None or (isinstance(signatures, list) and all(map(is_signature, signatures))),
            f"{name}: not a list of signatures",
        )
    chord = embed.get("chord")
    _require(chord is None or is_signature(chord), "chord: not a signature")


def check_arguments(args: Any, kwargs: Any) -> None:
    """Check that a task can be called with these.

    Raises:
        Refused: it can't.
    """
    _require(isinstance(args, (list, tuple)), "args: not a list")
    _require(isinstance(kwargs, dict), "kwargs: not an object")


def is_signature(value: Any) -> bool:
    """Tell whether a value looks like the signature of a task."""
    return (
        isinstance(value, dict)
        and is_text(value.get("task"))
        and isinstance(value.get("args") or [], (list, tuple))
        and isinstance(value.get("kwargs") or {}, dict)
        and isinstance(value.get("options") or {}, dict)
    )
