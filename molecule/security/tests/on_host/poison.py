"""Poisoned messages: the table of them, and the program that puts them into a queue on a host and looks what becomes of each.

The program runs on the broker's host, as root, with the packages of a release, behind `administrator.py`, and prints JSON. It writes into the
queue as the administrator, below Celery, for whoever can do that is the attacker here. The tests import the table.
"""

from __future__ import annotations

import base64
import json
import os
import pickle
import re
import subprocess
import sys
import time
import uuid
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from administrator import Results, broker

QUEUE = "default"
TASK = "housekeeping.echo"
JOB = {"job": {"text": "good", "numbers": [1, 2]}}
# When to give up waiting for the reason of a refusal, or for the next good task (s): it bounds a hang, and measures no machine.
PATIENCE = 120
# What a pickle of an attacker runs.
TRACE = "/tmp/plainhost-poison-was-here"  # noqa: S108 (a name that any account could have written)


class Dangerous:
    """A pickle that runs a command when it is read."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Say what to run."""
        return os.system, (f"touch {TRACE}",)


def base(text: str | bytes) -> str:
    """Return a body as kombu's virtual transports carry it."""
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def body(args: Any = (), kwargs: Any = None, embed: Any = None) -> str:
    """Return a body of the message protocol 2."""
    return base(json.dumps([args, JOB if kwargs is None else kwargs, embed or {}]))


def envelope(
    mark: str, *, headers: Any = None, properties: Any = None, without: tuple[str, ...] = (), **fields: Any
) -> bytes:
    """Return a message of Celery as it lies in Redis, with some of it changed."""
    message: dict[str, Any] = {
        "body": body(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {
            "lang": "py",
            "task": TASK,
            "id": mark,
            "root_id": mark,
            "parent_id": None,
            "group": None,
            "eta": None,
            "expires": None,
            "retries": 0,
            "timelimit": [None, None],
            "argsrepr": "()",
            "kwargsrepr": "{}",
            "origin": "attacker",
        },
        "properties": {
            "correlation_id": mark,
            "reply_to": mark,
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": QUEUE},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": str(uuid.uuid4()),
        },
    }
    for part, changes in (("headers", headers), ("properties", properties)):
        if isinstance(changes, dict):
            message[part] |= changes
        elif changes is not None:
            message[part] = changes
    for name in without:
        message["headers"].pop(name, None)
        message["properties"].pop(name, None)
        message.pop(name, None)
    return json.dumps(message | {name.replace("_", "-"): value for name, value in fields.items()}).encode()


def with_header(name: str, value: Any) -> Callable[[str], bytes]:
    """Return what makes a message with one header changed."""
    return lambda mark: envelope(mark, headers={name: value})


def with_property(name: str, value: Any) -> Callable[[str], bytes]:
    """Return what makes a message with one property changed."""
    return lambda mark: envelope(mark, properties={name: value})


def with_body(content: str | bytes, kind: str = "application/json", encoding: str = "utf-8") -> Callable[[str], bytes]:
    """Return what makes a message with a body of one's own."""
    return lambda mark: envelope(mark, body=base(content), content_type=kind, content_encoding=encoding)


def with_kwargs(args: Any, kwargs: Any) -> Callable[[str], bytes]:
    """Return what makes a message with these arguments."""
    return lambda mark: envelope(mark, body=body(args, kwargs))


def with_embed(**embed: Any) -> Callable[[str], bytes]:
    """Return what makes a message whose task ends in something else."""
    return lambda mark: envelope(mark, body=body(embed=embed))


def signature(task: str, **options: Any) -> dict[str, Any]:
    """Return the signature of a task as it stands in messages."""
    return {"task": task, "args": [], "kwargs": {}, "options": options, "subtask_type": None, "immutable": False}


def version_1(mark: str, **changes: Any) -> bytes:
    """Return a message of the protocol that Celery had before version 4."""
    old = {"task": TASK, "id": mark, "args": [], "kwargs": JOB} | changes
    gone = [name for name, value in old.items() if value is ...]
    content = {name: value for name, value in old.items() if name not in gone}
    return envelope(mark, body=base(json.dumps(content | {"origin": mark})), headers=[]).replace(
        b'"headers": []', b'"headers": {}'
    )


def doubled(mark: str) -> bytes:
    """Return a message that says of the same thing first one, then another."""
    return envelope(mark).replace(b'"retries": 0', b'"task": "no.such", "retries": 0')


def nested(depth: int) -> Any:
    """Return lists within lists."""
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


@dataclass(frozen=True)
class Row:
    """A poisoned message.

    Attributes:
        make: returns it; its argument is a mark by which it is recognised, the task's id where it can carry one.
        ends: where its reason is to be found: `letter` (a dead letter) or `result` (a stored result).
        says: what stands in the reason (a regular expression).
        state: the state of the stored result.
        readable: whether it tells its id, under which a result is to be found.
    """

    make: Callable[[str], bytes]
    ends: str
    says: str
    state: str = field(default="FAILURE")
    readable: bool = True


LETTER, RESULT = "letter", "result"
# Types that kombu gives to values among the headers, and plain JSON doesn't have.
TYPED = {
    "tenant": {"__type__": "uuid", "__value__": {"hex": "6f6d2c1e0c9a4a558d5f2d6f4d1c0a11"}},
    "amount": {"__type__": "decimal", "__value__": "1.10"},
    "bytes": {"__type__": "base64", "__value__": "/wA="},
}
PICKLE = pickle.dumps(Dangerous())
YAML = "!!python/object/apply:os.system ['touch " + TRACE + "']"

ROWS: dict[str, Row] = {
    # Serializers that the deployment doesn't accept.
    "pickle": Row(with_body(PICKLE, "application/x-python-serialize", "binary"), LETTER, "Refusing to deserialize"),
    "pickle-by-short-name": Row(with_body(PICKLE, "pickle", "binary"), LETTER, "Refusing to deserialize"),
    "pickle-in-other-letters": Row(
        with_body(PICKLE, "Application/X-Python-Serialize", "binary"), LETTER, "Refusing to deserialize"
    ),
    "pickle-said-to-be-json": Row(with_body(PICKLE), LETTER, "ecod"),
    "yaml": Row(with_body(YAML, "application/x-yaml"), LETTER, "Refusing to deserialize"),
    "msgpack": Row(
        with_body(b"\x93\x90\x80\x80", "application/x-msgpack", "binary"), LETTER, "Refusing to deserialize"
    ),
    "unknown-content-type": Row(with_body("[[], {}, {}]", "application/x-none"), LETTER, "Refusing to deserialize"),
    "no-content-type": Row(lambda mark: envelope(mark, without=("content-type",)), LETTER, "content-type"),
    "content-type-that-is-a-list": Row(lambda mark: envelope(mark, content_type=["json"]), LETTER, "content-type"),
    "unknown-content-encoding": Row(with_body("[[], {}, {}]", encoding="x-none"), RESULT, "missing|required"),
    # Tasks and arguments.
    "unknown-task": Row(with_header("task", "os.system"), RESULT, "NotRegistered"),
    "task-that-is-a-list": Row(with_header("task", ["os.system"]), LETTER, "task"),
    "missing-argument": Row(with_kwargs([], {}), RESULT, "missing|required"),
    "surplus-arguments": Row(with_kwargs([1, 2, 3], JOB), RESULT, "argument"),
    "unknown-argument": Row(with_kwargs([], JOB | {"shell": "id"}), RESULT, "unexpected|extra"),
    "argument-of-a-wrong-type": Row(with_kwargs([], {"job": {"text": ["x"]}}), RESULT, "text"),
    "self-as-an-argument": Row(with_kwargs([], JOB | {"self": "x"}), RESULT, "self"),
    "kwargs-that-are-a-list": Row(with_kwargs([], ["x"]), LETTER, "kwargs"),
    "kwargs-that-are-a-number": Row(with_kwargs([], 5), LETTER, "kwargs"),
    "args-that-are-a-text": Row(with_kwargs("text", {}), LETTER, "args"),
    "args-that-are-an-object": Row(with_kwargs({"a": 1}, {}), LETTER, "args"),
    "embed-that-is-a-list": Row(with_body("[[], {}, []]"), LETTER, "embed"),
    "body-with-two-parts": Row(with_body("[[], {}]"), LETTER, "body"),
    "body-that-is-a-number": Row(with_body("5"), LETTER, "body"),
    "empty-body": Row(lambda mark: envelope(mark, body=""), LETTER, "body"),
    "no-body": Row(lambda mark: envelope(mark, without=("body",)), LETTER, "body"),
    "body-that-is-an-object": Row(lambda mark: envelope(mark, body={"a": 1}), LETTER, "body"),
    # Bytes.
    "broken-json-in-the-body": Row(with_body("[[], {"), LETTER, "ecod"),
    "broken-json-around-it": Row(lambda mark: envelope(mark)[:-20], LETTER, "broken JSON"),
    "half-a-character": Row(
        lambda mark: envelope(mark).replace(b'"attacker"', b'"\xff\xfe"'), RESULT, "good", "SUCCESS"
    ),
    "nul-bytes": Row(lambda mark: b"\x00" + mark.encode() + b"\x00", LETTER, "broken JSON", readable=False),
    "binary-garbage": Row(lambda mark: mark.encode() + bytes(range(256)), LETTER, "broken JSON", readable=False),
    "truncated-base64": Row(lambda mark: envelope(mark, body=body()[:-3]), LETTER, "padding|base64"),
    "unknown-body-encoding": Row(with_property("body_encoding", "rot13"), LETTER, "body_encoding"),
    "ten-megabytes": Row(with_kwargs([], {"job": {"text": "x" * 10**7}}), LETTER, "bytes"),
    "compressed-bomb": Row(
        lambda mark: envelope(
            mark, body=base(zlib.compress(bytes(10**8), 9)), headers={"compression": "application/x-gzip"}
        ),
        LETTER,
        "when decompressed",
    ),
    **{
        f"bomb-by-the-codec-{codec}": Row(
            with_body(zlib.compress(bytes(10**8), 9), "application/text", codec), LETTER, "no encoding of text"
        )
        for codec in ("zlib_codec", "bz2", "rot13", "punycode")
    },
    "dictionary-of-four-gigabytes": Row(
        lambda mark: envelope(
            mark, body=base(b"\x5d" + b"\xff" * 12 + bytes(64)), headers={"compression": "application/x-lzma"}
        ),
        LETTER,
        "compressed: broken",
    ),
    "unknown-compression": Row(with_header("compression", "x-none"), LETTER, "x-none"),
    "deep-json-in-the-body": Row(with_body("[" * 10**5 + "]" * 10**5), LETTER, "ecursion"),
    "deep-json-around-it": Row(
        lambda mark: envelope(mark).replace(b'"attacker"', b"[" * 10**4 + b"]" * 10**4), LETTER, "ecursion"
    ),
    "huge-number-in-the-body": Row(
        with_body('[[], {"job": {"numbers": [' + "9" * 10**5 + "]}}, {}]"), LETTER, "digits"
    ),
    "huge-number-around-it": Row(
        lambda mark: envelope(mark).replace(b'"retries": 0', b'"retries": ' + b"9" * 10**4), LETTER, "digits"
    ),
    "type-that-json-can-name": Row(
        lambda mark: envelope(mark).replace(b'"attacker"', b'{"__type__": "os", "__value__": "x"}'),
        LETTER,
        "nsupported type",
    ),
    "same-key-twice": Row(doubled, RESULT, "NotRegistered"),
    # The envelope.
    "headers-that-are-null": Row(
        lambda mark: envelope(mark).replace(b'"headers": {', b'"headers": null, "x": {'), LETTER, "headers"
    ),
    "headers-that-are-a-list": Row(lambda mark: envelope(mark, headers=[mark]), LETTER, "headers"),
    "no-id": Row(lambda mark: envelope(mark, without=("id",)), LETTER, "id"),
    "id-that-is-a-number": Row(with_header("id", 5), LETTER, "id"),
    "id-that-is-an-object": Row(with_header("id", {"a": 1}), LETTER, "id"),
    "id-that-is-too-long": Row(with_header("id", "x" * 10**4), LETTER, "id"),
    "nul-in-the-id": Row(lambda mark: envelope(mark, headers={"id": f"{mark}\0"}), LETTER, "id"),
    "no-delivery-tag": Row(lambda mark: envelope(mark, without=("delivery_tag",)), LETTER, "no message of Celery"),
    "delivery-info-that-is-a-list": Row(with_property("delivery_info", []), LETTER, "delivery_info"),
    "exchange-that-is-an-object": Row(
        with_property("delivery_info", {"exchange": {}, "routing_key": []}), LETTER, "delivery_info"
    ),
    "forged-route": Row(
        with_property("delivery_info", {"exchange": "celery.pidbox", "routing_key": "nowhere"}),
        RESULT,
        "good",
        "SUCCESS",
    ),
    "priority-that-is-a-text": Row(with_property("priority", "x" * 50), RESULT, "good", "SUCCESS"),
    "priority-out-of-bounds": Row(with_property("priority", 10**9), RESULT, "good", "SUCCESS"),
    "reply-to-that-is-an-object": Row(
        with_property("reply_to", {"exchange": "celery.pidbox"}), RESULT, "good", "SUCCESS"
    ),
    "typed-headers-and-a-fault": Row(
        lambda mark: envelope(mark, headers=TYPED | {"timelimit": "x"}), LETTER, "timelimit"
    ),
    "typed-headers": Row(lambda mark: envelope(mark, headers=TYPED), RESULT, "good", "SUCCESS"),
    "headers-nested-too-deeply-to-be-passed-on": Row(with_header("x", nested(900)), LETTER, "ecursion"),
    "eta-that-is-none": Row(with_header("eta", "tomorrow"), LETTER, "eta"),
    "eta-that-is-a-number": Row(with_header("eta", 10**30), LETTER, "eta"),
    "eta-in-the-year-9999": Row(with_header("eta", "9999-12-31T23:59:59+00:00"), LETTER, "eta"),
    "eta-before-time-began": Row(with_header("eta", "0001-01-01T00:00:00+14:00"), LETTER, "eta"),
    "expiry-that-is-none": Row(with_header("expires", "never"), LETTER, "expires"),
    "expiry-that-is-a-list": Row(with_header("expires", [1]), LETTER, "expires"),
    "expired-long-ago": Row(with_header("expires", "1970-01-01T00:00:00+00:00"), RESULT, "expired", "REVOKED"),
    "time-limits-of-zero": Row(with_header("timelimit", [0, 0]), RESULT, "good", "SUCCESS"),
    "gigantic-time-limit": Row(with_header("timelimit", [1e300, 1e300]), RESULT, "good", "SUCCESS"),
    "time-limit-that-no-clock-counts": Row(with_header("timelimit", [10**400, None]), LETTER, "timelimit"),
    "time-limit-that-is-no-number": Row(with_header("timelimit", [float("nan"), None]), LETTER, "timelimit"),
    "time-limit-that-is-a-text": Row(with_header("timelimit", ["60", "60"]), LETTER, "timelimit"),
    "time-limit-with-three-parts": Row(with_header("timelimit", [1, 2, 3]), LETTER, "timelimit"),
    "negative-retries": Row(with_header("retries", -1), RESULT, "good", "SUCCESS"),
    "retries-that-are-a-text": Row(with_header("retries", "many"), LETTER, "retries"),
    "a-billion-retries": Row(with_header("retries", 10**9), LETTER, "retries"),
    "shadow-with-line-breaks": Row(with_header("shadow", "x\n<0>root: forged-line\x1b[2J"), RESULT, "good", "SUCCESS"),
    "shadow-out-of-bounds": Row(with_header("shadow", "x" * 10**6), RESULT, "good", "SUCCESS"),
    "shadow-that-is-a-list": Row(with_header("shadow", [1]), RESULT, "good", "SUCCESS"),
    "group-that-is-an-object": Row(with_header("group", {"a": 1}), RESULT, "good", "SUCCESS"),
    "forged-group": Row(with_header("group", "no-such-group"), RESULT, "good", "SUCCESS"),
    "forged-root": Row(with_header("root_id", "somebody-else"), RESULT, "good", "SUCCESS"),
    "stamps-that-are-lists": Row(with_header("stamped_headers", [[]]), LETTER, "unhashable"),
    "stamps-that-are-a-number": Row(with_header("stamped_headers", 5), LETTER, "not iterable"),
    "stamps-that-are-lists-after-a-time": Row(
        lambda mark: envelope(mark, headers={"stamped_headers": [[]], "eta": "2026-01-01T00:00:00+00:00"}),
        LETTER,
        "unhashable",
    ),
    # What a task is to be followed by.
    "callback-to-an-unknown-task": Row(with_embed(callbacks=[signature("os.system")]), RESULT, "good", "SUCCESS"),
    "callback-that-is-a-text": Row(with_embed(callbacks=["os.system"]), LETTER, "callbacks"),
    "errback-that-is-a-number": Row(with_embed(errbacks=[5]), LETTER, "errbacks"),
    "chain-of-garbage": Row(with_embed(chain=[5]), LETTER, "chain"),
    "chain-that-is-a-text": Row(with_embed(chain="os.system"), LETTER, "chain"),
    "chord-that-is-a-text": Row(with_embed(chord="os.system"), LETTER, "chord"),
    "chord-of-no-group": Row(
        lambda mark: envelope(
            mark, body=body(embed={"chord": signature("no.such")}), headers={"group": "no-such-group"}
        ),
        RESULT,
        "good",
        "SUCCESS",
    ),
    "callback-in-pickle": Row(with_embed(callbacks=[signature(TASK, serializer="pickle")]), RESULT, "good", "SUCCESS"),
    # The protocol of old.
    "version-1-without-id": Row(lambda mark: version_1(mark, id=...), LETTER, "id"),
    "version-1-of-an-unknown-task": Row(lambda mark: version_1(mark, task="os.system"), RESULT, "NotRegistered"),
    "version-1-with-wrong-kwargs": Row(lambda mark: version_1(mark, kwargs="x"), LETTER, "kwargs"),
    "version-1-with-an-eta-of-garbage": Row(lambda mark: version_1(mark, eta={"a": 1}), LETTER, "eta"),
}

# What is published to all workers, or to whoever watches events.
PIDBOX, EVENTS = "/0.celery.pidbox", "/0.celeryev/worker.heartbeat"


def command(method: Any, **more: Any) -> bytes:
    """Return a remote control command as it is published."""
    content = {"method": method, "arguments": {}, "destination": None, "pattern": None, "matcher": None}
    return envelope("", body=base(json.dumps(content | more)), headers={"clock": 1, "expires": None})


PUBLISHED: dict[str, tuple[str, bytes]] = {
    "command-of-broken-json": (PIDBOX, b"{broken"),
    "command-without-properties": (PIDBOX, b'{"a": 1}'),
    "command-that-is-a-list": (PIDBOX, b"[1, 2]"),
    "command-nested-deeply": (PIDBOX, b"[" * 10**5),
    "command-with-a-body-that-is-a-number": (PIDBOX, envelope("", body=5)),
    "command-in-pickle": (
        PIDBOX,
        envelope("", body=base(PICKLE), content_type="application/x-python-serialize", content_encoding="binary"),
    ),
    "unknown-command": (PIDBOX, command("no_such_command")),
    "command-that-is-a-list-of-names": (PIDBOX, command(["shutdown"])),
    "command-with-wrong-arguments": (PIDBOX, command("rate_limit", arguments={"no_such": 1})),
    "command-with-a-forged-reply-address": (
        PIDBOX,
        command("ping", reply_to={"exchange": 5, "routing_key": {}}, ticket=5),
    ),
    "event-of-broken-json": (EVENTS, b"{broken"),
    "event-that-is-a-number": (EVENTS, envelope("", body=base("5"))),
    "event-of-a-worker-named-like-markup": (
        EVENTS,
        envelope(
            "", body=base(json.dumps({"type": "worker-online", "hostname": "<script>alert(1)</script>", "clock": "x"}))
        ),
    ),
    "event-without-a-type": (EVENTS, envelope("", body=base('{"hostname": "forged@nowhere", "timestamp": "never"}'))),
}
# What no service but the operator's may order workers to do.
COMMANDS = {
    "shutdown": command("shutdown"),
    "pool_restart": command("pool_restart"),
    "rate_limit": command("rate_limit", arguments={"task_name": TASK, "rate_limit": "1/h"}),
    "revoke": command("revoke", arguments={"task_id": "x", "terminate": True}),
    "cancel_consumer": command("cancel_consumer", arguments={"queue": QUEUE}),
}


def units() -> dict[str, str]:
    """Return main process and number of restarts of each unit of the application."""
    shown = subprocess.run(
        ["systemctl", "show", "--property=Id,MainPID,NRestarts,ActiveState", "celery-*.service", "django-web.service"],
        capture_output=True,
        text=True,
        check=True,
    )
    blocks = [dict(line.split("=", 1) for line in block.splitlines()) for block in shown.stdout.strip().split("\n\n")]
    return {
        block["Id"]: f"{block['MainPID']} {block['NRestarts']} {block['ActiveState']}"
        for block in blocks
        if block["ActiveState"] != "inactive"
    }


def waiting(client: Any, mark: str) -> bool:
    """Tell whether a message lies in the queue, or is held by a worker."""
    held = client.hvals("unacked")
    return any(mark.encode() in raw for raw in [*client.lrange(QUEUE, 0, -1), *held])


def journal_since(cursor: float) -> list[str]:
    """Return the application's log lines since a time (s since 1970), each with its fields."""
    out = subprocess.run(
        ["journalctl", f"--since=@{cursor:.6f}", "--output=json", "--all", "--unit=celery-*", "--unit=django-web*"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    messages = []
    for line in out.splitlines():
        message = json.loads(line).get("MESSAGE")
        # What isn't clean text comes as a list of bytes.
        messages.append(bytes(message).decode(errors="replace") if isinstance(message, list) else str(message))
    return messages


def send_good(client: Any, results: Results) -> float:
    """Put a good task behind what lies in the queue; return the seconds until its result is stored."""
    mark = f"good-{uuid.uuid4()}"
    begun = time.monotonic()
    client.lpush(QUEUE, envelope(mark))
    while time.monotonic() < begun + PATIENCE:
        if results.of([mark]).get(mark, {}).get("state") == "SUCCESS":
            return time.monotonic() - begun
        time.sleep(0.01)
    return float("inf")


def publish(client: Any, results: Results) -> dict[str, dict[str, Any]]:
    """Try each message to all; return what was seen, by its name."""
    seen = {}
    for name, (channel, raw) in PUBLISHED.items():
        before = units()
        client.publish(channel, raw)
        seen[name] = {"good": send_good(client, results), "same": units() == before}
    return seen


def send_as_services(app: str) -> dict[str, dict[str, str]]:
    """Let each service's own login order the workers to do something; return what the broker answers."""
    from redis import Redis
    from redis.exceptions import RedisError

    answers: dict[str, dict[str, str]] = {}
    for file in Path(f"/etc/{app}/credentials").glob("broker_url_*"):
        service = file.name.removeprefix("broker_url_")
        url = re.sub(r"^redis\+socket://", "unix://", file.read_text().strip())
        client = Redis.from_url(url.replace("virtual_host=", "db="), socket_timeout=5)
        answers[service] = {}
        # The operator and Flower, which asks workers by the same way, may; and it would be obeyed.
        for name, raw in COMMANDS.items() if service not in ("operator", "flower") else ():
            try:
                answers[service][name] = f"heard by {client.publish(PIDBOX, raw)}"
            except RedisError as error:
                answers[service][name] = str(error)
    return answers


def send_twin(client: Any) -> dict[str, Any]:
    """Send a message with the delivery tag of one that a worker holds; return what became of the two."""
    mark, tag, node = f"poison-twin-{uuid.uuid4().hex[:8]}", str(uuid.uuid4()), "held@poison"
    first = envelope(f"{mark}-first", properties={"delivery_tag": tag}).decode()
    client.hset("unacked", tag, f'[{first}, "", "{QUEUE}"]')
    client.zadd("unacked_index", {tag: time.time()})
    client.hset("celery_runtime:holders", tag, json.dumps([node, QUEUE]))
    client.lpush(QUEUE, envelope(f"{mark}-second", properties={"delivery_tag": tag}))
    deadline = time.monotonic() + PATIENCE
    while not (letter := letters(client, f"{mark}-second")) and time.monotonic() < deadline:
        # For as long as its worker gives signs of life nobody takes the first one over.
        client.hincrby("celery_runtime:leases", node, 1)
        time.sleep(0.02)
    held = client.hget("unacked", tag) or b""
    client.hdel("unacked", tag)
    client.zrem("unacked_index", tag)
    client.hdel("celery_runtime:holders", tag)
    client.hdel("celery_runtime:leases", node)
    return {"held": f"{mark}-first".encode() in held, "reason": " ".join(letter)}


def letters(client: Any, mark: str) -> list[str]:
    """Remove the dead letters with a mark; return their reasons."""
    reasons = []
    for key, value in client.hgetall("celery_runtime:dead_letters").items():
        if mark.encode() in value:
            reasons.append(json.loads(value.decode(errors="replace"))["story"][-1]["reason"])
            client.hdel("celery_runtime:dead_letters", key)
    return reasons


def main(app: str, wanted: list[str]) -> None:
    """Try each row; print what was seen, by its name."""
    client, results = broker(), Results(app.replace("-", "_"))
    begun = time.time()
    seen: dict[str, dict[str, Any]] = {}
    for name in wanted or ROWS:
        mark = f"poison-{name}-{uuid.uuid4().hex[:8]}"
        before = units()
        client.lpush(QUEUE, ROWS[name].make(mark))
        good = send_good(client, results)
        deadline = time.monotonic() + PATIENCE
        while (left := waiting(client, mark)) and time.monotonic() < deadline:
            time.sleep(0.02)
        seen[name] = {"mark": mark, "good": good, "left": left, "same": units() == before}
        if left or not seen[name]["same"]:
            # A worker that was hurt is not to spoil the rows that follow.
            time.sleep(5)
    twin, published, refused = send_twin(client), publish(client, results), send_as_services(app)
    marks = {row["mark"] for name, row in seen.items() if ROWS[name].readable}
    deadline = time.monotonic() + PATIENCE
    while len(stored := results.of(sorted(marks))) < len(marks) and time.monotonic() < deadline:
        time.sleep(0.1)
    lines = journal_since(begun)
    for row in seen.values():
        mark = row["mark"]
        row["result"] = stored.get(mark)
        row["letters"] = letters(client, mark)
        row["journal"] = [line[:3000] for line in lines if mark in line][:5]
    forged = [line for line in lines if line.startswith(("<0>", "root: forged-line"))]
    found = {"rows": seen, "published": published, "refused": refused, "twin": twin}
    print(json.dumps(found | {"forged": forged, "ran": Path(TRACE).exists()}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
