"""The rules of the broker's users, with real workers: each can do its work, and none can do more."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from broker_access import NAMES, refusals
from conftest import Server, wait_for
from redis import Redis
from redis.exceptions import NoPermissionError

FORBIDDEN = [
    ("flushall",),
    ("flushdb",),
    ("config", "get", "requirepass"),
    ("config", "set", "maxmemory", "0"),
    ("keys", "*"),
    ("scan", "0"),
    ("script", "flush"),
    ("eval", "return 1", "0"),
    ("acl", "list"),
    ("acl", "setuser", "web", "allcommands"),
    ("client", "kill", "type", "normal"),
    ("client", "list"),
    ("monitor",),
    ("shutdown",),
    ("replicaof", "192.0.2.1", "6379"),
    ("module", "list"),
    ("save",),
    ("get", "another-application"),
    ("lrange", "low", "0", "-1"),
    ("rename", "low", "mine"),
    ("publish", "another-application", "x"),
]


def test_with_full_function_nothing_is_refused(server: Server, as_user: Any, tmp_path: Path) -> None:
    worker = as_user("worker").worker()
    web = as_user("web")
    web.send("note", "plain", queue="high")
    web.send("note", "other", queue="low")
    web.send("note", "urgent", queue="low", priority=9)
    web.send("note", "later", countdown=1)
    web.send("fail_until", str(tmp_path / "there"))
    as_user("beat").send("note", "due", expires=60)
    wait_for(lambda: {"plain", "other", "urgent", "later", "due", "try"} <= set(web.effects()), "all tasks")
    (tmp_path / "there").touch()
    wait_for(lambda: "done" in web.effects(), "the retry")

    operator = as_user("operator")
    assert "one@test" in operator.run("inspect", "ping")
    operator.run("inspect", "active")
    operator.run("control", "rate_limit", "jobs.note", "100/s")
    operator.run("purge", "--force")

    # A takeover, by a worker of another name.
    as_user("web").send("hold", "kept")
    wait_for(lambda: "begin-kept" in web.effects(), "the long task")
    as_user("worker").kill(worker)
    heir = as_user("worker").worker("heir")
    web.release("kept")
    wait_for(lambda: "kept" in web.effects(), "the takeover")
    # A dead letter: whichever process takes this message ends.
    as_user("web").send("end_own_process", "3")
    wait_for(lambda: server.client.hlen("celery_runtime:dead_letters") == 1, "the dead letter")
    assert "jobs.end_own_process" in as_user("operator").run("dead-letters", "list")
    as_user("operator").run("dead-letters", "drop", "--all")
    as_user("worker").stop(heir)
    assert refusals(server) == []


def test_the_visibility_timeout_is_looked_after(server: Server, as_user: Any) -> None:
    celery = as_user("worker")
    celery.settings = {
        "broker_transport_options": {
            "visibility_timeout": 7200,
            "unacked_restore_interval": 1,
            "unacked_restore_throttle": 1,
        }
    }
    celery.worker()
    time.sleep(3)
    assert refusals(server) == []


@pytest.mark.parametrize("name", NAMES)
def test_nobody_may_do_more(server: Server, users: dict[str, str], name: str) -> None:
    client = Redis.from_url(users[name])
    allowed = []
    for command in FORBIDDEN:
        try:
            client.execute_command(*command)
        except NoPermissionError:
            continue
        allowed.append(" ".join(command))
    assert allowed == []


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("web", ("rpop", "low")),
        ("web", ("del", "low")),
        ("web", ("hgetall", "unacked")),
        ("web", ("lpush", "somebody.reply.celery.pidbox", "forged")),
        ("web", ("publish", "/0.celery.pidbox", "{}")),
        ("beat", ("publish", "/0.celery.pidbox", "{}")),
        ("worker", ("publish", "/0.celery.pidbox", "{}")),
        ("beat", ("lpush", "celery_runtime:dead_letters", "x")),
        ("web", ("hset", "celery_runtime:holders", "a", "b")),
        ("flower", ("lpush", "low", "{}")),
        ("flower", ("rpop", "low")),
        ("flower", ("del", "low")),
        ("flower", ("hset", "celery_runtime:holders", "x", "x")),
        ("flower", ("set", "celery_runtime:suspects:low", "x")),
        ("flower", ("hgetall", "unacked")),
        ("flower", ("sadd", "_kombu.binding.low", "x")),
        ("flower", ("lpush", "x.reply.celery.pidbox", "forged")),
        ("flower", ("script", "load", "return 1")),
        ("flower", ("evalsha", "0" * 40, "0")),
        ("flower", ("function", "list")),
        ("flower", ("publish", "/0.celery.pidbox", "{}")),
        ("flower", ("publish", "/0.celeryev/worker.online", "{}")),
        ("flower", ("psubscribe", "*")),
        ("flower", ("subscribe", "/0.celery.pidbox")),
        ("web", ("publish", "/0.flower.celery.pidbox", "{}")),
        ("worker", ("publish", "/0.flower.celery.pidbox", "{}")),
        ("monitoring", ("rpop", "low")),
        ("monitoring", ("hgetall", "unacked")),
        ("backup", ("llen", "low")),
    ],
)
def test_what_only_others_may(users: dict[str, str], name: str, command: tuple[str, ...]) -> None:
    with pytest.raises(NoPermissionError):
        Redis.from_url(users[name]).execute_command(*command)


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("monitoring", ("info",)),
        ("monitoring", ("llen", "low")),
        ("monitoring", ("hlen", "celery_runtime:dead_letters")),
        ("monitoring", ("zcard", "unacked_index")),
        ("backup", ("lastsave",)),
        ("backup", ("bgsave",)),
    ],
)
def test_what_tools_may(users: dict[str, str], name: str, command: tuple[str, ...]) -> None:
    Redis.from_url(users[name]).execute_command(*command)
