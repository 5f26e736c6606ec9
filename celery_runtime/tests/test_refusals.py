"""Each message that is refused leaves a dead letter, a line in the log and, where it has a readable id, a failure as its result."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import Celery, Server, wait_for
from jobs_client import runtime
from kombu import Connection
from redis import Redis
from test_poison import TYPED, body, encoded, letters, message

INCLUDE = "--include=jobs_messages"
LARGE = 9 * 2**20


def version_1(task_id: str) -> bytes:
    old = {"task": "jobs.note", "id": task_id, "args": "none", "kwargs": {}}
    return message(body=encoded(json.dumps(old).encode())).replace(b'"task": "jobs.note", "id"', b'"x"')


# Where each is refused: by the script that fetches, by what takes its answer, by the consumer, by the strategy, and by the pool.
REFUSED = {
    "above-the-size": lambda name: message({"id": name}, body=body([], {"name": "x" * LARGE})),
    "above-the-size-in-the-headers": lambda name: message(
        {"id": name, "x": "y" * LARGE}, properties={"correlation_id": name}
    ),
    "broken": lambda name: message({"id": name})[:-5],
    "broken-at-its-begin": lambda name: message({"id": name})[5:],
    "delivery-info": lambda name: message({"id": name}, properties={"delivery_info": 5}),
    "content-type": lambda name: message({"id": name}, content_type=5),
    "digits": lambda name: message({"id": name, "x": 1}).replace(b'"x": 1', b'"x": ' + b"9" * 5000),
    "decompression": lambda name: message({"id": name, "compression": "gzip"}, body=encoded(b"none")),
    "limit": lambda name: message({"id": name, "timelimit": "x"}),
    "typed": lambda name: message({"id": name, "timelimit": "x", **TYPED}),
    "arguments": lambda name: message({"id": name}, body=body("none", {})),
    "protocol-1": version_1,
    "stamps": lambda name: message({"id": name, "stamped_headers": [[]]}),
    "headers": lambda name: message(properties={"correlation_id": name}).replace(
        b'"headers": {', b'"headers": 5, "x": {'
    ),
}


@pytest.fixture
def celery(server: Server, celery: Celery) -> Celery:
    """Return Celery with results in Redis."""
    celery.settings["result_backend"] = server.url.replace("/0", "/1")
    return celery


def result(server: Server, name: str) -> dict[str, Any]:
    """Return a task's stored result."""
    stored = Redis(port=server.port, db=1).get(f"celery-task-meta-{name}")
    found: dict[str, Any] = json.loads(stored) if stored else {}
    return found


@pytest.fixture
def held(celery: Celery, server: Server) -> Iterator[str]:
    """Return the delivery tag of a message that a worker holds until it is released."""
    celery.worker()
    server.client.lpush("low", message({"task": "jobs.hold"}, body=body(["long"], {})))
    wait_for(lambda: "begin-long" in celery.effects(), "begin")
    (tag,) = server.client.hkeys("unacked")
    yield tag.decode()


def test_each_refusal_says_so_in_three_places(celery: Celery, server: Server) -> None:
    worker = celery.worker(options=INCLUDE)
    names = {kind: f"{kind}-{uuid.uuid4()}" for kind in REFUSED}
    for kind, name in names.items():
        server.client.lpush("low", REFUSED[kind](name))
    wait_for(lambda: server.client.hlen("celery_runtime:dead_letters") == len(REFUSED), "dead letters")
    wait_for(lambda: server.client.hlen("unacked") == 0, "settled")
    for kind, name in names.items():
        wait_for(lambda name=name: result(server, name).get("status") == "FAILURE", f"result of {kind}")
        assert result(server, name)["result"]["exc_type"] == "InvalidTaskError"
        assert "moved to the dead letters: unreadable: " in result(server, name)["result"]["exc_message"][0]
        lines = [line for line in celery.log().splitlines() if name in line]
        assert any("was moved to the dead letters: unreadable: " in line for line in lines), (kind, lines)
    assert worker.poll() is None


def test_an_end_that_names_another_tag_than_the_message_is_refused(celery: Celery, server: Server) -> None:
    """The script reads the end of a message alone; who fetches reads all of it."""
    end = {"delivery_info": {"exchange": "", "routing_key": "low"}, "priority": 0, "body_encoding": "base64"}
    forged = json.dumps({**json.loads(message({"id": "forged"})), "z": {**end, "delivery_tag": "another"}})
    server.client.lpush("low", forged)
    celery.worker()
    wait_for(lambda: result(server, "forged").get("status") == "FAILURE", "result")
    assert list(letters(celery).values()) == ["unreadable: its delivery_tag isn't the one that it was recorded under"]
    assert not server.client.hexists("unacked", "another")


def test_a_message_under_the_tag_of_another_does_not_take_its_place(celery: Celery, server: Server, held: str) -> None:
    server.client.lpush("low", message({"id": "twin"}, properties={"delivery_tag": held}))
    reason = "unreadable: its delivery_tag is that of a message that a worker holds"
    wait_for(lambda: result(server, "twin").get("status") == "FAILURE", "result")
    assert f"jobs.note[twin] was moved to the dead letters: {reason}" in celery.log()
    (entry,) = server.client.hvals("unacked")
    assert b"long" in encoded_body(entry)
    assert list(letters(celery).values()) == [reason]
    celery.release("long")
    wait_for(lambda: "long" in celery.effects(), "end")
    wait_for(lambda: server.client.hlen("unacked") == 0, "acknowledged")


def encoded_body(entry: bytes) -> bytes:
    return base64.b64decode(json.loads(entry)[0]["body"])


def test_a_message_that_can_not_be_given_back_is_told_of(celery: Celery, server: Server) -> None:
    """It comes back by the visibility timeout, which every client of the queue looks after."""
    entry = b"[" + message({"id": "given-back", "x": 1}).replace(b'"x": 1', b'"x": ' + b"9" * 5000) + b', "", "low"]'
    server.client.hset("unacked", "tag", entry)
    server.client.hset("celery_runtime:holders", "tag", json.dumps(["another@test", "low"]))
    server.client.zadd("unacked_index", {"tag": time.time()})
    with runtime(celery), Connection(celery.url) as connection:
        told = []
        channel = connection.default_channel
        channel.on_dead_letter = told.append
        type(channel).on_dead_letter = staticmethod(told.append)
        channel.qos.restore_by_tag("tag")
    assert [letter.task_id for letter in told] == ["given-back"]


@pytest.mark.parametrize(
    "raw",
    [
        message({"id": "x", "timelimit": "x", **TYPED}).replace(b'": ', b'" :  '),
        message({"id": "x", "text": "?", "timelimit": "x"}).replace(b"?", b"\xff\xfe"),
        message({"id": "x", "text": 'a", "b"]', "timelimit": "x"}, properties={"delivery_info": {"exchange": 'e", "]}', "routing_key": "r"}}),
        message({"id": "x"})[:-7] + b"\xff\0\\",
        message({"id": "x", "text": "\u20ac\U0001f600\ud800\0"}, body=body("none", {})),
    ],
)  # fmt: skip
def test_what_is_requeued_is_what_was_sent_byte_by_byte(celery: Celery, server: Server, raw: bytes) -> None:
    worker = celery.worker()
    server.client.lpush("low", raw)
    wait_for(lambda: server.client.hlen("celery_runtime:dead_letters") == 1, "dead letter")
    celery.stop(worker)
    assert "requeued 1" in celery.run("dead-letters", "requeue", "--all")
    assert server.client.lrange("low", 0, -1) == [raw]


def test_an_honest_call_with_a_typed_header_stops_no_worker(celery: Celery, server: Server) -> None:
    """What it is refused for may be a mistake of its sender; that isn't to end the others' tasks."""
    worker = celery.worker(options=INCLUDE)
    code = "import jobs, uuid; jobs.note.apply_async(['bad'], headers={'tenant': uuid.uuid4()}, task_id='bad', retries='many')"
    subprocess.run([sys.executable, "-c", code], env=celery.environment, check=True, timeout=180)
    wait_for(lambda: result(server, "bad").get("status") == "FAILURE", "result")
    celery.send("note", "good")
    wait_for(lambda: "good" in celery.effects(), "good")
    assert worker.poll() is None


def test_a_task_without_memory_fails_and_stops_no_worker(celery: Celery, server: Server) -> None:
    worker = celery.worker(options=INCLUDE)
    server.client.lpush("low", message({"task": "jobs_messages.no_memory", "id": "greedy"}, body=body([], {})))
    wait_for(lambda: result(server, "greedy").get("status") == "FAILURE", "result")
    assert result(server, "greedy")["result"]["exc_type"] == "MemoryError"
    wait_for(lambda: server.client.hlen("unacked") == 0, "acknowledged")
    celery.send("note", "good")
    wait_for(lambda: "good" in celery.effects(), "good")
    assert worker.poll() is None
    assert server.client.hlen("celery_runtime:dead_letters") == 0
