"""Playbooks run by a test: what was asked, what came out, and how long it took."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbench.podman import ROOT

# Longer than any playbook of a test takes; a run that hangs must not hang the tests.
PATIENCE = 1200


@dataclass(frozen=True)
class Run:
    """A run of ansible-playbook that is over."""

    status: int
    output: str
    seconds: float

    @property
    def words(self) -> str:
        """The output on one line: messages are wrapped in the middle of a sentence."""
        return " ".join(self.output.split())


def run(
    playbooks: list[str],
    inventories: list[Path],
    variables: dict[str, Any] | None = None,
    limit: str = "",
    *,
    dry: bool = False,
) -> Run:
    """Run playbooks of the project in one process, with variables on top of the inventories; a dry run says what it would change."""
    command = [
        str(Path(sys.executable).parent / "ansible-playbook"),
        *[f"--inventory={path}" for path in inventories],
        *([f"--limit={limit}"] if limit else []),
        *(["--check", "--diff"] if dry else []),
        *([f"--extra-vars={json.dumps(variables)}"] if variables else []),
        *playbooks,
    ]
    started = time.monotonic()
    done = subprocess.run(
        command,
        cwd=ROOT,
        # Molecule asks for colours, which begin anew in each line that is wrapped.
        env={
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_FORCE_COLOR": "0",
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    return Run(done.returncode, done.stdout, time.monotonic() - started)
