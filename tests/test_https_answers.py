"""The module https_answers against a real server with a certificate of its own."""

from __future__ import annotations

import http.server
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Module = Callable[..., dict[str, Any]]


POLICY = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline' https://*.styles.example"
LOGIN = b"""<html><head>
<link rel="stylesheet" href="https://cdn.example/site.css"><link rel="stylesheet" href="/static/own.css">
<link rel="stylesheet" href="https://one.styles.example/a.css"><link rel="icon" href="https://cdn.example/icon.png">
<script src="//cdn.example/site.js"></script><script src="https://shop.example/own.js"></script>
<script type="application/json">{"a": 1}</script><style>p {}</style>
</head><body><img src="data:image/png;base64,x"><img src="https://pictures.example/1.png"><script>start()</script></body></html>"""


class Handler(http.server.BaseHTTPRequestHandler):
    """Says which host it was asked for. Its first page leads to a login, which needs more than its policy allows."""

    def do_GET(self) -> None:
        body = LOGIN if self.path in ("/login", "/by-nonce") else b""
        if self.path == "/":
            self.send_response(302)
            self.send_header("Location", "/login")
        else:
            self.send_response(200 if self.headers["Host"] == "shop.example" else 400)
        self.send_header(
            "Content-Security-Policy", f"script-src 'nonce-x'; {POLICY}" if self.path == "/by-nonce" else POLICY
        )
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    names = ["-subj", "/CN=test", "-addext", "subjectAltName=DNS:shop.example"]
    subprocess.run(
        [*command, *names, "-keyout", "key.pem", "-out", "cert.pem"], cwd=folder, check=True, capture_output=True
    )
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture(scope="module")
def port(certificate: tuple[Path, Path]) -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()


@pytest.fixture
def ask(run_module: Module, port: int) -> Module:
    def run(host: str, status: int, ca_file: object = "") -> dict[str, Any]:
        pages = [{"host": host, "path": "/health", "status": [status]}]
        return run_module("https_answers", {"port": port, "pages": pages, "timeout": 0, "ca_file": str(ca_file)})

    return run


def test_a_page_is_asked_for_under_a_name_that_leads_nowhere(ask: Module, certificate: tuple[Path, Path]) -> None:
    assert ask("shop.example", 200, certificate[0])["answers"] == [200]


def test_another_status_is_said(ask: Module, certificate: tuple[Path, Path]) -> None:
    said = ask("shop.example", 401, certificate[0])
    assert said["failed"]
    assert "https://shop.example/health at 127.0.0.1" in said["msg"]
    assert "200; right would be 401" in said["msg"]


@pytest.mark.parametrize(("host", "trusted"), [("other.example", True), ("shop.example", False)])
def test_a_certificate_for_another_name_or_from_nobody_known_is_refused(
    ask: Module, certificate: tuple[Path, Path], host: str, trusted: bool
) -> None:
    said = ask(host, 400, certificate[0] if trusted else "")
    assert said["failed"]
    assert "CERTIFICATE_VERIFY_FAILED" in said["msg"]


def test_a_file_of_certificates_that_is_missing_is_named(ask: Module) -> None:
    assert "/nowhere/ca.pem" in ask("shop.example", 200, "/nowhere/ca.pem")["msg"]


def test_what_a_policy_forbids_is_told_of_the_page_that_a_visitor_comes_to(
    run_module: Module, port: int, certificate: tuple[Path, Path]
) -> None:
    def forbidden(path: str) -> list[str]:
        entrance = {"host": "shop.example", "path": path}
        pages = [{"host": "shop.example", "path": "/health", "status": [200]}]
        arguments = {"port": port, "pages": pages, "timeout": 0, "ca_file": str(certificate[0]), "entrance": entrance}
        found: list[str] = run_module("https_answers", arguments)["forbidden"]
        return found

    assert forbidden("/") == [
        "img-src https://pictures.example",
        "script-src 'unsafe-inline'",
        "script-src https://cdn.example",
        "style-src https://cdn.example",
    ]
    assert forbidden("/by-nonce") == []
    assert forbidden("/health") == []
