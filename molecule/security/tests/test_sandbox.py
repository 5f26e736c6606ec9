"""A task that was taken over gets nowhere, its worker goes on, and the next good task is done."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import attack
import pytest

from testbench.remote import parse_scores

# What the kernel, systemd and the other side say to what is forbidden. A connection that is not answered counts, too: packets to
# addresses that aren't allowed are dropped.
REFUSALS = {
    "EPERM",
    "EACCES",
    "EROFS",
    "EAFNOSUPPORT",
    "ENOENT",
    "ENETUNREACH",
    "EHOSTUNREACH",
    "ETIMEDOUT",
    "ENODEV",
    "ENXIO",
}
# What attacks.attempts writes to the journal when it is let.
CLAIMED = "--identifier=sshd --grep=a-task-says-this-in-another-name"
# In the host's memory that is shared by name.
SHARED = "/dev/shm/of-the-host"


@pytest.fixture(scope="module", params=["vault", "site"])
def seen(request: pytest.FixtureRequest, hosts: dict[str, Any]) -> dict[str, Any]:
    """Let a worker on each host try everything."""
    name = request.param
    host = hosts[name]
    # A worker may talk to the host of its broker, whatever the port.
    others = [hosts["site"].ansible.get_variables()["ansible_host"]] if name == "vault" else []
    before = attack.units(host)
    begun = host.check_output("date +%s")
    # Something to be found, also where no PostgreSQL keeps its own there.
    host.check_output(f"touch {SHARED}")
    try:
        found = attack.shell(host, "run_attacks.py", QUEUE=f"attacks-{name}", OTHERS=others)
    finally:
        host.check_output(f"rm {SHARED}")
    host.check_output("journalctl --sync")
    claimed = host.run(f"journalctl --quiet --since=@{begun} {CLAIMED}").stdout
    return found | {"before": before, "after": attack.units(host), "claimed": claimed}


def test_each_attempt_is_stopped(seen: dict[str, Any]) -> None:
    assert seen["try_all"]["state"] == "SUCCESS", seen["try_all"]
    outcomes = seen["try_all"]["result"]
    assert len(outcomes) >= 90
    assert {name: outcome for name, outcome in outcomes.items() if outcome not in REFUSALS} == {}


def test_no_line_stands_under_another_program_s_name(seen: dict[str, Any]) -> None:
    tried = {name: outcome for name, outcome in seen["try_all"]["result"].items() if name.startswith("claim-")}
    # Not "not found": the sockets are on every host.
    assert tried == dict.fromkeys(tried, "EACCES")
    assert len(tried) == 4
    assert seen["claimed"] == ""


def test_the_system_bus_is_closed(seen: dict[str, Any]) -> None:
    assert seen["try_all"]["result"]["reach-the-system-bus"] == "EACCES"


def test_what_is_tried_to_be_read_is_there(hosts: dict[str, Any]) -> None:
    folder = Path(__file__).resolve().parents[1] / "project_extra" / "attacks"
    files = runpy.run_path(str(folder / "secret_files.py"))["SECRET_FILES"].values()
    # Each on one host at least: not to find a file is as good as not to be let in.
    missing = [{path for path in files if host.run(f"test -f {path}").rc} for host in hosts.values()]
    assert set.intersection(*missing) == set()


def test_system_calls_are_refused_before_they_look_at_their_arguments(seen: dict[str, Any]) -> None:
    calls = {name: outcome for name, outcome in seen["try_all"]["result"].items() if name.startswith("call-")}
    # Memory that is written to and executed: newer kernels say EACCES themselves.
    assert {name: outcome for name, outcome in calls.items() if outcome not in ("EPERM", "EACCES")} == {}


def test_forking_without_bound_is_stopped(seen: dict[str, Any]) -> None:
    assert seen["fork"]["state"] == "SUCCESS", seen["fork"]
    assert seen["fork"]["result"]["stopped"] == "EAGAIN", seen["fork"]


def test_opening_files_without_bound_is_stopped(seen: dict[str, Any]) -> None:
    assert seen["open_files"]["result"]["stopped"] == "EMFILE", seen["open_files"]


def test_a_task_that_takes_all_memory_is_ended_with_a_reason(seen: dict[str, Any]) -> None:
    assert seen["take_memory"]["state"] == "FAILURE", seen["take_memory"]
    assert "WorkerLost" in seen["take_memory"]["result"] or "MemoryError" in seen["take_memory"]["result"]


def test_the_next_good_task_is_done(seen: dict[str, Any]) -> None:
    assert {name: task["state"] for name, task in seen["good"].items()} == dict.fromkeys(seen["good"], "SUCCESS")


def test_no_unit_was_restarted(seen: dict[str, Any]) -> None:
    assert seen["after"] == seen["before"]


OURS = ("redis-server.", "postgresql@", "celery-", "django-web.service", "nginx.")


def test_every_unit_is_tight_also_where_it_talks_to_other_hosts(host: Any) -> None:
    scores = parse_scores(host.check_output("systemd-analyze security --no-pager"))
    ours = {unit: float(score) for unit, score in scores.items() if unit.startswith(OURS)}
    assert len(ours) >= 5
    assert {unit: score for unit, score in ours.items() if score > (0.5 if unit.startswith("nginx") else 1.0)} == {}
