"""Bounds what a body may become when it is decompressed or decoded: a small one may become so large that its worker has no memory left."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from importlib import import_module
from typing import Any

from kombu import compression, serialization

from .configuration import load
from .envelope import Refused

# Bytes that a stream of LZMA may ask for besides its output: what xz -9 needs, 65 MiB, and something over.
LZMA_MEMORY = 80 * 2**20
# Encodings of text, by the names that kombu gives them in lower letters. Python knows others by the same way that are none, such as
# `zlib_codec`, which have no bound, and some whose time grows with the square of the length (`idna`, `punycode`).
ENCODINGS = frozenset(
    ("utf-8", "utf8", "utf-8-sig", "us-ascii", "ascii", "latin-1", "latin1", "iso-8859-1", "utf-16", "utf-32")
)


def _lzma() -> Any:
    return lzma.LZMADecompressor(memlimit=LZMA_MEMORY)


def _zstd() -> Any:
    # It is at home in Python from 3.14 on, and before in a package; kombu takes the first of them that is there.
    for name in ("compression.zstd", "backports.zstd"):
        try:
            return import_module(name).ZstdDecompressor()
        except ImportError:
            continue
    try:
        return _Zstandard()
    except ImportError:
        raise Refused("compressed: no zstd here") from None


class _Zstandard:
    """The decompressor of the package that kombu takes before 5.7, with the face of the others. It has no bound for its output."""

    # Bytes that are put in at once: of each block, which has 3 at least, 128 KiB can come at most (RFC 8878).
    STEP = 64

    def __init__(self) -> None:
        self._stream = import_module("zstandard").ZstdDecompressor().decompressobj()

    def decompress(self, data: bytes, most: int) -> bytes:
        """Return the first bytes of the output: `most`, or some more."""
        out = bytearray()
        for start in range(0, len(data), self.STEP):
            out += self._stream.decompress(data[start : start + self.STEP])
            if len(out) >= most or self._stream.eof:
                break
        return bytes(out)

    @property
    def eof(self) -> bool:
        """Return whether the stream has come to its end."""
        return bool(self._stream.eof)


class _Brotli:
    """Brotli's decompressor with the face of the others. It bounds its output from version 1.2 on."""

    def __init__(self) -> None:
        for name in ("brotli", "brotlicffi"):
            try:
                self._stream = import_module(name).Decompressor()
                return
            except ImportError:
                continue
        raise Refused("compressed: no brotli here")

    def decompress(self, data: bytes, most: int) -> bytes:
        """Return the first bytes of the output: `most`, or some more."""
        out: bytes = self._stream.process(data, output_buffer_limit=most)
        return out

    @property
    def eof(self) -> bool:
        """Return whether the stream has come to its end."""
        return bool(self._stream.is_finished())


# With a start each. Any other that kombu may know has no bound, and is refused.
BOUNDED: dict[str, Callable[[], Any]] = {
    "application/x-gzip": zlib.decompressobj,
    "application/x-bz2": bz2.BZ2Decompressor,
    "application/x-lzma": _lzma,
    "application/zstd": _zstd,
    "application/x-brotli": _Brotli,
}


def bounded(start: Callable[[], Any], most: int) -> Callable[[bytes], bytes]:
    """Return a decompressor that stops at so many bytes."""

    def decompress(data: bytes) -> bytes:
        try:
            stream = start()
            # One byte more: at the very end a stream may not know yet that it ends.
            out: bytes = stream.decompress(data, most + 1)
        except Exception as error:
            # That of bz2 is an OSError, which a worker takes for one of its connection.
            raise Refused(f"compressed: broken: {error}") from None
        if len(out) > most:
            raise Refused(f"compressed: more than {most} bytes when decompressed")
        if not stream.eof:
            raise Refused("compressed: broken: it has no end")
        return out

    return decompress


def decode(data: Any, encoding: str) -> str:
    """Return the text of a body of no serializer, in place of `codecs.decode`.

    Raises:
        Refused: it is in none of the encodings of text that are known here.
    """
    if encoding.replace("_", "-") not in ENCODINGS:
        raise Refused("content-encoding: no encoding of text")
    return bytes(data).decode(encoding)


def install() -> None:
    """Let kombu decode text alone, and decompress with a bound or not at all."""
    serialization._decode = decode
    most = load().runtime.message_max_bytes
    if not most:
        return
    for name in set(compression._decoders):
        if name in BOUNDED:
            compression._decoders[name] = bounded(BOUNDED[name], most)
        else:
            del compression._decoders[name]
