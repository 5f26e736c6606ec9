"""Bounds what a compressed body may become: a small one may become so large that its worker has no memory left."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Any

from kombu import compression

from .configuration import load
from .envelope import Refused

# With a start each. Those that kombu may know beside them have no bound to set, and no role installs what they need.
BOUNDED: dict[str, Callable[[], Any]] = {
    "application/x-gzip": zlib.decompressobj,
    "application/x-bz2": bz2.BZ2Decompressor,
    "application/x-lzma": lzma.LZMADecompressor,
}


def bounded(start: Callable[[], Any], most: int) -> Callable[[bytes], bytes]:
    """Return a decompressor that stops at so many bytes."""

    def decompress(data: bytes) -> bytes:
        stream = start()
        out: bytes = stream.decompress(data, most)
        if not stream.eof:
            raise Refused(f"compressed: broken, or more than {most} bytes when decompressed")
        return out

    return decompress


def install() -> None:
    """Let kombu decompress with a bound, or not at all."""
    most = load().runtime.message_max_bytes
    if not most:
        return
    for name in set(compression._decoders):
        if name in BOUNDED:
            compression._decoders[name] = bounded(BOUNDED[name], most)
        else:
            del compression._decoders[name]
