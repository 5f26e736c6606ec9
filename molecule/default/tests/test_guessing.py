"""Guesses are counted however they come: by any spelling of a path, on many streams, from many addresses of one network."""

import itertools
import json
import shlex

import pytest
import stack

# Both count wrong passwords this way: so many at once, and then one in so many seconds.
BURST, SECONDS = 10, 6
# Each spelling means one and the same page, or a page that asks nobody for a password.
TURNS = [
    "{0}",
    "{0}?x=/static/x",
    "{0}/../../../static/x",
    "{0}/..%2f..%2f..%2fstatic/x",
    "{0}/%2e%2e/%2e%2e/%2e%2e/static/x",
    "{0};/../../../static/x",
    "{0}/.;/",
    "{0}/.",
    "{0}/x/..",
    "{0}//",
    "/{0}",
    "/.{0}",
    "/static/..{0}",
    "/%73tatic/%2e%2e{0}",
]
FLOWER = [
    "/flower/api/task/info",
    "/flower/api/tasks",
    "/flower/static/../api/tasks",
    "/flower/static/..%2fapi/tasks",
    "/FLOWER/api/tasks",
]
ADMIN = ["/admin/login/", "/admin/login", "/%61dmin/login/", "//admin//login/", "/Admin/Login/"]
networks = itertools.count(1)


@pytest.fixture
def newcomer(host):
    """Return an address that nobody has asked from before: what it uses up, no other test misses."""
    return f"127.1.{host.backend.host == 'trixie':d}.{next(networks)}"


def guess(host, name, paths, sources, method="GET", http=1, count=1, login="none"):
    asked = {"name": name, "method": method, "paths": paths, "count": count, "login": login, "http": http}
    found = stack.script(host, "guess.py", shlex.quote(json.dumps(asked | {"sources": sources})))
    return {int(status): number for status, number in found["seen"].items()}, found["seconds"]


def spelled(paths):
    return [turn.format(path) for path in paths for turn in TURNS]


@pytest.mark.parametrize("http", [1, 2])
def test_no_spelling_gives_more_guesses_at_flowers_password(host, address, newcomer, http):
    seen, seconds = guess(host, address, spelled(FLOWER), [newcomer], http=http, count=3, login="wrong")
    assert 1 <= seen[401] <= BURST + 1 + seconds / SECONDS, (seen, seconds)
    assert seen[429] >= 10, seen


@pytest.mark.parametrize("http", [1, 2])
def test_no_spelling_gives_more_guesses_at_an_administrators_password(host, address, newcomer, http):
    seen, seconds = guess(host, address, spelled(ADMIN), [newcomer], "POST", http, 2)
    # Without a token a login ends with this.
    assert 1 <= seen[403] <= BURST + 1 + seconds / SECONDS, (seen, seconds)
    assert seen[429] >= 10, seen


def test_a_page_isnt_passed_on_as_another_than_was_limited(host, address, newcomer):
    """Compared as a static file, of which anybody may have any number, and answered as a page of Flower's."""
    seen, _ = guess(host, address, ["/flower/api/task/info/../../../static/x"], [newcomer], http=2, count=200)
    # So many at once, some are refused for their number (nginx_connections_per_client); none is a page of Flower's.
    assert seen[404] >= 64
    assert set(seen) <= {404, 429}


def test_a_right_password_doesnt_help_who_has_guessed_too_often(host, address, newcomer):
    seen, seconds = guess(host, address, ["/flower/api/tasks"], [newcomer], count=80, login="in turn")
    assert 1 <= seen[200] <= BURST + 1 + seconds / SECONDS, (seen, seconds)
    # Every wrong one, and every right one behind those that were let through.
    assert seen[429] >= 80 - 2 * (BURST + 1 + seconds / SECONDS), (seen, seconds)


def test_who_has_the_password_isnt_slowed_down(host, address, newcomer):
    assert guess(host, address, ["/flower/api/tasks"], [newcomer], count=50, login="right")[0] == {200: 50}


@pytest.fixture
def network(host):
    """Give the host addresses of one IPv6 network, and one of another."""
    prefix = f"fd00:{next(networks):x}:0"
    addresses = [f"{prefix}:1::{number:x}" for number in range(1, 30)] + [f"{prefix}:2::1"]
    host.check_output(" && ".join(f"ip address add {one}/128 dev lo nodad" for one in addresses))
    yield addresses
    host.check_output(" && ".join(f"ip address del {one}/128 dev lo" for one in addresses))


@pytest.mark.parametrize(
    ("path", "method", "passed"), [("/flower/api/tasks", "GET", 401), ("/admin/login/", "POST", 403)]
)
def test_addresses_of_one_ipv6_network_are_one_client(host, address, network, path, method, passed):
    *neighbours, other = network
    seen, seconds = guess(host, address, [path], neighbours, method, count=60, login="wrong")
    assert 1 <= seen[passed] <= BURST + 1 + seconds / SECONDS, (seen, seconds)
    assert set(guess(host, address, [path], [other], method, login="wrong")[0]) == {passed}
