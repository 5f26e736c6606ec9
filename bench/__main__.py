"""Run the benchmark: `python -m bench --rounds 5 --tasks 4000`, or `make bench`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median

from bench.run import Measured, Run

COLUMNS = {
    "tasks/s": "rate",
    "worker's main process, ms CPU a task": "worker",
    "Redis, ms CPU a task": "redis",
    "commands a task": "commands",
}


def once(runtime: bool, results: bool, tasks: int) -> Measured:
    """Do one run in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        run = Run(Path(folder), runtime, results)
        try:
            return run.measure(tasks)
        finally:
            run.close()


def table(stock: list[Measured], ours: list[Measured]) -> str:
    """Return medians and the ratio of each pair of runs, which had the same neighbours on the machine."""
    lines = ["| | stock | runtime | ratio (median of pairs) |", "|---|--:|--:|--:|"]
    for title, name in COLUMNS.items():
        before, after = ([getattr(one, name) for one in kind] for kind in (stock, ours))
        ratio = median(b / a for a, b in zip(before, after, strict=True))
        lines.append(f"| {title} | {median(before):.4g} | {median(after):.4g} | {ratio:.2f} |")
    return "\n".join(lines)


def main() -> None:
    """Alternate stock and runtime, with and without results, and print what it took."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="pairs of runs of each kind (default: 5)")
    parser.add_argument("--tasks", type=int, default=4000, help="tasks of a run (default: 4000)")
    arguments = parser.parse_args()
    measured: dict[tuple[bool, bool], list[Measured]] = {}
    for number in range(arguments.rounds):
        for results in (False, True):
            # Who begins alternates, too.
            for runtime in (False, True) if number % 2 else (True, False):
                one = once(runtime, results, arguments.tasks)
                measured.setdefault((results, runtime), []).append(one)
                kind = f"{'runtime' if runtime else 'stock'}{', results in Redis' if results else ''}"
                sys.stderr.write(f"{number + 1}/{arguments.rounds} {kind}: {one}\n")
    for results in (False, True):
        sys.stdout.write(f"\n{'Results in Redis' if results else 'No results'}\n\n")
        sys.stdout.write(table(measured[results, False], measured[results, True]) + "\n")


if __name__ == "__main__":
    main()
