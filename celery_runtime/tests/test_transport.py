from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import jobs_client
import pytest
from conftest import wait_for
from kombu import Connection, Consumer, Queue


def done(celery: Any, names: list[str]) -> None:
    wait_for(lambda: set(names) <= set(celery.effects()), f"{names}; worker: {celery.log()}")


def test_tasks_of_all_queues_and_priorities_are_done(celery: Any, server: Any) -> None:
    for queue in ("high", "low"):
        for priority in (0, 3, 9):
            celery.send("note", f"{queue}-{priority}", queue=queue, priority=priority)
    celery.worker()
    done(celery, [f"{queue}-{priority}" for queue in ("high", "low") for priority in (0, 3, 9)])
    wait_for(lambda: server.client.hlen("unacked") == 0, "acknowledged")
    for key in ("unacked_index", "celery_runtime:holders", "celery_runtime:losses"):
        assert not server.client.exists(key), key


# The look at the queues each second is the net below what Redis says of them. Without it, only what Redis says wakes a worker.
NO_NET = {"broker_transport_options": {"visibility_timeout": 7200, "socket_timeout": 5, "polling_interval": 3600}}


def test_an_idle_worker_begins_when_redis_says_so(celery: Any) -> None:
    celery.settings = NO_NET
    celery.worker()
    for number in range(5):
        jobs_client.send_notes(celery, [f"n{number}"])
        done(celery, [f"n{number}"])
        time.sleep(0.3)


def test_no_wake_up_is_missed(celery: Any) -> None:
    """Messages and what Redis says of the lists arrive in every order; a missed one would never be made up for."""
    celery.settings = NO_NET
    celery.worker()
    for number in range(60):
        names = [f"n{number}-{one}" for one in range(1 + number % 5)]
        jobs_client.send_notes(celery, names)
        done(celery, names)
        time.sleep((0, 0.01, 0.3)[number % 3])


def test_no_message_lies_outside_queue_and_record(celery: Any, server: Any) -> None:
    names = [f"n{number}" for number in range(300)]
    jobs_client.send_notes(celery, names, 0.02)
    for _ in range(6):
        worker = celery.worker()
        before = len(celery.effects())
        wait_for(lambda count=before: len(celery.effects()) > count + 20, "progress")
        celery.kill(worker)
        # Whatever is not done lies in the queue or in the record.
        waiting = server.client.llen("low") + server.client.hlen("unacked")
        assert waiting >= len(names) - len({line for line in celery.effects() if line in names})
    celery.worker()
    done(celery, names)
    wait_for(lambda: server.client.hlen("unacked") == 0, "acknowledged")


def test_a_full_redis_is_emptied_and_then_takes_again(celery: Any, server: Any) -> None:
    celery.worker()
    names = [f"n{number}" for number in range(20)]
    server.client.config_set("maxmemory-policy", "noeviction")
    celery.send("hold", "first")
    done(celery, ["begin-first"])
    jobs_client.send_notes(celery, names)
    server.client.config_set("maxmemory", 1)
    celery.release("first")
    done(celery, [*names, "first"])
    wait_for(lambda: server.client.hlen("unacked") == 0, "acknowledged")
    with pytest.raises(Exception, match="maxmemory"):
        jobs_client.send_notes(celery, ["refused"])
    server.client.config_set("maxmemory", 0)
    celery.send("note", "last")
    done(celery, ["last"])


def test_a_worker_starts_and_works_while_redis_is_full(celery: Any, server: Any) -> None:
    jobs_client.send_notes(celery, ["a", "b"])
    server.client.config_set("maxmemory", 1)
    celery.worker()
    done(celery, ["a", "b"])
    wait_for(lambda: server.client.hlen("unacked") == 0, "acknowledged")


def test_without_tracking_a_task_begins_within_seconds(celery: Any, server: Any) -> None:
    server.client.acl_setuser(
        "worker", enabled=True, nopass=True, keys=["*"], channels=["*"], commands=["+@all", "-client|tracking"]
    )
    celery.url = celery.url.replace("redis://", "redis://worker:any@")
    celery.worker()
    celery.send("note", "one")
    done(celery, ["one"])
    assert "refuses CLIENT TRACKING" in celery.log()


def test_a_script_that_redis_forgot_is_loaded_again(celery: Any, server: Any) -> None:
    celery.worker()
    server.client.script_flush()
    celery.send("note", "one")
    done(celery, ["one"])


def test_what_is_no_message_is_set_aside_and_harms_nobody(celery: Any, server: Any) -> None:
    server.client.lpush("low", b"{broken", b"[1, 2]", b'"text"', b"\xff\xfe", b'{"properties": {"delivery_tag": 5}}')
    celery.worker()
    celery.send("note", "good")
    done(celery, ["good"])
    assert server.client.llen("low") == 0
    listed = celery.run("dead-letters", "list")
    assert listed.count("unreadable-") == 5, listed


def test_redis_over_a_unix_socket(celery: Any, server: Any) -> None:
    celery.url = f"redis+socket://{server.folder}/redis.sock"
    celery.worker()
    celery.send("note", "one", queue="high")
    done(celery, ["one"])


def test_redis_over_tls(celery: Any, server: Any, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    )
    subprocess.run([*command.split(), "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    server.start_tls(key, certificate)
    celery.url = f"rediss://localhost:{server.tls_port}/0?ssl_cert_reqs=required&ssl_ca_certs={certificate}"
    celery.worker()
    celery.send("note", "one", queue="high")
    done(celery, ["one"])


def test_a_consumer_without_event_loop_and_one_that_acknowledges_nothing(celery: Any, server: Any) -> None:
    jobs_client.send_notes(celery, ["a", "b"])
    seen: list[str] = []
    with (
        jobs_client.runtime(celery),
        Connection(celery.url) as connection,
        Consumer(
            connection, [Queue("low")], callbacks=[lambda _, message: seen.append(message.headers["id"])], no_ack=True
        ),
    ):
        connection.drain_events(timeout=5)
        connection.drain_events(timeout=5)
    assert seen == ["a", "b"]
    assert not server.client.exists("unacked", "unacked_index")


@pytest.mark.parametrize("seconds", [3, 12])
def test_a_frozen_redis_costs_nothing(celery: Any, server: Any, seconds: float) -> None:
    celery.worker()
    jobs_client.send_notes(celery, [f"n{number}" for number in range(5)])
    celery.send("hold", "long")
    done(celery, ["begin-long"])
    server.signal(signal.SIGSTOP)
    celery.release("long")
    time.sleep(seconds)
    server.signal(signal.SIGCONT)
    celery.send("note", "after")
    done(celery, ["after", "long"])
    wait_for(lambda: server.client.hlen("unacked") == 0, "acknowledged")
    assert celery.effects().count("begin-long") == 1
