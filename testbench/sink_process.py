"""The mail sink as a process in the background: started, found again, stopped."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from testbench.console import Problem, say
from testbench.podman import ROOT

PATIENCE = 10


def process_of(state: Path) -> int | None:
    """Return the number of the running sink of a scope; None when there is none."""
    try:
        number = int((state / "sink.pid").read_text())
        command = Path(f"/proc/{number}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    # The number may be another process's by now: only one that writes into this scope's folder is ours.
    return number if str(state / "mail").encode() in command else None


def start(state: Path, address: str, port: int) -> None:
    """Start the sink if it does not run yet, and wait until it answers."""
    if process_of(state):
        say(f"  mail sink at {address}:{port} was up")
        return
    (state / "mail").mkdir(parents=True, exist_ok=True)
    log = state / "sink.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "testbench.smtp_sink",
                "--host",
                address,
                "--port",
                str(port),
                "--folder",
                str(state / "mail"),
            ],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    (state / "sink.pid").write_text(str(process.pid))
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with socket.create_connection((address, port), timeout=1):
                say(f"  mail sink listens at {address}:{port}")
                return
        except OSError:
            time.sleep(0.1)
    said = "\n".join(log.read_text().splitlines()[-10:])
    stop(state)
    raise Problem(f"The mail sink does not answer at {address}:{port}; the end of {log}:\n{said}")


def stop(state: Path) -> None:
    """Stop the sink of a scope, if it runs."""
    number = process_of(state)
    if number:
        os.kill(number, signal.SIGTERM)
        deadline = time.monotonic() + PATIENCE
        while process_of(state) and time.monotonic() < deadline:
            time.sleep(0.05)
        say("  mail sink stopped")
    (state / "sink.pid").unlink(missing_ok=True)
