"""What the inventories come to is what the committed tables say.

A difference is either a mistake or a change that a reviewer is to see: `make tables` writes the tables anew.
"""

from __future__ import annotations

import pytest

from tools.dry_run import CASES
from tools.tables import KINDS, changes


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", CASES)
def test_the_table_says_what_is_computed(case: str, kind: str) -> None:
    _, diff = changes(case, kind)
    assert diff == "", f"`make tables` writes this into the table, if it is meant:\n{diff}"
