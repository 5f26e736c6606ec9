"""While packets to the broker's host get lost, the site registers people as fast as ever, and their mail follows."""

import contextlib
import time
from pathlib import Path

import pytest

from testbench.demo import find_mail
from testbench.front import Front, patience
from testbench.podman import NAMED, as_root, run, text

# For the mail, once the network is back (s): a bound on a hang.
MAIL = 180
RULE = ("OUTPUT", "--protocol", "tcp", "--dport", "6379", "--jump", "DROP")


@pytest.fixture
def dropped(variables):
    """Let no packet from the site to the broker through: neither side hears of it. From outside, so that the host needs no tool for it."""
    scope = Path(variables["site"]["testbench_mail_folder"]).parent.name
    process = text("inspect", "--format", "{{.State.Pid}}", f"{NAMED}-{scope}-site")
    command = ["nsenter", "--target", process, "--net", "iptables", "--wait"]

    @contextlib.contextmanager
    def drop():
        run(as_root([*command, "--insert", *RULE]))
        try:
            yield
        finally:
            run(as_root([*command, "--delete", *RULE]))

    return drop


def test_registering_is_quick_and_the_mail_follows(variables, addresses, secrets, dropped):
    folder = Path(variables["site"]["testbench_mail_folder"])
    front = Front(addresses["site"], secrets / "ca" / "ca.pem")

    def register(email):
        status, body, milliseconds = front.request("POST", "/register/", {"email": email, "name": "Ada"})
        assert status == 201, body
        return milliseconds

    # From here the site has a connection to Redis, on which the outage meets it.
    usual = [register(f"earlier.{number}.{time.time_ns()}@example.com") for number in range(3)]
    people = [f"dropped.{number}.{time.time_ns()}@example.com" for number in range(4)]
    with dropped():
        assert max(map(register, people)) < patience(usual)
        # It was an outage: nothing went through.
        time.sleep(1)
        assert [email for email in people if find_mail(folder, email)] == []
    deadline = time.monotonic() + MAIL
    while (missing := [email for email in people if not find_mail(folder, email)]) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert missing == []
