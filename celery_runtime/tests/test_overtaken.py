"""Workers that lost an answer, their lease or a message to somebody else, and live."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import jobs_client
import pytest
from celery_runtime.ledger import Ledger
from conftest import wait_for
from kombu import Connection, Consumer, Queue
from proxy import Proxy

HOLDERS = "celery_runtime:holders"


def holders(server: Any) -> list[str]:
    return [json.loads(entry)[0] for entry in server.client.hvals(HOLDERS)]


def test_a_message_whose_answer_is_lost_comes_back_to_a_worker_that_lives(celery: Any, server: Any) -> None:
    """Redis has given it out, the network has lost it, and the worker finds that one connection dead and makes it anew."""
    proxy = Proxy(server.port)
    celery.url = f"redis://127.0.0.1:{proxy.port}/0"
    celery.settings = {"broker_transport_options": {"visibility_timeout": 7200, "health_check_interval": 1}}
    worker = celery.worker()
    celery.url = server.url
    proxy.lose(b'"id": "lost"')
    jobs_client.send_notes(celery, ["lost"])
    wait_for(lambda: proxy.lost == 1, "the answer is lost")
    assert holders(server) == ["one@test"]
    wait_for(lambda: "lost" in celery.effects(), celery.log(), 60)
    wait_for(lambda: server.client.hlen("unacked") == 0, "settled")
    assert worker.poll() is None
    assert celery.log().count(" ready.") == 1
    assert celery.effects().count("lost") == 1


def test_a_worker_that_thaws_takes_nothing_from_who_has_its_message_now(
    celery: Any, server: Any, tmp_path: Path
) -> None:
    frozen = celery.worker("frozen", concurrency=1)
    celery.send("hold_here", str(tmp_path / "go"))
    wait_for(lambda: "begin-frozen@test" in celery.effects(), celery.log("frozen"))
    os.killpg(frozen.pid, signal.SIGSTOP)
    heir = celery.worker("heir", concurrency=1)
    wait_for(lambda: "begin-heir@test" in celery.effects(), celery.log("heir"), 60)
    (tmp_path / "go-frozen@test").touch()
    os.killpg(frozen.pid, signal.SIGCONT)
    wait_for(lambda: "end-frozen@test" in celery.effects(), celery.log("frozen"))
    # It is told that the message is another's, and fetches on: what comes next is done by it.
    celery.send("note", "next")
    wait_for(lambda: "next" in celery.effects(), celery.log("frozen"))
    assert holders(server).count("heir@test") == 1
    # Who has it now can still be killed, and it is not lost.
    celery.kill(heir)
    (tmp_path / "go-heir@test").touch()
    celery.worker("heir", concurrency=1)
    wait_for(
        lambda: {"end-heir@test"} <= set(celery.effects()) or celery.effects().count("end-frozen@test") == 2,
        "again",
        60,
    )
    wait_for(lambda: server.client.hlen("unacked") == 0, "settled")
    assert "was no longer this worker's" in celery.log("frozen")


def test_messages_of_a_node_without_a_lease_are_taken_over(celery: Any, server: Any) -> None:
    """It was forgotten, thawed, fetched, and was killed before it counted its lease up again."""
    jobs_client.send_notes(celery, ["left"])
    assert Ledger(server.client).fetch("thawed@test", ["low"], ["low"])
    assert holders(server) == ["thawed@test"]
    celery.worker()
    wait_for(lambda: "left" in celery.effects(), celery.log(), 60)
    wait_for(lambda: server.client.hlen("unacked") == 0, "settled")
    assert "thawed@test holds messages and has no lease" in celery.log()


def test_only_what_two_looks_see_is_put_back(server: Any) -> None:
    from celery_runtime.survey import Survey

    ledger, survey = Ledger(server.client), Survey(45)
    assert survey.is_due(0)
    assert not survey.is_due(44)
    assert survey.is_due(45)
    for tag in ("known", "pending", "lost"):
        jobs_client.record(ledger, "one@test", tag, "low")
    jobs_client.record(ledger, "two@test", "other", "low")

    def look(*leases: str) -> tuple[list[str], list[str]]:
        found = survey.look(ledger, "one@test", {"one@test", *leases}, {"known"}, {ledger.fetches["pending"]})
        return found.tags, found.nodes

    assert look() == ([], [])
    assert look() == (["lost"], ["two@test"])
    ledger.restore("lost")
    # By another fetch it is another message.
    assert ledger.fetch("one@test", ["low"], ["low"])
    assert look("two@test") == ([], [])
    assert look() == (["lost"], [])


def test_a_message_that_is_got_directly_is_recorded_in_one_step(celery: Any, server: Any) -> None:
    """A full Redis gives messages out and takes no notes: in two steps, the message was gone."""
    jobs_client.send_notes(celery, ["one"])
    server.client.rpush("low", b"{broken")
    server.client.config_set("maxmemory", 1)
    with jobs_client.runtime(celery), Connection(celery.url) as connection:
        queue = Queue("low").bind(connection.default_channel)
        message = queue.get()
        assert message.headers["id"] == "one"
        assert server.client.hlen("unacked") == server.client.zcard("unacked_index") == 1
        message.ack()
        assert queue.get() is None
    assert not server.client.exists("unacked", "unacked_index", "low")
    assert [letter.message for letter in Ledger(server.client).dead_letters()] == ["{broken"]


@pytest.mark.parametrize("no_ack", [False, True])
def test_a_message_that_is_got_directly_and_not_acknowledged_comes_back(celery: Any, server: Any, no_ack: bool) -> None:
    jobs_client.send_notes(celery, ["one"])
    with jobs_client.runtime(celery), Connection(celery.url) as connection:
        assert Queue("low").bind(connection.default_channel).get(no_ack=no_ack)
    assert server.client.llen("low") == (0 if no_ack else 1)
    assert not server.client.exists("unacked", "unacked_index")


def test_a_message_that_arrives_for_a_cancelled_consumer_goes_back(celery: Any, server: Any) -> None:
    """kombu recorded it a second time, on whichever channel was the first, and its losses were forgotten."""
    with jobs_client.runtime(celery), Connection(celery.url) as connection:
        connection.default_channel  # noqa: B018 - the first one, on which nobody consumes
        channel = connection.channel()
        consumer = Consumer(channel, [Queue("low")], callbacks=[lambda *_: pytest.fail("it was cancelled")])
        consumer.consume()
        jobs_client.send_notes(celery, ["one"])
        tag = json.loads(server.client.lindex("low", 0))["properties"]["delivery_tag"]
        server.client.hset("celery_runtime:losses", tag, json.dumps([{"at": 1, "node": "x", "reason": "killed"}]))
        connection.transport.cycle.on_poll_start()
        wait_for(lambda: server.client.hlen("unacked") == 1, "it is fetched")
        consumer.cancel()
        channel.handlers["BRPOP"]()
        assert server.client.llen("low") == 1
        assert server.client.hlen("celery_runtime:losses") == 1
        assert not server.client.exists("unacked", "unacked_index", HOLDERS)


def test_who_gave_a_message_back_says_nothing_of_it_any_more(server: Any) -> None:
    """A takeover of its own, say, or the visibility timeout. Another has fetched it since."""
    one, two = Ledger(server.client), Ledger(server.client)
    jobs_client.record(one, "one@test", "tag", "low")
    assert one.restore("tag") is True
    assert two.fetch("two@test", ["low"], ["low"])
    assert one.settle("tag") is False
    assert one.restore("tag", own=True) is False
    assert one.bury("tag", None, "unreadable: so it says") is None
    assert two.settle("tag") is True
