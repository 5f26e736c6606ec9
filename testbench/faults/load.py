"""The load: jobs at a steady rate through the site and through `.delay` on the host, and a file of what was accepted."""

from __future__ import annotations

import http.client
import json
import random
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from testbench.faults.account import Job, mix
from testbench.faults.host import Target
from testbench.front import Front
from testbench.podman import prefix

HTTP_PATIENCE = 5.0
# Seconds between two jobs, by HTTP and by .delay.
HTTP_EVERY = 0.4
DELAY_EVERY = 0.25


@dataclass
class Ledger:
    """What senders were told, kept outside of the broker and the database: in memory here and, line by line, in a file.

    Attributes:
        file: where each answer is written as soon as it is known.
        accepted: jobs that were promised to be done, and when (s since 1970).
        refused: jobs that were answered with an error, and which.
        unknown: jobs without an answer; they may be done or not.
    """

    file: IO[str]
    accepted: dict[str, float] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, job: str, verdict: str, error: str = "") -> None:
        """Write down what became of a job's sending: accepted, refused or unknown."""
        now = time.time()
        with self.lock:
            if verdict == "accepted":
                self.accepted[job] = now
            elif verdict == "refused":
                self.refused[job] = error
            else:
                self.unknown[job] = error
            self.file.write(json.dumps({"at": now, "job": job, "verdict": verdict, "error": error}) + "\n")
            self.file.flush()


class Sender:
    """A process on the host that sends what it is told to, one job at a time. It is started anew when the host has killed it."""

    def __init__(self, target: Target) -> None:
        """Remember the host; nothing is started before the first job."""
        self.target = target
        self.process: subprocess.Popen[str] | None = None
        self.lock = threading.Lock()

    def send(self, job: Job) -> tuple[str, str]:
        """Send a job; return the verdict and the error."""
        with self.lock:
            try:
                answer = self._ask(job)
            except (OSError, ValueError) as error:
                self.close()
                return "unknown", f"the sender died: {error}"
        return ("refused", answer["error"]) if answer["error"] else ("accepted", "")

    def _ask(self, job: Job) -> dict[str, Any]:
        if self.process is None or self.process.poll() is not None:
            command = [
                *prefix(),
                "exec",
                "--interactive",
                self.target.container,
                f"/usr/local/sbin/{self.target.app}-manage",
            ]
            self.process = subprocess.Popen(
                [*command, "send_jobs"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        if self.process.stdin is None or self.process.stdout is None:
            raise OSError("no pipe to it")
        self.process.stdin.write(json.dumps(asdict(job)) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


def post(front: Front, job: Job) -> tuple[str, str]:
    """Send a job through the site; return the verdict and the error."""
    connection = front.connect(HTTP_PATIENCE)
    try:
        connection.request("POST", "/jobs/", json.dumps(asdict(job)), {"Content-Type": "application/json"})
        response = connection.getresponse()
        text = response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return "unknown", f"{type(error).__name__}: {error}"
    finally:
        connection.close()
    # The name in the answer tells the site from whoever else might answer at its address while the host is down.
    if response.status == 202 and job.id in text:
        return "accepted", ""
    # What the front says when the site broke off or was silent: it may have done it by then.
    verdict = "unknown" if response.status in (502, 504) else "refused"
    return verdict, f"{response.status} {text[:200]}"


class Load:
    """A steady flow of jobs until it is stopped."""

    def __init__(self, target: Target, sender: Sender, rng: random.Random, run: str, folder: Path) -> None:
        """Prepare the load of one run, whose jobs' names all begin with the run's."""
        folder.mkdir(parents=True, exist_ok=True)
        self.target, self.sender, self.run = target, sender, run
        self.ledger = Ledger((folder / f"{run}.jsonl").open("w"))
        self.slowest = 0.0
        front = Front(target.address, target.authority)
        self._over = threading.Event()
        ways: list[tuple[str, float, Callable[[Job], tuple[str, str]]]] = [
            ("http", HTTP_EVERY, lambda job: post(front, job)),
            ("delay", DELAY_EVERY, sender.send),
        ]
        self._threads = [
            threading.Thread(target=self._flow, args=(way, every, send, random.Random(rng.random())), daemon=True)  # noqa: S311 - from the run's seed; guards nothing
            for way, every, send in ways
        ]
        self._extra = 0

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def _flow(self, way: str, every: float, send: Callable[[Job], tuple[str, str]], rng: random.Random) -> None:
        for job in mix(rng, self.run, way):
            began = time.monotonic()
            verdict, error = send(job)
            took = time.monotonic() - began
            if way == "http":
                self.slowest = max(self.slowest, took)
            self.ledger.note(job.id, verdict, error)
            # A sender that just died is back no sooner than its host.
            if self._over.wait(max(0.0, every - took) if verdict != "unknown" else 1.0):
                return

    def submit(self, kind: str, count: int = 1, *, patience: float = 20, **job: Any) -> list[str]:
        """Send some jobs beside the flow, each until it is accepted; return their names."""
        names = []
        for _ in range(count):
            deadline = time.monotonic() + patience
            while True:
                self._extra += 1
                one = Job(f"{self.run}-{kind}-{self._extra:03d}", **job)
                verdict, error = self.sender.send(one)
                self.ledger.note(one.id, verdict, error)
                if verdict == "accepted" or time.monotonic() > deadline:
                    break
                time.sleep(0.5)
            names.append(one.id)
        return names

    def stop(self) -> None:
        """End the flow and wait until every answer is there."""
        self._over.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def close(self) -> None:
        """Close the file."""
        self.ledger.file.close()
