"""The record in Redis, into which every worker's login may write: no entry of it may stop a worker or cost a good message."""

from __future__ import annotations

import json
import time
from typing import Any

import jobs_client
import pytest
from celery import Celery as App
from celery_runtime import evidence
from celery_runtime.blame import FULL, Loss
from celery_runtime.ledger import DeadLetter, Ledger
from celery_runtime.redelivery import put_back
from conftest import wait_for
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

OWN = "celery_runtime:"
HASHES = ["unacked", *(OWN + name for name in ("holders", "losses", "suspects", "leases", "dead_letters"))]
GOOD = {"one@test": "one", "gone@test": "left"}


def app() -> App:
    return App(set_as_current=False, backend="cache+memory://")


def put(client: Any, key: str, fields: dict[Any, Any]) -> None:
    """Write into a hash, as who is allowed to and means harm."""
    client.hset(key, mapping=fields)


def some_of_each_kind(client: Any) -> None:
    """Write what can't be read into each key, beside what can."""
    put(
        client, f"{OWN}holders", {"x": "x", b"\xff": b"\xff", "n": "5", "d": "{}", "deep": "[" * 10**5, "l": "[[], {}]"}
    )
    put(
        client,
        f"{OWN}holders",
        {"empty": "[]", "long": "9" * 5000, "list": '["gone@test", ""]', "int": '["gone@test", 5]'},
    )
    put(client, f"{OWN}holders", {"record": json.dumps(["gone@test", f"{OWN}leases"])})
    put(client, f"{OWN}holders", {name: json.dumps(["gone@test", "low"]) for name in ("m0", "m1", "m2", "m3")})
    put(client, "unacked", {"m0": b"\xff", "m1": "5", "m2": "[]", "m3": '[{"properties": 5}, "", ""]', "m4": "{}"})
    put(client, "unacked", {"record": json.dumps([message("record"), "", "low"]), "nowhere": '[{}, "nowhere", "x"]'})
    client.zadd("unacked_index", {"m0": 0, "m4": 0, "nowhere": 1, b"\xff": 2, "leftover": 3})
    put(client, f"{OWN}losses", {"left": "{broken", "one": "[[]]"})
    put(client, f"{OWN}leases", {"gone@test": "often", "other@test": "9" * 30, b"\xff": " 5 ", "one@test": "x"})
    put(client, f"{OWN}suspects", {"one@test": "x"})
    client.set("unacked_mutex", "x")
    letters = {"x": "x", b"\xff": "[]", "a": '{"list": 5}', "b": '{"list": "low", "message": "m", "story": []}'}
    put(client, f"{OWN}dead_letters", letters)
    story = [{"at": 10**30, "node": "n", "reason": "r"}]
    put(client, f"{OWN}dead_letters", {"c": json.dumps({"list": "low", "message": "m", "story": story})})


def message(tag: str, **headers: Any) -> dict[str, Any]:
    return jobs_client.made_up("low", tag, **headers)


def note(name: str) -> dict[str, Any]:
    """Return a message that runs `note`, under its own name as the tag."""
    return message(name, task="jobs.note") | {
        "body": json.dumps([[name], {}, {}]),
        "properties": {"delivery_tag": name, "delivery_info": {"exchange": "", "routing_key": "low"}},
    }


def hold(client: Any, node: str, body: dict[str, Any]) -> None:
    """Let a node hold a message, as if it had fetched it."""
    tag = body["properties"]["delivery_tag"]
    client.hset("unacked", tag, json.dumps([body, "", "low"]))
    client.zadd("unacked_index", {tag: time.time()})
    client.hset(f"{OWN}holders", tag, json.dumps([node, "low"]))


def test_what_can_t_be_read_stops_no_start_no_takeover_and_no_command(celery: Any, server: Any) -> None:
    for node, name in GOOD.items():
        hold(server.client, node, note(name))
    some_of_each_kind(server.client)
    celery.worker()
    wait_for(lambda: {"one", "left"} <= set(celery.effects()), f"both are done: {celery.log()}", 40)
    listed = celery.run("dead-letters", "list")
    assert listed.count("unreadable") >= 5, listed
    assert "can't be read" in celery.log()
    assert "Traceback" not in celery.log()
    wait_for(lambda: server.client.ttl("unacked_mutex") > 0, "the lock has an end")
    celery.run("dead-letters", "drop", "--all")
    assert not server.client.exists(f"{OWN}dead_letters")


def test_a_key_of_another_kind_is_set_aside(celery: Any, server: Any) -> None:
    """Beside a worker that runs, which finds it while it fetches or renews, or when it looks at the record as a whole."""
    celery.worker()
    client = server.client
    for key in (*HASHES, "unacked_index", "low", f"{OWN}suspects:low"):
        if "low" in key:
            client.hset(key, "x", "y")
        else:
            client.pipeline().delete(key).lpush(key, "x").execute()
    for key in (*HASHES, "unacked_index", "low", f"{OWN}suspects:low"):
        wait_for(lambda key=key: client.exists(f"{OWN}set_aside:{key}"), f"{key}: {celery.log()}")
    celery.send("note", "good")
    wait_for(lambda: "good" in celery.effects(), celery.log())
    wait_for(lambda: client.hlen("unacked") == 0, "acknowledged")
    assert "Traceback" not in celery.log()
    assert f"it is set aside as {OWN}set_aside:low" in celery.log()


def test_a_worker_starts_whatever_lies_in_the_place_of_its_keys(celery: Any, server: Any) -> None:
    for key in (*HASHES, "unacked_index", f"{OWN}suspects:low", "low"):
        server.client.set(key, "x")
    celery.worker()
    celery.send("note", "good")
    wait_for(lambda: "good" in celery.effects(), celery.log())
    assert celery.run("dead-letters", "list").strip() == "no dead letters"


def test_a_binding_that_is_none_stops_no_sender(celery: Any, server: Any) -> None:
    """Whoever sends may write into kombu's tables of bindings, too, and a worker's retries are sent by them."""
    celery.worker()
    server.client.sadd("_kombu.binding.low", "x", b"\xff", "\x06\x16" * 5)
    celery.send("note", "good", exchange="low", routing_key="low")
    wait_for(lambda: "good" in celery.effects(), celery.log())


def test_a_tag_that_is_no_text_is_refused(celery: Any, server: Any) -> None:
    """Lua takes each byte, Python no such ones: it was recorded under one tag and settled under another."""
    raw = json.dumps(message("TAG")).encode()
    for tag in (b"\xff\xfe", "ü".encode(), b"\\u0000", b"", b"x" * 300):
        server.client.lpush("low", raw.replace(b"TAG", tag))
    celery.worker()
    celery.send("note", "good")
    wait_for(lambda: "good" in celery.effects(), celery.log())
    wait_for(lambda: server.client.hlen("unacked") == 0, "settled")
    assert celery.run("dead-letters", "list").count("delivery_tag") == 5


def test_a_tag_that_was_recorded_and_is_no_text_comes_back_as_it_is(server: Any) -> None:
    """A worker of an earlier release recorded such a tag."""
    ledger = Ledger(server.client)
    body = json.dumps(message("TAG")).encode().replace(b"TAG", b"\xff")
    server.client.hset("unacked", b"\xff", b"[" + body + b', "", "low"]')
    server.client.hset(f"{OWN}holders", b"\xff", json.dumps(["gone@test", "low"]))
    put_back(app(), ledger, "gone@test", evidence.GONE, set())
    assert ledger.held("gone@test") == []
    assert server.client.llen("low") + len(ledger.dead_letters()) == 1


def test_a_second_dead_letter_under_one_id_takes_no_place(server: Any) -> None:
    ledger = Ledger(server.client, limit=1)
    for tag in ("a", "b"):
        jobs_client.record(ledger, "one@test", tag, "low", id="same")
        assert isinstance(ledger.restore(tag, loss=Loss("killed", FULL)), DeadLetter)
    first, second = ledger.dead_letters()
    assert (first.id, first.task_id, second.task_id) == ("same", "same", "same")
    assert second.id.startswith("same~")
    assert ledger.requeue(second)
    assert json.loads(server.client.lindex("low", 0))["properties"]["delivery_tag"] == "b"
    assert [letter.id for letter in ledger.dead_letters()] == ["same"]


def test_a_dead_letter_that_can_t_be_requeued_stays_one(celery: Any, server: Any) -> None:
    server.client.hset("high", "x", "y")
    letter = {"list": "high", "message": "m", "story": [{"at": 1, "node": "", "reason": "r"}]}
    put(server.client, f"{OWN}dead_letters", {"a": json.dumps(letter), "b": "broken"})
    assert "requeued 0" in celery.run("dead-letters", "requeue", "--all")
    assert sorted(server.client.hkeys(f"{OWN}dead_letters")) == [b"a", b"b"]
    assert server.client.type("high") == b"hash"


@pytest.mark.parametrize("key", ["unacked", "unacked_index", f"{OWN}holders", f"{OWN}dead_letters"])
def test_a_message_that_meets_a_broken_record_is_kept(server: Any, key: str) -> None:
    ledger = Ledger(server.client)
    server.client.set(key, "x")
    server.client.lpush("low", b"{broken")
    jobs_client.record(ledger, "one@test", "tag", "low")
    assert [held.tag for held in ledger.held("one@test")] == ["tag"]
    assert server.client.llen("low") == 0
    assert [letter.message for letter in ledger.dead_letters()] == ["{broken"]


ANY = st.one_of(
    st.binary(max_size=40),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=8)
        | st.sampled_from(["gone@test", "low"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["list", "message", "story", "at", "node", "reason", "properties"]), inner, max_size=3
            )
        ),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode()),
)
TAGS = st.sampled_from([b"a", b"b", b"\xff", b"gone@test", b"one@test"]) | st.binary(min_size=1, max_size=6)
GARBAGE = st.lists(st.tuples(st.sampled_from([*HASHES, "unacked_index"]), TAGS, ANY), min_size=1, max_size=12)
KINDS = st.dictionaries(
    st.sampled_from([*HASHES, "unacked_index", f"{OWN}suspects:low"]), st.sampled_from("sllz"), max_size=2
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(garbage=GARBAGE, kinds=KINDS)
def test_whatever_is_written_into_it_good_messages_come_back(server: Any, garbage: Any, kinds: dict[str, str]) -> None:
    client = server.client
    client.flushdb()
    for key, kind in kinds.items():
        {
            "s": lambda k: client.set(k, "x"),
            "l": lambda k: client.lpush(k, "x"),
            "z": lambda k: client.zadd(k, {"x": 1}),
        }[kind](key)
    ledger = Ledger(client, limit=3)
    # What a start and a timer do first: they may find keys of another kind.
    ledger.renew("one@test")
    ledger.held("one@test")
    ledger.set_aside()
    for node, name in GOOD.items():
        hold(client, node, note(f"good-{name}"))
    for key, field, value in garbage:
        if key == "unacked_index":
            client.zadd(key, {field: len(value)})
        else:
            client.hset(key, field, value)
    leases = ledger.renew("one@test")
    put_back(app(), ledger, "one@test", evidence.GONE, set())
    put_back(app(), ledger, "gone@test", evidence.GONE, set())
    for node, count in leases.items():
        ledger.forget(node, count)
    for letter in ledger.dead_letters():
        assert letter.task_id is not None
        assert letter.story[-1]["reason"]
    assert not client.hexists(f"{OWN}leases", "gone@test")
    assert ledger.held("gone@test") == []
    found = [json.loads(one)["properties"]["delivery_tag"] for one in client.lrange("low", 0, -1) if b"good-" in one]
    assert sorted(found) == ["good-left", "good-one"]
