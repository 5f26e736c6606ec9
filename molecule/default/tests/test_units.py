"""The units of the application: together, sandboxed, and as many processes as were planned."""

import sys
import time
from pathlib import Path

import pytest
import stack
import yaml

from testbench.podman import ROOT
from testbench.remote import parse_scores

sys.path.insert(0, str(ROOT / "plugins/filter"))
from celery_plan import celery_plan

# The exposure that systemd-analyze(1) finds, the same on each release: at most this for a unit without a network, and for one that talks to
# addresses (the mail server's here). See docs/security.md.
CLOSED, NETWORKED = 0.3, 1.0
WORST_SCORES = {
    "redis-server.service": CLOSED,
    "redis-cache.service": CLOSED,
    "postgresql@{version}-main.service": CLOSED,
    "celery-beat.service": CLOSED,
    "celery-flower.service": CLOSED,
    "celery-worker@high.service": NETWORKED,
    "celery-worker@main.service": CLOSED,
    "django-web.service": NETWORKED,
}


SHARED_MEMORY = 64 * 2**20


def test_the_sandbox_is_tight(host):
    version = host.check_output("ls /etc/postgresql")
    worst = {unit.format(version=version): score for unit, score in WORST_SCORES.items()}
    scores = parse_scores(host.check_output("systemd-analyze security --no-pager"))
    assert {unit: scores[unit] for unit, score in worst.items() if float(scores[unit]) > score} == {}


@pytest.mark.parametrize("pool", ["high", "main"])
def test_a_pool_may_take_what_was_planned(host, variables, pool):
    planned = next(one for one in plan(host, variables)["pools"] if one["name"] == pool)
    shown = stack.show(host, f"celery-worker@{pool}.service", "MemoryHigh", "MemoryMax", "TasksMax", "CPUWeight")
    assert {name: int(value) for name, value in shown.items()} == {
        "MemoryHigh": planned["memory_high_mib"] * 2**20,
        "MemoryMax": planned["memory_max_mib"] * 2**20,
        "TasksMax": planned["tasks_max"],
        "CPUWeight": planned["cpu_weight"],
    }


def plan(host, variables):
    """Compute the plan from the host's own numbers."""
    defaults = yaml.safe_load(Path(ROOT, "roles/celery_worker/defaults/main.yml").read_text())
    values = {name.removeprefix("celery_worker_"): variables.get(name, value) for name, value in defaults.items()}
    facts = {
        "cpus": int(host.check_output("nproc")),
        "cpu_quota": 0,
        "memory_mib": stack.memory_mib(host, variables),
    }
    return celery_plan(values["pools"], facts, values["queues"], values)


def worker_children(host, pool):
    main = stack.main_pid(host, f"celery-worker@{pool}.service")
    return host.check_output(f"ps -o pid= --ppid {main}").split()


def test_workers_have_as_many_processes_as_planned(host, variables):
    planned = {pool["name"]: pool["concurrency"] for pool in plan(host, variables)["pools"]}
    assert planned
    assert {pool: len(worker_children(host, pool)) for pool in planned} == planned


def test_workers_say_what_was_planned(host, variables):
    pools = {pool["name"]: pool for pool in plan(host, variables)["pools"]}
    said = stack.inspect(host, "stats")
    queues = stack.inspect(host, "active_queues")
    for node, stats in said.items():
        pool = pools.pop(node.split("@")[0])
        assert stats["pool"]["max-concurrency"] == pool["concurrency"]
        assert stats["pool"]["max-tasks-per-child"] == pool["max_tasks_per_child"]
        assert stats["pool"]["timeouts"] == [pool["soft_time_limit"], pool["time_limit"]]
        assert stats["prefetch_count"] == pool["concurrency"] * pool["prefetch_multiplier"]
        assert {queue["name"] for queue in queues[node]} == set(pool["queues"])
    assert pools == {}


@pytest.mark.parametrize("unit", stack.UNITS)
def test_memory_that_is_shared_by_name_is_the_units_own(host, unit):
    """What one service keeps there is none of the others' business, and takes nothing from PostgreSQL's."""
    process = stack.main_pid(host, unit)
    # As the unit sees it; nothing but its own program may be run in there.
    inside = f"/proc/{process}/root/dev/shm"
    name = f"test-{time.time_ns()}"
    host.check_output(f"touch {inside}/{name}")
    try:
        assert host.run(f"test -e /dev/shm/{name}").rc == 1
        [mount] = [
            line for line in host.check_output(f"cat /proc/{process}/mountinfo").splitlines() if " /dev/shm " in line
        ]
        assert "noexec" in mount.split()[5].split(",")
        # Bytes. Without a limit it would be half of the host's memory; a pool's counts as the pool's memory.
        limit = stack.show(host, unit, "MemoryMax")["MemoryMax"] if "worker" in unit else SHARED_MEMORY
        assert int(host.check_output(f"stat --file-system --format='%b' {inside}")) * 4096 <= int(limit)
    finally:
        host.check_output(f"rm {inside}/{name}")


@pytest.mark.parametrize(
    ("unit", "folder"),
    [
        ("redis-server.service", "/run/redis"),
        ("redis-server.service", "/var/lib/redis"),
        ("redis-cache.service", "/run/redis-cache"),
        ("postgresql@{version}-main.service", "/run/postgresql"),
        ("postgresql@{version}-main.service", "/var/lib/postgresql"),
        ("postgresql@{version}-main.service", "/tmp"),
        ("postgresql@{version}-main.service", "/dev/shm"),
        ("nginx.service", "/run/nginx"),
        ("nginx.service", "/var/cache/nginx"),
        ("django-web.service", "/var/lib/sample/media"),
    ],
)
def test_a_service_can_t_execute_what_it_can_write(host, unit, folder):
    process = stack.main_pid(host, unit.format(version=host.check_output("ls /etc/postgresql")))
    program = f"{folder}/test-{time.time_ns()}"
    host.check_output(f"install --mode=755 /usr/bin/true /proc/{process}/root{program}")
    try:
        # As the unit sees it.
        answer = host.run(f"nsenter --target {process} --mount {program}")
        assert (answer.rc, "Permission denied" in answer.stderr) == (126, True), answer.stderr
    finally:
        host.check_output(f"rm /proc/{process}/root{program}")


def states(host):
    units = [*stack.UNITS, "django-web.socket"]
    return {stack.show(host, unit, "ActiveState")["ActiveState"] for unit in units}


def test_one_command_stops_and_starts_the_application(host, wait_until_up):
    host.check_output("systemctl stop sample.target")
    try:
        # Stopping the target queues the stop of its services; they may finish what they are at.
        stack.wait_for(lambda: states(host) == {"inactive"}, "a stop of all services")
        assert host.run("pgrep -u celery,celery-beat,celery-flower,django-web").rc == 1
        # What others may use as well stays.
        assert stack.active(host, ["redis-server.service"])
    finally:
        host.check_output("systemctl start sample.target")
    wait_until_up()


def test_killed_services_come_back(host, wait_until_up):
    before = {unit: stack.main_pid(host, unit) for unit in stack.UNITS}
    assert 0 not in before.values()
    host.check_output(f"kill -KILL {' '.join(map(str, before.values()))}")
    wait_until_up()
    now = {unit: stack.main_pid(host, unit) for unit in stack.UNITS}
    assert [unit for unit in stack.UNITS if now[unit] == before[unit]] == []


def test_exactly_one_beat_runs(host):
    assert len(host.check_output("pgrep --uid celery-beat").split()) == 1


def test_no_unit_failed(host):
    assert host.check_output("systemctl list-units --failed --plain --no-legend") == ""
