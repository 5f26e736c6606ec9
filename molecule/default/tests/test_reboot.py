"""A second run restarted nothing; after a reboot, and in any order of their dependencies, all came back."""

import json

import pytest
import stack

STARTED = "39f53479d3a045ac8e11786248231fbf"
EVERYTHING = [*stack.UNITS, "redis-server.service", "redis-cache.service"]


def starts(host, since, until):
    """Return the units of the stack that systemd started between two times."""
    between = f"--since=@{since:.6f} --until=@{until:.6f}"
    out = host.check_output(f"journalctl --output=json --output-fields=UNIT {between} MESSAGE_ID={STARTED}")
    names = [json.loads(line).get("UNIT", "") for line in out.splitlines()]
    return [name for name in names if name.startswith(("celery", "django", "redis", "postgresql"))]


def last_run_began(host):
    """Return when the last run of site.yml before the side effects began."""
    until = f"--until=@{stack.marker(host, 'second-run-ends'):.6f}"
    # Preflight reads the limits of the control group, and does so before anything is changed.
    out = host.check_output(f"journalctl --output=json --identifier=ansible-plainhost.stack.cgroup_facts {until}")
    return float(json.loads(out.splitlines()[-1])["__REALTIME_TIMESTAMP"]) / 1e6


def test_the_second_run_restarted_nothing(host):
    assert starts(host, last_run_began(host), stack.marker(host, "second-run-ends")) == []


def test_starts_are_seen_where_there_were_some(host):
    between = (stack.marker(host, "second-run-ends"), stack.marker(host, "reboot"))
    assert set(starts(host, *between)) >= set(EVERYTHING)


@pytest.mark.parametrize("unit", EVERYTHING)
def test_it_came_back_after_the_reboot(host, unit):
    stack.wait_for(lambda: stack.active(host, [unit]), unit)
    assert unit in starts(host, stack.marker(host, "reboot"), 4e9)
    assert host.check_output(f"systemctl is-enabled {unit}") == "enabled"


def test_the_target_is_enabled(host):
    assert host.check_output("systemctl is-enabled sample.target") == "enabled"
