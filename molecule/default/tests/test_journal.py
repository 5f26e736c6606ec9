"""Services write to the journal as themselves alone, and the system bus isn't there for them."""

import json
import shlex
import time

import pytest
import stack

CODE = (stack.HERE / "on_host/claim.py").read_text()
# Sockets of the journal that take lines under any name, and the system bus, which tells of all units.
JOURNAL = {
    "/dev/log",
    "/run/systemd/journal/dev-log",
    "/run/systemd/journal/socket",
    "/run/systemd/journal/stdout",
}
SOCKETS = JOURNAL | {"/run/dbus/system_bus_socket"}


@pytest.fixture
def marker():
    return f"nobody-but-sshd-says-{time.time_ns()}"


def claim(host, begin, marker):
    """Try each way by a command that takes Python as its last argument, and return what came of it, by path."""
    code = f"MARKER = {marker!r}\n{CODE}"
    printed = host.check_output(f"{begin} {shlex.quote(code)}")
    return json.loads(printed.rpartition(stack.ANSWER)[2])


def inside(host, unit):
    """Return what runs Python in a unit's view of the file system, as its account. Nothing but Python may be run in there."""
    account = stack.ACCOUNTS[unit]
    who = f"--setuid=$(id -u {account}) --setgid=$(id -g {account})"
    return f"nsenter --target={stack.main_pid(host, unit)} --mount {who} /usr/bin/python3 -c"


def lines(host, marker):
    """Return how many lines say the marker under the name of another program."""
    host.check_output("journalctl --sync")
    return len(host.run(f"journalctl --quiet --identifier=sshd --grep={marker}").stdout.splitlines())


@pytest.mark.parametrize("unit", stack.UNITS)
def test_a_service_reaches_no_socket_of_journal_and_bus(host, marker, unit):
    assert claim(host, inside(host, unit), marker) == dict.fromkeys(SOCKETS, "EACCES")
    assert lines(host, marker) == 0


@pytest.mark.parametrize("unit", stack.UNITS)
def test_a_socket_that_is_made_anew_is_none_of_a_service_s(host, marker, unit):
    """When systemd makes a socket anew, what was mounted over that one alone is gone."""
    path = f"/run/systemd/journal/{marker}"
    host.check_output(f"touch {path}")
    try:
        assert host.run(f"test -e /proc/{stack.main_pid(host, unit)}/root{path}").rc == 1
    finally:
        host.check_output(f"rm {path}")


def test_an_operators_command_reaches_none_either(host, marker):
    assert claim(host, "sample-manage shell -c", marker) == dict.fromkeys(SOCKETS, "EACCES")
    assert lines(host, marker) == 0


def test_outside_of_the_sandbox_they_would(host, marker):
    """The attempts are sound: what stops them is neither the account nor a mistake in them."""
    account = stack.ACCOUNTS["celery-worker@main.service"]
    assert claim(host, f"runuser -u {account} -- python3 -c", marker) == dict.fromkeys(SOCKETS, "sent")
    stack.wait_for(lambda: lines(host, marker) == len(JOURNAL), "the lines under another name")


@pytest.mark.parametrize("unit", stack.UNITS)
def test_what_a_service_prints_gets_there(host, unit):
    main = stack.main_pid(host, unit)
    assert host.check_output(f"journalctl --quiet --unit={unit} _PID={main} _TRANSPORT=stdout --lines=1 --output=cat")
