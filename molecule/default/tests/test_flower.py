"""Flower shows nothing without its login, and changes nothing with it."""

import json

import pytest
import stack

FLOWER = "/flower"
PAGES = ["/", "/workers", "/tasks", "/broker", "/api/workers", "/api/tasks"]


@pytest.fixture
def login(secret):
    return f"flower:{secret('flower_password')}"


@pytest.mark.parametrize("path", PAGES)
def test_no_page_without_a_login(http, path):
    assert http("GET", FLOWER + path)[0] == 401


@pytest.mark.parametrize("path", PAGES)
def test_a_wrong_password_is_refused(http, path):
    assert http("GET", FLOWER + path, login="flower:wrong-password")[0] == 401


@pytest.mark.parametrize("path", ["/workers", "/tasks", "/broker", "/api/tasks"])
def test_the_login_opens_it(http, login, path):
    assert http("GET", FLOWER + path, login=login)[0] == 200


def test_it_sees_the_workers(http, login, host):
    def names():
        seen = json.loads(http("GET", f"{FLOWER}/api/workers?refresh=1", login=login)[1])
        return {name.split("@")[0] for name in seen}

    assert stack.wait_for(lambda: names() >= {"high", "main"}, "both workers in Flower")


def test_it_is_read_only(http, login, host):
    node = f"high@{host.check_output('hostname')}"
    before = stack.main_pid(host, "celery-worker@high.service")
    status, _, _ = http("POST", f"{FLOWER}/api/worker/shutdown/{node}", login=login)
    assert status == 403
    apply = f"{FLOWER}/api/task/async-apply/housekeeping.echo"
    assert http("POST", apply, {"args": []}, login=login)[0] == 403
    assert stack.main_pid(host, "celery-worker@high.service") == before
