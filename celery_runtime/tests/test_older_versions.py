"""What the newest Celery and kombu do by themselves and older ones don't: it holds on each version that is supported."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import jobs_client
import pytest
from conftest import wait_for

RETRIED = {"task_retry_on_worker_lost": True}


@pytest.mark.parametrize("how", ["SIGABRT", "exit"])
def test_a_task_that_lost_its_child_is_sent_again(celery: Any, server: Any, how: str) -> None:
    """By the setting of a deployment. `exit` is the task's own: billiard 4.3 tells of it in another way than of a kill."""
    celery.settings = RETRIED
    celery.worker(concurrency=1)
    celery.send("lose_child_once", how)
    wait_for(lambda: "done" in celery.effects(), f"the second attempt; {celery.log()}")
    assert celery.effects() == ["end", "done"]
    wait_for(lambda: not server.client.exists("unacked"), "both are settled")


def test_a_task_that_loses_each_child_comes_to_its_end(celery: Any, server: Any) -> None:
    celery.settings = RETRIED
    celery.worker(concurrency=1)
    celery.send("lose_each_child")
    wait_for(lambda: celery.effects() == ["end"] * 3, f"max_retries is 2; {celery.log()}")
    wait_for(lambda: not server.client.exists("unacked") and not server.client.llen("low"), "all are settled")


def test_a_time_limit_outlives_the_connection(celery: Any, server: Any) -> None:
    celery.worker(options="--time-limit=8")
    celery.send("hold", "long")
    wait_for(lambda: "begin-long" in celery.effects(), "the task")
    server.signal(signal.SIGKILL)
    server.start()
    wait_for(lambda: "Hard time limit (8" in celery.log(), f"the limit; {celery.log()}")


def test_a_connection_that_is_given_up_is_made_anew(celery: Any, server: Any) -> None:
    """While nothing can be consumed its end is no error, and so nobody begins anew because of it."""
    celery.worker(concurrency=1)
    celery.send("hold", "one")
    wait_for(lambda: "begin-one" in celery.effects(), "the task")
    # No room for another: nothing is fetched.
    ours = server.client.client_id()
    for client in server.client.client_list():
        if int(client["id"]) != ours and client.get("resp") == "3":
            server.client.client_kill_filter(_id=client["id"])
    time.sleep(1)
    celery.release("one")
    celery.send("note", "two")
    wait_for(lambda: "two" in celery.effects(), f"the next; {celery.log()}", 60)


def test_a_message_to_all_that_is_none_ends_nothing(celery: Any, server: Any) -> None:
    celery.worker()
    for nonsense in ('{"body": 1}', "[]", "{", '"text"', '{"properties": {"delivery_tag": "x"}}', "\\xff"):
        server.client.publish("/0.celery.pidbox", nonsense)
    jobs_client.send_notes(celery, ["one"])
    wait_for(lambda: "one" in celery.effects(), f"the task; {celery.log()}")
    assert "pong" in celery.run("inspect", "ping", "--timeout=20")
    assert "connection to broker lost" not in celery.log().lower()
    assert "Push response" not in celery.log(), "what others say to all is nothing for a log"


def test_a_worker_that_may_fetch_nothing_rests(celery: Any, server: Any) -> None:
    """What it doesn't read yet must not wake it again and again."""
    worker = celery.worker(concurrency=1)
    celery.send("hold", "one")
    wait_for(lambda: "begin-one" in celery.effects(), "the task")
    jobs_client.send_notes(celery, [f"n{number}" for number in range(20)])
    before = _cpu(worker.pid)
    time.sleep(4)
    assert _cpu(worker.pid) - before < 2
    celery.release("one")


def _cpu(process: int) -> float:
    """Return the seconds of CPU that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
