"""Do faults to the host of molecule/faults under load, and print what became of every accepted job.

Without --minutes, each fault once and in order; with it, faults at random for that long. Ctrl-C ends it with a summary.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from testbench import hosts, inventory, seed
from testbench.console import Problem, Steps, paint, say
from testbench.demo import converge
from testbench.faults import control, report
from testbench.faults.catalogue import FAULTS
from testbench.faults.engine import SPARE, Fault, announce, run
from testbench.faults.host import Target
from testbench.faults.load import Sender
from testbench.podman import ROOT

SCOPE = "faults"
INVENTORY = ROOT / "molecule/faults/inventory"
RESULTS = ROOT / ".cache/faults"


def find(scope: str = SCOPE, path: Path = INVENTORY) -> Target:
    """Return the host of an inventory, which must be up."""
    [host] = inventory.read(path, scope)
    addresses = hosts.up(scope, path, hosts.MAIL_PORT)
    return Target(host.container, addresses[host.name], "faults", hosts.state_of(scope) / "secrets" / "ca" / "ca.pem")


def ready(target: Target) -> None:
    """Undo what an earlier run may have left behind."""
    for fault in FAULTS:
        fault.heal(target)
    control.remember_again(target)
    # Its unit would start again with the host.
    target.systemctl("disable", "--now", SPARE)


class Session:
    """A run of several faults: its seed, its rows, and the file that they are written to."""

    def __init__(self, target: Target, number: int, command: str, output: Path) -> None:
        """Begin; jobs' names begin with the time, so that no two runs share one."""
        self.target, self.seed, self.command, self.output = target, number, command, output
        self.rng = random.Random(number)  # noqa: S311 - to be repeated from its seed; guards nothing
        self.stamp = datetime.now(UTC).strftime("%m%dT%H%M%S")
        self.date = datetime.now(UTC).isoformat(timespec="seconds")
        self.sender, self.versions = Sender(target), target.versions()
        self.rows: list[dict[str, Any]] = []
        self.control: list[dict[str, Any]] = []

    def do(self, fault: Fault, *, total: int | None = None, control: bool = False) -> dict[str, Any]:
        """Do one fault and keep its row."""
        rows = self.control if control else self.rows
        announce(fault, len(rows) + 1, total)
        label = f"{self.stamp}{'c' if control else 'r'}{len(rows) + 1:03d}"
        row = report.plain(run(self.target, fault, self.rng, label, self.sender))
        rows.append(row)
        say(report.table([row]).split("\n", 1)[1])
        self.write()
        return row

    def write(self) -> None:
        """Write what there is so far."""
        report.write(
            self.output,
            {
                "date": self.date,
                "command": self.command,
                "seed": self.seed,
                "versions": self.versions,
                "rows": self.rows,
                "control": self.control,
            },
        )

    def summary(self) -> int:
        """Print the table, and return the exit status."""
        self.sender.close()
        if not self.rows:
            say("  no fault was done to its end")
            return 1
        rows = report.merged(self.rows)
        say(paint(f"\nFaults (seed {self.seed})", "bold"))
        say(report.table(rows))
        bad = [row for row in rows if row["problems"]]
        for row in self.rows:
            if row["problems"]:
                path = self.output.with_name(f"{row['run']}-{row['name']}.journal")
                path.write_text(row["journal"])
                say(f"  the journal of {row['name']} stands in {inventory.shown(path)}")
        say(
            f"  {len(self.rows)} faults, {len(bad)} kinds of them missed a target; {inventory.shown(self.output)} has it all"
        )
        return 1 if bad else 0


def bring_up(steps: Steps) -> Target:
    """Bring up the scenario's host and run site.yml on it."""
    with steps.step("the host"):
        target = find()
        seed.prepare(inventory.read(INVENTORY, SCOPE), hosts.state_of(SCOPE))
    with steps.step("site.yml"):
        converge(INVENTORY)
    return target


def at_random(session: Session, minutes: float, chosen: list[Fault]) -> None:
    """Do faults at random until the time is over."""
    deadline = time.monotonic() + minutes * 60
    while time.monotonic() < deadline:
        session.do(session.rng.choice(chosen))


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m testbench.faults", description=__doc__)
    parser.add_argument("--minutes", type=float, help="how long faults are repeated at random")
    parser.add_argument("--seed", type=int, help="makes the same choices again (default: a new one, which is printed)")
    parser.add_argument("--only", metavar="NAMES", help="faults by name, with commas between; --list shows them")
    parser.add_argument("--up", action="store_true", help="bring the host up and run site.yml on it first")
    parser.add_argument("--list", action="store_true", help="list the faults")
    options = parser.parse_args()
    if options.list:
        say("\n".join(f"  {fault.name:<20} {fault.title}" for fault in FAULTS))
        return 0
    names = options.only.split(",") if options.only else [fault.name for fault in FAULTS]
    if unknown := set(names) - {fault.name for fault in FAULTS}:
        parser.error(f"no such fault: {', '.join(sorted(unknown))}; --list shows them")
    chosen = [fault for fault in FAULTS if fault.name in names]
    number = options.seed if options.seed is not None else random.SystemRandom().randrange(10**6)
    try:
        target = bring_up(Steps()) if options.up else find()
        ready(target)
        command = f"make chaos MINUTES={options.minutes:g}" if options.minutes else "python -m testbench.faults"
        session = Session(target, number, command, RESULTS / f"{datetime.now(UTC):%Y%m%dT%H%M%S}.json")
        say(paint(f"\nFaults, seed {number}", "bold"))
        try:
            if options.minutes:
                at_random(session, options.minutes, chosen)
            else:
                for fault in chosen:
                    session.do(fault, total=len(chosen))
        except KeyboardInterrupt:
            say(paint("  interrupted; the fault that was under way isn't counted", "yellow"))
        except Problem as problem:
            session.summary()
            raise Problem(f"the run ends here: {problem}") from problem
        return session.summary()
    except Problem as problem:
        print(f"ERROR: {problem}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
