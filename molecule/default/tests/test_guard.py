"""A child is set apart from its worker's main process, and how that process ended is noted where no task can write."""

import pytest
import stack

UNIT = "celery-worker@high.service"
NOTES = "/run/celery-worker/high"


def children(host, main):
    return host.check_output(f"ps -o pid= --ppid {main}").split()


def invocation(host):
    return stack.show(host, UNIT, "InvocationID")["InvocationID"]


def note(host, start):
    return dict(line.split("=", 1) for line in host.check_output(f"cat {NOTES}/{start}").splitlines())


@pytest.fixture
def main(host):
    return stack.wait_for(lambda: stack.active(host, [UNIT]) and stack.main_pid(host, UNIT), UNIT)


def test_the_main_process_keeps_its_memory_to_itself(host, main):
    # proc(5): the files of a process that can't be dumped are root's.
    assert host.check_output(f"stat -c %U /proc/{main}/mem") == "root"
    owners = {host.check_output(f"stat -c %U /proc/{child}/mem") for child in children(host, main)}
    assert owners == {stack.show(host, UNIT, "User")["User"]}


def test_each_child_has_a_group_and_a_filter_of_its_own_and_is_taken_first(host, main):
    def filters(process):
        return int(host.check_output(f"sed -n 's/^Seccomp_filters:\\t//p' /proc/{process}/status"))

    def score(process):
        return int(host.check_output(f"cat /proc/{process}/oom_score_adj"))

    found = children(host, main)
    assert found
    for child in found:
        assert host.check_output(f"ps -o pgid= -p {child}").strip() == child
        assert filters(child) == filters(main) + 1
        assert score(child) == min(score(main) + 500, 1000)
    assert "may take its worker" not in host.check_output(f"journalctl --boot --output=cat --unit={UNIT}")


def test_a_kill_and_a_stop_leave_notes_that_tell_them_apart(host, main):
    killed = invocation(host)
    host.check_output(f"kill -KILL {main}")
    stack.wait_for(lambda: stack.main_pid(host, UNIT) not in (0, main) and stack.active(host, [UNIT]), "the next start")
    seen = note(host, killed)
    assert (seen["SERVICE_RESULT"], seen["EXIT_CODE"], seen["EXIT_STATUS"]) == ("signal", "killed", "KILL")
    assert "STOP_ASKED" not in seen
    stopped = invocation(host)
    host.check_output(f"systemctl restart {UNIT}")
    seen = note(host, stopped)
    assert (seen["SERVICE_RESULT"], seen["EXIT_CODE"], seen["STOP_ASKED"]) == ("success", "exited", "1")
    assert int(seen["OOM_KILLS"]) == 0


def test_no_task_can_write_a_note(host, main):
    assert host.check_output(f"stat -c '%U %a' {NOTES}") == "root 755"
    assert host.check_output("find /run/celery-worker ! -user root -o -perm /022") == ""
    # What the worker itself sees of it.
    assert host.run(f"test -d /proc/{main}/root{NOTES}").rc == 0
