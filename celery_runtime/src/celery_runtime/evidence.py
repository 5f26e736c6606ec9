"""How a worker's main process ended, and who can have ended it.

systemd gives each start of a unit an id (INVOCATION_ID) and tells a command after its end how it ended (systemd.exec(5),
$SERVICE_RESULT). The unit of a worker has such a command, `celery-worker-ended`: as root, it leaves a note under that id in a
folder that the variable CELERY_RUNTIME_ENDS names, where no task can write. A worker writes its id into the record before it
fetches anything, so that the next start finds the note of the very process that held a message, however many starts failed in
between.

Without a folder nobody knows. Without a note the end was that of the whole host: the folder is lost with it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .ledger import Ledger

FOLDER_VARIABLE = "CELERY_RUNTIME_ENDS"
# What the kernel and the C library send to a process for what it did itself; the rest is sent by somebody.
OWN_SIGNALS = frozenset({"ABRT", "BUS", "FPE", "ILL", "SEGV", "SYS", "TRAP", "XCPU", "XFSZ"})
CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class End:
    """How a main process ended.

    Attributes:
        reason: for a log and for the story of a dead letter.
        inside: whether what ran in it is to blame, and nobody from outside.
    """

    reason: str
    inside: bool = False


GONE = End("its worker was gone, and another took over")
UNKNOWN = End("its worker ended while it ran; nobody knows how")
HOST = End("its worker ended while it ran, with its host")


def begin(ledger: Ledger, node: str) -> None:
    """Write into the record which start of the node is about to fetch, and what its control group went through before."""
    ledger.begin(node, json.dumps({"id": os.environ.get("INVOCATION_ID", ""), "oom_kills": oom_kills()}))


def last(ledger: Ledger, node: str) -> End:
    """Return how the process ended that fetched for the node before this one."""
    folder = os.environ.get(FOLDER_VARIABLE)
    entry = ledger.begun(node)
    if not folder or not entry:
        return UNKNOWN
    try:
        seen = json.loads(entry)
        start, kills = str(seen["id"]), int(seen["oom_kills"])
    except (ValueError, TypeError, KeyError):
        return UNKNOWN
    if not re.fullmatch("[0-9a-f]{32}", start) or start == os.environ.get("INVOCATION_ID"):
        # In the second case it started anew within one start of the unit, at a SIGHUP.
        return UNKNOWN
    try:
        text = (Path(folder) / start).read_text()
    except OSError:
        return HOST
    return read(text, kills)


def read(note: str, kills: int) -> End:
    """Return what a note says.

    Args:
        note: its text, lines of a name and a value.
        kills: kills for want of memory in the control group that the process lived to see.
    """
    lines = dict(line.split("=", 1) for line in note.splitlines() if "=" in line)
    result, code, status = (lines.get(name, "") for name in ("SERVICE_RESULT", "EXIT_CODE", "EXIT_STATUS"))
    what = f"exit status {status}" if code == "exited" else f"SIG{status}" if code else "an end that systemd didn't see"
    reason = f"its worker ended while it ran, by {what}"
    if lines.get("STOP_ASKED"):
        return End(f"{reason}, at a stop")
    if result == "watchdog":
        return End(f"{reason}, since it gave no sign of life")
    if result == "oom-kill" or (status == "KILL" and int(lines.get("OOM_KILLS") or 0) > kills):
        return End(f"{reason}, for want of memory", inside=True)
    if code == "exited":
        return End(reason, inside=status != "0")
    return End(reason, inside=status in OWN_SIGNALS) if status in OWN_SIGNALS else End(f"{reason}, from outside")


def oom_kills() -> int:
    """Return how many processes of this control group the kernel has killed for want of memory; 0 where it doesn't say."""
    for file in _counters():
        try:
            found = re.search(r"^oom_kill (\d+)$", file.read_text(), re.MULTILINE)
        except OSError:
            continue
        if found:
            return int(found[1])
    return 0


@cache
def _counters() -> tuple[Path, ...]:
    return tuple(_counters_of(Path("/proc/self/cgroup")))


def _counters_of(membership: Path) -> Iterator[Path]:
    """Yield the files that may hold the count (cgroups(7)): version 2 of control groups, then version 1."""
    try:
        lines = [line.split(":", 2) for line in membership.read_text().splitlines()]
    except OSError:
        return
    for number, controllers, path in lines:
        if number == "0":
            yield CGROUPS / path.lstrip("/") / "memory.events"
        elif "memory" in controllers.split(","):
            yield CGROUPS / "memory" / path.lstrip("/") / "memory.oom_control"
