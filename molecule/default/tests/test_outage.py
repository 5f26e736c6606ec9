"""While Redis is away, in each way that it can be, the site registers people as fast as ever, and their mail follows."""

import contextlib
import time
from pathlib import Path

import pytest
import stack

from testbench import front
from testbench.demo import find_mail

# One host: each kind waits for the sweep, and nothing here depends on Debian's release.
testinfra_hosts = ["ansible://trixie"]

REDIS = "redis-server.service"


@contextlib.contextmanager
def refused(host):
    """Nobody listens."""
    host.check_output(f"systemctl stop {REDIS}")
    try:
        yield
    finally:
        host.check_output(f"systemctl start {REDIS}")


@contextlib.contextmanager
def frozen(host):
    """Connections are taken, and nobody answers."""
    host.check_output(f"systemctl kill --signal=SIGSTOP {REDIS}")
    try:
        yield
    finally:
        host.check_output(f"systemctl kill --signal=SIGCONT {REDIS}")


@pytest.mark.parametrize("outage", [refused, frozen])
def test_registering_is_quick_and_the_mail_follows(host, variables, http, outage):
    folder = Path(variables["testbench_mail_folder"])
    people = [f"{outage.__name__}.{number}.{time.time_ns()}@example.com" for number in range(6)]

    def register(email):
        status, body, milliseconds = http("POST", "/register/", {"email": email, "name": "Ada"})
        assert status == 201, body
        return milliseconds

    # From here the site has a connection to Redis, on which the outage meets it.
    usual = [register(f"earlier.{number}.{time.time_ns()}@example.com") for number in range(3)]
    with outage(host):
        waits = [register(email) for email in people]
        assert max(waits) < front.patience(usual)
        # It was an outage: nothing went through.
        time.sleep(1)
        assert [email for email in people if find_mail(folder, email)] == []
    ended = time.monotonic()
    for email in people:
        stack.wait_for(lambda email=email: find_mail(folder, email), f"mail to {email}")
    print(f"{outage.__name__}: slowest answer {max(waits):.0f} ms, last mail after {time.monotonic() - ended:.1f} s")
