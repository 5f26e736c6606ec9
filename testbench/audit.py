"""Ask whether a version in one of the locks has a known vulnerability.

The locks are read, nothing is installed. The answers come from a service in the network. Where it can't be reached, or a mirror
stands in its place that knows packages and no vulnerabilities, pip-audit passes over every package and calls that a success. So a
version that is known to be vulnerable is asked for first: unless it is found, nothing was asked, and that is what is said.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbench.console import say, verdict
from testbench.podman import ROOT

LOCKS = (
    "requirements.txt",
    *(f"celery_runtime/requirements-test-{version}.lock" for version in ("5.5", "5.6", "5.6-5.7", "5.7")),
    *(f"roles/celery_runtime/files/runtime-{version}.lock" for version in ("5.5", "5.6", "5.7")),
    "roles/django_project/files/tools.lock",
    "sample_project/requirements.lock",
    "sample_project/requirements-dev.lock",
    *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("examples/*/project/requirements.lock")),
)
# CVE-2023-36053 and many later ones.
KNOWN_TO_BE_VULNERABLE = f"django==4.2.1 --hash=sha256:{'0' * 64}\n"
PATIENCE = 300
# Accepted for now: the identifier, and why it doesn't reach us and until when that is to be looked at again.
ACCEPTED: dict[str, str] = {}


class Unanswered(Exception):
    """No service told of vulnerabilities."""


@dataclass(frozen=True)
class Finding:
    """A version with a known vulnerability."""

    package: str
    version: str
    identifier: str
    fixed_in: str

    def __str__(self) -> str:
        """Return one line."""
        return f"{self.package} {self.version}: {self.identifier} (fixed in {self.fixed_in or 'no version yet'})"


def ask(lock: Path) -> tuple[list[Finding], list[str]]:
    """Return the findings for a lock, and the packages that the service doesn't know."""
    command = [
        str(Path(sys.executable).with_name("pip-audit")),
        "--disable-pip",
        "--no-deps",
        "--format=json",
        "--progress-spinner=off",
        f"--requirement={lock}",
    ]
    try:
        run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
        answer = json.loads(run.stdout)
    except (subprocess.TimeoutExpired, ValueError) as error:
        raise Unanswered(f"pip-audit gave no answer for {lock.name}: {error}") from error
    return read(answer)


def read(answer: dict[str, Any]) -> tuple[list[Finding], list[str]]:
    """Take pip-audit's answer apart."""
    findings, unknown = [], []
    for package in answer["dependencies"]:
        if "skip_reason" in package:
            unknown.append(package["name"])
        for found in package.get("vulns", []):
            fixed = ", ".join(found.get("fix_versions", []))
            findings.append(Finding(package["name"], package["version"], found["id"], fixed))
    return findings, unknown


def audit() -> list[Finding]:
    """Return what is known of all locks and not accepted; raise Unanswered where nobody could be asked."""
    with tempfile.TemporaryDirectory() as folder:
        proof = Path(folder) / "proof.txt"
        proof.write_text(KNOWN_TO_BE_VULNERABLE)
        found, _ = ask(proof)
    if not found:
        raise Unanswered(
            "no vulnerability service answers here: it didn't know a version that is known to be vulnerable"
        )
    findings: set[Finding] = set()
    for name in LOCKS:
        found, unknown = ask(ROOT / name)
        if unknown:
            raise Unanswered(f"{name}: the service doesn't know {', '.join(sorted(unknown))}")
        findings.update(finding for finding in found if finding.identifier not in ACCEPTED)
    return sorted(findings, key=str)


def main() -> int:
    """Say what was found; 1 for a finding, 2 where nobody could be asked."""
    try:
        findings = audit()
    except Unanswered as error:
        say(f"  NOT AUDITED: {error}")
        return 2
    for finding in findings:
        say(f"  {verdict(False)}  {finding}")
    say(f"  {verdict(not findings)}  {len(LOCKS)} locks, {len(findings)} known vulnerabilities")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
