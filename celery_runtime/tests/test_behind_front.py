"""Who the client is, under a real gunicorn."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery_runtime.behind_front import application, asgi_application, client
from celery_runtime.configuration import ConfigurationError
from conftest import SOURCES, free_port, wait_for

PROJECT = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"[{environ['REMOTE_ADDR']}]".encode()]

async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        raise ValueError("as Django does")
    client = scope.get("client")
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": f"[{client[0] if client else ''}]"})
        await send({"type": "websocket.close"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": f"[{client[0] if client else ''}]".encode()})
"""
WSGI, ASGI = ["--threads=2"], ["--worker-class=asgi"]


class Connection(http.client.HTTPConnection):
    """A connection over a unix socket."""

    def connect(self) -> None:
        """Connect to the path that stands for a host."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.host)


def asked(connection: http.client.HTTPConnection, *forwarded: str) -> str:
    connection.putrequest("GET", "/", skip_host=True)
    connection.putheader("Host", "www.example.com")
    for value in forwarded:
        connection.putheader("X-Forwarded-For", value)
    connection.endheaders()
    return connection.getresponse().read().decode()


def gunicorn(folder: Path, bind: str, application: str, options: list[str]) -> subprocess.Popen[bytes]:
    (folder / "shop.py").write_text(PROJECT)
    return subprocess.Popen(
        [sys.executable, "-m", "gunicorn", f"--bind={bind}", *options, "--no-control-socket", application],
        env=os.environ | {"PYTHONPATH": f"{SOURCES}:{folder}"},
        cwd=folder,
    )


@pytest.fixture(
    params=[
        (WSGI, "application('shop:application')"),
        (WSGI, "application('shop')"),
        (ASGI, "asgi_application('shop:asgi')"),
    ],
    ids=["wsgi", "by default", "asgi"],
)
def site(request: Any, tmp_path: Path) -> Iterator[str]:
    path = str(tmp_path / "http.sock")
    server = gunicorn(tmp_path, f"unix:{path}", f"celery_runtime.behind_front:{request.param[1]}", request.param[0])
    wait_for(lambda: Path(path).exists(), "gunicorn")
    yield path
    server.terminate()
    server.wait(60)


def test_the_client_is_who_the_front_says(site: str) -> None:
    assert asked(Connection(site), "192.0.2.7") == "[192.0.2.7]"
    assert asked(Connection(site), "2001:db8::7") == "[2001:db8::7]"
    # Somebody in the front's account may leave it out, or write anything.
    assert asked(Connection(site)) == "[]"
    assert asked(Connection(site), "nobody") == "[]"


@pytest.mark.parametrize("site", [(ASGI, "asgi_application('shop:asgi')")], ids=["asgi"], indirect=True)
@pytest.mark.parametrize(("forwarded", "client_seen"), [("192.0.2.9", "[192.0.2.9]"), ("nobody", "[]")])
def test_so_it_is_behind_a_websocket(site: str, forwarded: str, client_seen: str) -> None:
    connection = Connection(site)
    connection.putrequest("GET", "/ws/", skip_host=True)
    for name, value in (
        ("Host", "www.example.com"),
        ("Connection", "upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "bWFkZSB1cCBmb3IgYSB0ZQ=="),
        ("X-Forwarded-For", forwarded),
    ):
        connection.putheader(name, value)
    connection.endheaders()
    connection.sock.settimeout(10)
    answer = connection.sock.makefile("rb")
    assert b" 101 " in answer.readline()
    while answer.readline().strip():
        pass
    # The frame of a short text, whole (RFC 6455, 5.2).
    kind, length = answer.read(2)
    assert kind == 0x81
    assert answer.read(length).decode() == client_seen


@pytest.mark.parametrize(
    ("options", "call"),
    [(WSGI, "application('shop:application')"), (ASGI, "asgi_application('shop:asgi')")],
    ids=["wsgi", "asgi"],
)
def test_nobody_is_believed_who_comes_over_the_network(tmp_path: Path, options: list[str], call: str) -> None:
    port = free_port()
    server = gunicorn(tmp_path, f"127.0.0.1:{port}", f"celery_runtime.behind_front:{call}", options)
    try:

        def answer() -> str:
            try:
                return asked(http.client.HTTPConnection("127.0.0.1", port, timeout=10), "192.0.2.7")
            except OSError:
                return ""

        assert wait_for(answer, "gunicorn") == "[127.0.0.1]"
    finally:
        server.terminate()
        server.wait(60)


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [("192.0.2.7", "192.0.2.7"), ("198.51.100.1, 192.0.2.7", "192.0.2.7"), ("", ""), ("192.0.2.7,", ""), ("a\nb", "")],
)
def test_only_an_address_is_one(forwarded: str, address: str) -> None:
    assert client(forwarded) == address


@pytest.mark.parametrize(
    ("load", "name", "variable"),
    [(application, "stubborn", "stack_wsgi_app"), (asgi_application, "stubborn:asgi", "stack_asgi_app")],
)
def test_an_application_that_runs_on_other_settings_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, load: Any, name: str, variable: str
) -> None:
    (tmp_path / "stubborn.py").write_text(f"import os\nos.environ['DJANGO_SETTINGS_MODULE'] = 'stubborn'\n{PROJECT}")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "stubborn", raising=False)
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "celery_runtime.settings")
    with pytest.raises(ConfigurationError, match=rf"{variable}: '{name}'.*os.environ.setdefault"):
        load(name)
