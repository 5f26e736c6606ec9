"""Flower with a login of its own: it shows workers, tasks and queues. Whoever has its login can order nothing and write nothing."""

from __future__ import annotations

import base64
import http.client
import json
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from broker_access import refusals
from conftest import Celery, Server, free_port, wait_for
from django_project import Project, project
from redis import Redis
from redis.exceptions import NoPermissionError

QUESTIONS = "/0.flower.celery.pidbox"
# What Flower's page of a worker shows.
ASKED = {"stats", "active_queues", "registered", "scheduled", "active", "reserved", "revoked", "conf"}
PAGES = ("/", "/workers", "/worker/one@test", "/tasks", "/broker")


@dataclass
class Flower:
    """Flower's process, and a client of its pages."""

    celery: Celery
    app: str = "jobs"
    port: int = field(default_factory=free_port)

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = ["-m", "celery", f"--app={self.app}", "flower", "--address=127.0.0.1", f"--port={self.port}"]
        process = subprocess.Popen(
            [sys.executable, *command],
            env=self.celery.environment | {"FLOWER_UNAUTHENTICATED_API": "true"},
            stdout=(self.celery.folder / "flower.log").open("ab"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.celery.processes.append(process)
        wait_for(self._answers, "Flower", 40)

    def _answers(self) -> bool:
        try:
            return self.request("GET", "/healthcheck")[0] == 200
        except OSError:
            return False

    def request(self, method: str, path: str) -> tuple[int, str]:
        """Return status and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def shown(self, path: str) -> Any:
        """Return what a page of JSON says."""
        status, text = self.request("GET", path)
        assert status == 200, (path, status, text)
        return json.loads(text)

    def worker(self, name: str) -> dict[str, Any]:
        """Wait until it knows all of a worker, and return that."""

        def look() -> Any:
            found = self.shown("/api/workers?refresh=1").get(name)
            # Only who asks for one worker gets its lists of tasks.
            found = found and self.shown(f"/api/workers?refresh=1&workername={name}")[name]
            return found if found and found.keys() >= ASKED else None

        return wait_for(look, f"all of {name}", 60)


@pytest.fixture
def flower(celery: Celery) -> Flower:
    """Return Flower, which isn't started yet."""
    return Flower(celery)


def kept(server: Server) -> set[bytes]:
    """Return the keys in Redis beside those of kombu's tables and of the workers' leases."""
    return {key for key in server.client.keys("*") if not key.startswith((b"_kombu.binding", b"celery_runtime:leases"))}


def test_it_shows_workers_tasks_and_queues_and_is_refused_nothing(server: Server, as_user: Any, flower: Flower) -> None:
    celery = as_user("worker")
    celery.settings["worker_send_task_events"] = True
    celery.worker()
    as_user("flower")
    before = kept(server)
    flower.start()
    worker = flower.worker("one@test")
    assert {queue["name"] for queue in worker["active_queues"]} == {"high", "low"}
    assert "jobs.note" in {line.split()[0] for line in worker["registered"]}
    for page in PAGES:
        assert flower.request("GET", page)[0] == 200, page
    as_user("web").send("note", "seen", queue="high")
    task = wait_for(
        lambda: next((one for one in flower.shown("/api/tasks").values() if one["state"] == "SUCCESS"), None), "a task"
    )
    assert (task["name"], task["worker"]) == ("jobs.note", "one@test")
    assert flower.shown("/api/workers?status=1") == {"one@test": True}
    lengths = {queue["name"]: queue["messages"] for queue in flower.shown("/api/queues/length")["active_queues"]}
    assert lengths == {"high": 0, "low": 0}
    assert refusals(server) == []
    assert kept(server) == before


@pytest.fixture
def deployed(server: Server, users: dict[str, str], tmp_path: Path) -> Iterator[Project]:
    """Return a Django project: its application is there before its settings are loaded, and with them the runtime."""
    for one in project(server, tmp_path, "watchdog", "transport"):
        one.url = users["worker"]
        yield one


def test_it_is_refused_nothing_where_the_application_comes_before_its_settings(
    server: Server, users: dict[str, str], deployed: Project
) -> None:
    deployed.consume()
    deployed.url = users["flower"]
    flower = Flower(deployed, "django_jobs")
    flower.start()
    assert "django_jobs.note" in {line.split()[0] for line in flower.worker("one@test")["registered"]}
    assert flower.request("GET", "/worker/one@test")[0] == 200
    assert [entry for entry in refusals(server) if "flower" in entry] == []


def test_it_counts_what_waits(server: Server, as_user: Any, flower: Flower) -> None:
    for number in range(3):
        server.client.lpush("low" if number else "low\x06\x166", "x")
    as_user("flower")
    flower.start()
    # No worker names its queues, so these are the project's.
    lengths = {queue["name"]: queue["messages"] for queue in flower.shown("/api/queues/length")["active_queues"]}
    assert lengths["low"] == 3


def question(content: Any, **changes: Any) -> str:
    """Return a message as kombu's clients publish it to all."""
    message = {
        "body": base64.b64encode(json.dumps(content).encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {},
        "properties": {
            "delivery_mode": 1,
            "delivery_info": {"exchange": "flower.celery.pidbox", "routing_key": ""},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": str(uuid.uuid4()),
        },
    }
    return json.dumps(message | changes)


class Stranger:
    """Somebody who has the password of Flower's login, and neither Flower nor Celery."""

    def __init__(self, url: str) -> None:
        self.client = Redis.from_url(url, socket_timeout=20)

    def _publish(self, raw: str) -> None:
        # A worker says that it is ready a moment before it listens.
        wait_for(lambda: self.client.publish(QUESTIONS, raw) == 1, "a worker who listens")

    def ask(self, command: Any, arguments: Any = None, **changes: Any) -> Any:
        """Ask the worker, wait for the answer and return it."""
        ticket = str(uuid.uuid4())
        with self.client.pubsub() as line:
            line.subscribe(f"/0.reply.flower.celery.pidbox/{ticket}")
            assert line.get_message(timeout=10)["type"] == "subscribe"
            content = {"command": command, "arguments": arguments or {}, "ticket": ticket} | changes
            self._publish(question(content))
            answer = line.get_message(timeout=20)
        assert answer, command
        return json.loads(answer["data"])["one@test"]

    def say(self, raw: str) -> None:
        """Send something to the worker, and wait until it was dealt with: what comes after it is answered."""
        self._publish(raw)
        assert self.ask("ping") == {"ok": "pong"}


ORDERS = [
    ("shutdown", {}),
    ("pool_shrink", {"n": 1}),
    ("pool_restart", {}),
    ("autoscale", {"max": 1, "min": 1}),
    ("cancel_consumer", {"queue": "low"}),
    ("add_consumer", {"queue": "mine"}),
    ("revoke", {"task_id": "x", "terminate": True}),
    ("terminate", {"signal": "KILL", "task_id": "x"}),
    ("revoke_by_stamped_headers", {"headers": {"a": "b"}}),
    ("rate_limit", {"task_name": "jobs.note", "rate_limit": "1/h"}),
    ("time_limit", {"task_name": "jobs.note", "hard": 1}),
    ("disable_events", {}),
    ("election", {"id": "x", "topic": "task", "action": {}}),
    ("hello", {"from_node": "x", "revoked": {"x": 1}}),
    ("memdump", {}),
    ("no such command", {}),
]


def test_no_order_is_obeyed(as_user: Any, users: dict[str, str]) -> None:
    celery = as_user("worker")
    worker = celery.worker()
    stranger = Stranger(users["flower"])
    processes = stranger.ask("stats")["pool"]["processes"]
    for command, arguments in ORDERS:
        assert "no question" in stranger.ask(command, arguments)["error"], command
    assert worker.poll() is None
    assert stranger.ask("stats")["pool"]["processes"] == processes
    assert stranger.ask("revoked") == []
    assert {queue["name"] for queue in stranger.ask("active_queues")} == {"high", "low"}
    as_user("web").send("note", "done")
    wait_for(lambda: "done" in celery.effects(), "a task")


HOSTILE = [
    "",
    "x",
    "[]",
    "{}",
    "null",
    "[" * 50_000,
    question([]),
    question({}),
    question({"command": "ping", "ticket": "../celery.pidbox"}),
    question({"command": "ping", "ticket": 7}),
    question({"command": "ping", "ticket": "a" * 100_000}),
    question({"command": ["shutdown"]}),
    question({"command": "ping", "nodes": {"one@test": 1}}),
    question({"command": "ping", "nodes": [[]]}),
    question({"command": "ping", "arguments": []}),
    question({"command": "ping", "more": 1}),
    # The form of Celery's own orders.
    question({"method": "shutdown", "arguments": {}, "destination": None}),
    question({"command": "ping", "reply_to": {"exchange": "low", "routing_key": "low"}}),
    question({"command": "ping"}, headers={"clock": 10**400}),
    question({"command": "ping"}, headers={"clock": "x"}),
    question({"command": "ping"}, properties={}),
    question({"command": "ping"}, **{"content-type": "application/x-python-serialize"}),
    question({"command": "ping"}, body="gASVJgAAAAAAAACMCGJ1aWx0aW5z"),
]


def test_whatever_is_asked_the_worker_lives_and_answers(server: Server, as_user: Any, users: dict[str, str]) -> None:
    celery = as_user("worker")
    worker = celery.worker()
    stranger = Stranger(users["flower"])
    kept_before, before = kept(server), stranger.ask("stats")
    for raw in HOSTILE:
        stranger.say(raw)
    after = stranger.ask("stats")
    assert worker.poll() is None
    assert after["pid"] == before["pid"]
    # It did not even begin with its consumer anew, and its clock is what it was.
    assert celery.log().count("Connected to") == 1
    assert int(after["clock"]) < 10**6
    assert kept(server) == kept_before


def test_orders_are_obeyed_where_the_deployment_says_so(as_user: Any, flower: Flower) -> None:
    celery = as_user("worker")
    celery.runtime["flower_commands"] = True
    worker = celery.worker()
    as_user("flower")
    flower.start()
    flower.worker("one@test")
    status, text = flower.request("POST", "/api/worker/pool/grow/one@test?n=1")
    assert (status, "1" in text) == (200, True), text
    assert flower.request("POST", "/api/worker/shutdown/one@test")[0] == 200
    worker.wait(30)


def flatten(value: Any) -> list[str]:
    """Return the texts of what Redis says of a user."""
    if isinstance(value, dict):
        return [text for one in value.values() for text in flatten(one)]
    if isinstance(value, (list, tuple)):
        return [text for one in value for text in flatten(one)]
    return [value.decode() if isinstance(value, bytes) else str(value)]


def test_who_has_its_login_can_write_and_run_nothing(server: Server, users: dict[str, str]) -> None:
    """Redis says itself which commands write, run scripts, or are an administrator's."""
    assert users
    rights = server.client.acl_getuser("flower")
    barred = {name for category in ("write", "scripting", "admin") for name in server.client.acl_cat(category)}
    assert {"set", "lpush", "evalsha", "fcall", "acl|setuser"} <= barred
    granted = " ".join(str(part) for part in flatten(rights))
    assert granted.count("-@all") == 3
    assert set(re.findall(r"\+(\S+)", granted)) & barred == set()
    assert set(re.findall(r"(\S*)~\S+", granted)) == {"%R"}


def test_a_worker_may_consume_a_queue_of_its_name(server: Server, celery: Celery) -> None:
    """Flower's process gets none of the runtime, a worker all of it, whatever its arguments are."""
    celery.worker(queues="low", options="-Q flower")
    server.client.lpush("flower", "no message at all")
    wait_for(lambda: server.client.hlen("celery_runtime:dead_letters") == 1, "what only the runtime does")


def test_its_login_may_listen_to_events_and_answers_alone(users: dict[str, str]) -> None:
    client = Redis.from_url(users["flower"])
    for command, channel in (("PSUBSCRIBE", "/0.celery.pidbox"), ("PSUBSCRIBE", QUESTIONS), ("SUBSCRIBE", QUESTIONS)):
        with pytest.raises(NoPermissionError):
            client.execute_command(command, channel)
