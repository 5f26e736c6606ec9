"""What pip-audit says is read as it is meant; that nothing was asked is never taken for "nothing was found"."""

from pathlib import Path

import pytest

from testbench import audit
from testbench.podman import ROOT

SKIPPED = {"dependencies": [{"name": "django", "skip_reason": "Dependency not found"}]}
CLEAN = {"dependencies": [{"name": "django", "version": "4.2.1", "vulns": []}]}
FOUND = {
    "dependencies": [{"name": "django", "version": "4.2.1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["4.2.3"]}]}]
}


def test_reading():
    assert audit.read(SKIPPED) == ([], ["django"])
    assert audit.read(CLEAN) == ([], [])
    [finding], unknown = audit.read(FOUND)
    assert str(finding) == "django 4.2.1: PYSEC-1 (fixed in 4.2.3)"
    assert unknown == []


@pytest.mark.parametrize("answer", [SKIPPED, CLEAN])
def test_a_service_that_does_not_know_a_vulnerable_version_is_none(monkeypatch, answer):
    monkeypatch.setattr(audit, "ask", lambda _: audit.read(answer))
    with pytest.raises(audit.Unanswered):
        audit.audit()
    assert audit.main() == 2


def test_a_package_that_the_service_does_not_know_is_not_passed_over(monkeypatch):
    monkeypatch.setattr(audit, "ask", lambda lock: audit.read(FOUND if lock.name == "proof.txt" else SKIPPED))
    with pytest.raises(audit.Unanswered, match="django"):
        audit.audit()


def test_findings_are_told_once_and_accepted_ones_not_at_all(monkeypatch):
    monkeypatch.setattr(audit, "ask", lambda _: audit.read(FOUND))
    assert [finding.identifier for finding in audit.audit()] == ["PYSEC-1"]
    assert audit.main() == 1
    monkeypatch.setattr(audit, "ACCEPTED", {"PYSEC-1": "a test"})
    assert audit.audit() == []


def test_every_lock_is_asked_for():
    # Nobody deploys these: a subset of the sample project's, and versions that are older on purpose.
    locks = {str(path.relative_to(ROOT)) for name in ("*.lock", "requirements.txt") for path in locks_below(name)}
    of_tests = {"molecule/faults/project/requirements.lock", "molecule/any_project/project/uv.lock"}
    assert locks == set(audit.LOCKS) | of_tests


def locks_below(name: str) -> list[Path]:
    skipped = {".cache", ".venv"}
    return [path for path in ROOT.glob(f"*/**/{name}") if not skipped & set(path.parts)] + list(ROOT.glob(name))
