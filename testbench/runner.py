"""Run every step that CI runs, one by one, with its output as it comes and a table of times at the end."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from testbench.console import Steps, duration, paint, say
from testbench.podman import ROOT

# A step that prints nothing for so long is said to be still under way.
QUIET = 30


@dataclass(frozen=True)
class Step:
    """A step: its name, and the make target that does it."""

    name: str
    command: tuple[str, ...]


class Failed(Exception):
    """A step ended with a status other than 0."""


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
    status = process.wait()
    over.set()
    watcher.join()
    if status != 0:
        raise Failed(f"{' '.join(step.command)} exited {status}")


def main(arguments: list[str] | None = None) -> int:
    """Run all steps, or those named; a failed step does not keep the next from running."""
    parser = argparse.ArgumentParser(prog="python -m testbench.runner", description=__doc__)
    parser.add_argument("only", nargs="*", metavar="STEP", help="run only the steps whose name contains one of these")
    options = parser.parse_args(arguments)
    chosen = [step for step in steps(ROOT) if not options.only or any(word in step.name for word in options.only)]
    done = Steps()
    failures: list[str] = []
    for step in chosen:
        try:
            with done.step(step.name):
                run(step)
        except Failed as failure:
            failures.append(str(failure))
            say(paint(f"✗ {failure}", "red"))
    say(paint("\nSteps", "bold"))
    say(done.table())
    for failure in failures:
        say(paint(f"  FAILED: {failure}", "red"))
    return 1 if failures or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
