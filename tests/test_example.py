"""What brings the examples up, where it can be wrong without a host showing it."""

from __future__ import annotations

import ssl
import subprocess
import threading
from collections.abc import Iterator
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from testbench import example, playbooks
from testbench.browser import Browser, Page, multipart
from testbench.console import Problem
from testbench.form import filled
from testbench.front import Front
from testbench.podman import ROOT

FORM = '<form><input type="hidden" name="csrfmiddlewaretoken" value="tok"></form>'


class Site(BaseHTTPRequestHandler):
    """A page with a form, which lets somebody in who sends cookie, referrer and token, and leads on to another page."""

    def do_GET(self) -> None:
        """Hand out the form with a cookie; elsewhere show which cookie came back."""
        self.send_response(200)
        if self.path == "/login/":
            self.send_header("Set-Cookie", "session=s1; Secure; Path=/")
        self.end_headers()
        self.wfile.write(FORM.encode() if self.path == "/login/" else str(self.headers["Cookie"]).encode())

    def do_POST(self) -> None:
        """Refuse what a browser wouldn't send."""
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        came = (self.headers["Cookie"], self.headers["Referer"], body)
        good = came == ("session=s1", f"https://{self.headers['Host']}/login/", "csrfmiddlewaretoken=tok&user=ada")
        self.send_response(302 if good else 403)
        if good:
            self.send_header("Location", "/inside/")
        self.end_headers()

    def log_message(self, *_words: Any) -> None:
        """Say nothing."""


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Front]:
    """Return a site behind TLS with a certificate that its client trusts."""
    key, certificate = tmp_path / "key.pem", tmp_path / "ca.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    kind = ["-x509", "-nodes", "-days", "1", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", "req", *kind, *subject, *files], check=True, capture_output=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield Front(f"localhost:{server.server_port}", certificate)
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_form_is_sent_with_its_token_cookie_and_referrer(front: Front) -> None:
    page = Browser(front).submit("/login/", {"user": "ada"})
    assert (page.status, page.url, page.text) == (200, f"https://{front.address}/inside/", "session=s1")


def test_a_refusal_is_a_page(front: Front) -> None:
    assert Browser(front).submit("/login/", {"user": "eve"}).status == 403


def test_a_page_without_a_form_or_without_json_is_a_problem() -> None:
    page = Page(502, "https://localhost/", "Bad gateway")
    with pytest.raises(Problem, match="502 without a form"):
        _ = page.token
    with pytest.raises(Problem, match="502 without JSON: Bad gateway"):
        page.json()


PAGE = """
<form id="logout"><input type="hidden" name="csrfmiddlewaretoken" value="other"></form>
<form id="user_form"><input type="hidden" name="csrfmiddlewaretoken" value="tok&amp;en"><input name="name" value="ada">
<input type="checkbox" name="active" checked><input type="checkbox" name="staff"><input type="submit" name="_delete" value="Delete">
<select name="groups" multiple><option value="1" selected>one</option><option value="2">two</option></select>
<textarea name="note">
first
second</textarea><input name="away" value="x" disabled></form>
"""


def test_a_form_is_sent_as_a_browser_sends_it() -> None:
    fields = [("csrfmiddlewaretoken", "tok&en"), ("name", "ada"), ("active", "on")]
    note = ("note", "first\nsecond")
    assert filled(PAGE, "user_form", {}) == [*fields, ("groups", "1"), note]
    assert filled(PAGE, "user_form", {"groups": ["1", "2"], "_save": "Save"}) == [
        *fields,
        note,
        ("groups", "1"),
        ("groups", "2"),
        ("_save", "Save"),
    ]
    assert filled(PAGE, "group_form", {}) is None


def test_a_form_with_a_file_is_what_a_mail_parser_reads() -> None:
    body = multipart({"name": "Ada"}, {"file": ("a.zip", b"\x00\r\n--x")}, "b0undary")
    message = BytesParser().parsebytes(b"Content-Type: multipart/form-data; boundary=b0undary\r\n\r\n" + body)
    parts = [part for part in message.get_payload() if not isinstance(part, str)]
    assert [part.get_param("name", header="content-disposition") for part in parts] == ["name", "file"]
    assert [part.get_payload(decode=True) for part in parts] == [b"Ada", b"\x00\r\n--x"]
    assert parts[1].get_filename() == "a.zip"


@pytest.mark.parametrize(
    ("recap", "number"),
    [
        ("one : ok=3    changed=0    unreachable=0", 0),
        ("one : ok=3    changed=2    unreachable=0\ntwo   : ok=1    changed=1    unreachable=0", 3),
    ],
)
def test_what_a_run_changed_is_read_from_its_recap(recap: str, number: int) -> None:
    assert example.changed(f"PLAY RECAP ****\n{recap}\n") == number


def test_a_run_without_a_recap_is_none_that_changed_nothing() -> None:
    with pytest.raises(Problem, match="no recap"):
        example.changed("ERROR! no hosts matched")


def test_a_scheduler_that_names_no_entry_is_known_by_its_task() -> None:
    """A result of django-celery-beat's has the entry's name. A scheduler with a file sends none."""
    named = {name: example.beat_task(name) for name in example.names()}
    assert named["patchman"] == "reports.tasks.process_reports"
    assert named["weblate"] == ""
    assert "filter(task_name='reports.tasks.process_reports')" in example.scheduled_code(named["patchman"])
    assert "exclude(periodic_task_name=None)" in example.scheduled_code(named["weblate"])


@pytest.mark.parametrize("name", example.names())
def test_an_example_is_whole(name: str) -> None:
    folder = example.EXAMPLES / name
    assert callable(example.follower(name))
    assert [
        path
        for path in ("README.md", "inventory/hosts.yml", "project/requirements.lock")
        if not (folder / path).is_file()
    ] == []


def test_roles_know_no_example() -> None:
    """An example is variables alone: nothing that is deployed may know one by name."""
    tree = [
        path
        for part in ("roles", "plugins", "playbooks", "celery_runtime/src")
        for path in (example.ROOT / part).rglob("*")
    ]
    texts = [path for path in tree if path.is_file() and path.suffix in (".py", ".yml", ".md", ".j2")]
    assert texts != []
    assert [path for path in texts for name in example.names() if name in path.read_text()] == []


# Nothing listens there: what comes after the checks of the inputs can't be reached, and needn't be.
NOWHERE = {"ansible_host": "127.0.0.1", "ansible_port": 1, "testbench_gateway": "192.0.2.1"}


@pytest.mark.parametrize("name", example.names())
def test_no_input_of_an_example_is_refused(name: str) -> None:
    run = playbooks.run(["playbooks/preflight.yml"], [ROOT / "examples" / name / "inventory"], NOWHERE)
    assert "PLAY [Check the hosts]" in run.output
    assert "Action failed" not in run.output
