"""Run every step that CI runs, one by one, with its output as it comes and a table of times at the end."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from testbench.console import Steps, duration, paint, say
from testbench.podman import ROOT

# A step that prints nothing for so long is said to be still under way.
QUIET = 30
# So many of a failed step's last lines are repeated at the end, and so many of those in which pytest names what failed.
LAST, NAMED = 80, 20


@dataclass(frozen=True)
class Step:
    """A step: its name, and the make target that does it."""

    name: str
    command: tuple[str, ...]


@dataclass
class Said:
    """What a step printed, as far as it is wanted at the end: its last lines, and pytest's of what failed."""

    last: deque[str] = field(default_factory=lambda: deque(maxlen=LAST))
    named: list[str] = field(default_factory=list)
    _rest: bytes = b""

    def add(self, chunk: bytes) -> None:
        """Take note of some more bytes of its output."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            text = re.sub(r"\x1b\[[0-9;]*m", "", line.decode(errors="replace")).rstrip()
            self.last.append(text)
            if text.startswith(("FAILED ", "ERROR ")):
                self.named.append(text)


class Failed(Exception):
    """A step ended with a status other than 0.

    Args:
        what: what ended, and how.
        said: what it had printed.
    """

    def __init__(self, what: str, said: Said | None = None) -> None:
        super().__init__(what)
        self.said = said or Said()


def steps(root: Path) -> list[Step]:
    """Return the steps in order: the quick ones first, then a step for each Molecule scenario."""
    scenarios = sorted(path.parent.name for path in (root / "molecule").glob("*/molecule.yml"))
    return [
        Step("lint", ("make", "lint")),
        Step("host-free tests", ("make", "test-unit")),
        Step("sample project's tests", ("make", "test-sample")),
        Step("runtime's tests", ("make", "test-runtime")),
        *[Step(f"molecule {name}", ("make", "molecule", f"S={name}")) for name in scenarios],
    ]


def run(step: Step) -> None:
    """Run a step and pass its output on; raise when it fails."""
    started = last = time.monotonic()
    process = subprocess.Popen(
        step.command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
        env={**os.environ, "COLUMNS": "140"},
    )
    over = threading.Event()
    said = Said()

    def watch() -> None:
        while not over.wait(1):
            quiet = time.monotonic() - last
            if quiet > QUIET and int(quiet) % QUIET == 0:
                say(paint(f"  … {step.name} still runs, {duration(time.monotonic() - started)} so far", "dim"))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    if process.stdout is None:
        raise Failed(step.name)
    while chunk := process.stdout.read(65536):
        last = time.monotonic()
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
        said.add(chunk)
    status = process.wait()
    over.set()
    watcher.join()
    if status != 0:
        raise Failed(f"{' '.join(step.command)} exited {status}", said)


def main(arguments: list[str] | None = None) -> int:
    """Run all steps, or those named; a failed step does not keep the next from running."""
    parser = argparse.ArgumentParser(prog="python -m testbench.runner", description=__doc__)
    parser.add_argument("only", nargs="*", metavar="STEP", help="run only the steps whose name contains one of these")
    options = parser.parse_args(arguments)
    chosen = [step for step in steps(ROOT) if not options.only or any(word in step.name for word in options.only)]
    done = Steps()
    failures: list[tuple[Step, Failed]] = []
    for step in chosen:
        try:
            with done.step(step.name):
                run(step)
        except Failed as failure:
            failures.append((step, failure))
            say(paint(f"✗ {failure}", "red"))
    say(paint("\nSteps", "bold"))
    say(done.table())
    # Again, since the end is what is read first.
    for step, failure in failures:
        say(paint(f"\nThe last lines of {step.name}", "bold"))
        say("\n".join(failure.said.last))
    for step, failure in failures:
        say(paint(f"  FAILED: {step.name}: {failure}", "red"))
        for line in failure.said.named[:NAMED]:
            say(paint(f"    {line}", "red"))
    return 1 if failures or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
