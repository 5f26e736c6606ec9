"""Fixtures of the scenario: one session of faults, whose table is printed at the end and kept as JSON."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from testbench.console import say
from testbench.faults import report
from testbench.faults.__main__ import RESULTS, Session, find, ready

# Jobs and their times are the same in every run of the scenario.
SEED = 1


@pytest.fixture(scope="session")
def session() -> Iterator[Session]:
    """Do faults, one after another, and say what came of each as soon as it is known."""
    target = find()
    ready(target)
    found = Session(target, SEED, "molecule/faults", RESULTS / "molecule.json")
    yield found
    found.sender.close()
    for title, rows in (("Faults", found.rows), ("The same with stock settings, which must lose jobs", found.control)):
        say(f"\n{title}\n{report.table(rows)}")
