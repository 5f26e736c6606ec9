"""Real servers for the tests: Redis, SMTP and a Celery worker, on free ports of the loopback address."""

import email
import email.policy
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from aiosmtpd.controller import Controller
from django.conf import LazySettings
from sample.celery import app
from sample.publishing import publisher

from tests.settings import SCRATCH, TEST_DATABASE_URL

PROJECT = Path(__file__).resolve().parent.parent


def pytest_unconfigure() -> None:
    """Remove what the tests wrote."""
    shutil.rmtree(SCRATCH, ignore_errors=True)


def free_port() -> int:
    """Return a port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(condition, seconds: float = 15.0):
    """Return the condition's first true value; fail when it does not come."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.05)
    pytest.fail(f"not within {seconds} s: {condition}")


class Broker:
    """A real Redis with a password, on a port that stays its own while it is down."""

    def __init__(self) -> None:
        self.binary = shutil.which("redis-server")
        if self.binary is None:
            pytest.fail("redis-server is not on PATH: install the package redis-server to run these tests")
        self.port, self.password = free_port(), secrets.token_urlsafe(16)
        self.url = f"redis://:{self.password}@127.0.0.1:{self.port}/0"
        self.client = redis.Redis(port=self.port, password=self.password)
        self.start()

    def start(self) -> None:
        """Start it, empty, and wait until it answers."""
        # Configured on standard input: a password in argv is seen by everyone on the machine.
        self.process = subprocess.Popen([self.binary, "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        self.process.stdin.write(
            f"bind 127.0.0.1\nport {self.port}\nrequirepass {self.password}\n"
            f'save ""\ndir {SCRATCH}\nmaxmemory-policy noeviction\n'
        )
        self.process.stdin.close()
        wait_for(self.answers)

    def answers(self) -> bool:
        """Tell whether it serves."""
        try:
            return self.client.ping()
        except redis.ConnectionError:
            return False

    def kill(self) -> None:
        """End it with all that it holds, even when it is frozen."""
        self.process.kill()
        self.process.wait(10)

    def freeze(self) -> None:
        """Have it answer nothing; the kernel still takes connections for it."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Broker]:
    """Start redis-server once."""
    server = Broker()
    yield server
    server.client.close()
    server.kill()


def run(arguments: list[str], **environment: str) -> subprocess.CompletedProcess:
    """Run Python in the project's folder, in an environment of which the test names every variable."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=PROJECT,
        # A database of its own even where the test names none: nothing is written beside manage.py.
        env={"PATH": os.environ["PATH"], "DATABASE_URL": f"sqlite:///{SCRATCH}/x.sqlite3"} | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture(scope="session")
def migrated() -> Path:
    """Migrate a database once, for processes that get a copy."""
    path = SCRATCH / "migrated.sqlite3"
    result = run(["manage.py", "migrate", "-v0"], DEBUG="1", DATABASE_URL=f"sqlite:///{path}")
    assert result.returncode == 0, result.stderr
    return path


@pytest.fixture
def database_url(migrated: Path, tmp_path: Path) -> str:
    """Return the URL of a fresh, migrated database."""
    return f"sqlite:///{shutil.copy(migrated, tmp_path)}"


def use_broker(url: str) -> None:
    """Point this process's Celery application at a broker."""
    # Forgets the pools of connections to the one before.
    app._after_fork()
    app.conf.broker_url = app.conf.broker_read_url = app.conf.broker_write_url = url
    publisher.resume()


@pytest.fixture
def broker(redis_server: Broker) -> Iterator[Broker]:
    """Publish to the real Redis, with empty queues."""
    redis_server.client.delete("high", "default", "low")
    use_broker(redis_server.url)
    yield redis_server
    redis_server.client.config_set("maxmemory", 0)


@pytest.fixture(autouse=True)
def no_broker() -> None:
    """Refuse connections, unless a test asks for the real one."""
    use_broker(f"redis://127.0.0.1:{free_port()}/0")


class MailHandler:
    """Keeps what it accepts; answers RCPT and DATA with what a test has put into the lists of replies."""

    def __init__(self) -> None:
        self.messages: list = []
        self.replies: list[str] = []
        self.data_replies: list[str] = []
        # What happens between a message's arrival and the answer.
        self.on_data: Callable[[], object] = lambda: None

    async def handle_RCPT(self, _server, _session, envelope, address, _options) -> str:  # noqa: N802 - aiosmtpd's
        """Accept or refuse a recipient."""
        reply = self.replies.pop(0) if self.replies else "250 OK"
        if reply.startswith("2"):
            envelope.rcpt_tos.append(address)
        return reply

    async def handle_DATA(self, _server, _session, envelope) -> str:  # noqa: N802 - aiosmtpd's
        """Keep a message, or refuse it."""
        if self.data_replies:
            return self.data_replies.pop(0)
        self.on_data()
        self.messages.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        return "250 OK"


@pytest.fixture(scope="session")
def smtp_server() -> Iterator[tuple[MailHandler, int]]:
    """Start an SMTP server once."""
    handler = MailHandler()
    controller = Controller(handler, hostname="127.0.0.1", port=free_port())
    controller.start()
    yield handler, controller.port
    controller.stop()


@pytest.fixture
def smtp(smtp_server: tuple[MailHandler, int], settings: LazySettings) -> MailHandler:
    """Send this process's mail to the real SMTP server."""
    handler, port = smtp_server
    handler.messages.clear()
    handler.replies.clear()
    handler.data_replies.clear()
    handler.on_data = lambda: None
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", port
    return handler


@dataclass
class Worker:
    """A worker process and the log that it writes."""

    process: subprocess.Popen
    log: Path
    broker: Broker

    def lines(self) -> list[str]:
        """Return what it logged."""
        return self.log.read_text().splitlines()


@pytest.fixture(scope="session")
def worker_process(redis_server: Broker, smtp_server, django_db_setup) -> Iterator[Worker]:
    """Start `celery worker` once, on the test database, with the settings of production."""
    log = SCRATCH / "worker.log"
    environment = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ} | {
        "SECRET_KEY": secrets.token_urlsafe(50),
        "DATABASE_URL": TEST_DATABASE_URL,
        "BROKER_URL": redis_server.url,
        "EMAIL_HOST": "127.0.0.1",
        "EMAIL_PORT": str(smtp_server[1]),
    }
    arguments = ["worker", "--pool=prefork", "--concurrency=2", "--without-gossip", "--without-mingle"]
    with log.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "sample", *arguments],
            cwd=PROJECT,
            env=environment,
            stderr=stream,
            stdout=subprocess.DEVNULL,
        )
    try:
        wait_for(lambda: "ready." in log.read_text() or process.poll() is not None, 30)
        assert process.poll() is None, log.read_text()
        yield Worker(process, log, redis_server)
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture
def worker(broker: Broker, smtp: MailHandler, transactional_db, worker_process: Worker) -> Worker:
    """Have a worker run what a test publishes."""
    return worker_process
