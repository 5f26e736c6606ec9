"""Requests as an attacker writes them: bytes, which no client has cleaned."""

from __future__ import annotations

import email
import email.policy
import http.client
import io
import itertools
import json
import socket
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

AUTHORITY = "/etc/sample/tls/ca.pem"
PORT = 443
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
PATIENCE = 15
numbers = itertools.count()


class _Recorded:
    """What came over a connection, as http.client wants to read it."""

    def __init__(self, data: bytes) -> None:
        self.stream = io.BytesIO(data)

    def makefile(self, *_: Any, **__: Any) -> io.BytesIO:
        """Return the stream."""
        return self.stream


@dataclass(frozen=True)
class Answer:
    """One HTTP answer."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def text(self) -> str:
        """Return the body as text."""
        return self.body.decode(errors="replace")

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)

    def all(self, name: str) -> list[str]:
        """Return each value of a header."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def get(self, name: str) -> str:
        """Return a header's values in one line; "" where it is missing."""
        return ", ".join(self.all(name))


@dataclass
class Site:
    """The deployed site as the network sees it: through the front."""

    address: str
    tls: ssl.SSLContext
    mail_folder: Path
    authority: str
    cookies: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, host: Any) -> Site:
        """Find the site of a host; the authority that signed its certificate is asked over SSH, which knows the host."""
        variables = host.ansible.get_variables()
        address, folder = str(variables["ansible_host"]), Path(variables["testbench_mail_folder"])
        authority = host.check_output("cat %s", AUTHORITY)
        return cls(address, ssl.create_default_context(cadata=authority), folder, authority)

    @property
    def origin(self) -> str:
        """Return what a browser calls the site."""
        return f"https://{self.address}"

    @property
    def host(self) -> str:
        """Return the header Host."""
        return self.origin.partition("//")[2]

    def visitor(self) -> Site:
        """Return the same site for somebody without cookies."""
        return Site(self.address, self.tls, self.mail_folder, self.authority)

    def raw(self, data: bytes, patience: float = PATIENCE) -> bytes:
        """Send bytes and return all that comes until the other side closes, or is silent for long."""
        received = b""
        with (
            socket.create_connection((self.address, PORT), timeout=PATIENCE) as plain,
            self.tls.wrap_socket(plain, server_hostname=self.address) as link,
        ):
            # A server that has seen enough closes in the middle of a body; what it said before is what counts.
            with suppress(OSError):
                link.sendall(data)
            link.settimeout(patience)
            with suppress(OSError):
                while chunk := link.recv(65536):
                    received += chunk
        return received

    def parsed(self, data: bytes, method: str = "GET") -> Answer:
        """Return the first answer; no answer at all is told as status 0, and a fault of the server is one of the test."""
        if not data:
            return Answer(0, [], b"")
        response = http.client.HTTPResponse(_Recorded(data), method=method)  # type: ignore[arg-type]
        response.begin()
        try:
            body = response.read()
        except http.client.IncompleteRead as cut:
            body = cut.partial
        answer = Answer(response.status, response.getheaders(), body)
        if answer.status in {500, 502, 504}:
            raise AssertionError(f"the site answered {answer.status}:\n{answer.text[:2000]}")
        return answer

    def ask(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        lines: tuple[str, ...] = (),
    ) -> Answer:
        """Send one request; `lines` are further header lines, sent as they stand."""
        given = {"Host": self.host, "Connection": "close", **(headers or {})}
        if self.cookies:
            given.setdefault("Cookie", "; ".join(f"{name}={value}" for name, value in self.cookies.items()))
        if body or method == "POST":
            given.setdefault("Content-Length", str(len(body)))
        head = [f"{method} {path} HTTP/1.1", *[f"{name}: {value}" for name, value in given.items()], *lines]
        request = "\r\n".join([*head, "", ""]).encode("utf-8", "surrogateescape")
        answer = self.parsed(self.raw(request + body), method)
        for cookie in answer.all("set-cookie"):
            name, _, value = cookie.partition(";")[0].partition("=")
            if value in {"", '""'}:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value
        return answer

    def get(self, path: str, **headers: str) -> Answer:
        """Ask for a page."""
        return self.ask("GET", path, headers=headers)

    def post_json(self, data: Any, **headers: str) -> Answer:
        """Register by JSON; bytes are sent as they are."""
        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        return self.ask("POST", "/register/", body, {"Content-Type": JSON, **headers})

    def post_form(self, path: str, data: Any, **headers: str) -> Answer:
        """Send a form with its token and from this site, as a browser does; bytes follow the token as they are."""
        token = self.token(path)
        rest = data if isinstance(data, bytes) else urlencode(data, doseq=True).encode()
        body = urlencode({"csrfmiddlewaretoken": token}).encode() + b"&" + rest
        return self.ask("POST", path, body, {"Content-Type": FORM, "Origin": self.origin, **headers})

    def token(self, path: str) -> str:
        """Return the token against forged requests, from the page's cookie."""
        if "csrftoken" not in self.cookies:
            self.get(path)
        return self.cookies["csrftoken"]

    def log_in(self, name: str, password: str, path: str = "/admin/login/") -> Answer:
        """Log in to the admin."""
        return self.post_form(path, {"username": name, "password": password, "next": "/admin/"})

    def may_register(self, address: str) -> bool:
        """Tell whether an address is free, by registering it; so what went before had no effect."""
        answer = self.visitor().post_json({"email": address, "name": "Ada"})
        if answer.status not in {201, 400}:
            raise AssertionError(f"registering {address} gave {answer.status}: {answer.text[:500]}")
        return answer.status == 201

    def mails(self, recipient: str, patience: float = 30) -> list[EmailMessage]:
        """Wait for mail to somebody and return all of it."""
        deadline = time.monotonic() + patience
        while True:
            parsed = [email.message_from_bytes(p.read_bytes(), policy=email.policy.default) for p in self._newest()]
            found = [mail for mail in parsed if recipient in str(mail["to"]) and isinstance(mail, EmailMessage)]
            if found:
                return found
            if time.monotonic() > deadline:
                raise AssertionError(f"no mail to {recipient} within {patience} s")
            time.sleep(0.3)

    def _newest(self) -> list[Path]:
        return sorted(self.mail_folder.glob("*.eml"))[-300:]


def somebody() -> str:
    """Make up an address that isn't registered yet."""
    return f"attack-{time.time_ns()}-{next(numbers)}@example.com"
