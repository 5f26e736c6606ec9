"""A client of a test host's web front, as a person's browser that trusts the deployment's authority."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import socket
import ssl
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from testbench.console import Problem

PATIENCE = 120
# What publishing may cost a request while the broker is away (ms).
OUTAGE = 1000


def patience(usual: list[float]) -> float:
    """Return what a request may take during an outage (ms), given what some took before it: a slow machine is no outage."""
    return OUTAGE + 5 * max(usual)


@dataclass(frozen=True)
class Front:
    """Where a front is met, and what is trusted of it.

    Attributes:
        address: name or address, which its certificate must be for.
        authority: file on this machine with the certificate that it must come from.
        place: where it is met when that is a name that leads nowhere.
    """

    address: str
    authority: Path
    place: str = ""

    @cached_property
    def trust(self) -> ssl.SSLContext:
        """What a connection verifies: the authority, and the name."""
        if not self.authority.exists():
            raise Problem(f"There is no {self.authority}; site.yml makes it.")
        return ssl.create_default_context(cafile=self.authority)

    def connect(self, patience: float = PATIENCE) -> http.client.HTTPSConnection:
        """Return a connection. It opens when it is first used, and at once where a place is named."""
        connection = http.client.HTTPSConnection(self.address, timeout=patience, context=self.trust)
        if self.place:
            to_place = socket.create_connection((self.place, connection.port), patience)
            connection.sock = self.trust.wrap_socket(to_place, server_hostname=self.address)
        return connection

    def request(self, method: str, path: str, body: Any = None, login: str = "") -> tuple[int, str, float]:
        """Send one request, a body as JSON; return status, body and the milliseconds it took."""
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if login:
            headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
        started = time.monotonic()
        try:
            with contextlib.closing(self.connect()) as connection:
                connection.request(method, path, None if body is None else json.dumps(body), headers)
                response = connection.getresponse()
                text = response.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            raise Problem(f"{method} https://{self.address}{path}: {error}") from error
        return response.status, text, (time.monotonic() - started) * 1000
