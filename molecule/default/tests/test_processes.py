"""A process and a command by the clock of the project's own."""

import pytest
import stack
from testinfra import get_host

NAMES = ["bookworm", "trixie"]
BEACON, SESSIONS = "django-process@beacon.service", "django-timer@sessions.service"


def journal(host, unit):
    return host.check_output(f"journalctl --unit={unit} --boot --no-pager --output=cat")


def test_a_process_was_ready_when_it_was_started(host):
    shown = stack.show(host, BEACON, "ActiveState", "Type", "WatchdogUSec", "MemoryMax")
    assert shown["ActiveState"] == "active"
    assert (shown["Type"], shown["WatchdogUSec"], shown["MemoryMax"]) == ("notify", "1min", str(256 * 2**20))


def test_a_process_runs_as_an_account_of_its_own(host):
    pid = stack.main_pid(host, BEACON)
    assert host.check_output(f"ps -o user:32=,group:32= -p {pid}").split() == ["django_beacon", "sample"]
    assert host.user("django_beacon").shell == "/usr/sbin/nologin"


def test_a_process_finds_its_own_login_and_no_other_secret(host):
    said = [line for line in journal(host, BEACON).splitlines() if line.startswith("beacon as")]
    # Django's key is one that opens nothing.
    assert said[-1] == "beacon as sample_process ['database_password', 'database_user', 'secret_key']"
    assert "LoadCredential=secret_key:/etc/sample/credentials/secret_key_process" in host.check_output(
        f"systemctl cat {BEACON}"
    )


def test_a_process_writes_where_its_entry_says_and_nowhere_else(host):
    # As the unit sees it.
    state = f"/proc/{stack.main_pid(host, BEACON)}/root/var/lib/sample"
    assert host.check_output("stat --format='%a %U %G' /var/lib/sample/beacon") == "2770 root sample"
    assert host.run(f"touch {state}/beacon/x && rm {state}/beacon/x").rc == 0
    refused = host.run(f"touch {state}/media/x")
    assert refused.rc != 0
    assert "Read-only file system" in refused.stderr


def test_a_process_is_as_closed_as_the_others(host):
    scores = host.check_output("systemd-analyze security --no-pager")
    [line] = [line for line in scores.splitlines() if line.startswith(BEACON)]
    assert float(line.split()[1]) <= 0.3


def test_a_process_that_is_killed_comes_back(host):
    before = stack.main_pid(host, BEACON)
    host.check_output(f"kill -KILL {before}")
    stack.wait_for(
        lambda: stack.main_pid(host, BEACON) not in (0, before) and stack.active(host, [BEACON]), "the process"
    )


def test_a_timer_waits_for_its_time(host):
    shown = stack.show(host, "django-timer@sessions.timer", "ActiveState", "UnitFileState", "NextElapseUSecRealtime")
    assert (shown["ActiveState"], shown["UnitFileState"]) == ("active", "enabled")
    assert " 04:" in shown["NextElapseUSecRealtime"]


def test_a_command_by_the_clock_does_its_work_in_its_sandbox(host):
    # As the clock starts it; it returns when the run is over.
    host.check_output(f"systemctl start {SESSIONS}")
    shown = stack.show(host, SESSIONS, "Result", "ExecMainStatus", "User", "PrivateNetwork")
    assert shown == {"Result": "success", "ExecMainStatus": "0", "User": "django_sessions", "PrivateNetwork": "yes"}


@pytest.fixture(scope="module")
def states(play):
    """What there is without the entries, and with them again."""
    found = []
    for entries in ({"stack_processes": [], "stack_timers": []}, {}):
        run = play("processes", **entries)
        assert run.status == 0, run.output
        found.append({name: look(name) for name in NAMES})
    return found


def look(name):
    host = get_host(f"ansible://{name}?ansible_inventory={stack.INVENTORY}&sudo=true")
    return {
        "files": host.check_output(
            "find /etc/systemd/system -name 'django-process@*' -o -name 'django-timer@*' | sort"
        ).split(),
        "process": stack.show(host, BEACON, "ActiveState")["ActiveState"],
    }


@pytest.mark.parametrize("name", NAMES)
def test_an_entry_that_goes_takes_its_units_along(states, name):
    without, again = (state[name] for state in states)
    assert without == {"files": [], "process": "inactive"}
    assert again["process"] == "active"
    assert len(again["files"]) >= 3
