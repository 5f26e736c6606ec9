"""What the demo asks a host over SSH: the stored result, the units, the end of a journal."""

from __future__ import annotations

import json
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbench.console import Problem
from testbench.inventory import control_path, ssh_arguments

# Printed before the answer, so that whatever a management command prints besides does no harm.
MARK = "demo-answer:"
# Runs inside `manage.py shell`. It waits there: starting Django once is cheaper than asking over and over.
RESULT = """
import json, time
from django_celery_results.models import TaskResult
deadline = time.monotonic() + {patience}
while True:
    rows = TaskResult.objects.filter(task_name={task!r}).order_by("-id")[:50]
    row = next((row for row in rows if {word!r} in f"{{row.task_id}} {{row.task_args}} {{row.task_kwargs}}"), None)
    if (row and row.status in ("SUCCESS", "FAILURE")) or time.monotonic() > deadline:
        break
    time.sleep(0.2)
fields = ("task_id", "task_name", "status", "worker", "result", "date_created", "date_done")
print({mark!r} + json.dumps(row and {{field: str(getattr(row, field)) for field in fields}}))
"""
UNITS = ("celery-*", "django-web*", "nginx*", "redis-server*", "postgresql@*")
PROPERTIES = ("Id", "ActiveState", "SubState", "ActiveEnterTimestamp", "MemoryCurrent")


@dataclass(frozen=True)
class Unit:
    """A unit as systemd sees it."""

    name: str
    state: str
    since: str
    memory: str
    score: str


@dataclass(frozen=True)
class Remote:
    """A host, reached as Ansible reaches it."""

    address: str
    state: Path

    def run(self, command: str) -> str:
        """Run a command line as the operator and return what it printed."""
        ssh = [
            "ssh",
            *ssh_arguments(self.state / "known_hosts"),
            *("-i", str(self.state / "id_ed25519")),
            # The connection that Ansible left open, if it did.
            *("-o", "ControlMaster=auto", "-o", "ControlPersist=1m", "-o", f"ControlPath={control_path()}"),
            f"ops@{self.address}",
            command,
        ]
        result = subprocess.run(ssh, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        if result.returncode != 0:
            raise Problem(
                f"On {self.address}: {command.splitlines()[0][:80]} … exited {result.returncode}:\n"
                f"{result.stderr or result.stdout}"
            )
        return result.stdout

    def manage(self, app: str, words: list[str]) -> str:
        """Run a management command, and return what it printed after the mark."""
        printed = self.run(f"sudo {shlex.quote(f'{app}-manage')} {shlex.join(words)}")
        answers = [line for line in printed.splitlines() if line.startswith(MARK)]
        if not answers:
            raise Problem(f"{app}-manage {words[0]} gave no answer:\n{printed}")
        return answers[-1].removeprefix(MARK)

    def stored_result(self, app: str, task: str, word: str, patience: int) -> dict[str, str] | None:
        """Return the row of a finished task whose number or arguments contain the word; None when there is none."""
        code = RESULT.format(patience=patience, task=task, word=word, mark=MARK)
        found: dict[str, str] | None = json.loads(self.manage(app, ["shell", "-c", code]))
        return found

    def units(self) -> list[Unit]:
        """Return the units of the stack with their state and the score of their sandbox."""
        patterns = " ".join(shlex.quote(pattern) for pattern in UNITS)
        shown = self.run(f"systemctl show --property={','.join(PROPERTIES)} {patterns}")
        scores = self.run("systemd-analyze security --no-pager")
        return parse_units(shown, scores)

    def journal(self, lines: int = 40) -> str:
        """Return the end of the journal of the stack's units."""
        patterns = " ".join(f"--unit={shlex.quote(pattern)}" for pattern in UNITS)
        return self.run(f"sudo journalctl --no-pager --lines={lines} --output=short-iso {patterns}")


def parse_scores(text: str) -> dict[str, str]:
    """Return the exposure of each unit from the table of `systemd-analyze security`."""
    rows = (line.split() for line in text.splitlines())
    return {row[0]: row[1] for row in rows if len(row) >= 3 and row[1].replace(".", "", 1).isdigit()}


def parse_units(shown: str, scores: str) -> list[Unit]:
    """Return the units of a `systemctl show` with their scores."""
    exposure = parse_scores(scores)
    units = []
    for block in shown.strip().split("\n\n"):
        values: dict[str, Any] = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if not values.get("Id"):
            continue
        memory = values.get("MemoryCurrent", "")
        units.append(
            Unit(
                name=values["Id"],
                state=f"{values['ActiveState']} ({values['SubState']})",
                since=" ".join(values["ActiveEnterTimestamp"].split()[1:3]),
                # systemd writes the largest number there is, or [not set], where nothing is counted.
                memory=f"{int(memory) / 2**20:.0f} MiB" if memory.isdigit() and int(memory) < 2**60 else "",
                score=exposure.get(values["Id"], ""),
            )
        )
    return sorted(units, key=lambda unit: unit.name)
