"""What a message must look like before anything of it is used.

Whoever can write into a queue can write anything. Celery and kombu rely on the form of a message in many places, also where an
error ends the worker's main process and all that it runs; a message that isn't as Celery makes them is refused here instead.
"""

from __future__ import annotations

from datetime import UTC, datetime
from math import inf
from typing import Any
from uuid import UUID

from celery.utils.time import maybe_iso8601

from .log_text import one_line

# A text that is shown, such as a task's other name.
LONGEST_NAME = 255
# A name or an id. A worker keeps tens of thousands of ids (celery.worker.state); a database keeps results of shorter ones.
LONGEST_ID = 1000
# Limits of time (s) and numbers of retries are those of sane people.
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


def is_id(value: Any) -> bool:
    """Tell whether a value can be the id or the name of a task: a text that logs, Redis and a database can hold."""
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_ID or "\0" in value:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_number(value: Any, most: float) -> bool:
    try:
        # No NaN, by which timers would lose their order, and none that no clock can count.
        return isinstance(value, (int, float)) and -most <= float(value) <= most
    except OverflowError:
        return False


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
    _require(is_text(message.get("content-type")), "content-type: missing, or not a short text")
    encoding = message.get("content-encoding")
    _require(encoding is None or is_text(encoding), "content-encoding: not a short text")


def tidy(headers: dict[str, Any]) -> None:
    """Bring into shape what stock Celery runs with, and what would harm a worker's log or memory in the shape that it has.

    Args:
        headers: as for `check_request`; they are changed.
    """
    if isinstance(headers.get("id"), UUID):
        headers["id"] = str(headers["id"])
    shadow = headers.get("shadow")
    if shadow and not is_text(shadow):
        # It stands for the task's name in the log, and a worker counts tasks by it.
        headers["shadow"] = one_line(str(shadow), LONGEST_NAME)


def check_request(headers: dict[str, Any]) -> None:
    """Check what a worker relies on.

    Args:
        headers: a message's headers, or its body where it is one of protocol 1.

    Raises:
        Refused: it isn't fit for use.
    """
    for name in ("id", "task"):
        _require(is_id(headers.get(name)), f"{name}: missing, or not a text of up to {LONGEST_ID} characters")
    retries = headers.get("retries")
    _require(retries is None or _is_number(retries, MOST_RETRIES), f"retries: not a number of at most {MOST_RETRIES}")
    limits = headers.get("timelimit")
    if limits:
        _require(isinstance(limits, (list, tuple)) and len(limits) == 2, "timelimit: not a list of two")
        # One of 0 is none to Celery, and a negative one has been reached at once.
        ok = all(limit is None or _is_number(limit, inf) for limit in limits)
        _require(ok, "timelimit: not a number of seconds")
    for name in ("eta", "expires"):
        if headers.get(name) is not None:
            _check_time(name, headers[name])


def _check_time(name: str, value: Any) -> None:
    now = datetime.now(UTC)
    try:
        when = maybe_iso8601(value)
        when = when if when.tzinfo else when.replace(tzinfo=UTC)
        ahead = (when - now).total_seconds()
        if name == "eta":
            # Near the ends of the calendar a change of the time zone fails.
            when.astimezone(UTC)
    except (AttributeError, TypeError, ValueError, OverflowError):
        raise Refused(f"{name}: not a time in ISO 8601") from None
    # Not the visibility timeout, after which it is handed out again: it was accepted, and late or twice is better than not at all.
    _require(name != "eta" or ahead <= LONGEST_TIME, f"eta: more than {LONGEST_TIME} s ahead")


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
        and is_id(value.get("task"))
        and isinstance(value.get("args") or [], (list, tuple))
        and isinstance(value.get("kwargs") or {}, dict)
        and isinstance(value.get("options") or {}, dict)
    )
