"""What systemd is for a unit: it hears what the unit says, gives each start of a worker an id, and runs the script at its end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import uuid
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from conftest import HERE

TEMPLATE = HERE.parents[1] / "roles/celery_worker/templates/usr/local/libexec/celery-worker-note.j2"


class Listener(AbstractContextManager["Listener"]):
    """The manager's end of a unit of Type=notify.

    Args:
        path: of the socket that it makes.
        watchdog: as the unit's WatchdogSec= would say (s).
    """

    def __init__(self, path: Path, watchdog: int = 4) -> None:
        self.messages: list[str] = []
        self.environment = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": str(watchdog * 1_000_000)}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while message := self._socket.recv(4096).decode():
            self.messages.append(message)

    def said(self, text: str) -> bool:
        """Tell whether a message with this text has come."""
        return any(text in message for message in list(self.messages))

    def __exit__(self, *_: object) -> None:
        # Both ends of a socket of datagrams can't be shut, so the thread ends with an empty one.
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.sendto(b"", self.environment["NOTIFY_SOCKET"])
        self._socket.close()


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
