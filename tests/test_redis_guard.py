"""The program that ends connections without a login, beside a real Redis with few connections."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import ROOT

GUARD = ROOT / "roles/redis/files/redis_guard.py"
# More than the server takes.
MOST = 40
CROWD = 60
PASSWORD = 'quoted " and \\ behind'
# A bound on a hang (s).
PATIENCE = 60


def wait_for(look: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not look():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


class Client:
    """A client that says one thing at a time."""

    def __init__(self, address: tuple[str, int] | str) -> None:
        self.link = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        self.link.settimeout(PATIENCE)
        self.link.connect(address)

    def say(self, line: str) -> str:
        """Return the first line of an answer; empty where the server has left."""
        try:
            self.link.sendall(line.encode() + b"\r\n")
            return self.link.recv(1000).decode()
        except (ConnectionResetError, BrokenPipeError):
            return ""

    def is_left(self) -> bool:
        """Wait until the server ends the connection."""
        try:
            while self.link.recv(1000):
                pass
        except ConnectionResetError:
            pass
        return True


@pytest.fixture
def address(tmp_path: Path) -> Iterator[tuple[str, int]]:
    """Run a server with the guard beside it; both come up in any order."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = probe.getsockname()
    path = tmp_path / "redis.sock"
    escaped = PASSWORD.replace("\\", "\\\\").replace('"', '\\"')
    (tmp_path / "access.conf").write_text(f'requirepass "{escaped}"\nuser web on >web-password +@all\n')
    (tmp_path / "redis.conf").write_text(
        f'port {address[1]}\nunixsocket {path}\nmaxclients {MOST}\nsave ""\ndir {tmp_path}\ninclude {tmp_path}/access.conf\n'
    )
    guard = subprocess.Popen([sys.executable, GUARD, path, tmp_path / "access.conf", "1"], stderr=subprocess.DEVNULL)
    server = subprocess.Popen(["redis-server", tmp_path / "redis.conf"], stdout=subprocess.DEVNULL)
    try:
        wait_for(path.exists, "Redis")
        administrator = Client(str(path))
        quoted = '"' + escaped + '"'
        assert "OK" in administrator.say(f"AUTH {quoted}")
        # The administrator's session and the guard's.
        wait_for(lambda: administrator.say("CLIENT LIST").count("flags=U") == 2, "the guard")
        yield address
        # A session of his own at the socket is let be, however long it lasts.
        assert "PONG" in administrator.say("PING")
    finally:
        for process in (guard, server):
            process.terminate()
            process.wait()


def test_a_crowd_without_a_login_is_ended_and_others_get_in(address: tuple[str, int]) -> None:
    early = Client(address)
    assert "OK" in early.say("AUTH web web-password")
    crowd = [Client(address) for _ in range(CROWD)]
    # Some talk, which keeps them from being idle.
    assert "NOAUTH" in crowd[0].say("PING")
    assert all(one.is_left() for one in crowd)
    # Who has logged in stays, and there is room.
    assert "PONG" in early.say("PING")
    assert "OK" in Client(address).say("AUTH web web-password")


def test_one_alone_is_ended_too(address: tuple[str, int]) -> None:
    web = Client(address)
    assert "OK" in web.say("AUTH web web-password")
    for _ in range(2):
        assert Client(address).is_left()
    assert "PONG" in web.say("PING")
