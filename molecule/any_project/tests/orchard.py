"""What the tests ask the host and its site."""

from __future__ import annotations

import base64
import http.client
import json
import os
import shlex
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from testbench.faults.host import wait_for
from testbench.front import Front

INVENTORY = Path(__file__).resolve().parent.parent / "inventory"
# It bounds a hang (s); nothing here takes as long.
PATIENCE = 180


def wait(look: Callable[[], Any], what: str) -> Any:
    """Look until there is something to see, and return it."""
    if seen := wait_for(look, PATIENCE):
        return seen
    raise AssertionError(f"{what}: not within {PATIENCE} s")


def property_of(host: Any, unit: str, name: str) -> str:
    """Return a property of a unit as systemd has it now."""
    return str(host.check_output(f"systemctl show --value --property={name} {shlex.quote(unit)}"))


def seen_by(host: Any, unit: str, path: str) -> str:
    """Return a path as a unit's processes see it. For root it's the mount alone that decides who may write there."""
    return f"/proc/{property_of(host, unit, 'MainPID')}/root{path}"


def query(host: Any, sql: str, **values: str) -> str:
    """Ask the database as its administrator; a value stands in the query as :'name'."""
    named = shlex.join(f"--set={name}={value}" for name, value in values.items())
    return str(host.check_output(f"echo {shlex.quote(sql)} | runuser -u postgres -- psql -d orchard -tA {named}"))


def redis(host: Any, server: str, command: str) -> str:
    """Run redis-cli as the administrator of a server, whose password stands in the environment only."""
    between = r's,^requirepass "\(.*\)"$,\1,p'
    line = f"REDISCLI_AUTH=$(sed -n '{between}' /etc/{server}/access.conf) redis-cli"
    return str(host.check_output(f"{line} -s /run/{server}/redis-server.sock {command}"))


def unpacked(text: str) -> Any:
    """Return the value in the project's own format, without the project's code."""
    mark, _, packed = text.partition(":")
    if mark != "crate":
        raise AssertionError(f"not in the project's format: {text}")
    return json.loads(zlib.decompress(base64.b85decode(packed)))


@dataclass(frozen=True)
class Answer:
    """What the site answered."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        """Return the body's value."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Site:
    """The site, as a browser meets it."""

    front: Front

    def ask(self, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """Ask for a page, or post a body."""
        connection = self.front.connect()
        try:
            connection.request("GET" if body is None else "POST", path, body, headers)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def post(self, path: str, value: Any = None) -> Answer:
        """Post a value."""
        return self.ask(path, json.dumps(value).encode())

    def done(self, task_id: str) -> dict[str, Any]:
        """Wait for the end of a task, and return what the site says of it."""

        def look() -> Any:
            said = self.ask(f"/outcome/{task_id}").json()
            return said if said["state"] in ("SUCCESS", "FAILURE") else None

        return dict(wait(look, f"the end of {task_id}"))


class WebSocket:
    """A WebSocket (RFC 6455), for texts that fit into a short frame."""

    def __init__(self, front: Front, path: str, origin: str) -> None:
        """Shake hands."""
        self.connection = front.connect(PATIENCE)
        self.connection.putrequest("GET", path)
        key = base64.b64encode(os.urandom(16)).decode()
        for name, value in {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": key,
            "Origin": origin,
        }.items():
            self.connection.putheader(name, value)
        self.connection.endheaders()
        self.stream = self.connection.sock.makefile("rb")
        self.status = int(self.stream.readline().split()[1])
        self.headers = http.client.parse_headers(self.stream)

    def say(self, text: str) -> None:
        """Send a text, masked as a client's must be."""
        data, mask = text.encode(), os.urandom(4)
        masked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(data))
        self.connection.sock.sendall(bytes([0x81, 0x80 | len(data)]) + mask + masked)

    def hear(self) -> str:
        """Wait for a text."""
        kind, length = self.stream.read(2)
        if kind != 0x81 or length > 125:
            raise AssertionError(f"not the frame of a short text: {kind:#x}, {length}")
        return self.stream.read(length).decode()

    def __enter__(self) -> Self:
        """Use it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Hang up."""
        self.stream.close()
        self.connection.close()
