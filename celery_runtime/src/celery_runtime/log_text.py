"""Text that others wrote, made fit for a line of a log or a terminal.

A message's id and its task's other name (`shadow`) are texts of its sender's choice, and Celery puts them into its lines as they are: a
line end in one would begin a line of the sender's own, and a long one be cut by journald into several.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

# Characters of one text in a line: more than Celery keeps of arguments (`argsrepr_maxsize`, 1024).
LONGEST = 2000
# Whose lines hold texts of senders.
LOGGERS = ("celery.worker.", "celery.app.trace", "celery_runtime.")
# Entries of a record that have several lines on purpose.
LINES = ("traceback",)
MARK = "_celery_runtime"


def one_line(text: str, most: int = LONGEST) -> str:
    """Return a text with an escape for each character that can't be printed, and without what is above so many characters."""
    cut = text if len(text) <= most else f"{text[: most - 3]}..."
    if cut.isprintable():
        return cut
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in cut)


def _shown(value: Any) -> Any:
    return one_line(value) if isinstance(value, str) else value


def _arguments(values: Any) -> Any:
    """Return what stands in a record's text, fit for one line."""
    if isinstance(values, Mapping):
        return {name: value if name in LINES else _shown(value) for name, value in values.items()}
    if isinstance(values, tuple):
        return tuple(_arguments(value) if isinstance(value, Mapping) else _shown(value) for value in values)
    return values


def install() -> None:
    """Let Celery's records have such texts only; a second call changes nothing."""
    stock = logging.getLogRecordFactory()
    if hasattr(stock, MARK):
        return

    def factory(name: str, level: int, path: str, line: int, text: Any, arguments: Any, *rest: Any, **more: Any) -> Any:
        # `logging.makeLogRecord`, which formatters and handlers use, gives no name.
        if name and name.startswith(LOGGERS):
            arguments = _arguments(arguments)
        return stock(name, level, path, line, text, arguments, *rest, **more)

    setattr(factory, MARK, True)
    logging.setLogRecordFactory(factory)
