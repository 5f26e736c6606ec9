"""Errors reach Sentry: a real SDK in another process, and a small HTTP server in its place."""

import gzip
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import brotli
import pytest

from tests.conftest import free_port, run

DECODERS = {None: bytes, "gzip": gzip.decompress, "br": brotli.decompress}


@pytest.fixture
def sink() -> Iterator[tuple[str, list[dict]]]:
    """Listen as Sentry would; collect events."""
    events: list[dict] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            # What the client takes depends on what is installed.
            body = DECODERS[self.headers.get("Content-Encoding")](body)
            events.extend(
                item for line in body.splitlines() if line.startswith(b"{") and "event_id" in (item := json.loads(line))
            )
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://key@127.0.0.1:{server.server_port}/1", events
    server.shutdown()
    server.server_close()


# The database has no tables for the first; for the second there is no broker.
FAILING = {
    "request": """
client.raise_request_exception = False
client.post("/admin/login/", {"username": "ada@example.com", "password": "hunter2"})
""",
    "publish": """
data = {"email": "ada@example.com", "name": "Ada"}
print(client.post("/register/", data, content_type="application/json").status_code)
""",
}


@pytest.mark.parametrize("what", FAILING)
def test_errors_are_reported_without_private_data(sink, tmp_path, database_url, what):
    dsn, events = sink
    databases = {"request": f"sqlite:///{tmp_path}/empty", "publish": database_url}
    code = f"""
import django; django.setup()
from django.test import Client
client = Client(headers={{"host": "localhost"}})
{FAILING[what]}
import sentry_sdk; sentry_sdk.flush(5)
"""
    result = run(
        ["-c", code],
        DJANGO_SETTINGS_MODULE="sample.settings",
        SECRET_KEY="k",
        SENTRY_DSN=dsn,
        DATABASE_URL=databases[what],
        BROKER_URL=f"redis://127.0.0.1:{free_port()}/0",
    )
    reported = [event for event in events if "exception" in event]
    assert reported, result.stderr
    kinds = {value["type"] for event in reported for value in event["exception"]["values"]}
    assert "OperationalError" in kinds
    assert all(word not in json.dumps(reported) for word in ("hunter2", "ada@example.com"))


def test_a_failed_task_is_reported(sink):
    """The worker's side: a task that fails in a process with the integration."""
    dsn, events = sink
    code = """
import django; django.setup()
from sample import celery_app
from housekeeping.tasks import echo
echo.apply(kwargs={"job": {"text": 5}})
import sentry_sdk; sentry_sdk.flush(5)
"""
    result = run(["-c", code], DJANGO_SETTINGS_MODULE="sample.settings", SECRET_KEY="k", SENTRY_DSN=dsn)
    assert any(e.get("transaction") == "housekeeping.echo" for e in events if "exception" in e), result.stderr


def test_no_dsn_no_sentry():
    code = "import sample.settings, sentry_sdk; print(sentry_sdk.get_client().is_active())"
    assert run(["-c", code], SECRET_KEY="k").stdout.strip() == "False"
