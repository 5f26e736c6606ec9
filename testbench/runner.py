"""Run every step that CI runs, with a table of times at the end.

The scenarios keep a machine with two cores busy for about two thirds of their time: they wait for hosts. So there are two rows of
steps. One takes the scenarios, the longest first. The other takes the steps that need no host, at a lower priority, and then helps with
the scenarios that nobody has begun. What the second row prints comes when a step ends, so that it stands in one piece.
"""

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

from testbench.console import Steps, duration, paint, say, write
from testbench.podman import ROOT

# A step that prints nothing for so long is said to be still under way.
QUIET = 30
# How much a step that needs no host gives way to the scenarios: see nice(1).
NICENESS = 10
# The scenarios that take longest, in the order in which they begin; the others follow.
LONGEST = ("default", "faults", "security", "bad_input")
# So many of a failed step's lines are repeated at the end: of those that say what failed and why, and of its last where none says so.
NAMED, LAST = 60, 80
# Molecule draws a border to the left of what it runs.
BORDER = re.compile(r"^ *[│] ?")
# Pytest's name of a failed test above its report, the lines of its error, and its summary; a failed task of Ansible's. Molecule too
# begins lines with ERROR, and aligns them by more than one space.
NAMING = re.compile(r"_{3,} .+ _{3,}$|E {3}|(FAILED|ERROR) \S|\S+\.py:\d+: \w|fatal: \[|\[ERROR\]: ")


@dataclass(frozen=True)
class Step:
    """A step.

    Args:
        name: what it is called in the output.
        command: what does it, a make target.
        hosts: whether it brings up hosts.
    """

    name: str
    command: tuple[str, ...]
    hosts: bool = False


@dataclass
class Said:
    """What a step printed, as far as it is wanted at the end: the lines that say what failed and why, and its last ones."""

    last: deque[str] = field(default_factory=lambda: deque(maxlen=LAST))
    named: deque[str] = field(default_factory=lambda: deque(maxlen=NAMED))
    _rest: bytes = b""

    def add(self, chunk: bytes) -> None:
        """Take note of some more bytes of its output."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            text = BORDER.sub("", re.sub(r"\x1b\[[0-9;]*m", "", line.decode(errors="replace"))).rstrip()
            self.last.append(text)
            if NAMING.match(text):
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
    """Return the steps: the quick ones first, then a step for each Molecule scenario, the longest first."""
    found = sorted(path.parent.name for path in (root / "molecule").glob("*/molecule.yml"))
    scenarios = sorted(found, key=lambda name: LONGEST.index(name) if name in LONGEST else len(LONGEST))
    return [
        Step("lint", ("make", "lint")),
        Step("host-free tests", ("make", "test-unit")),
        Step("sample project's tests", ("make", "test-sample")),
        Step("runtime's tests", ("make", "test-runtime")),
        Step("runtime's tests, oldest Celery", ("make", "test-runtime-oldest")),
        *[Step(f"molecule {name}", ("make", "molecule", f"S={name}"), hosts=True) for name in scenarios],
    ]


def run(step: Step, *, beside: bool = False) -> None:
    """Run a step; raise when it fails.

    Args:
        step: what to run.
        beside: whether it is of the second row. Then its output is passed on when it ends; a step that needs no host gives way, too.
    """
    started = last = time.monotonic()
    process = subprocess.Popen(
        ("nice", "-n", str(NICENESS), *step.command) if beside and not step.hosts else step.command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
        env={**os.environ, "COLUMNS": "140"},
    )
    over = threading.Event()
    said = Said()
    kept: list[bytes] = []

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
        said.add(chunk)
        if beside:
            kept.append(chunk)
        else:
            write(chunk)
    status = process.wait()
    over.set()
    watcher.join()
    if beside:
        took = duration(time.monotonic() - started)
        write(f"\n▶ {step.name}, which ran beside the others for {took}\n".encode() + b"".join(kept))
    if status != 0:
        raise Failed(f"{' '.join(step.command)} exited {status}", said)


def run_row(waiting: deque[Step], *, beside: bool, done: Steps, failures: list[tuple[Step, Failed]]) -> None:
    """Run the steps that wait, one by one, until none is left; a failed one doesn't keep the next from running.

    Args:
        waiting: the steps that nobody has begun. Another row may take from them at the same time.
        beside: whether this is the second row (see `run`).
        done: where each step's time is kept.
        failures: where each failure is kept.
    """
    while True:
        try:
            step = waiting.popleft()
        except IndexError:
            return
        try:
            with done.step(f"{step.name}, beside the others" if beside else step.name):
                run(step, beside=beside)
        except Exception as error:
            # Whatever it is: in a thread it would end nothing else, and the run would be green.
            failure = error if isinstance(error, Failed) else Failed(f"{type(error).__name__}: {error}")
            failures.append((step, failure))
            say(paint(f"✗ {failure}", "red"))


def run_all(chosen: list[Step], done: Steps) -> list[tuple[Step, Failed]]:
    """Run steps, in two rows where some of them need hosts and others don't; return which failed, and how.

    Args:
        chosen: the steps.
        done: where each step's time is kept.
    """
    failures: list[tuple[Step, Failed]] = []
    with_hosts = deque(step for step in chosen if step.hosts)
    without = deque(step for step in chosen if not step.hosts)
    if not with_hosts or not without:
        run_row(with_hosts or without, beside=False, done=done, failures=failures)
        return failures

    def second() -> None:
        for waiting in (without, with_hosts):
            run_row(waiting, beside=True, done=done, failures=failures)

    row = threading.Thread(target=second, daemon=True)
    row.start()
    run_row(with_hosts, beside=False, done=done, failures=failures)
    row.join()
    return failures


def main(arguments: list[str] | None = None) -> int:
    """Run all steps, or those named; a failed step does not keep the next from running."""
    parser = argparse.ArgumentParser(prog="python -m testbench.runner", description=__doc__.partition("\n")[0])
    parser.add_argument("only", nargs="*", metavar="STEP", help="run only the steps whose name contains one of these")
    options = parser.parse_args(arguments)
    chosen = [step for step in steps(ROOT) if not options.only or any(word in step.name for word in options.only)]
    started = time.monotonic()
    done = Steps()
    failures = run_all(chosen, done)
    say(paint("\nSteps", "bold"))
    say(done.table(time.monotonic() - started))
    # Again, since the end is what is read first.
    for step, failure in failures:
        if not failure.said.named:
            say(paint(f"\nThe last lines of {step.name}", "bold"))
            say("\n".join(failure.said.last))
    for step, failure in failures:
        say(paint(f"\n  FAILED: {step.name}: {failure}", "red"))
        for line in failure.said.named:
            say(paint(f"    {line}", "red"))
    return 1 if failures or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
