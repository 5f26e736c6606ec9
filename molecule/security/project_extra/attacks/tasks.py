"""Tasks that try to do what the sandbox of a worker forbids."""

from __future__ import annotations

import errno
import os
import resource
import signal
from collections.abc import Callable
from typing import Any

from celery import shared_task

from attacks.attempts import attempts

# More than any pool needs, few enough for a host where nothing stops them.
MOST_PROCESSES = 1000
MOST_FILES = 600_000
STEP = 16 * 2**20


def outcome(attempt: Callable[[], Any]) -> str:
    """Make an attempt; return the name of the error that stopped it, or what it got."""
    try:
        return f"GOT IN: {attempt()}"
    except TimeoutError:
        return "ETIMEDOUT"
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, repr(error))


@shared_task(name="attacks.try_all")
def try_all(others: list[str]) -> dict[str, str]:
    """Make all attempts that don't end the process."""
    return {name: outcome(attempt) for name, attempt in attempts(others).items()}


@shared_task(name="attacks.fork")
def fork() -> dict[str, Any]:
    """Make processes until that fails, and end them."""
    made: list[int] = []
    stopped = ""
    try:
        while len(made) < MOST_PROCESSES and not stopped:
            try:
                number = os.fork()
            except OSError as error:
                stopped = errno.errorcode[error.errno or 0]
                break
            if number == 0:
                signal.pause()
            made.append(number)
    finally:
        for number in made:
            os.kill(number, signal.SIGKILL)
        for number in made:
            os.waitpid(number, 0)
    return {"made": len(made), "stopped": stopped}


@shared_task(name="attacks.open_files")
def open_files() -> dict[str, Any]:
    """Open files until that fails."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    opened: list[int] = []
    try:
        while len(opened) < MOST_FILES:
            opened.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as error:
        return {"opened": len(opened), "stopped": errno.errorcode[error.errno or 0]}
    finally:
        for number in opened:
            os.close(number)
    return {"opened": len(opened), "stopped": ""}


@shared_task(name="attacks.take_memory", max_retries=0, default_retry_delay=1)
def take_memory(mebibytes: int) -> str:
    """Take memory until somebody ends this process."""
    taken = []
    for _ in range(0, mebibytes * 2**20, STEP):
        taken.append(os.urandom(2**10) * (STEP // 2**10))
    return f"took {mebibytes} MiB"
