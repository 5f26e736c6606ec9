"""A real Redis and real Celery workers for the tests of the runtime, which need an environment with Celery (make test-runtime)."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import broker_access
import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

HERE = Path(__file__).resolve().parent
SOURCES = HERE.parent / "src"
# The least of a project in one module: its settings, and what its Celery app is made with.
SETTINGS_AND_APP = """
from celery import Celery

SECRET_KEY = "no secret"
INSTALLED_APPS = ["django.contrib.contenttypes"]
USE_TZ = True
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
"""
# The package redis-tools brings the server's program under another name; the name that it is started with decides what it is.
# Another version's may be named instead.
SERVER = os.environ.get("REDIS_SERVER", "/usr/bin/redis-check-rdb")


def wait_for(look: Callable[[], Any], what: str, timeout: float = 120) -> Any:
    """Look until there is something to see, and return it. The timeout (s) bounds a hang; it measures no machine."""
    deadline = time.monotonic() + timeout
    while True:
        if seen := look():
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {timeout} s")
        time.sleep(0.05)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Server:
    """A Redis server of this test's own; its data lies in a folder, so that it can be killed and started again."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    tls_port: int = 0

    @property
    def url(self) -> str:
        """Return the broker URL."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def client(self) -> Redis:
        """Return a client."""
        return Redis(port=self.port, socket_timeout=60)

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = {
            "port": self.port,
            "dir": self.folder,
            "appendonly": "yes",
            "save": "",
            "unixsocket": self.folder / "redis.sock",
        }
        arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
        self.process = subprocess.Popen(["redis-server", *arguments], executable=SERVER, stdout=subprocess.DEVNULL)
        wait_for(self._answers, "Redis")

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except RedisConnectionError:
            return False

    def start_tls(self, key: Path, certificate: Path) -> None:
        """Let it speak TLS on a second port."""
        self.tls_port = free_port()
        self.client.config_set(
            "tls-cert-file",
            str(certificate),
            "tls-key-file",
            str(key),
            "tls-auth-clients",
            "no",
            "tls-port",
            self.tls_port,
        )

    def signal(self, number: int) -> None:
        """Send it a signal; after one that ends it, wait for the end."""
        if self.process is None:
            raise AssertionError("not started")
        self.process.send_signal(number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            self.process.wait(60)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Return a fresh Redis server."""
    folder = tmp_path / "redis"
    folder.mkdir()
    one = Server(folder)
    one.start()
    yield one
    if one.process and one.process.poll() is None:
        one.process.send_signal(signal.SIGCONT)
        one.process.kill()
        one.process.wait(60)


@dataclass
class Celery:
    """Processes of the test project `jobs` under the runtime, and what they left in its log of effects."""

    folder: Path
    url: str
    runtime: dict[str, Any]
    settings: dict[str, Any] = field(default_factory=dict)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of a process: the configuration file of a deployment, and where effects go."""
        file = self.folder / "settings.json"
        file.write_text(
            json.dumps(
                {"project_settings": "none", "celery_app": "jobs", "celery": self.settings, "runtime": self.runtime}
            )
        )
        return os.environ | {
            "PYTHONPATH": f"{SOURCES}:{HERE}",
            "CELERY_RUNTIME_CONFIG": str(file),
            "BROKER_URL": self.url,
            "EFFECTS": str(self.folder / "effects"),
        }

    def run(self, *arguments: str) -> str:
        """Run a command of Celery's and return what it printed."""
        command = [sys.executable, "-m", "celery", "--app=jobs", *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=180, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def send(self, task: str, *arguments: Any, **options: Any) -> str:
        """Send a task from a process of its own and return its id."""
        code = f"import jobs; print(jobs.{task}.apply_async({arguments!r}, **{options!r}).id)"
        done = subprocess.run(
            [sys.executable, "-c", code], env=self.environment, capture_output=True, text=True, timeout=180, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def worker(self, name: str = "one", **options: Any) -> subprocess.Popen[bytes]:
        """Start a worker and wait until it consumes."""
        log = self.folder / f"{name}.log"
        before = log.read_text().count(" ready.") if log.exists() else 0
        process = self.spawn(name, **options)
        try:
            wait_for(lambda: log.read_text().count(" ready.") > before, f"worker {name}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log(name)}") from None
        return process

    def spawn(
        self, name: str = "one", queues: str = "high,low", concurrency: int = 2, options: str = "", **environment: str
    ) -> subprocess.Popen[bytes]:
        """Start a worker in a process group of its own."""
        log = self.folder / f"{name}.log"
        command = (
            f"-m celery --app=jobs worker --loglevel=INFO --without-gossip --without-mingle --hostname={name}@test"
        )
        process = subprocess.Popen(
            [sys.executable, *command.split(), f"--queues={queues}", f"--concurrency={concurrency}", *options.split()],
            env=self.environment | environment,
            stdout=log.open("ab"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def log(self, name: str = "one") -> str:
        """Return what a worker logged."""
        return (self.folder / f"{name}.log").read_text()

    def effects(self) -> list[str]:
        """Return the effects of the tasks that ran, a line each."""
        file = self.folder / "effects"
        return file.read_text().split() if file.exists() else []

    def release(self, *names: str) -> None:
        """Let tasks `hold` of these names end."""
        for name in names:
            (self.folder / f"effects-{name}-may-end").touch()

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """Kill a worker with all its children at once, as the kernel or a power cut would."""
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)

    def stop(self, process: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> None:
        """Stop a worker and wait for its end."""
        process.send_signal(number)
        process.wait(120)

    def end(self) -> None:
        """Kill what still runs."""
        for process in self.processes:
            if process.poll() is None:
                self.kill(process)


@pytest.fixture
def celery(server: Server, tmp_path: Path) -> Iterator[Celery]:
    """Return Celery with the parts that need neither Django nor a database."""
    runtime = {"parts": ["watchdog", "transport"], "delivery_limit": 3, "lease_seconds": 6, "publish_timeout": 60}
    one = Celery(tmp_path, server.url, runtime)
    yield one
    one.end()


@pytest.fixture
def users(server: Server) -> dict[str, str]:
    """Set the broker's users up; return the URL of each."""
    return broker_access.set_up(server)


@pytest.fixture
def as_user(celery: Celery, users: dict[str, str]) -> Callable[[str], Celery]:
    """Let processes that begin from now on log in as a user."""

    def become(name: str) -> Celery:
        celery.url = users[name]
        return celery

    return become
