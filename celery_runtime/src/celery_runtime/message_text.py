"""How a message gets into a dead letter and out of it again, byte by byte as it was sent.

A requeued message is then what its sender wrote, with types that plain JSON doesn't have and bytes that are no text.
"""

from __future__ import annotations

import json
import re
from typing import Any

# What the fetch puts behind a message in the record: the exchange and the routing key.
BEHIND = re.compile(rb',\s*(?:null|"(?:[^"\\]|\\.)*"),\s*(?:null|"(?:[^"\\]|\\.)*")\s*\]\Z')


def original(record: bytes) -> str:
    """Return the message in an entry of the record `unacked`, or all of the entry where it is none."""
    end = BEHIND.search(record)
    return as_text(record[1 : end.start()] if end and record.startswith(b"[") else record)


def as_text(message: bytes) -> str:
    """Return a message as a text that `encoded` makes the same bytes of again."""
    return message.decode(errors="surrogateescape")


def encoded(name: str, message: str, story: list[dict[str, Any]]) -> bytes:
    """Return a dead letter as it lies in Redis, where a script takes the message out again."""
    text = json.dumps({"list": name, "message": message, "story": story}, ensure_ascii=False)
    return text.encode(errors="surrogateescape")
