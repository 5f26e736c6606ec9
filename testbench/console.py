"""What every command of the test bench prints with: steps with their times, colour only on a terminal."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

COLOURS = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


class Problem(Exception):
    """Something a person can act on; printed without a traceback."""


def paint(text: str, colour: str) -> str:
    """Return the text in a colour, or as it is where the output is no terminal or NO_COLOR is set."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"\033[{COLOURS[colour]}m{text}\033[0m"


_print_lock = threading.Lock()


def say(text: str = "") -> None:
    """Print a line at once, whole even when several threads talk."""
    with _print_lock:
        print(text, flush=True)


def write(output: bytes) -> None:
    """Pass on at once what a command printed, whole even when several threads talk."""
    with _print_lock:
        sys.stdout.buffer.write(output)
        sys.stdout.buffer.flush()


def duration(seconds: float) -> str:
    """Return a time as a person reads it: 0.4 s, 12 s, 3 min 05 s."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def verdict(well: bool) -> str:
    """Return how something went, in a word."""
    return paint("ok    ", "green") if well else paint("FAILED", "red")


@contextmanager
def heartbeat(what: str, every: float = 15) -> Iterator[None]:
    """Say every few seconds that a long and quiet step is still under way."""
    started = time.monotonic()
    done = threading.Event()

    def beat() -> None:
        while not done.wait(every):
            say(paint(f"  … {what}, {duration(time.monotonic() - started)} so far", "dim"))

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@dataclass
class Steps:
    """A list of steps that remembers how long each took and whether it went well."""

    rows: list[tuple[str, float, bool]] = field(default_factory=list)

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Announce a step, time it, and keep the time even when it fails."""
        say(paint(f"\n▶ {title}", "bold"))
        started = time.monotonic()
        well = False
        try:
            yield
            well = True
        finally:
            self.rows.append((title, time.monotonic() - started, well))

    def table(self, total: float | None = None) -> str:
        """Return the times as a table with a total.

        Args:
            total: how long all took, in seconds, where some ran at the same time; otherwise the sum.
        """
        if total is None:
            total = sum(seconds for _, seconds, _ in self.rows)
        width = max([len(title) for title, _, _ in self.rows] + [5])
        lines = [f"  {verdict(well)}  {title:<{width}}  {duration(seconds):>12}" for title, seconds, well in self.rows]
        return "\n".join([*lines, f"          {'total':<{width}}  {duration(total):>12}"])
