"""What Redis withheld from the services, after all that the other tests did."""

import json

import pytest
import stack


@pytest.mark.after_all
def test_no_service_was_refused_anything(host):
    log = json.loads(stack.redis(host, "--json acl log 128"))
    # Other tests try wrong passwords.
    assert [entry for entry in log if entry["reason"] != "auth"] == []
    # And each did something, as the user that it should be.
    seen = {
        line.split("user=")[1].split()[0] for line in stack.redis(host, "client list").splitlines() if "user=" in line
    }
    assert {"worker", "flower"} <= seen <= {"web", "worker", "beat", "flower", "operator", "default"}
