"""The rules of the broker's users, with real workers: each can do its work, and none can do more."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from broker_access import NAMES, refusals, set_up
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


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"global_keyprefix": "shop:", "priority_steps": [0, 5]}, ["transport"]),
        ({"sep": ":"}, []),
    ],
)
def test_rights_follow_the_options_that_name_keys(
    server: Server, celery: Any, options: dict[str, Any], parts: list[str]
) -> None:
    urls = set_up(server, options)
    celery.runtime["parts"] = parts
    celery.settings = {"broker_transport_options": {"visibility_timeout": 7200} | options}
    celery.url = urls["worker"]
    celery.worker()
    celery.url = urls["web"]
    celery.send("note", "plain", queue="high")
    celery.send("note", "urgent", queue="low", priority=5)
    wait_for(lambda: {"plain", "urgent"} <= set(celery.effects()), "both tasks")
    celery.url = urls["operator"]
    assert "one@test" in celery.run("inspect", "ping", "--timeout=10")
    assert refusals(server) == []


ASK = "import jobs; print(jobs.app.control.inspect(timeout=20).ping())"


def asked(celery: Any, folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process of the web's, which finds its login as a unit does."""
    (folder / "credentials").mkdir(exist_ok=True)
    (folder / "credentials/broker_url").write_text(celery.url)
    environment = celery.environment | {"CREDENTIALS_DIRECTORY": str(folder / "credentials")}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=180, check=False
    )


def test_who_may_not_ask_workers_is_told_what_to_set(as_user: Any, tmp_path: Path) -> None:
    as_user("worker").worker()
    refused = asked(as_user("web"), tmp_path, ASK)
    assert "NoPermissionError" in refused.stderr
    assert "stack_broker_rights" in refused.stderr
    refused = asked(as_user("web"), tmp_path, "import jobs; jobs.note.apply_async(('x',), queue='scan-1')")
    assert "stack_queue_patterns" in refused.stderr


def test_rights_that_are_given_are_these_and_no_more(server: Server, celery: Any, tmp_path: Path) -> None:
    urls = set_up(server, rights={"web": ["inspect", "read"], "beat": ["control"]}, patterns=["scan-*"])
    celery.runtime["inspectors"] = ["web"]
    celery.url = urls["worker"]
    worker = celery.worker(queues="high,low,scan-1")
    celery.url = urls["web"]
    # A worker is ready before it listens for questions, and a question that nobody listens to is lost.
    wait_for(
        lambda: server.client.pubsub_numpat() or server.client.pubsub_channels(), "the worker listens for questions"
    )
    answered = asked(celery, tmp_path, ASK)
    assert "{'one@test': {'ok': 'pong'}}" in answered.stdout, answered.stderr
    celery.send("note", "made later", queue="scan-1")
    wait_for(lambda: "later" in celery.effects(), "the task in a queue that was made at run time")
    web = Redis.from_url(urls["web"])
    assert web.lrange("low", 0, -1) == []
    assert refusals(server) == []
    # An order that comes this way isn't obeyed, and there is no other.
    asked(celery, tmp_path, "import jobs; jobs.app.control.shutdown()")
    for command in (
        ("publish", "/0.celery.pidbox", "{}"),
        ("rpop", "low"),
        ("hgetall", "unacked"),
        ("lpush", "other", "x"),
    ):
        with pytest.raises(NoPermissionError):
            web.execute_command(*command)
    time.sleep(2)
    assert worker.poll() is None
    celery.url = urls["beat"]
    assert "one@test" in celery.run("inspect", "ping", "--timeout=20")


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
