"""Says which variable lets a service start a program, where the sandbox has refused one.

The kernel's word is a bare "Permission denied", and a library that looks along PATH only finds that there is no such program. Whoever reads
that in the journal can't know that it's the sandbox, and which variable decides.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LOGGER = logging.getLogger(__name__)
# How libraries name a program that they didn't find.
NAMED = re.compile(
    r"['\"`](?P<quoted>[\w.+/-]+)['\"`]|(?P<before>[\w.+-]+) (?:executable|command|program|binary|not found|is not installed)"
    r"|(?:find|locate|execute|run) (?P<after>[\w.+-]+)"
)
# Of a text that long nobody looks for more.
LONGEST_TEXT = 2000


def hint(error: BaseException) -> str:
    """Return what to do about an error, where it comes of a program that this host has and the sandbox refuses; else nothing."""
    for name in _names(error):
        if path := refused(name):
            return (
                f"the sandbox refuses to start {path}, which this host has: add it to stack_programs, for this service or for all "
                "(or to exec_paths of the pool, process or timer)"
            )
    return ""


def refused(name: str) -> str:
    """Return the path of a program that may be executed by its mode and may not by the sandbox; nothing for any other name.

    Args:
        name: its path, or its name, for which is looked along PATH.
    """
    folders = [""] if "/" in name else os.get_exec_path()
    for folder in folders:
        path = Path(folder, name)
        try:
            status = path.stat()
        except (OSError, ValueError):
            continue
        is_program = stat.S_ISREG(status.st_mode) and status.st_mode & 0o001
        if is_program and not os.access(path, os.X_OK):
            return str(path)
    return ""


def _names(error: BaseException) -> Iterator[str]:
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        if isinstance(one, OSError) and one.filename and one.errno in (errno.EACCES, errno.ENOENT):
            yield os.fsdecode(one.filename) if isinstance(one.filename, (str, bytes)) else str(one.filename)
        for match in NAMED.finditer(str(one)[:LONGEST_TEXT]):
            yield next(filter(None, match.groups()))
        one = one.__cause__ or one.__context__


def _task_failed(exception: BaseException | None = None, **_: Any) -> None:
    if exception is not None:
        _say(exception)


def _request_failed(**_: Any) -> None:
    if error := sys.exc_info()[1]:
        _say(error)


def _say(error: BaseException) -> None:
    if text := hint(error):
        LOGGER.warning("%s", text)


def install() -> None:
    """Let each task and each request that fails for such a program say so in the log."""
    from celery import signals
    from django.core.signals import got_request_exception

    signals.task_failure.connect(_task_failed, weak=False, dispatch_uid="celery_runtime.programs")
    got_request_exception.connect(_request_failed, weak=False, dispatch_uid="celery_runtime.programs")
