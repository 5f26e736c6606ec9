"""Tasks: each queue in its pool, messages and results in the project's own format, results in its own table, beat's entry."""

import base64
import hashlib
import json
import shlex

import pytest
from orchard import property_of, query, redis, unpacked, wait

SENT = {"pick": "pear", "press": 91, "post": "an old ladder"}
ATTIC = "/var/lib/orchard/attic/attic.sqlite3"
LABEL = """
import sqlite3, sys
print(*sqlite3.connect(sys.argv[1]).execute("select label from orchard_relic where id = ?", sys.argv[2:]).fetchone())
"""


@pytest.fixture(scope="module")
def sent(site):
    """Send a task to each queue at once; return each one's id."""
    return {name: site.post(f"/send/{name}", value).json()["id"] for name, value in SENT.items()}


@pytest.mark.parametrize("name", SENT)
def test_a_task_is_done_by_the_pool_of_its_queue(site, sent, name):
    said = site.done(sent[name])
    assert said["state"] == "SUCCESS", said
    assert said["result"]["worker"].split("@")[0] == name


@pytest.mark.parametrize("name", SENT)
def test_its_result_lies_in_the_project_s_own_table_and_format(host, site, sent, name):
    site.done(sent[name])
    stored = unpacked(query(host, "select body from orchard_outcome where task_id = :'task'", task=sent[name]))
    assert (stored["status"], stored["result"]["worker"].split("@")[0]) == ("SUCCESS", name)
    assert query(host, "select count(*) from django_celery_results_taskresult") == "0"


def test_a_task_reads_the_secret_file(site, sent, secrets):
    token = (secrets / "orchard/market_token").read_text().split()[0]
    assert site.done(sent["pick"])["result"]["token"] == hashlib.sha256(token.encode()).hexdigest()


def test_a_task_starts_the_program_that_it_may_and_the_site_may_not(site, sent):
    assert site.done(sent["press"])["result"]["factors"] == [7, 13]
    refused = site.ask("/divide/91")
    assert (refused.status, refused.json()) == (403, {"error": "factor"})


def test_a_task_writes_into_the_second_database(host, site, sent):
    relic = site.done(sent["post"])["result"]["relic"]
    assert host.check_output(shlex.join(["python3", "-c", LABEL, ATTIC, str(relic)])) == SENT["post"]
    assert query(host, "select to_regclass('orchard_relic') is null") == "t"


def test_a_message_has_the_project_s_own_format(host, site):
    unit = "celery-worker@post.service"
    host.check_output(f"systemctl stop {unit}")
    try:
        task = site.post("/send/post", "a hat").json()["id"]
        [message] = map(json.loads, redis(host, "redis", "lrange post 0 -1").splitlines())
        assert message["content-type"] == "application/x-orchard-crate"
        assert unpacked(base64.b64decode(message["body"]).decode())[0] == ["a hat"]
    finally:
        host.check_output(f"systemctl start {unit}")
    assert site.done(task)["state"] == "SUCCESS"


def test_a_due_entry_of_beat_is_sent_once_whoever_restarts_beat(host):
    def runs():
        return query(host, "select count(*) from orchard_event where kind = 'stock'")

    wait(lambda: runs() == "1", "beat's entry")
    folder = host.file("/var/lib/orchard-almanac")
    assert (folder.user, folder.mode & 0o022) == ("celery-beat", 0)
    before = property_of(host, "celery-beat.service", "MainPID")
    # It returns when beat has had its first look at what is due.
    host.check_output("systemctl restart celery-beat.service")
    assert property_of(host, "celery-beat.service", "MainPID") != before
    assert "almanac" in host.check_output("ls /var/lib/orchard-almanac")
    assert runs() == "1"
