"""Valid messages with something else in some place: none ends a worker, takes a place in it for good, or is lost silently.

In CI the same examples each time; with FUZZ_EXAMPLES=10000, so many new ones.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import Celery, Server, wait_for
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis
from test_poison import body, encoded, message

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "150"))
CONCURRENCY = 2
# What a message of Celery may have, besides what `message` gives it.
HEADERS = {
    "lang": "py", "root_id": None, "parent_id": None, "group": None, "group_index": None, "shadow": None, "eta": None,
    "expires": None, "retries": 0, "timelimit": [None, None], "argsrepr": "()", "kwargsrepr": "{}", "origin": "x",
    "ignore_result": False, "replaced_task_nesting": 0, "stamped_headers": None, "stamps": {}, "compression": None,
    "redelivered": None, "clock": 1, "properties": None, "args": None, "kwargs": None, "chord": None, "callbacks": None,
}  # fmt: skip
PROPERTIES = {"correlation_id": "x", "reply_to": "", "priority": 0, "delivery_mode": 2}
EMBED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
TYPES = ("uuid", "decimal", "bytes", "base64", "datetime", "date", "time", "os")
TEXTS = (
    "", "x", "jobs_messages.quick", "jobs_messages.limited", "no.such", "2020-01-01T00:00:00", "0001-01-01T00:00:00+14:00",
    "gzip", "xz", "zlib_codec", "binary", "application/data", "application/text", "application/json", "one\ntwo", "\0", "\ud800", "%s",
)  # fmt: skip
NUMBERS = (0, -1, 1, 1.5, 10**30, 10**400, 1e308, float("inf"), float("-inf"), float("nan"))
scalars = st.none() | st.booleans() | st.sampled_from(NUMBERS) | st.sampled_from(TEXTS) | st.text(max_size=5)
signature = st.fixed_dictionaries(
    {"task": st.sampled_from(("jobs_messages.quick", "no.such")), "args": st.just([]), "kwargs": st.just({})},
    optional={"options": st.dictionaries(st.sampled_from(("queue", "countdown", "task_id", "link", "stamped_headers")), scalars, max_size=2),
              "subtask_type": st.sampled_from(("group", "chain", "chord", "xmap", "none")), "immutable": scalars},
)  # fmt: skip
typed = st.builds(lambda kind, value: {"__type__": kind, "__value__": value}, st.sampled_from(TYPES), scalars)
values = st.recursive(
    scalars | typed | signature,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(TEXTS), inner, max_size=3),
    max_leaves=5,
)
places = st.sampled_from(
    [("headers", name) for name in (*HEADERS, "task", "id")]
    + [("properties", name) for name in (*PROPERTIES, "delivery_info", "body_encoding", "delivery_tag")]
    + [("embed", name) for name in EMBED]
    + [("message", name) for name in ("headers", "properties", "content-type", "content-encoding", "body")]
    + [("body", name) for name in (0, 1, 2)]
)


@st.composite
def poisons(draw: Any) -> bytes:
    """Return a message with one to three places changed, and sometimes a byte."""
    content: list[Any] = [[], {}, dict(EMBED)]
    headers = HEADERS | {"task": draw(st.sampled_from(("jobs_messages.quick", "jobs_messages.limited")))}
    whole = json.loads(message({**headers, "id": str(uuid.uuid4())}, properties=PROPERTIES))
    for (part, name), value in draw(st.lists(st.tuples(places, values), min_size=1, max_size=3)):
        target = {"message": whole, "body": content, "embed": content[2]}.get(part, whole.get(part))
        if target is content or isinstance(target, dict):
            target[name] = value
    if isinstance(whole.get("body"), str) and whole["body"] == body([], {"name": "made-up"}):
        whole["body"] = encoded(json.dumps(content).encode())
    raw = json.dumps(whole).encode()
    if draw(st.integers(0, 9)) == 0:
        at = draw(st.integers(0, len(raw) - 1))
        raw = raw[:at] + draw(st.binary(max_size=3)) + raw[at + draw(st.integers(0, 3)) :]
    return raw


@pytest.fixture
def fuzzed(celery: Celery) -> Iterator[tuple[Celery, Any]]:
    """Return Celery with a worker that knows the tasks."""
    celery.settings["result_backend"] = celery.url.replace("/0", "/1")
    yield celery, celery.worker(options="--include=jobs_messages -E", concurrency=CONCURRENCY)


def test_no_message_ends_a_worker_or_takes_a_place_in_it(fuzzed: Any, server: Server) -> None:
    celery, worker = fuzzed
    client, results = server.client, Redis(port=server.port, db=1)

    @settings(
        max_examples=EXAMPLES,
        derandomize="FUZZ_EXAMPLES" not in os.environ,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(poisons(), min_size=1, max_size=5))
    def attack(raws: list[bytes]) -> None:
        good = f"good-{uuid.uuid4()}"
        for raw in [*raws, message({"id": good}, body=body([good], {}))]:
            client.lpush("low", raw)
        wait_for(lambda: results.exists(f"celery-task-meta-{good}") or worker.poll() is not None, "the good task")
        assert worker.poll() is None, celery.log()[-5000:]

    attack()
    # As many as there are places run at once, and then nothing is held.
    names = [f"last-{number}" for number in range(CONCURRENCY)]
    for name in names:
        client.lpush("low", message({"task": "jobs.hold"}, body=body([name], {})))
    wait_for(lambda: {f"begin-{name}" for name in names} <= set(celery.effects()), "all places")
    celery.release(*names)
    wait_for(lambda: set(names) <= set(celery.effects()), "their end")
    wait_for(lambda: client.hlen("unacked") == 0, f"nothing held: {client.hvals('unacked')}")
    celery.stop(worker)
    assert worker.returncode == 0
