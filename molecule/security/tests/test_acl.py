"""Each service's login to the broker does all of the service's work, and nothing else."""

import json

import attack
import pytest

from testbench.front import Front

SERVICES = ["web", "worker", "beat", "flower", "operator"]


# The administrator's, which no service has; it stays on the host, in the environment.
PASSWORD = r"""REDISCLI_AUTH=$(sed -n 's,^requirepass "\(.*\)"$,\1,p' /etc/redis/access.conf)"""


def redis(vault, command):
    """Ask Redis as its administrator."""
    return vault.check_output(f"{PASSWORD} redis-cli -s /run/redis/redis-server.sock --json {command}")


PAGES = ("workers", "tasks", "broker", "api/workers?refresh=1", "api/tasks", "api/queues/length")


@pytest.fixture(scope="module")
def work(vault, site, addresses, secrets):
    """Let every service do its work; return what came of it, and what Redis withheld meanwhile."""
    redis(vault, "acl log reset")
    done = attack.shell(site, "full_function.py")
    flower = Front(addresses["site"], secrets / "ca" / "ca.pem")
    login = f"flower:{(secrets / 'flower_password').read_text().split()[0]}"
    done["pages"] = {page: flower.request("GET", f"/flower/{page}", login=login)[0] for page in PAGES}
    redis(vault, "lpush default no-message-at-all")
    count = "redis-cli -s /run/redis/redis-server.sock hlen celery_runtime:dead_letters"
    vault.check_output(
        f"export {PASSWORD}; for _ in $(seq 20); do [ $({count}) -gt 0 ] && exit 0; sleep 1; done; exit 1"
    )
    done["dead letters"] = "unreadable" in site.check_output("sample-celery dead-letters list")
    site.check_output("sample-celery dead-letters drop --all")
    done["log"] = [entry for entry in json.loads(redis(vault, "acl log 128")) if entry["reason"] != "auth"]
    return done


def test_every_service_does_its_work(work):
    assert set(work["results"].values()) == {True}
    assert {"high", "main", "attacks"} <= set(work["ping"])
    assert work["inspected"] is True
    assert set(work["pages"].values()) == {200}
    assert work["dead letters"] is True


def test_redis_withheld_nothing_from_it(work):
    assert work["log"] == []


@pytest.fixture(scope="module")
def tried(site):
    """Return what each login got for each command that it must not give."""
    return attack.run(site, "broker_rights.py")


@pytest.mark.parametrize("service", SERVICES)
def test_whatever_is_not_its_work_is_refused(tried, service):
    assert len(tried[service]) >= 30
    assert {command: answer for command, answer in tried[service].items() if answer != "NOPERM"} == {}


def test_no_service_has_the_administrators_password(vault, site):
    password = vault.check_output("sed -n 's,^requirepass \"\\(.*\\)\"$,\\1,p' /etc/redis/access.conf")
    for host in (vault, site):
        found = host.run(f"grep -rlF -- {password} /etc/sample /run/credentials /opt/sample/current/config")
        assert (found.rc, found.stdout) == (1, "")
