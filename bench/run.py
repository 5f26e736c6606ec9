"""One run: a Redis and a worker of its own, a queue that is full at once, and what it took to empty it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "plugins/filter"))
from broker_users import broker_users  # noqa: E402  (found on the path above)

# Debian's redis-tools brings the server's program under this name; the name that it is started with decides what it is.
SERVER = os.environ.get("REDIS_SERVER", "/usr/bin/redis-check-rdb")
QUEUES = ["high", "low"]
PASSWORD = "bench"  # noqa: S105  (of a server that lives for seconds)
# Until something that must come has come (s).
PATIENCE = 300


@dataclass(frozen=True)
class Measured:
    """What a run took.

    Attributes:
        rate: tasks a second.
        worker: CPU time of the worker's main process for a task (ms).
        redis: CPU time of Redis for a task (ms), its background threads included.
        commands: commands that Redis executed for a task, those within scripts included.
    """

    rate: float
    worker: float
    redis: float
    commands: float


def wait_for(look: Callable[[], Any], what: str, pause: float = 0.05) -> None:
    """Wait until there is something to see."""
    deadline = time.monotonic() + PATIENCE
    while not look():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(pause)


def cpu(pid: int) -> float:
    """Return the CPU time that a process has used so far, all threads (s): proc(5), schedstat's first number in ns."""
    return sum(int(file.read_text().split()[0]) for file in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def answers(client: Redis) -> bool:
    """Tell whether the server is up."""
    try:
        return bool(client.ping())
    except RedisConnectionError:
        return False


class Run:
    """A server and a worker in a folder.

    Args:
        folder: an empty folder.
        runtime: whether the worker is under the runtime.
        results: whether results are kept, in Redis.
    """

    def __init__(self, folder: Path, runtime: bool, results: bool) -> None:
        self.folder = folder
        socket = folder / "redis.sock"
        self.client = Redis(unix_socket_path=str(socket))
        # As the role `redis` sets them.
        options = f"--port 0 --unixsocket {socket} --dir {folder} --appendonly yes --appendfsync everysec"
        self.server = subprocess.Popen(
            ["redis-server", *options.split(), "--save", ""], executable=SERVER, stdout=subprocess.DEVNULL
        )
        wait_for(lambda: answers(self.client), "Redis")
        self._users()
        url = f"redis+socket://worker:{PASSWORD}@{socket}"
        self.environment = os.environ | {
            "PYTHONPATH": f"{ROOT}:{ROOT / 'celery_runtime/src'}",
            "BENCH_BROKER": url,
        }
        self.environment.pop("CELERY_RUNTIME_CONFIG", None)
        if results:
            self.environment["BENCH_RESULTS"] = f"{url}?virtual_host=1"
        if runtime:
            configuration = folder / "settings.json"
            runs = {"parts": ["watchdog", "transport"]}
            configuration.write_text(
                json.dumps({"project_settings": "none", "celery_app": "bench", "celery": {}, "runtime": runs})
            )
            self.environment["CELERY_RUNTIME_CONFIG"] = str(configuration)

    def _users(self) -> None:
        """Let the worker log in as in a deployment; its results lie in Redis here, which they don't there."""
        (user,) = broker_users(QUEUES, {"worker": PASSWORD})
        version = self.client.info("server")["redis_version"].split(".")
        recent = (int(version[0]), int(version[1])) >= (7, 2)
        rules = [rule.removesuffix("@7.2") for rule in user["rules"] if recent or not rule.endswith("@7.2")]
        more = ["+setex", "+select", "+subscribe", "+unsubscribe", "~celery-task-meta-*", "&celery-task-meta-*"]
        self.client.execute_command("ACL", "SETUSER", "worker", "reset", "on", f">{PASSWORD}", *rules, *more)

    def measure(self, tasks: int) -> Measured:
        """Let a worker with two children do so many tasks."""
        self._fill(tasks)
        log = (self.folder / "worker.log").open("wb")
        command = f"-m celery --app=bench.project worker --loglevel=INFO --without-gossip --without-mingle -Q {','.join(QUEUES)} -c 2"
        worker = subprocess.Popen(
            [sys.executable, *command.split()], cwd=ROOT, env=self.environment, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            wait_for(lambda: b" ready." in (self.folder / "worker.log").read_bytes(), "the worker")
            # The first tasks find everything cold.
            self._do("warm")
            before = cpu(worker.pid), cpu(self.server.pid), self._commands()
            begun = time.monotonic()
            self._do("full")
            took = time.monotonic() - begun
            spent = cpu(worker.pid) - before[0], cpu(self.server.pid) - before[1], self._commands() - before[2]
        finally:
            worker.send_signal(signal.SIGTERM)
            worker.wait(PATIENCE)
        return Measured(tasks / took, spent[0] / tasks * 1e3, spent[1] / tasks * 1e3, spent[2] / tasks)

    def _do(self, prepared: str) -> None:
        """Let a prepared list be the queue, and wait until it is done and settled."""
        self.client.rename(prepared, "low")
        wait_for(lambda: not self.client.exists("low", "unacked"), "the tasks")

    def _commands(self) -> int:
        statistics = self.client.info("commandstats")
        return sum(
            entry["calls"] for name, entry in statistics.items() if name not in ("cmdstat_exists", "cmdstat_info")
        )

    def _fill(self, tasks: int) -> None:
        """Publish one task as the project would, and put copies of it with ids of their own into lists that nobody consumes."""
        code = "from bench.project import nothing; print(nothing.delay().id)"
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=self.environment, check=True, capture_output=True)
        raw = self.client.rpop("low").decode()
        message = json.loads(raw)
        ids = message["headers"]["id"], message["properties"]["delivery_tag"]
        for name, count in (("warm", 200), ("full", tasks)):
            with self.client.pipeline(transaction=False) as pipe:
                for _ in range(count):
                    pipe.lpush(name, raw.replace(ids[0], str(uuid.uuid4())).replace(ids[1], str(uuid.uuid4())))
                pipe.execute()

    def close(self) -> None:
        """End the server."""
        self.server.kill()
        self.server.wait(PATIENCE)
