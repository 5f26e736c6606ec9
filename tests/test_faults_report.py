"""The table of a run: nothing that went wrong is hidden in it, and the document gets it in its place."""

import pytest

from testbench.console import Problem
from testbench.faults import report

SUMS = {
    "accepted": 10,
    "done": 9,
    "lost": ["x"],
    "twice": ["a", "b"],
    "effect_twice": [],
    "failed": [],
    "without_result": [],
    "first_progress": 1.25,
    "all_done": None,
}
ROW = {"name": "kill", "title": "a kill", "run": "r1", "problems": ["1 lost: x"], "account": SUMS}
WELL = {**ROW, "run": "r2", "problems": [], "account": {**SUMS, "lost": [], "done": 10, "all_done": 4.0}}
RUN = {
    "date": "2026-01-02T03:04:05+00:00",
    "command": "molecule/faults",
    "seed": 7,
    "versions": {"Redis": "8.0"},
    "rows": [WELL],
}


def test_a_row_says_what_was_counted():
    assert report.cells(ROW) == ["a kill", "10", "9", "1", "2", "0", "0", "1.2", "never"]


def test_what_was_missed_stands_below_its_row():
    lines = report.table([ROW, WELL]).splitlines()
    assert [line for line in lines if "✗" in line] == ["      ✗ 1 lost: x"]


def test_runs_of_a_fault_are_summed_up_and_the_worst_time_stays():
    [row] = report.merged([WELL, {**WELL, "account": {**WELL["account"], "first_progress": 8.0}}])
    assert row["account"]["accepted"] == 20
    assert row["account"]["twice"] == ["a", "b", "a", "b"]
    assert row["account"]["first_progress"] == 8.0
    assert report.cells(row)[0] == "a kill (2 runs)"


def test_a_run_that_never_ended_is_not_hidden_by_one_that_did():
    [row] = report.merged([WELL, ROW])
    assert row["account"]["all_done"] is None
    assert row["problems"] == ["r1: 1 lost: x"]


def test_the_document_has_date_versions_and_a_row_each():
    text = report.markdown(RUN)
    assert "2026-01-02" in text
    assert "Redis 8.0" in text
    assert "| a kill | 10 | 10 | 0 | 2 | 0 | 0 | 1.2 | 4.0 |" in text
    assert "stock settings" not in text


def test_the_control_stands_below():
    text = report.markdown({**RUN, "control": [ROW]})
    assert "stock settings" in text
    assert text.rstrip().endswith("| a kill | 10 | 9 | 1 | 2 | 0 | 0 | 1.2 | never |")


def test_the_table_is_put_between_the_marks_again_and_again():
    document = f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n"
    once = report.insert(document, "new")
    assert once == f"before\n{report.BEGIN}\nnew\n{report.END}\nafter\n"
    assert report.insert(once, "new") == once


@pytest.mark.parametrize("document", ["", report.BEGIN, f"{report.END}{report.BEGIN}", report.BEGIN * 2 + report.END])
def test_a_document_without_its_marks_is_refused(document):
    with pytest.raises(Problem, match="faults:begin"):
        report.insert(document, "new")
