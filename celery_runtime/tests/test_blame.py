"""What a task can be blamed for: an innocent one is done, whoever kills its worker; a guilty one becomes a dead letter."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import jobs_client
import pytest
from celery_runtime import evidence
from celery_runtime.blame import FULL, LITTLE, Loss, judge, judge_child
from celery_runtime.evidence import End
from celery_runtime.ledger import Ledger
from celery_runtime.redelivery import put_back
from conftest import wait_for
from service_manager import ServiceManager

LIMIT = 2


@pytest.fixture
def manager(celery: Any) -> ServiceManager:
    celery.runtime |= {"parts": ["watchdog", "transport", "guard"], "delivery_limit": LIMIT}
    return ServiceManager(celery)


def dead(server: Any) -> list[str]:
    return sorted(key.decode() for key in server.client.hkeys("celery_runtime:dead_letters"))


def stories(server: Any) -> list[list[dict[str, Any]]]:
    return [json.loads(story) for story in server.client.hvals("celery_runtime:losses")]


def begun(celery: Any, name: str, times: int) -> None:
    wait_for(lambda: celery.effects().count(f"begin-{name}") >= times, f"{name} has begun; {celery.log()}")


# --- The innocent ------------------------------------------------------------------------------------------------------------


def test_a_long_task_outlives_kills_from_outside_stops_and_a_power_cut(
    celery: Any, server: Any, manager: ServiceManager
) -> None:
    celery.send("hold", "long")
    starts = 0
    # Each would have counted as much as the limit's own.
    for number in range(LIMIT * 2):
        worker = manager.worker()
        begun(celery, "long", starts := starts + 1)
        # By turns the whole control group and the main process alone; the kernel ends its children.
        (os.killpg if number % 2 else os.kill)(worker.pid, signal.SIGKILL)
        manager.ended(worker)
    worker = manager.worker()
    begun(celery, "long", starts := starts + 1)
    manager.note("stop", MAINPID=str(worker.pid))
    # The cold shutdown, which requeues what runs.
    celery.stop(worker, signal.SIGQUIT)
    manager.ended(worker)
    worker = manager.worker()
    begun(celery, "long", starts := starts + 1)
    # Nobody is there to write a note.
    celery.kill(worker)
    manager.worker()
    begun(celery, "long", starts + 1)
    (story,) = stories(server)
    assert [event["points"] for event in story] == [LITTLE] * (LIMIT * 2 + 1)
    assert {event["reason"] for event in story} == {
        "its worker ended while it ran, by SIGKILL, from outside",
        evidence.HOST.reason,
    }
    celery.release("long")
    wait_for(lambda: "long" in celery.effects(), celery.log())
    wait_for(lambda: server.client.hlen("unacked") == 0, "acknowledged")
    assert dead(server) == []
    assert server.client.hlen("celery_runtime:losses") == 0


def test_starts_that_fail_later_are_no_matter_of_the_task(celery: Any, server: Any, manager: ServiceManager) -> None:
    """A worker that can't begin ends with a status each time; what counts is the end of the one that held the task."""
    celery.send("hold", "long")
    worker = manager.worker()
    begun(celery, "long", 1)
    celery.kill(worker)
    manager.ended(worker)
    for _ in range(2):
        failing = manager.worker(ready=False, BROKER_URL="nonsense://")
        manager.ended(failing)
        assert failing.returncode
    manager.worker()
    begun(celery, "long", 2)
    assert [[event["points"] for event in story] for story in stories(server)] == [[LITTLE]]


def test_a_stop_while_the_broker_is_away_is_no_matter_of_the_task(
    celery: Any, server: Any, manager: ServiceManager
) -> None:
    celery.send("hold", "long")
    worker = manager.worker()
    begun(celery, "long", 1)
    server.signal(signal.SIGKILL)
    manager.note("stop", MAINPID=str(worker.pid))
    worker.send_signal(signal.SIGQUIT)
    worker.wait(60)
    manager.ended(worker)
    server.start()
    manager.worker()
    begun(celery, "long", 2)
    assert sum(event["points"] for story in stories(server) for event in story) <= LITTLE


# --- The guilty --------------------------------------------------------------------------------------------------------------


def test_a_task_that_ends_its_worker_becomes_a_dead_letter(celery: Any, server: Any, manager: ServiceManager) -> None:
    celery.send("end_main_process", "SIGSEGV", task_id="killer")
    for _ in range(LIMIT):
        manager.ended(manager.worker(ready=False))
    manager.worker()
    celery.send("note", "alive")
    wait_for(lambda: "alive" in celery.effects(), celery.log())
    assert dead(server) == ["killer"]
    assert celery.effects().count("end") == LIMIT
    shown = celery.run("dead-letters", "show", "killer")
    assert shown.count("its worker ended while it ran, by SIGSEGV; it ran alone (counts 1)") == LIMIT
    assert f"which counts {LIMIT}" in celery.log()
    assert "dropped 1" in celery.run("dead-letters", "drop", "killer")


def test_a_task_that_ends_a_pool_without_processes_becomes_a_dead_letter(
    celery: Any, server: Any, manager: ServiceManager
) -> None:
    celery.send("end_own_process", "70", task_id="killer")
    for _ in range(LIMIT):
        manager.ended(manager.worker(ready=False, options="--pool=solo"))
    manager.worker()
    wait_for(lambda: dead(server) == ["killer"], celery.log())


def test_innocent_neighbours_of_a_killer_are_done(celery: Any, server: Any, manager: ServiceManager) -> None:
    names = [f"n{number}" for number in range(3)]
    for name in names:
        celery.send("hold", name)
    celery.send("end_main_process", "70", task_id="killer")
    # Once beside the others, of whom nobody is convicted; from then on it is the only suspect of its worker, or one of them runs.
    for _ in range(4 * (LIMIT + 1)):
        process = manager.worker(ready=False, concurrency=4)

        def over(one: Any = process) -> bool:
            return one.poll() is not None or bool(dead(server))

        if not wait_for(lambda look=over: look() or suspects_run(server), celery.log()):
            break
        if process.poll() is None and not dead(server):
            # A neighbour runs as the suspect; it ends, and makes way.
            for name in names:
                celery.release(name)
        wait_for(over, celery.log())
        if process.poll() is None:
            break
        manager.ended(process)
    for name in names:
        celery.release(name)
    wait_for(lambda: set(names) <= set(celery.effects()), celery.log())
    assert dead(server) == ["killer"]


def suspects_run(server: Any) -> bool:
    return any(b"suspects" in entry for entry in server.client.hvals("celery_runtime:holders"))


def test_nothing_comes_back_for_ever_whatever_is_known_of_the_ends(server: Any) -> None:
    ledger = Ledger(server.client, limit=LIMIT)
    jobs_client.record(ledger, "one@test", "tag", "low")
    for _ in range(LIMIT * 10 - 1):
        put_back(None, ledger, "one@test", evidence.UNKNOWN, set())
        assert ledger.dead_letters() == []
        keys, arguments = ledger.fetch_arguments("one@test", ["low"], ["low"])
        assert ledger._run("fetch", keys, *arguments)
    outcome = ledger.restore("tag", loss=Loss(evidence.UNKNOWN.reason))
    assert [letter.id for letter in ledger.dead_letters()] == ["tag"]
    assert outcome == ledger.dead_letters()[0]


# --- A child -----------------------------------------------------------------------------------------------------------------


def test_a_task_that_ends_its_own_process_and_is_requeued_becomes_a_dead_letter(
    celery: Any, server: Any, manager: ServiceManager
) -> None:
    worker = manager.worker(concurrency=1)
    celery.send("end_own_process", "SIGSEGV", task_id="killer")
    wait_for(lambda: dead(server) == ["killer"], celery.log())
    celery.send("note", "alive")
    wait_for(lambda: "alive" in celery.effects(), celery.log())
    assert worker.poll() is None
    assert celery.effects().count("end") == LIMIT
    assert celery.run("dead-letters", "show", "killer").count("its process ended: ") == LIMIT


def test_an_operators_kill_of_a_child_counts_little(celery: Any, server: Any, manager: ServiceManager) -> None:
    worker = manager.worker(concurrency=1)
    celery.send("hold_and_be_requeued", "long")
    for count in range(1, LIMIT + 2):
        begun(celery, "long", count)
        (child,) = Path("/proc", str(worker.pid), "task", str(worker.pid), "children").read_text().split()
        os.kill(int(child), signal.SIGKILL)
    begun(celery, "long", LIMIT + 2)
    assert [[event["points"] for event in story] for story in stories(server)] == [[LITTLE] * (LIMIT + 1)]
    celery.release("long")
    wait_for(lambda: "long" in celery.effects(), celery.log())
    assert dead(server) == []


# --- The rules ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "inside"),
    [
        ("SERVICE_RESULT=success EXIT_CODE=exited EXIT_STATUS=0", False),
        ("SERVICE_RESULT=exit-code EXIT_CODE=exited EXIT_STATUS=1", True),
        ("SERVICE_RESULT=signal EXIT_CODE=killed EXIT_STATUS=SEGV", True),
        ("SERVICE_RESULT=core-dump EXIT_CODE=dumped EXIT_STATUS=ABRT", True),
        ("SERVICE_RESULT=watchdog EXIT_CODE=dumped EXIT_STATUS=ABRT", False),
        ("SERVICE_RESULT=watchdog EXIT_CODE=killed EXIT_STATUS=KILL", False),
        ("SERVICE_RESULT=timeout EXIT_CODE=killed EXIT_STATUS=KILL", False),
        ("SERVICE_RESULT=signal EXIT_CODE=killed EXIT_STATUS=KILL", False),
        ("SERVICE_RESULT=signal EXIT_CODE=killed EXIT_STATUS=TERM", False),
        ("SERVICE_RESULT=signal EXIT_CODE=killed EXIT_STATUS=KILL OOM_KILLS=2", False),
        ("SERVICE_RESULT=signal EXIT_CODE=killed EXIT_STATUS=KILL OOM_KILLS=3", True),
        ("SERVICE_RESULT=oom-kill EXIT_CODE=killed EXIT_STATUS=KILL", True),
        ("STOP_ASKED=1 SERVICE_RESULT=exit-code EXIT_CODE=exited EXIT_STATUS=1", False),
        ("", False),
    ],
)
def test_who_can_have_ended_a_process(lines: str, inside: bool) -> None:
    assert evidence.read(lines.replace(" ", "\n"), kills=2).inside is inside


def test_what_an_end_counts() -> None:
    def counted(end: End, ran: set[str], suspects: set[str]) -> dict[str, tuple[float, bool]]:
        return {tag: (loss.points, loss.suspect) for tag, loss in judge(end, ran, suspects).items()}

    inside = End("it ended", inside=True)
    assert counted(inside, {"a"}, set()) == {"a": (FULL, True)}
    assert counted(inside, {"a", "b"}, set()) == {"a": (LITTLE, True), "b": (LITTLE, True)}
    assert counted(inside, {"a", "b"}, {"a"}) == {"a": (FULL, True), "b": (LITTLE, True)}
    assert counted(inside, {"a", "b"}, {"a", "b"}) == {"a": (LITTLE, True), "b": (LITTLE, True)}
    assert counted(evidence.HOST, {"a"}, {"a"}) == {"a": (LITTLE, False)}


@pytest.mark.parametrize(
    ("message", "ran_out", "points"),
    [
        ("Worker exited prematurely: signal 9 (SIGKILL) Job: 1.", False, LITTLE),
        ("Worker exited prematurely: signal 9 (SIGKILL) Job: 1.", True, FULL),
        ("Worker exited prematurely: signal 11 (SIGSEGV) Job: 1.", True, FULL),
        ("Worker exited prematurely: exitcode 3 Job: 15.", False, FULL),
        ("exitcode -15", False, LITTLE),
    ],
)
def test_what_the_end_of_a_child_counts(message: str, ran_out: bool, points: float) -> None:
    assert judge_child(message, ran_out).points == points


@pytest.mark.parametrize(
    ("membership", "file", "text"),
    [
        (
            "0::/system.slice/a.service\n",
            "system.slice/a.service/memory.events",
            "oom 5\noom_kill 4\noom_group_kill 0\n",
        ),
        (
            "5:cpu,memory:/a.service\n0::/a.service\n",
            "memory/a.service/memory.oom_control",
            "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n",
        ),
    ],
    ids=["v2", "v1"],
)
def test_kills_for_want_of_memory_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, membership: str, file: str, text: str
) -> None:
    (tmp_path / "cgroup").write_text(membership)
    counter = tmp_path / "fs" / file
    counter.parent.mkdir(parents=True)
    counter.write_text(text)
    monkeypatch.setattr(evidence, "CGROUPS", tmp_path / "fs")
    monkeypatch.setattr(evidence, "_counters", lambda: tuple(evidence._counters_of(tmp_path / "cgroup")))
    assert evidence.oom_kills() == 4


def test_notes_of_starts_long_past_are_cleared_away(celery: Any) -> None:
    manager = ServiceManager(celery)
    for number in range(70):
        manager._start = f"{number:032x}"
        manager.note("end", SERVICE_RESULT="success", EXIT_CODE="exited", EXIT_STATUS="0")
    assert 60 < len(list(manager.notes.iterdir())) < 70
    assert (manager.notes / manager._start).read_text().startswith("SERVICE_RESULT=success\n")
