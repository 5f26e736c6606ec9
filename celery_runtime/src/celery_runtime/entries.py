"""What is read from the record in Redis: each entry by itself, and none is believed.

Every worker's login may write there. An entry that isn't as the runtime makes them raises `Unreadable`, which is never the end of a
loop: whoever reads goes on with the next one.
"""

from __future__ import annotations

import json
from typing import Any

from .log_text import one_line

# The year 9999, behind which a time has no date (s since 1970).
LAST_TIME = 253402300800


class Unreadable(ValueError):
    """An entry that can't be used; the text says why."""


def text(raw: bytes) -> str:
    """Return a name as text; bytes that are no UTF-8 survive the way back."""
    return raw.decode(errors="surrogateescape")


def raw(name: str | bytes) -> bytes:
    """Return a name as it stands in Redis."""
    return name if isinstance(name, bytes) else name.encode(errors="surrogateescape")


def shown(value: str | bytes) -> str:
    """Return anything as one short line for a terminal or a log."""
    return one_line(value if isinstance(value, str) else text(value), 400)


def _decoded(entry: bytes) -> Any:
    try:
        return json.loads(text(entry))
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"no JSON: {type(error).__name__}") from None


def _is_name(value: Any) -> bool:
    """Tell whether a value can be the name of a node or of a list."""
    try:
        return isinstance(value, str) and value != "" and bool(value.encode())
    except UnicodeEncodeError:
        return False


def holder(entry: bytes) -> tuple[str, str]:
    """Return node and list of a holder's entry.

    Raises:
        Unreadable: it is none.
    """
    value = _decoded(entry)
    if not isinstance(value, list) or len(value) < 2 or not all(map(_is_name, value[:2])):
        raise Unreadable("not a node and a list")
    return value[0], value[1]


def _is_event(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    at, node, reason = (value.get(name) for name in ("at", "node", "reason"))
    is_time = isinstance(at, (int, float)) and not isinstance(at, bool) and 0 <= at < LAST_TIME
    return is_time and isinstance(node, str) and isinstance(reason, str)


def _checked_story(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not value or not all(map(_is_event, value)):
        raise Unreadable("no story of losses")
    return value


def story(entry: bytes) -> list[dict[str, Any]]:
    """Return what happened to a message, oldest first: `at` (s since 1970), `node`, `reason`.

    Raises:
        Unreadable: it is no such list.
    """
    return _checked_story(_decoded(entry))


def letter(entry: bytes) -> tuple[str, str, list[dict[str, Any]]]:
    """Return list, message and story of a dead letter.

    Raises:
        Unreadable: it is none.
    """
    value = _decoded(entry)
    if not isinstance(value, dict) or not _is_name(value.get("list")) or not isinstance(value.get("message"), str):
        raise Unreadable("no dead letter")
    return value["list"], value["message"], _checked_story(value.get("story"))
