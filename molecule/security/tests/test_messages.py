"""Whoever can write into a queue can write anything: each poisoned message is refused with a reason, and harms nobody."""

from __future__ import annotations

import re
import sys
from typing import Any

import attack
import pytest

sys.path.insert(0, str(attack.HERE / "on_host"))
from poison import COMMANDS, PATIENCE, PUBLISHED, ROWS


@pytest.fixture(scope="module")
def seen(vault: Any) -> Any:
    """Try everything once on the host that has the broker, the database and a worker."""
    return attack.run(vault, "poison.py", attack.APP)


@pytest.mark.parametrize("name", ROWS)
def test_a_poisoned_message_ends_with_a_reason(seen: Any, name: str) -> None:
    row, found = ROWS[name], seen["rows"][name]
    assert not found["left"], "it still lies in the queue, or a worker holds it"
    if row.ends == "letter":
        assert any(re.search(row.says, reason) for reason in found["letters"]), found
    if row.readable:
        assert found["result"], found
        assert found["result"]["state"] == row.state
        assert re.search(row.says, found["result"]["text"]), found
    if row.ends == "letter" and row.readable:
        assert any("was moved to the dead letters: unreadable: " in line for line in found["journal"]), found


@pytest.mark.parametrize("name", [*ROWS, *PUBLISHED])
def test_workers_go_on_beside_a_poisoned_message(seen: Any, name: str) -> None:
    found = (seen["rows"] | seen["published"])[name]
    assert found["same"], "a unit has another main process, or was restarted"
    assert found["good"] < PATIENCE, "the good task behind it was not done"


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("service", ["web", "beat", "worker"])
def test_a_service_may_send_no_control_command(seen: Any, service: str, command: str) -> None:
    # Redis 7.0 and 8.0 begin it with another letter.
    assert "no permissions" in seen["refused"][service][command].lower()


def test_no_control_command_was_obeyed(seen: Any) -> None:
    assert all(row["same"] for row in seen["published"].values())


def test_no_pickle_was_read_and_no_line_of_the_log_forged(seen: Any) -> None:
    assert not seen["ran"]
    assert seen["forged"] == []


def test_a_message_under_the_tag_of_a_running_one_does_not_take_its_place(seen: Any) -> None:
    assert seen["twin"] == {
        "held": True,
        "reason": "unreadable: its delivery_tag is that of a message that a worker holds",
    }
