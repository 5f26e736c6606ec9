"""A format of messages and results: JSON, packed as text."""

import base64
import zlib
from typing import Any

from kombu.utils import json

CONTENT_TYPE = "application/x-orchard-crate"
MARK = "crate:"


def pack(value: Any) -> str:
    """Return a value as text."""
    return MARK + base64.b85encode(zlib.compress(json.dumps(value).encode())).decode()


def unpack(text: str | bytes) -> Any:
    """Return the value that was packed."""
    packed = text.decode() if isinstance(text, bytes) else text
    return json.loads(zlib.decompress(base64.b85decode(packed.removeprefix(MARK))))
