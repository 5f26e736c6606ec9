"""What systemd is for the unit of a worker: it gives each start an id, and runs the unit's own script when a start has ended."""

from __future__ import annotations

import os
import signal
import subprocess
import uuid
from pathlib import Path
from typing import Any

from conftest import HERE

TEMPLATE = HERE.parents[1] / "roles/celery_worker/templates/usr/local/libexec/celery-worker-note.j2"


class ServiceManager:
    """Starts workers, one at a time, and notes how they ended.

    Args:
        celery: where they come from.
    """

    def __init__(self, celery: Any) -> None:
        self.celery = celery
        self.notes: Path = celery.folder / "ends"
        self._script: Path = celery.folder / "celery-worker-note"
        self._script.write_text(TEMPLATE.read_text().replace("{{ ansible_managed | comment }}\n", ""))
        self._start = ""

    def worker(self, ready: bool = True, **options: Any) -> subprocess.Popen[bytes]:
        """Start a worker, and wait until it is ready where that is wanted."""
        self._start = uuid.uuid4().hex
        options |= {"INVOCATION_ID": self._start, "CELERY_RUNTIME_ENDS": str(self.notes)}
        process: subprocess.Popen[bytes] = (self.celery.worker if ready else self.celery.spawn)(**options)
        return process

    def note(self, what: str, **environment: str) -> None:
        """Run the script as the unit does."""
        command = ["sh", str(self._script), str(self.notes), what]
        path = {"PATH": os.environ["PATH"], "INVOCATION_ID": self._start}
        done = subprocess.run(command, env=path | environment, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")

    def ended(self, process: subprocess.Popen[bytes], result: str = "") -> None:
        """Wait for the end of a worker, and note it."""
        code = process.wait(30)
        if code < 0:
            name = signal.Signals(-code).name.removeprefix("SIG")
            end = {"SERVICE_RESULT": result or "signal", "EXIT_CODE": "killed", "EXIT_STATUS": name}
        else:
            words = "exit-code" if code else "success"
            end = {"SERVICE_RESULT": result or words, "EXIT_CODE": "exited", "EXIT_STATUS": str(code)}
        self.note("end", **end)
