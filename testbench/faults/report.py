"""The table of a run: on the terminal, as JSON, and for docs/reliability.md.

`python -m testbench.faults.report FILE` puts the table of a run's JSON into docs/reliability.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from testbench.console import Problem, paint
from testbench.faults.engine import Row
from testbench.podman import ROOT

DOCUMENT = ROOT / "docs/reliability.md"
BEGIN, END = "<!-- faults:begin -->", "<!-- faults:end -->"
HEADINGS = (
    "Fault",
    "Accepted",
    "Done",
    "Lost",
    "Delivered twice",
    "Effect twice",
    "Failed with a reason",
    "s to first progress",
    "s until all is done",
)


def plain(row: Row) -> dict[str, Any]:
    """Return a row as JSON has it."""
    return asdict(row)


def cells(row: dict[str, Any]) -> list[str]:
    """Return what stands in a row of the table."""
    sums = row["account"]
    counts = [len(sums[name]) for name in ("lost", "twice", "effect_twice", "failed")]
    times = ["never" if sums[name] is None else f"{sums[name]:.1f}" for name in ("first_progress", "all_done")]
    title = row["title"] + (f" ({row['runs']} runs)" if row.get("runs", 1) > 1 else "")
    return [title, *map(str, [sums["accepted"], sums["done"], *counts]), *times]


def table(rows: Iterable[dict[str, Any]]) -> str:
    """Return the table for a terminal, with what was missed below each row."""
    rows = list(rows)
    body = [cells(row) for row in rows]
    width = max([len(line[0]) for line in body] + [20])
    heads = ("accepted", "done", "lost", "twice", "effect twice", "failed", "s to progress", "s till all done")
    lines = [f"  {'fault':<{width}}  " + "  ".join(heads)]
    for row, line in zip(rows, body, strict=True):
        numbers = "  ".join(f"{cell:>{len(head)}}" for cell, head in zip(line[1:], heads, strict=True))
        lines.append(f"  {paint(f'{line[0]:<{width}}', 'red' if row['problems'] else 'green')}  {numbers}")
        lines += [paint(f"      ✗ {problem}", "red") for problem in row["problems"]]
    return "\n".join(lines)


def worst(values: list[float | None]) -> float | None:
    """Return the longest time; one that never came is longer than any."""
    known = [value for value in values if value is not None]
    return max(known) if known and len(known) == len(values) else None


def merged(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sum up the rows of each fault: counts are added, of times the worst stays."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row["name"], []).append(row)
    return [
        {
            "name": name,
            "title": group[0]["title"],
            "runs": len(group),
            "problems": [f"{row['run']}: {problem}" for row in group for problem in row["problems"]],
            "account": {
                **{key: sum(row["account"][key] for row in group) for key in ("accepted", "done")},
                **{
                    key: [job for row in group for job in row["account"][key]]
                    for key in ("lost", "twice", "effect_twice", "failed", "without_result")
                },
                **{key: worst([row["account"][key] for row in group]) for key in ("first_progress", "all_done")},
            },
        }
        for name, group in groups.items()
    ]


def markdown(run: dict[str, Any]) -> str:
    """Return the table for the document, with when and with what it was measured."""
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    lines = [
        f"Measured on {run['date'][:10]} ({run['command']}, seed {run['seed']}) with {versions}.",
        "",
        "| " + " | ".join(HEADINGS) + " |",
        "|---|" + "--:|" * (len(HEADINGS) - 1),
        *["| " + " | ".join(cells(row)) + " |" for row in run["rows"]],
        "",
        "A delivery is counted by a row in the database: one that comes while the database is away leaves none.",
    ]
    if run.get("control"):
        lines += [
            "",
            "The same with stock settings (no runtime package, early acknowledgement, no append-only log), to show that the test can fail:",
            "",
            "| " + " | ".join(HEADINGS) + " |",
            "|---|" + "--:|" * (len(HEADINGS) - 1),
            *["| " + " | ".join(cells(row)) + " |" for row in run["control"]],
        ]
    return "\n".join(lines)


def insert(document: str, content: str) -> str:
    """Return a document with new content between the marks.

    Raises:
        Problem: the marks aren't there, once each and in this order.
    """
    if document.count(BEGIN) != 1 or document.count(END) != 1 or document.index(BEGIN) > document.index(END):
        raise Problem(f"{DOCUMENT.name} must have {BEGIN} and, after it, {END}, once each.")
    before, rest = document.split(BEGIN)
    return f"{before}{BEGIN}\n{content}\n{END}{rest.split(END)[1]}"


def write(path: Path, run: dict[str, Any]) -> None:
    """Write a run as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(run, indent=1) + "\n")


def main() -> int:
    """Put a run's table into the document."""
    parser = argparse.ArgumentParser(prog="python -m testbench.faults.report", description=__doc__)
    parser.add_argument("file", type=Path, help="JSON of a run, in .cache/faults")
    options = parser.parse_args()
    try:
        DOCUMENT.write_text(insert(DOCUMENT.read_text(), markdown(json.loads(options.file.read_text()))))
    except Problem as problem:
        print(f"ERROR: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
