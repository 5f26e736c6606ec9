"""Attacks on HTTP itself: requests hidden in others, host names of the attacker's choice, methods, paths."""

from __future__ import annotations

from typing import Any

import pytest
from web import Site

EVIL = "evil.example"
# What a hidden request would be answered with, and nothing else is.
HIDDEN = "GET /register/ HTTP/1.1\r\nHost: {host}\r\n\r\n"
HIDDEN_ANSWER = b"csrfmiddlewaretoken"


@pytest.fixture(scope="module")
def site(site: Any) -> Site:
    """Return the site itself, in place of its host."""
    return Site.of(site)


def smuggle(length: str, headers: str, body: str) -> str:
    return f"POST /healthz HTTP/1.1\r\nHost: {{host}}\r\nContent-Length: {length}\r\n{headers}\r\n{body}"


# Each says in two ways how long it is. Two servers that read it differently would see another request in it.
HIDDEN_IN: dict[str, str] = {
    "length and chunks": smuggle("4", "Transfer-Encoding: chunked\r\n", "0\r\n\r\n" + HIDDEN),
    "chunks and length": smuggle("3", "Transfer-Encoding: chunked\r\n", "8\r\nSMUGGLED\r\n0\r\n\r\n" + HIDDEN),
    "two lengths": smuggle("0\r\nContent-Length: 70", "", HIDDEN),
    "two lengths in one": smuggle("0, 70", "", HIDDEN),
    "length with a plus": smuggle("+0", "", HIDDEN),
    "length below zero": smuggle("-1", "", HIDDEN),
    "length in hexadecimal": smuggle("0x0", "", HIDDEN),
    "length with an underscore": smuggle("0_0", "", HIDDEN),
    "huge length": smuggle("9" * 40, "", HIDDEN),
    "space before the colon": smuggle("0", "Transfer-Encoding : chunked\r\n", "0\r\n\r\n" + HIDDEN),
    "unknown encoding": smuggle("0", "Transfer-Encoding: xchunked\r\n", HIDDEN),
    "two encodings": smuggle(
        "0", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n" + HIDDEN
    ),
    "tab before the encoding": smuggle("0", "Transfer-Encoding:\tchunked\r\n", "0\r\n\r\n" + HIDDEN),
    "vertical tab in the encoding": smuggle("0", "Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n" + HIDDEN),
    "folded line": smuggle("0", "X-Folded: a\r\n Transfer-Encoding: chunked\r\n", HIDDEN),
    "encoding folded": smuggle("0", "Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n" + HIDDEN),
    "chunk with a sign": "POST /healthz HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n+0\r\n\r\n"
    + HIDDEN,
    "chunk that is too long": "POST /healthz HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n"
    + HIDDEN,
    "chunks in HTTP/1.0": "POST /healthz HTTP/1.0\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n"
    + HIDDEN,
    "bare LF": "GET /healthz HTTP/1.1\nHost: {host}\nX: y\n\nGET /register/ HTTP/1.1\nHost: evil.example\n\n",
    "line end in the path": "GET /healthz HTTP/1.1\rHost: {host}\r\n\r\n",
    "NUL in a header": "GET /healthz HTTP/1.1\r\nHost: {host}\r\nX: a\0b\r\n\r\n",
    "underscore for a dash": smuggle("0", "Transfer_Encoding: chunked\r\nContent_Length: 70\r\n", "BAD " + HIDDEN),
}


@pytest.mark.parametrize("attack", HIDDEN_IN)
def test_a_request_of_two_readings_hides_no_other(site: Site, attack: str) -> None:
    sent = HIDDEN_IN[attack].replace("{host}", site.host).encode("latin-1")
    received = site.raw(sent, patience=1)
    assert HIDDEN_ANSWER not in received
    # One answer at most that isn't a refusal.
    statuses = [line.split()[1] for line in received.split(b"\r\n") if line.startswith(b"HTTP/1.")]
    assert all(status.startswith(b"4") for status in statuses[1:])
    assert not [status for status in statuses if status in {b"500", b"502", b"504"}]


HOSTS: dict[str, dict[str, Any]] = {
    "another name": {"headers": {"Host": EVIL}},
    "another name with our port": {"headers": {"Host": f"{EVIL}:443"}},
    "our name as prefix": {"headers": {"Host": "{host}.evil.example"}},
    "our name as user": {"headers": {"Host": "{host}@evil.example"}},
    "our name and a broken port": {"headers": {"Host": "{address}:x@evil.example"}},
    "empty": {"headers": {"Host": ""}},
    "two": {"lines": (f"Host: {EVIL}",)},
    "path in it": {"headers": {"Host": "{address}/../evil.example"}},
    "line end in it": {"headers": {"Host": "{host}\rX: y"}},
    "absolute address": {"path": f"http://{EVIL}/register/"},
}


CUT = {"absolute address", "our name and a broken port"}


@pytest.mark.parametrize("attack", HOSTS)
def test_another_host_name_is_refused(site: Site, attack: str) -> None:
    row = HOSTS[attack]
    headers = {
        name: value.format(host=site.host, address=site.address) for name, value in row.get("headers", {}).items()
    }
    answer = site.visitor().ask("GET", row.get("path", "/register/"), headers=headers, lines=row.get("lines", ()))
    # An absolute address outranks Host for some servers, and nginx cuts a port that is none off. What counts is that the name goes nowhere.
    assert answer.status in {0, 400, 421} or (attack in CUT and answer.status in {200, 404})
    assert EVIL not in answer.text
    assert EVIL not in answer.get("location")


@pytest.mark.parametrize(
    "header",
    [
        "X-Forwarded-Host",
        "X-Host",
        "X-Forwarded-Server",
        "Forwarded",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-Forwarded-Prefix",
        "Script-Name",
        "X-Script-Name",
    ],
)
def test_headers_of_fronts_are_not_believed_from_strangers(site: Site, header: str) -> None:
    value = (
        f"host={EVIL}"
        if header == "Forwarded"
        else ("/admin/" if "URL" in header else f"/{EVIL}" if "refix" in header or "cript" in header else EVIL)
    )
    for path in ("/register/", "/register", "/admin/accounts"):
        answer = site.visitor().ask("GET", path, headers={header: value})
        assert answer.status in {200, 301, 302, 400, 404}
        assert EVIL not in answer.text
        assert EVIL not in answer.get("location")


def test_tls_is_not_called_plain_text_by_a_header(site: Site) -> None:
    answer = site.visitor().ask("GET", "/admin/login/", headers={"X-Forwarded-Proto": "http", "X-Forwarded-Ssl": "off"})
    assert answer.status == 200
    assert answer.all("set-cookie")
    assert all("secure" in cookie.lower() for cookie in answer.all("set-cookie"))


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PROPFIND", "DEBUG", "get", "FOO"])
@pytest.mark.parametrize("path", ["/", "/register/", "/healthz", "/admin/login/"])
def test_other_methods_do_nothing(site: Site, method: str, path: str) -> None:
    answer = site.visitor().ask(method, path, headers={"X-Secret": "told-back"})
    # The admin's login answers a method that it doesn't know by showing its form, unless the token is missing.
    assert answer.status in {400, 403, 404, 405, 501} or (path.startswith("/admin") and answer.status == 200)
    assert b"told-back" not in answer.body


@pytest.mark.parametrize("header", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"])
def test_a_header_does_not_make_one_method_another(site: Site, header: str) -> None:
    assert site.visitor().ask("GET", "/register/", headers={header: "DELETE"}).status == 200
    assert site.visitor().ask("POST", "/healthz", headers={header: "GET"}).status in {403, 405}


@pytest.mark.parametrize(
    "path",
    [
        "/static/../sample/settings.py",
        "/static/%2e%2e/sample/settings.py",
        "/static/..%2fsample/settings.py",
        "/static/%2e%2e%2f%2e%2e%2fetc/passwd",
        "/static/....//....//etc/passwd",
        "/static//etc/passwd",
        "/static/..%5c..%5cetc/passwd",
        "/static/%c0%ae%c0%ae/etc/passwd",
        "/static/%252e%252e/etc/passwd",
        "/static/sample/site.css%00.py",
        "/static/staticfiles.json/../../config/settings.json",
        "/static/",
        "/media/",
        "/media/../../../etc/passwd",
        "/../../../../etc/passwd",
        "/admin/..;/register/",
        "/.git/config",
        "/.env",
        "/manage.py",
        "/db.sqlite3",
        "/%",
        "/%ff%fe",
        "/" + "a" * 4_000,
        "/" + "a/" * 3_000,
        "/?" + "a=1&" * 1_500,
    ],
)
def test_a_path_leads_to_no_file_outside(site: Site, path: str) -> None:
    answer = site.visitor().ask("GET", path)
    expected = {200} if path.startswith("/?") else {301, 302, 400, 403, 404, 414}
    assert answer.status in expected | ({0, 400, 414} if len(path) > 3_000 else set())
    for secret in ("root:x:0", "SECRET_KEY", "broker_url", "[core]"):
        assert secret not in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Long": "a" * 100_000},
        {f"X-{n}": "1" for n in range(500)},
        {"Cookie": "a=b; " * 5_000},
        {"Cookie": "csrftoken=\0"},
        {"Accept-Language": "a," * 10_000},
    ],
    ids=["a long one", "500 of them", "many cookies", "NUL in a cookie", "many languages"],
)
def test_headers_out_of_all_bounds_are_refused_or_ignored(site: Site, headers: dict[str, str]) -> None:
    # 0: whoever sends so much is cut off, and the answer may be lost with the connection.
    assert site.visitor().ask("GET", "/register/", headers=headers).status in {0, 200, 400, 414, 431, 494}


@pytest.mark.parametrize(
    "sent",
    [
        b"\0" * 1_000,
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET /register/\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"*1\r\n$4\r\nPING\r\n",
    ],
)
def test_what_is_no_request_gets_no_page(site: Site, sent: bytes) -> None:
    received = site.raw(sent, patience=1)
    assert HIDDEN_ANSWER not in received
    # 505 is what such a version is to be answered with.
    assert received.startswith(b"HTTP/1.1 505") or not received.startswith(
        (b"HTTP/1.1 2", b"HTTP/1.1 5", b"HTTP/1.0 2")
    )
    assert site.visitor().get("/healthz").status == 200
