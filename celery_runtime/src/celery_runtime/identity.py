"""Finds out whose message one is that can't be used: who sent it waits for a result under its id.

Celery writes the id twice, among the headers and as `correlation_id`; a message of protocol 1 has it in its body.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

from .envelope import is_id

TEXT = r'"((?:[^"\\]|\\.){1,1000})"'
# Where the message is no JSON, or so large that its ends alone are there: as kombu and Celery write it, the surest first.
PATTERNS = (
    re.compile(rf'"task"\s*:\s*{TEXT}\s*,\s*"id"\s*:\s*{TEXT}'),
    re.compile(rf'"task"\s*:\s*{TEXT}()'),
    re.compile(rf'"correlation_id"\s*:\s*(){TEXT}'),
)
# Characters of each end in which these are looked for, and bytes up to which the body of a message of protocol 1 is read.
END, LARGEST_BODY = 16384, 2**20


def identity(message: str) -> tuple[str, str]:
    """Return the task's name and its id as far as a message tells them, each an empty text where it doesn't."""
    try:
        found = list(_told(json.loads(message)))
    except (ValueError, RecursionError):
        found = list(_seen(message))
    return tuple(next((pair[part] for pair in found if is_id(pair[part])), "") for part in (0, 1))  # type: ignore[return-value]


def _told(message: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each pair of name and id in a message that is JSON."""
    if not isinstance(message, dict):
        return
    headers, properties = message.get("headers"), message.get("properties")
    for part in (headers, _old_body(message)):
        if isinstance(part, dict):
            yield _text(part.get("task")), _text(part.get("id"))
    if isinstance(properties, dict):
        yield "", _text(properties.get("correlation_id"))


def _text(value: Any) -> Any:
    """Return a value, and the text of a UUID that kombu wrote with its type."""
    if isinstance(value, dict) and value.get("__type__") == "uuid" and isinstance(value.get("__value__"), dict):
        digits = str(value["__value__"].get("hex"))
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
    return value


def _old_body(message: dict[str, Any]) -> Any:
    body = message.get("body")
    if not isinstance(body, str) or len(body) > LARGEST_BODY:
        return None
    try:
        return json.loads(base64.b64decode(body))
    except (ValueError, RecursionError):
        return None


def _seen(message: str) -> Iterator[tuple[str, str]]:
    """Yield each pair of name and id that stands near an end of a message that is no JSON."""
    for pattern in PATTERNS:
        for part in (message[-END:], message[:END]):
            if found := pattern.search(part):
                yield _unquoted(found[1]), _unquoted(found[2])


def _unquoted(text: str) -> str:
    try:
        return str(json.loads(f'"{text}"'))
    except ValueError:
        return ""
