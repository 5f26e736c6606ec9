#!/usr/bin/python3
"""Ends connections over the network to Redis that don't log in, so that a crowd of them can't take every connection there is.

Redis itself (as of 8.0) has no limit for the time before a login: `timeout` would end idle services' connections too,
and one byte in time keeps a stranger's. A connection of this program's own is open from the start, since nobody gets a new one when all
are taken. It looks every other second, and ends what has been there for longer than a login takes; when most connections are taken, what
has been there for a second.

Whoever comes by the unix socket is let be: its group says who that may be, and the administrator's sessions there may last.

Arguments: the unix socket, the file with the line `requirepass "…"`, and for how long somebody may stay without a login (s).
"""

from __future__ import annotations

import re
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

# Seconds between two looks, and until another try to connect.
PAUSE = 2.0
RETRY = 0.2
# Seconds for an answer; a server that takes longer is asked anew.
PATIENCE = 30
# From this share of `maxclients` on, that many seconds are enough.
CROWDED = 0.75
SHORTEST = 1
PASSWORD = re.compile(r'^requirepass "((?:[^"\\]|\\.)*)"$', re.MULTILINE)


class Server:
    """A connection as the administrator, speaking RESP2 (redis.io/docs/latest/develop/reference/protocol-spec)."""

    def __init__(self, path: str, password: str) -> None:
        self.link = socket.socket(socket.AF_UNIX)
        self.link.settimeout(PATIENCE)
        self.link.connect(path)
        self.reader = self.link.makefile("rb")
        self.call("AUTH", password)

    def close(self) -> None:
        """End the connection."""
        self.link.close()

    def send(self, *words: str) -> None:
        """Send a command."""
        parts = [word.encode() for word in words]
        body = b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)
        self.link.sendall(b"*%d\r\n%b" % (len(parts), body))

    def answer(self) -> str:
        """Return the answer to the oldest command without one: a line, a text, or the last entry of a list."""
        line = self.reader.readline()
        if not line.endswith(b"\n"):
            raise ConnectionError("Redis has ended the connection")
        kind, rest = line[:1], line[1:].strip().decode()
        if kind == b"-":
            raise ConnectionError(rest)
        if kind == b"$":
            return self.reader.read(int(rest) + 2)[:-2].decode(errors="replace")
        if kind == b"*":
            return [self.answer() for _ in range(int(rest))][-1]
        return rest

    def call(self, *words: str) -> str:
        """Send a command and return the answer to it."""
        self.send(*words)
        return self.answer()


def strangers(clients: list[str], longest: int) -> Iterator[str]:
    """Return the numbers of those who came over the network `longest` seconds ago or earlier, and haven't logged in.

    Until then a connection stands for the user `default`, who is the administrator.
    """
    for client in clients:
        said = dict(pair.split("=", 1) for pair in client.split(" ") if "=" in pair)
        if said["user"] == "default" and "U" not in said["flags"] and int(said["age"]) >= longest:
            yield said["id"]


def look(server: Server, longest: int) -> int:
    """End what has stayed too long; return how many that were."""
    most = int(server.call("CONFIG", "GET", "maxclients"))
    clients = server.call("CLIENT", "LIST", "TYPE", "normal").splitlines()
    ended = list(strangers(clients, min(longest, SHORTEST) if len(clients) > most * CROWDED else longest))
    for number in ended:
        # The user once more: by now it may have logged in.
        server.send("CLIENT", "KILL", "ID", number, "USER", "default")
    return sum(int(server.answer()) for _ in ended)


def main() -> None:
    """Look for as long as the server is there; systemd ends and begins both together."""
    path, secrets, longest = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    while True:
        server = None
        try:
            found = PASSWORD.search(secrets.read_text())
            server = Server(path, re.sub(r"\\(.)", r"\1", found[1]) if found else "")
            while True:
                if ended := look(server, longest):
                    print(f"ended {ended} connections without a login", flush=True)
                time.sleep(PAUSE)
        except (OSError, ValueError, KeyError) as error:
            print(f"no answer: {error}", file=sys.stderr, flush=True)
            time.sleep(RETRY)
        finally:
            if server is not None:
                server.close()


main()
