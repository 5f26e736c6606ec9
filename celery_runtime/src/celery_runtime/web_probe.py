"""Loads the project's WSGI or ASGI application as the web server will, and asks it for a page as the front will. A release is tried by this."""

from __future__ import annotations

import argparse
import asyncio
import io
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from . import behind_front
from .explain import FAILURES, Watch, explained, whole

# Whom the front names as the client, when a host asks itself.
CLIENT = "127.0.0.1"
# How long an ASGI application may prepare itself (s); a server waits without a limit, and the probe ends it anyway.
PREPARATION = 60


@dataclass
class Answer:
    """What the application answered.

    Attributes:
        status: of HTTP; 0 for none.
        location: where it redirects to.
        raised: what was raised meanwhile, which Django makes a page of its own from.
    """

    status: int = 0
    location: str = ""
    raised: list[BaseException] = field(default_factory=list)

    def begun(self, status: str | int, headers: Iterable[tuple[Any, Any]]) -> None:
        """Take the first line and the headers."""
        self.status = int(str(status).split()[0])
        for name, value in headers:
            if _text(name).lower() == "location":
                self.location = _text(value)


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def headers(host: str, secure: bool) -> dict[str, str]:
    """Return the headers that the front sends."""
    said = {"Host": host, "X-Forwarded-Host": host, "X-Forwarded-For": CLIENT, "User-Agent": "plainhost"}
    return said | {"X-Forwarded-Proto": "https" if secure else "http"}


def ask_wsgi(application: Callable[..., Any], path: str, host: str, secure: bool) -> Answer:
    """Ask a WSGI application for a page (PEP 3333)."""
    target, answer, body = urlsplit(path), Answer(), None
    environ = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote(target.path, "latin-1"),
        "QUERY_STRING": target.query,
        "SERVER_NAME": host,
        "SERVER_PORT": "443" if secure else "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        # The server knows no client behind a unix socket.
        "REMOTE_ADDR": "",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https" if secure else "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    } | {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers(host, secure).items()}
    try:
        body = application(environ, lambda status, fields, _raised=None: answer.begun(status, fields))
        for _ in body:
            pass
    except FAILURES as error:
        answer.raised.append(error)
    finally:
        if close := getattr(body, "close", None):
            close()
    return answer


def ask_asgi(application: Callable[..., Any], path: str, host: str, secure: bool) -> Answer:
    """Ask an ASGI application for a page, after it has prepared itself (https://asgi.readthedocs.io/en/latest/specs/www.html)."""
    return asyncio.run(_ask_asgi(application, path, host, secure))


async def _ask_asgi(application: Callable[..., Any], path: str, host: str, secure: bool) -> Answer:
    from asgiref.testing import ApplicationCommunicator

    target, answer = urlsplit(path), Answer()
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "https" if secure else "http",
        "path": unquote(target.path),
        "raw_path": target.path.encode(),
        "query_string": target.query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers(host, secure).items()],
        "server": (host, 443 if secure else 80),
        "client": None,
    }
    life = ApplicationCommunicator(application, {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}})
    await life.send_input({"type": "lifespan.startup"})
    # One that has nothing to prepare ends it by an error, as Django does.
    with suppress(Exception):
        await life.receive_output(PREPARATION)
    talk = ApplicationCommunicator(application, scope)
    try:
        await talk.send_input({"type": "http.request", "body": b"", "more_body": False})
        more = True
        while more:
            event = await talk.receive_output(None)
            if event["type"] == "http.response.start":
                answer.begun(event["status"], event.get("headers", ()))
            more = event["type"] != "http.response.body" or event.get("more_body", False)
    except FAILURES as error:
        answer.raised.append(error)
    life.stop(exceptions=False)
    return answer


def complaint(answer: Answer, options: argparse.Namespace) -> str:
    """Return what is wrong with an answer; nothing where it is as it should be."""
    url = f"{'https' if options.secure else 'http'}://{options.host}{options.path}"
    asked = f"stack_health_path: the page {options.path}, asked for as the front does, with the name {options.host},"
    if answer.raised and answer.status not in options.statuses:
        status = answer.status or "nothing"
        return explained(answer.raised[-1], f"{asked} answers {status}") + _hint(answer.status, options.host)
    if answer.status not in options.statuses:
        right = " or ".join(map(str, options.statuses))
        return f"{asked} answers {answer.status or 'nothing'}; right is {right}{_hint(answer.status, options.host)}"
    if answer.location == url:
        return (
            f"{asked} redirects to itself: the project doesn't know that the request came by HTTPS. SECURE_PROXY_SSL_HEADER must be "
            "[HTTP_X_FORWARDED_PROTO, https]: see stack_django_settings_extra"
        )
    return ""


def _hint(status: int, host: str) -> str:
    if status != 400:
        return ""
    return f". {host} comes from stack_web_hosts, and ALLOWED_HOSTS must have it: see stack_django_settings_extra"


def main() -> int:
    """Load the application and, with a path, ask it; say what is wrong on standard error, and print tracebacks.

    Returns:
        1 when the deployment must not go on.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wsgi", default="", help="such as shop.wsgi:application")
    parser.add_argument("--asgi", default="", help="such as shop.asgi:application")
    parser.add_argument("--path", default="", help="of the page")
    parser.add_argument("--host", default="localhost", help="name of the site")
    parser.add_argument("--secure", action="store_true", help="as one that came by HTTPS")
    parser.add_argument("--status", default="200", help="those that are right, with commas between them")
    options = parser.parse_args()
    options.statuses = [int(status) for status in options.status.split(",")]
    watch = Watch()
    variable, name = ("stack_asgi_app", options.asgi) if options.asgi else ("stack_wsgi_app", options.wsgi)
    load, ask = (behind_front.asgi_application, ask_asgi) if options.asgi else (behind_front.application, ask_wsgi)
    problem = ""
    raised: list[BaseException] = []
    try:
        application = load(name)
    except FAILURES as error:
        # Whatever it led to, a replaced settings module is what is to be mended.
        problem = watch.complaint(f"{variable}: '{name}'") or explained(error, f"{variable}: '{name}' can't be loaded")
        raised = [error]
    else:
        if options.path:
            from django.core.signals import got_request_exception

            errors: list[BaseException] = []

            def note(**_: Any) -> None:
                if (error := sys.exc_info()[1]) is not None:
                    errors.append(error)

            got_request_exception.connect(note)
            answer = ask(application, options.path, options.host, options.secure)
            answer.raised += errors
            problem, raised = complaint(answer, options), answer.raised
            sys.stdout.write(f"{answer.status}\n")
    if problem:
        sys.stdout.write("".join(map(whole, raised)))
        sys.stderr.write(f"{problem}\n")
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
