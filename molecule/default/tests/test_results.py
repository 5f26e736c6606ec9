"""Old results are removed by a timer, young ones stay."""

from __future__ import annotations

import stack


def test_old_results_are_removed(host):
    assert stack.shell(host, "results.py") == []
    # A oneshot: returns when it is done, and fails when the command fails.
    host.check_output("systemctl start celery-results-clean.service")
    assert stack.shell(host, "results.py") == ["test-young-result"]


def test_the_timer_is_armed(host):
    timer = stack.show(host, "celery-results-clean.timer", "ActiveState", "NextElapseUSecRealtime")
    assert timer["ActiveState"] == "active"
    assert timer["NextElapseUSecRealtime"]
