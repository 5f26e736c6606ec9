"""A Redis that answers and takes nothing for now: its disk is full, or it became a replica. Both pass, so a worker waits."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import jobs_client
import pytest
from conftest import Celery, Server, free_port, wait_for
from redis.exceptions import ResponseError


class DiskFull:
    """Redis can't write its snapshot, and says MISCONF to whoever writes (stop-writes-on-bgsave-error)."""

    says = "MISCONF"

    def begin(self, server: Server) -> None:
        # What bears the snapshot's name can't be replaced by it.
        (server.folder / "dump.rdb").mkdir()
        server.client.config_set("save", "86400 1000000")
        server.client.bgsave()
        wait_for(lambda: server.client.info("persistence")["rdb_last_bgsave_status"] == "err", "the failed snapshot")

    def end(self, server: Server) -> None:
        (server.folder / "dump.rdb").rmdir()
        server.client.bgsave()
        wait_for(lambda: server.client.info("persistence")["rdb_last_bgsave_status"] == "ok", "the snapshot")


class Replica:
    """Redis became a replica, as after a failover, and says READONLY to whoever writes."""

    says = "READONLY"

    def begin(self, server: Server) -> None:
        server.client.replicaof("127.0.0.1", free_port())

    def end(self, server: Server) -> None:
        server.client.replicaof("NO", "ONE")


@pytest.fixture(params=[DiskFull, Replica], ids=lambda fault: fault.says)
def fault(request: pytest.FixtureRequest) -> Any:
    return request.param()


def done(celery: Celery, names: list[str]) -> None:
    wait_for(lambda: set(names) <= set(celery.effects()), f"{names}; worker: {celery.log()}")


def refused(server: Server, fault: Any) -> None:
    with pytest.raises(ResponseError, match=f"^(?i:.*{fault.says}|.*read only replica)"):
        server.client.set("any", "x")


def test_a_worker_waits_while_redis_refuses(celery: Celery, server: Server, fault: Any) -> None:
    """A running task goes on and is acknowledged later, what waits is done later, and nothing is done twice."""
    worker = celery.worker(concurrency=2)
    for name in ("long", "other"):
        celery.send("hold", name)
    done(celery, ["begin-long", "begin-other"])
    jobs_client.send_notes(celery, ["a", "b", "c"])
    fault.begin(server)
    refused(server, fault)
    celery.release("long", "other")
    done(celery, ["long", "other"])
    wait_for(lambda: fault.says in celery.log() or worker.poll() is not None, "a line about it")
    assert worker.poll() is None, celery.log()
    # It fetches nothing meanwhile, and the two are still in the record.
    assert not {"a", "b", "c"} & set(celery.effects())
    assert server.client.hlen("unacked") >= 2

    fault.end(server)
    done(celery, ["a", "b", "c"])
    wait_for(lambda: not server.client.exists("unacked", "unacked_index", "celery_runtime:holders"), "all acknowledged")
    celery.send("note", "after")
    done(celery, ["after"])
    assert worker.poll() is None
    assert sorted(celery.effects()) == sorted(
        f"{begin}{name}" for name in ("long", "other", "a", "b", "c", "after") for begin in ("begin-", "")
    )


def test_an_idle_worker_waits_too(celery: Celery, server: Server, fault: Any) -> None:
    worker = celery.worker()
    fault.begin(server)
    wait_for(lambda: fault.says in celery.log() or worker.poll() is not None, "a line about it")
    fault.end(server)
    celery.send("note", "after")
    done(celery, ["after"])
    assert worker.poll() is None, celery.log()


def test_a_worker_that_starts_meanwhile_begins_when_it_passes(celery: Celery, server: Server, fault: Any) -> None:
    jobs_client.send_notes(celery, ["a"])
    fault.begin(server)
    worker = celery.spawn()
    wait_for(lambda: fault.says in celery.log() or worker.poll() is not None, "a line about it")
    assert worker.poll() is None, celery.log()
    fault.end(server)
    done(celery, ["a"])
    wait_for(lambda: not server.client.exists("unacked"), "acknowledged")


def test_a_sender_is_told_why(celery: Celery, server: Server, fault: Any, python: Callable[[str], str]) -> None:
    """Not as an error of what it sends, but as one of a broker that is away, on which senders may wait."""
    fault.begin(server)
    said = python(
        "import jobs, kombu.exceptions\n"
        "try:\n    jobs.note.apply_async(('x',), retry=False)\n"
        "except kombu.exceptions.OperationalError as error:\n    print(error)\n"
    )
    assert fault.says in said


@pytest.fixture
def python(celery: Celery) -> Callable[[str], str]:
    """Run a program in an environment of the project's, and return what it printed."""

    def run(code: str) -> str:
        command = [sys.executable, "-c", code]
        finished = subprocess.run(
            command, env=celery.environment, capture_output=True, text=True, timeout=180, check=False
        )
        assert finished.returncode == 0, finished.stderr
        return finished.stdout

    return run
