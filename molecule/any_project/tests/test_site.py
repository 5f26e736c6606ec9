"""The site through the front: pages, sessions, WebSockets, static files, uploads."""

import time

import pytest
from orchard import WebSocket, property_of, query, redis

SCRIPT = b"<script>alert(document.domain)</script>"
GATE = "/live/gate"


@pytest.fixture
def gate(site):
    """Open WebSockets at the gate; close them in the end."""
    opened = []

    def enter(path=GATE, origin=f"https://{site.front.address}"):
        opened.append(WebSocket(site.front, path, origin))
        return opened[-1]

    yield enter
    for one in opened:
        one.__exit__()


def test_a_visitor_s_session_lies_in_the_cache(host, site):
    first = site.ask("/")
    assert first.json() == {"title": "Orchard on orchard", "visits": 1}
    cookie = first.headers["Set-Cookie"]
    assert "Secure" in cookie
    assert site.ask("/", Cookie=cookie.partition(";")[0]).json()["visits"] == 2
    key = cookie.partition("=")[2].partition(";")[0]
    [found] = redis(host, "redis-cache", f"-n 1 --scan --pattern '*{key}*'").splitlines()
    assert found.startswith("orchard:")
    assert redis(host, "redis", f"--scan --pattern '*{key}*'") == ""


def test_who_empties_the_cache_leaves_the_channel_layer_alone(host, site, gate):
    # Cache and layer have their address from one variable.
    one = gate()
    cookie = site.ask("/").headers["Set-Cookie"].partition(";")[0]
    redis(host, "redis-cache", "set elsewhere kept")
    try:
        host.check_output("orchard-manage shell -c 'from django.core.cache import cache; cache.clear()'")
        # A visitor's session lay in the cache.
        assert site.ask("/", Cookie=cookie).json()["visits"] == 1
        assert redis(host, "redis-cache", "get elsewhere") == "kept"
        # Who is at the gate stands in a key of the layer, and is still found there.
        one.say("still here")
        assert one.hear() == "still here"
    finally:
        redis(host, "redis-cache", "del elsewhere")


def test_a_request_that_fails_leaves_nothing_in_the_database(host, site):
    assert site.post("/spoil").status == 500
    assert query(host, "select count(*) from orchard_event where kind = 'spoilt'") == "0"


def test_a_web_socket_echoes_through_the_front(gate):
    one = gate()
    assert one.status == 101
    one.say("good morning")
    assert one.hear() == "good morning"


def test_who_is_at_the_gate_hears_the_others_whichever_process_each_talks_to(host, gate):
    # Of two processes both get some of twelve, but for one time in two thousand.
    visitors = [gate() for _ in range(12)]
    assert {one.status for one in visitors} == {101}
    main = property_of(host, "django-web.service", "MainPID")
    assert len(host.check_output(f"pgrep --parent {main}").split()) == 2
    word = str(time.time_ns())
    visitors[0].say(word)
    assert [one.hear() for one in visitors] == [word] * 12


def test_a_web_socket_of_another_site_is_refused(gate):
    assert gate(origin="https://elsewhere.example").status == 403


def test_elsewhere_nothing_is_upgraded(gate):
    assert gate(path="/").status == 200


def test_what_the_build_made_is_served_as_a_static_file(host, site):
    served = site.ask("/assets/orchard/paint.css")
    assert (served.status, served.body) == (200, b"body { background: #5a7d2b; }\n")
    assert served.headers.get_content_type() == "text/css"
    [hashed] = host.check_output("cd /opt/orchard/current/static && ls orchard/gate.*.js").split()
    script = site.ask(f"/assets/{hashed}")
    assert script.status == 200
    assert script.headers.get_content_type() in ("text/javascript", "application/javascript")
    assert "immutable" in script.headers["Cache-Control"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("pear.png", "image/png"), ("pear.html", "application/octet-stream"), ("pear.svg", "application/octet-stream")],
)
def test_an_upload_is_met_by_everybody_and_runs_nothing(site, name, kind):
    url = site.ask(f"/picture/{name}", SCRIPT).json()["url"]
    assert url.startswith("/pictures/pear")
    served = site.ask(url)
    assert (served.status, served.body) == (200, SCRIPT)
    assert served.headers.get_content_type() == kind
    assert served.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in served.headers["Content-Security-Policy"]
    if kind != "image/png":
        assert served.headers["Content-Disposition"] == "attachment"


def test_flower_lives_with_the_project_s_settings(site):
    assert site.ask("/flower/").status == 401
