"""A person's browser before a test host's front: it keeps cookies, sends forms with their token, and follows redirects."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookiejar import CookieJar
from typing import Any

from testbench.console import Problem
from testbench.form import filled
from testbench.front import PATIENCE, Front

TOKEN = re.compile(r"""name=["']csrfmiddlewaretoken["'][^>]*?value=["']([^"']+)""")


@dataclass(frozen=True)
class Page:
    """An answer.

    Attributes:
        status: of the last answer, after redirects.
        url: where it came from, after redirects.
        text: its body.
    """

    status: int
    url: str
    text: str

    @property
    def token(self) -> str:
        """Token of the page's form, which Django wants back."""
        found = TOKEN.search(self.text)
        if found is None:
            raise Problem(f"{self.url} answered {self.status} without a form of Django's.")
        return found[1]

    def json(self) -> Any:
        """Return the body as JSON."""
        try:
            return json.loads(self.text)
        except ValueError as error:
            raise Problem(f"{self.url} answered {self.status} without JSON: {self.text[:300]}") from error


def multipart(fields: Mapping[str, str], files: Mapping[str, tuple[str, bytes]], boundary: str) -> bytes:
    """Return a form with files as browsers send it.

    Args:
        fields: value of each field.
        files: name and content of the file of each field.
        boundary: what stands between two fields, and in none of them.
    """
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    parts += [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{filename}"\r\n'
        f"Content-Type: application/octet-stream\r\n\r\n".encode()
        + content
        + b"\r\n"
        for name, (filename, content) in files.items()
    ]
    return b"".join(parts) + f"--{boundary}--\r\n".encode()


@dataclass(frozen=True)
class Browser:
    """What is asked of one front, in one session."""

    front: Front
    opener: urllib.request.OpenerDirector = field(init=False)

    def __post_init__(self) -> None:
        """Trust the deployment's authority, and no proxy."""
        parts = (
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=self.front.trust),
            urllib.request.HTTPCookieProcessor(CookieJar()),
        )
        object.__setattr__(self, "opener", urllib.request.build_opener(*parts))

    def get(self, path: str) -> Page:
        """Ask for a page."""
        return self._send(self._request(path))

    def submit(self, path: str, fields: Mapping[str, str]) -> Page:
        """Read the form of a page, and send it filled in."""
        form = self.get(path)
        body = urllib.parse.urlencode({"csrfmiddlewaretoken": form.token, **fields}).encode()
        return self._send(self._request(path, data=body))

    def fill(self, path: str, form: str, changes: Mapping[str, str | list[str]]) -> Page:
        """Read a form of a page by its id, change some of its fields, and send all of them."""
        page = self.get(path)
        fields = filled(page.text, form, changes)
        if fields is None:
            raise Problem(f"{page.url} answered {page.status} without a form '{form}'.")
        return self._send(self._request(path, data=urllib.parse.urlencode(fields).encode()))

    def post(
        self,
        path: str,
        token: str,
        fields: Mapping[str, str],
        files: Mapping[str, tuple[str, bytes]] | None = None,
    ) -> Page:
        """Send fields and files with the token of a page that was read before, as a page's script does."""
        boundary = uuid.uuid4().hex
        headers = {"X-CSRFToken": token, "Content-Type": f"multipart/form-data; boundary={boundary}"}
        return self._send(self._request(path, data=multipart(fields, files or {}, boundary), headers=headers))

    def _request(
        self, path: str, *, data: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> urllib.request.Request:
        """Return a request; Django wants to know from which page a form was sent."""
        url = f"https://{self.front.address}{path}"
        return urllib.request.Request(url, data=data, headers={"Referer": url, **(headers or {})})

    def _send(self, request: urllib.request.Request) -> Page:
        """Send it; an answer of any status is a page."""
        try:
            with self.opener.open(request, timeout=PATIENCE) as answer:
                return Page(answer.status, answer.url, answer.read().decode(errors="replace"))
        except urllib.error.HTTPError as answer:
            return Page(answer.code, answer.url, answer.read().decode(errors="replace"))
        except OSError as error:
            raise Problem(f"{request.get_method()} {request.full_url}: {error}") from error
