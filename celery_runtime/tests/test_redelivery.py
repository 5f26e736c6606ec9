from __future__ import annotations

import json
import signal
import time
from typing import Any

import jobs_client
from celery_runtime.blame import Loss
from celery_runtime.evidence import End
from celery_runtime.ledger import Ledger
from celery_runtime.redelivery import Observation, put_back
from conftest import wait_for


def done(celery: Any, names: list[str], log: str = "one") -> None:
    wait_for(lambda: set(names) <= set(celery.effects()), f"{names}; worker: {celery.log(log)}")


def acknowledged(server: Any) -> None:
    wait_for(lambda: server.client.hlen("unacked") == 0, "acknowledged")
    assert server.client.hlen("celery_runtime:holders") == server.client.zcard("unacked_index") == 0


def leases(server: Any) -> dict[bytes, int]:
    return {node: int(count) for node, count in server.client.hgetall("celery_runtime:leases").items()}


def test_what_a_killed_worker_held_is_done_when_it_comes_back(celery: Any, server: Any) -> None:
    worker = celery.worker()
    celery.send("hold", "long")
    celery.send("hold", "other")
    done(celery, ["begin-long", "begin-other"])
    celery.kill(worker)
    assert server.client.hlen("unacked") == server.client.hlen("celery_runtime:holders") == 2
    celery.worker()
    wait_for(lambda: celery.effects().count("begin-long") == 2, "a second begin")
    celery.release("long", "other")
    done(celery, ["long", "other"])
    assert celery.effects().count("begin-long") == 2
    acknowledged(server)


def test_messages_of_a_worker_that_is_gone_are_taken_over(celery: Any, server: Any) -> None:
    gone = celery.worker("gone")
    celery.send("hold", "left")
    done(celery, ["begin-left"], log="gone")
    celery.worker("one")
    begun = time.monotonic()
    celery.kill(gone)
    celery.release("left")
    done(celery, ["left"])
    # Not before its lease of 6 s has lapsed, which it may have renewed up to a renewal before its end.
    assert time.monotonic() - begun > 1
    wait_for(lambda: b"gone@test" not in server.client.hgetall("celery_runtime:leases"), "the lease is gone")
    acknowledged(server)


def test_an_outage_of_the_broker_makes_nobody_look_dead(celery: Any, server: Any) -> None:
    # Above the 5 s that one of them may come back after the other, by much.
    celery.runtime["lease_seconds"] = 20
    for name in ("one", "two"):
        celery.worker(name, concurrency=1)
    celery.send("hold", "a")
    celery.send("hold", "b")
    done(celery, ["begin-a", "begin-b"])
    server.signal(signal.SIGKILL)
    # Longer than a lease.
    time.sleep(22)
    server.start()
    before = leases(server)
    # Each has looked at the other's lease twice since then.
    wait_for(lambda: all(leases(server)[node] >= count + 3 for node, count in before.items()), "leases")
    celery.release("a", "b")
    done(celery, ["a", "b"])
    acknowledged(server)
    assert sorted(celery.effects()) == ["a", "b", "begin-a", "begin-b"]


def test_a_task_that_ends_while_the_broker_is_away_is_not_done_again(celery: Any, server: Any) -> None:
    celery.worker()
    celery.send("hold", "one")
    celery.send("note", "waiting", countdown=4)
    done(celery, ["begin-one"])
    server.signal(signal.SIGKILL)
    celery.release("one")
    done(celery, ["one"])
    server.start()
    # What waited for its time in the worker's memory was forgotten with the connection, and is given back.
    done(celery, ["waiting", "one"])
    acknowledged(server)
    assert celery.effects().count("begin-one") == 1


def test_a_dead_letter_can_be_requeued(celery: Any, server: Any) -> None:
    celery.send("note", "again", task_id="letter")
    raw = server.client.rpop("low").decode()
    story = [{"at": time.time(), "node": "x", "reason": "r"}]
    letter = {"list": "low", "message": raw, "story": story}
    server.client.hset("celery_runtime:dead_letters", "letter", json.dumps(letter))
    celery.worker()
    assert "requeued 1" in celery.run("dead-letters", "requeue", "letter")
    done(celery, ["again"])
    assert celery.run("dead-letters", "list").strip() == "no dead letters"


def test_a_warm_stop_ends_what_runs_and_puts_back_the_rest(celery: Any, server: Any) -> None:
    worker = celery.worker(concurrency=1)
    celery.send("note", "later", countdown=600)
    wait_for(lambda: server.client.zcard("celery_runtime:delayed:low") == 1, "it waits in the broker")
    celery.send("hold", "runs")
    done(celery, ["begin-runs"])
    worker.send_signal(signal.SIGTERM)
    wait_for(lambda: "Warm shutdown" in celery.log(), "a warm shutdown")
    celery.release("runs")
    worker.wait(120)
    assert "runs" in celery.effects()
    assert server.client.zcard("celery_runtime:delayed:low") == 1
    assert server.client.llen("low") == server.client.hlen("unacked") == 0


def test_a_cold_stop_requeues_what_runs(celery: Any, server: Any) -> None:
    worker = celery.worker(concurrency=1)
    celery.send("hold", "runs")
    done(celery, ["begin-runs"])
    worker.send_signal(signal.SIGTERM)
    wait_for(lambda: "Warm shutdown" in celery.log(), "a warm shutdown")
    # It ends although the task doesn't.
    celery.stop(worker, signal.SIGQUIT)
    assert "runs" not in celery.effects()
    assert server.client.llen("low") == 1
    assert server.client.hlen("unacked") == 0


def test_a_retry_that_can_t_be_sent_does_not_lose_the_task(celery: Any, server: Any, tmp_path: Any) -> None:
    celery.worker()
    ready = tmp_path / "ready"
    celery.send("fail_until", str(ready))
    server.client.config_set("maxmemory", 1)
    before = celery.effects().count("try")
    wait_for(lambda: celery.effects().count("try") > before + 2, "it goes on trying")
    ready.touch()
    done(celery, ["done"])
    acknowledged(server)


def test_a_retry_that_can_never_be_sent_is_not_tried_for_ever(celery: Any, server: Any) -> None:
    celery.worker()
    celery.send("retry_with_what_no_message_can_hold")
    done(celery, ["impossible"])
    # Requeued, it would lie in the record or in the queue, and come back before what is sent later.
    wait_for(lambda: server.client.hlen("unacked") + server.client.llen("low") == 0, "acknowledged")
    celery.send("note", "later")
    done(celery, ["later"])
    assert celery.effects().count("impossible") == 1
    acknowledged(server)


def test_observations() -> None:
    seen = Observation(45)
    assert seen.lapsed({"a": 1, "b": 7}, 0) == []
    assert seen.lapsed({"a": 2, "b": 7}, 44) == []
    assert seen.lapsed({"a": 3, "b": 7}, 45) == [("b", 7)]
    assert seen.lapsed({"a": 3}, 46) == []
    # It came back, and is watched from then on.
    assert seen.lapsed({"a": 3, "b": 1}, 80) == []
    assert seen.lapsed({"a": 3, "b": 1}, 90) == [("a", 3)]


def test_only_what_was_not_settled_is_restored_and_only_once(server: Any) -> None:
    ledger = Ledger(server.client, limit=3)
    jobs_client.record(ledger, "one@test", "tag", "low")
    (held,) = ledger.held("one@test")
    assert (held.tag, held.list) == ("tag", "low")
    assert ledger.held("two@test") == []
    assert ledger.restore("tag", loss=Loss("gone")) is True
    assert ledger.restore("tag", loss=Loss("gone")) is False
    assert server.client.llen("low") == 1
    assert json.loads(server.client.lindex("low", 0))["headers"]["redelivered"] is True


def test_a_message_that_waits_for_its_time_is_not_blamed(server: Any) -> None:
    ledger = Ledger(server.client, limit=1)
    jobs_client.record(ledger, "one@test", "tag", "low", eta="2999-01-01T00:00:00+00:00")
    put_back(None, ledger, "one@test", End("it ended", inside=True), set())
    assert server.client.llen("low") == 1
    assert ledger.dead_letters() == []
    assert server.client.hlen("celery_runtime:losses") == 0


def test_a_lease_that_was_renewed_is_not_forgotten(server: Any) -> None:
    ledger = Ledger(server.client)
    assert ledger.renew("one") == {"one": b"1"}
    assert ledger.renew("two") == {"one": b"1", "two": b"1"}
    ledger.renew("one")
    ledger.forget("one", b"1")
    ledger.forget("two", b"1")
    assert ledger.renew("three") == {"one": b"2", "three": b"1"}
