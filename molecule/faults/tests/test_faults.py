"""Every accepted job is done, once, and soon, whatever happens to the host meanwhile; and stock settings would lose some."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from testbench import playbooks
from testbench.faults import control
from testbench.faults.catalogue import FAULTS

INVENTORY = Path(__file__).resolve().parent.parent / "inventory"


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_nothing_is_lost(session, fault, record_property):
    row = session.do(fault, total=len(FAULTS))
    assert not row["problems"], f"{'; '.join(row['problems'])}\n\n{row['journal']}"


@pytest.fixture(scope="module")
def stock(session) -> Any:
    """Deploy the same host with stock settings."""
    run = playbooks.run([f"playbooks/{name}.yml" for name in control.PLAYBOOKS], [INVENTORY], control.VARIABLES)
    assert run.status == 0, run.output
    control.forget_on_restart(session.target)
    return session


# If a run without our part in it lost nothing either, the tests above would prove nothing.
@pytest.mark.parametrize("fault", control.FAULTS, ids=lambda fault: fault.name)
def test_stock_settings_lose_jobs(stock, fault):
    row = stock.do(fault, total=len(control.FAULTS), control=True)
    assert row["account"]["accepted"] >= 20
    assert row["account"]["lost"], "nothing was lost, so the other tests can't fail"
