"""One worker under a name, in each kind of pool, on a broker whose record it can read; and a purge that leaves nothing."""

from __future__ import annotations

import json
import os
import socket
import sys
import uuid
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import jobs_client
import pytest
from celery_runtime import single_worker
from celery_runtime.ledger import Ledger
from conftest import wait_for


def done(celery: Any, names: list[str], log: str = "one") -> None:
    wait_for(lambda: set(names) <= set(celery.effects()), f"{names}; worker: {celery.log(log)[-3000:]}")


def test_a_second_worker_of_a_name_is_refused_and_does_no_harm(celery: Any, server: Any) -> None:
    first = celery.worker()
    celery.send("hold", "long")
    done(celery, ["begin-long"])
    second = celery.spawn()
    assert second.wait(120) == 1
    assert f"the worker one@test runs already on this host, as process {first.pid}" in celery.log()
    # It put nothing back that the first one runs.
    assert server.client.hlen("unacked") == 1
    assert server.client.llen("low") == 0
    celery.release("long")
    done(celery, ["long"])
    assert celery.effects().count("begin-long") == 1
    # Another name is no second worker.
    celery.worker("two")


def test_a_name_is_free_when_its_worker_was_killed_whoever_outlives_it(celery: Any) -> None:
    first = celery.worker(concurrency=1)
    celery.send("hold", "long")
    done(celery, ["begin-long"])
    # Its child lives on.
    (child,) = (int(one) for one in children(first))
    first.kill()
    first.wait(10)
    assert Path(f"/proc/{child}").exists()
    celery.worker()
    celery.release("long")
    done(celery, ["long"])


def children(process: Popen[bytes]) -> list[str]:
    return Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()


@pytest.mark.skipif(os.getuid() != 0, reason="takes root to be somebody else")
def test_somebody_else_keeps_no_worker_from_its_name(monkeypatch: Any) -> None:
    # A name is the machine's, where these tests may run twice at a time.
    broker = f"redis://{uuid.uuid4()}"
    code = """if 1:
        import os, sys
        sys.path.insert(0, sys.argv[1])
        from celery_runtime import single_worker
        os.setgroups([]); os.setgid(65534); os.setuid(65534)
        held = single_worker.take_name(sys.argv[2], "one@test")
        print("held", flush=True)
        sys.stdin.read()
    """
    files = str(Path(single_worker.__file__).parents[1])
    stranger = Popen([sys.executable, "-c", code, files, broker], stdin=PIPE, stdout=PIPE)
    assert stranger.stdout is not None
    assert stranger.stdout.readline() == b"held\n"
    assert single_worker.take_name(broker, "one@test") is None
    stranger.communicate(b"")
    held = single_worker.take_name(broker, "one@test")
    assert isinstance(held, socket.socket)
    with pytest.raises(BlockingIOError, match=str(os.getpid())):
        single_worker.take_name(broker, "one@test")
    assert single_worker.take_name(f"{broker}-another", "one@test")
    # Somebody who gives no answer.
    monkeypatch.setattr(single_worker, "_answer", id)
    assert single_worker.take_name(broker, "silent@test")
    assert single_worker.take_name(broker, "silent@test") is None


@pytest.mark.parametrize(
    ("name", "value"), [("unacked_key", "mine"), ("unacked_index_key", "mine"), ("ack_emulation", False)]
)
def test_a_record_elsewhere_is_refused_by_its_name(celery: Any, name: str, value: Any) -> None:
    celery.settings["broker_transport_options"] = {name: value}
    worker = celery.spawn()
    assert worker.wait(120) == 1
    assert f"broker_transport_options sets {name}" in celery.log()
    assert "stack_celery_settings_extra" in celery.log()


def test_the_pool_solo_gives_signs_of_life_while_a_task_runs(celery: Any, server: Any) -> None:
    celery.worker("solo", options="--pool=solo")
    celery.send("hold", "long")
    done(celery, ["begin-long"], log="solo")
    celery.worker("other", queues="high")

    def leases() -> dict[str, int]:
        return {node.decode(): int(count) for node, count in server.client.hgetall("celery_runtime:leases").items()}

    before = leases()
    # The lease of 6 s would have lapsed: the other one has looked at it three times.
    wait_for(
        lambda: leases()["other@test"] >= before["other@test"] + 4 or "taken over" in celery.log("other"), "it looks"
    )
    assert "taken over" not in celery.log("other")
    assert leases()["solo@test"] > before["solo@test"]
    celery.release("long")
    done(celery, ["long"], log="solo")
    celery.send("note", "next")
    done(celery, ["next"], log="solo")
    assert celery.effects().count("begin-long") == 1
    wait_for(lambda: server.client.hlen("unacked") == 0, "acknowledged")


def test_a_purge_leaves_nothing_and_counts_all(celery: Any, server: Any) -> None:
    ledger = Ledger(server.client)
    jobs_client.send_notes(celery, ["a", "b"])
    raw = server.client.lindex("low", 0)
    server.client.lpush("low\x06\x169", raw)
    for number in range(250):
        suspect = json.loads(raw)
        suspect["properties"]["delivery_tag"] = f"tag{number}"
        server.client.lpush(ledger.suspects_of("low"), json.dumps(suspect))
        server.client.hset(ledger.losses, f"tag{number}", "[]")
    server.client.zadd("celery_runtime:delayed:low", {f"later{number}": number for number in range(150)})
    server.client.zadd("celery_runtime:delayed:low\x06\x163", {b"\xff": 1})
    # Another queue's.
    server.client.zadd("celery_runtime:delayed:high", {"later": 1})
    server.client.hset(ledger.losses, "tag-of-another", "[]")
    assert "Purged 404 messages" in celery.run("purge", "--force", "--queues=low")
    assert sorted(server.client.keys("celery_runtime:[sd][ue]*")) == [b"celery_runtime:delayed:high"]
    assert server.client.hkeys(ledger.losses) == [b"tag-of-another"]
    assert not server.client.exists("low", "low\x06\x169")
