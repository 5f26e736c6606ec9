"""What a small body may become: so many bytes, in whatever way it was made small."""

from __future__ import annotations

import codecs
from importlib import import_module
from typing import Any

import pytest
from celery_runtime import decompression
from celery_runtime.envelope import Refused
from kombu import compression, serialization

MOST = 100_000
KINDS = sorted(set(compression.encoders()))


def bounded(kind: str) -> Any:
    """Return the decompressor of a kind, by the name of its content."""
    return decompression.bounded(decompression.BOUNDED[kind], MOST)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [0, 1, MOST])
def test_what_is_within_the_bound_comes_out_as_it_was(kind: str, size: int) -> None:
    data = bytes(number % 251 for number in range(size))
    assert bounded(kind)(compression._encoders[kind](data)) == data


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [MOST + 1, 10**8])
def test_what_is_above_the_bound_is_refused(kind: str, size: int) -> None:
    with pytest.raises(Refused, match="when decompressed"):
        bounded(kind)(compression._encoders[kind](bytes(size)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("broken", [b"", b"none", None])
def test_what_is_broken_is_refused(kind: str, broken: bytes | None) -> None:
    """Never as an error of input or output, which a worker takes for one of its connection."""
    data = compression._encoders[kind](bytes(1000))[:-1] if broken is None else broken
    with pytest.raises(Refused, match="broken"):
        bounded(kind)(data)


def test_kombu_knows_no_kind_without_a_bound() -> None:
    assert {"application/zstd", "application/x-brotli"} <= set(KINDS), "the environment of these tests has them"
    assert set(KINDS) <= set(decompression.BOUNDED)


@pytest.mark.parametrize("home", ["compression.zstd", "backports.zstd"])
def test_zstd_is_bounded_in_each_of_its_homes(home: str) -> None:
    try:
        zstd = import_module(home)
    except ImportError:
        pytest.skip(f"this Python has no {home}")
    with pytest.raises(Refused, match="when decompressed"):
        bounded("application/zstd")(zstd.compress(bytes(10**8)))


def test_only_encodings_of_text_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serialization, "_decode", decompression.decode)
    for name in (
        "zlib_codec",
        "ZLIB",
        "bz2-codec",
        "hex",
        "rot13",
        "base64",
        "uu",
        "quopri",
        "idna",
        "punycode",
        "none",
    ):
        with pytest.raises(serialization.DecodeError, match="no encoding of text"):
            serialization.loads(b"x", "application/text", name)
    for name in ("utf-8", "UTF_8", "us-ascii", "latin1"):
        assert serialization.loads(b"x", "application/text", name) == "x"
        assert codecs.lookup(name)
