"""How Redis learns that a message is done: ahead of the next fetch, alone where none comes, and again where it may not have heard."""

from __future__ import annotations

import signal
import time
from typing import Any

import jobs_client
import pytest
from conftest import Celery, Server, wait_for
from proxy import Proxy

HOLDERS = "celery_runtime:holders"


def reads(server: Server) -> int:
    """Return how often the server has read from a connection so far: once for all that arrives together."""
    return int(server.client.info("stats")["total_reads_processed"])


def settled(server: Server, celery: Celery) -> None:
    wait_for(lambda: not server.client.exists("unacked", "unacked_index", HOLDERS), f"settled; {celery.log()}")


def test_what_is_done_travels_with_the_next_fetch(celery: Celery, server: Server) -> None:
    names = [f"n{number}" for number in range(300)]
    celery.send("hold", "first")
    celery.worker(concurrency=1)
    wait_for(lambda: "begin-first" in celery.effects(), "the first")
    jobs_client.send_notes(celery, names)
    before = reads(server)
    celery.release("first")
    wait_for(lambda: names[-1] in celery.effects(), celery.log())
    # Two for each task where each settlement is sent alone.
    assert reads(server) - before < 1.5 * len(names)
    settled(server, celery)


def asked(server: Server) -> int:
    """Return how many scripts the server has run so far."""
    return int(server.client.info("commandstats")["cmdstat_evalsha"]["calls"])


def test_while_a_worker_shuts_down_each_task_is_settled_at_its_end(celery: Celery, server: Server) -> None:
    """Its event loop has ended, so nothing is fetched any more. What ended first must not wait for what ends last."""
    for name in ("short", "long"):
        celery.send("hold", name)
    # It has room for a third, so it asks each second.
    worker = celery.worker(concurrency=3)
    wait_for(lambda: {"begin-short", "begin-long"} <= set(celery.effects()), celery.log())
    worker.send_signal(signal.SIGTERM)
    seen = [(asked(server), time.monotonic())]

    def has_ended() -> bool:
        if asked(server) != seen[-1][0]:
            seen.append((asked(server), time.monotonic()))
        return time.monotonic() - seen[-1][1] > 4

    wait_for(has_ended, "the event loop's end")
    assert server.client.hlen("unacked") == 2
    celery.release("short")
    wait_for(lambda: server.client.hlen("unacked") == 1, f"the short one is settled; {celery.log()}")
    assert worker.poll() is None
    celery.release("long")
    worker.wait(120)
    settled(server, celery)
    assert server.client.llen("low") == 0


def test_a_settlement_whose_answer_is_lost_is_sent_again(celery: Celery, server: Server) -> None:
    """It travels in one packet with the fetch of the next message, so both answers are lost together."""
    proxy = Proxy(server.port)
    celery.url = f"redis://127.0.0.1:{proxy.port}/0"
    celery.settings = {"broker_transport_options": {"visibility_timeout": 7200, "health_check_interval": 1}}
    celery.send("hold", "first")
    celery.worker(concurrency=1)
    wait_for(lambda: "begin-first" in celery.effects(), celery.log())
    proxy.lose(b'"id": "second"')
    jobs_client.send_notes(celery, ["second"])
    celery.release("first")
    wait_for(lambda: proxy.lost == 1, "the answers are lost")
    wait_for(lambda: "second" in celery.effects(), celery.log())
    settled(server, celery)
    assert "can't be told of" in celery.log()
    # Redis had heard it, and nobody else has the message.
    assert "was no longer this worker's" not in celery.log()
    assert [celery.effects().count(one) for one in ("first", "second")] == [1, 1]


@pytest.mark.parametrize("how", ["the script is forgotten", "a key is of the wrong type"])
def test_a_settlement_that_redis_refuses_is_sent_alone(celery: Celery, server: Server, how: str) -> None:
    celery.send("hold", "first")
    worker = celery.worker(concurrency=1)
    wait_for(lambda: "begin-first" in celery.effects(), celery.log())
    jobs_client.send_notes(celery, ["second"])
    if how == "the script is forgotten":
        server.client.script_flush()
    else:
        server.client.set("celery_runtime:losses", "no hash")
    celery.release("first")
    wait_for(lambda: "second" in celery.effects(), celery.log())
    settled(server, celery)
    assert worker.poll() is None
    assert [celery.effects().count(one) for one in ("first", "second")] == [1, 1]


def test_a_worker_that_lost_its_connection_says_what_it_had_not_said(
    celery: Celery, server: Server, tmp_path: Any
) -> None:
    """Redis is killed while a task runs, which then ends: it is done, and isn't done again."""
    celery.send("hold", "first")
    celery.worker(concurrency=1)
    wait_for(lambda: "begin-first" in celery.effects(), celery.log())
    # On the disk, too: what the test is about is the settlement.
    wait_for(lambda: server.client.info("persistence")["aof_pending_bio_fsync"] == 0, "written")
    server.signal(signal.SIGKILL)
    celery.release("first")
    wait_for(lambda: "first" in celery.effects(), celery.log())
    server.start()
    settled(server, celery)
    assert celery.effects().count("begin-first") == 1
