"""Messages that somebody made up: refused with a reason, by a worker that goes on. Many more, on a host: molecule/security."""

from __future__ import annotations

import base64
import bz2
import json
import lzma
import time
import uuid
import zlib
from pathlib import Path
from typing import Any

import pytest
from conftest import wait_for


def message(headers: Any = None, properties: Any = None, **fields: Any) -> bytes:
    """Return a message that runs `note`, with some of it changed."""
    return json.dumps(
        {
            "body": body([], {"name": "made-up"}),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {"task": "jobs.note", "id": str(uuid.uuid4()), **(headers or {})},
            "properties": {
                "delivery_info": {"exchange": "", "routing_key": "low"},
                "body_encoding": "base64",
                "delivery_tag": str(uuid.uuid4()),
                **(properties or {}),
            },
            **{name.replace("_", "-"): value for name, value in fields.items()},
        }
    ).encode()


def body(*parts: Any) -> str:
    return encoded(json.dumps([*parts, {}]).encode())


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


# What a worker's main process may take at most while it refuses all of these: a bomb would become 100 MB at once (bytes).
MEMORY = 250 * 2**20
BOMB = encoded(zlib.compress(bytes(10**8), 9))
# Types that kombu gives to values among the headers, and plain JSON doesn't have.
TYPED = {
    "tenant": {"__type__": "uuid", "__value__": {"hex": "6f6d2c1e0c9a4a558d5f2d6f4d1c0a11"}},
    "amount": {"__type__": "decimal", "__value__": "1.10"},
    "bytes": {"__type__": "base64", "__value__": "/wA="},
    "at": {"__type__": "datetime", "__value__": "2026-01-02T03:04:05+00:00"},
}
SOON = "2026-01-01T00:00:00+00:00"

POISON = {
    "id": (message({"id": None}), "id: missing"),
    "task": (message({"task": ["jobs.note"]}), "task: missing"),
    "timelimit": (message({"timelimit": [-1, "x"]}), "timelimit: not a number"),
    "timelimit-nan": (message({"timelimit": [float("nan"), None]}), "timelimit: not a number"),
    "timelimit-three": (message({"timelimit": [1, 2, 3]}), "timelimit: not a list of two"),
    "timelimit-huge": (message({"timelimit": [10**400, None]}), "timelimit: not a number"),
    "typed-headers": (message({**TYPED, "timelimit": "x"}), "timelimit: not a list of two"),
    "stamps": (message({"stamped_headers": [[]]}), "unhashable"),
    "stamps-that-are-a-number": (message({"stamped_headers": 5}), "not iterable"),
    "stamps-after-a-time": (message({"stamped_headers": [[]], "eta": SOON}), "unhashable"),
    "stamps-under-a-rate": (message({"stamped_headers": [[]], "task": "jobs_messages.limited"}), "unhashable"),
    "stamps-under-a-rate-after-a-time": (
        message({"stamped_headers": [[]], "task": "jobs_messages.limited", "eta": SOON}),
        "unhashable",
    ),
    "nested-headers": (message({"x": nested(900)}), "ecursion"),
    "retries": (message({"retries": 10**9}), "retries: not a number"),
    "eta": (message({"eta": "9999-12-31T23:59:59+00:00"}), "eta: more than 315360000 s ahead"),
    "eta-early": (message({"eta": "0001-01-01T00:00:00+14:00"}), "eta: not a time"),
    "headers": (message().replace(b'"headers": {', b'"headers": null, "x": {'), "headers: not an object"),
    "number": (message({"x": 1}).replace(b'"x": 1', b'"x": ' + b"9" * 5000), "4300 digits"),
    "type": (message({"x": {"__type__": "os", "__value__": ""}}), "Unsupported type"),
    "delivery-info": (message(properties={"delivery_info": {"exchange": {}}}), "delivery_info: exchange"),
    "nul-in-the-id": (message({"id": "x\0"}), "id: missing"),
    "half-a-character-in-the-id": (message({"id": "x\ud800"}), "id: missing"),
    "base64": (message(body="YWJjZ"), "base64"),
    "empty": (message(body=""), "body: missing"),
    "args": (message(body=body("text", {})), "args: not a list"),
    "kwargs": (message(body=body([], ["x"])), "kwargs: not an object"),
    "two-parts": (message(body=encoded(b"[[], {}]")), "body: not a list"),
    "chain": (message(body=encoded(b'[[], {"name": "a"}, {"chain": [5]}]')), "chain: not a list"),
    "deep": (message(body=encoded(b"[" * 10**5)), "ecursion"),
    "pickle": (message(content_type="application/x-python-serialize"), "Refusing to deserialize"),
    "bomb": (message({"compression": "application/x-gzip"}, body=BOMB), "when decompressed"),
    "bomb-of-lzma": (message({"compression": "xz"}, body=encoded(lzma.compress(bytes(10**8)))), "when decompressed"),
    "bomb-of-bzip2": (message({"compression": "bzip2"}, body=encoded(bz2.compress(bytes(10**8)))), "when decompressed"),
    "broken-bzip2": (message({"compression": "bzip2"}, body=encoded(b"x" * 100)), "compressed: broken"),
    "dictionary-of-lzma": (
        message({"compression": "lzma"}, body=encoded(b"\x5d" + b"\xff" * 12 + bytes(64))),
        "compressed: broken",
    ),
    **{
        f"codec-{codec}": (
            message(content_type="application/text", content_encoding=codec, body=BOMB),
            "content-encoding: no encoding of text",
        )
        for codec in (
            "zlib_codec",
            "ZLIB-codec",
            "zip",
            "bz2",
            "hex",
            "rot13",
            "base64",
            "uu",
            "quopri",
            "idna",
            "punycode",
        )
    },
    "large": (message(body=body([], {"name": "x" * 10**7})), "stack_message_max_bytes"),
    "version-1": (
        message({}, body=encoded(b'{"task": "jobs.note"}')).replace(b'"task": "jobs.note", "id"', b'"x"'),
        "id: missing",
    ),
}


def peak(pid: int) -> int:
    """Return the most memory that a process ever had (bytes, proc_pid_status(5))."""
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def letters(celery: Any) -> dict[str, str]:
    """Return the reason of each dead letter by the message."""
    found = {}
    for line in celery.run("dead-letters", "list", "--json").splitlines():
        letter = json.loads(line)
        found[letter["id"]] = letter["story"][-1]["reason"]
    return found


def test_poisoned_messages_are_refused_with_a_reason(celery: Any, server: Any) -> None:
    worker = celery.worker(concurrency=1, options="--include=jobs_messages")
    for raw, _ in POISON.values():
        server.client.lpush("low", raw)
    celery.send("note", "good")
    wait_for(lambda: "good" in celery.effects() or worker.poll() is not None, "good")
    assert worker.poll() is None, celery.log()
    wait_for(lambda: server.client.hlen("unacked") == 0, "settled")
    assert "made-up" not in celery.effects(), (celery.log(), sorted(letters(celery).values()))
    reasons = sorted(letters(celery).values())
    assert len(reasons) == len(POISON), reasons
    missing = [says for _, says in POISON.values() if not any(says in reason for reason in reasons)]
    assert missing == [], reasons
    assert peak(worker.pid) < MEMORY
    assert server.client.hgetall("celery_runtime:losses") == {}


@pytest.mark.parametrize(
    "raw",
    [
        b"{broken",
        b'{"a": 1}',
        b"[1, 2]",
        b"[" * 10**5,
        json.dumps({"properties": {"delivery_tag": "x"}, "headers": [], "body": 5}).encode(),
        message(body=encoded(b"5")),
        message(body=encoded(b'{"method": "no_such_command", "destination": 5, "pattern": [], "matcher": {}}')),
        message({"clock": "text"}, body=encoded(b'{"method": "ping", "arguments": [5]}')),
    ],
)
def test_forged_control_commands_harm_no_worker(celery: Any, server: Any, raw: bytes) -> None:
    worker = celery.worker()
    server.client.publish("/0.celery.pidbox", raw)
    # A question behind it on the same way.
    assert "one@test" in celery.run("inspect", "ping", "--timeout=60", "--destination=one@test")
    celery.send("note", "good")
    wait_for(lambda: "good" in celery.effects() or worker.poll() is not None, "good")
    assert worker.poll() is None, celery.log()


def test_a_dead_letter_of_what_was_left_behind_stops_no_start(celery: Any, server: Any) -> None:
    """A worker was killed between fetching a message that nobody can read and refusing it."""
    record = b"[" + message().replace(b'"jobs.note"', b"9" * 5000) + b', "", "low"]'
    server.client.hset("unacked", "tag", record)
    server.client.zadd("unacked_index", {"tag": time.time()})
    server.client.hset("celery_runtime:holders", "tag", json.dumps(["one@test", "low"]))
    celery.worker()
    celery.send("note", "good")
    wait_for(lambda: "good" in celery.effects(), "good")
    assert [reason[:12] for reason in letters(celery).values()] == ["unreadable: "]
    assert not server.client.exists("unacked")
