"""The targets of a fault: whatever is missed is named, and the catalogue has every fault that is promised."""

from dataclasses import replace

import pytest

from testbench.faults import control
from testbench.faults.account import Account, Seen
from testbench.faults.catalogue import FAULTS
from testbench.faults.engine import Row, targets

WELL = Account(
    accepted=30,
    done=30,
    lost=[],
    twice=["a"],
    effect_twice=[],
    failed=[],
    without_result=[],
    first_progress=3.0,
    all_done=6.0,
)
FAULT = FAULTS[0]


def row(**changes):
    return Row("kill", "a kill", "r1", 0.0, replace(WELL, **changes), 0, 0, 0.0, 1.0, 10.0)


def test_a_run_within_its_targets_misses_none():
    assert targets(row(), FAULT) == []


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"lost": ["x"]}, "1 lost: x"),
        ({"effect_twice": ["x"]}, "1 with an effect twice: x"),
        ({"without_result": ["x"]}, "without a stored result: x"),
        ({"failed": ["x"]}, "1 failed where 0 should"),
        ({"first_progress": 60.1}, "first progress after 60.1 s, allowed are 60"),
        ({"first_progress": None}, "no progress"),
        ({"accepted": 5}, "only 5 jobs were accepted"),
    ],
)
def test_what_was_missed_is_named(changes, word):
    [missed] = targets(row(**changes), FAULT)
    assert word in missed


def test_a_job_that_was_meant_to_fail_and_did_not_is_named():
    assert targets(row(), replace(FAULT, fails=1)) == ["0 failed where 1 should: "]


def test_every_fault_has_a_name_of_its_own():
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 19


def test_the_control_does_faults_of_the_catalogue_and_does_not_wait_for_what_is_lost():
    assert {fault.name for fault in control.FAULTS} == {"kill-main", "kill-redis"}
    assert all(fault.patience < FAULT.patience for fault in control.FAULTS)


@pytest.mark.parametrize(
    "fault", [fault for fault in FAULTS if fault.name == "killer-task"], ids=lambda fault: fault.name
)
def test_an_innocent_dead_letter_is_named(fault):
    killer = row(failed=["r1-killer-001"])
    assert fault.check(killer, Seen(dead=frozenset({"r1-killer-001", "another-run"}))) == []
    assert fault.check(killer, Seen(dead=frozenset({"r1-killer-001", "r1-http-short-0001"})))
    assert fault.check(killer, Seen())
