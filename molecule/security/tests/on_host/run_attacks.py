"""Runs in the deployed Django, as the operators' command does: sends the attack tasks to a worker, and good ones behind them.

`QUEUE` and `OTHERS` (addresses that the worker has no business with) are put before it.
"""

import json
import time
from typing import Any

from celery import current_app

GIVEN = globals()
PATIENCE = 90
# More than any pool may have.
MEBIBYTES = 4096


def ask(task: str, *arguments: Any, **options: Any) -> dict[str, Any]:
    """Send a task and wait for its result."""
    begun = time.monotonic()
    result = current_app.send_task(task, arguments, queue=GIVEN["QUEUE"], **options)
    while not result.ready() and time.monotonic() < begun + PATIENCE:
        time.sleep(0.02)
    value = result.result if result.successful() else repr(result.result)
    return {"state": result.state, "result": value, "seconds": time.monotonic() - begun}


def run_all() -> dict[str, Any]:
    """Send each attack and then a good task."""
    seen: dict[str, Any] = {"good": {}}
    attacks: dict[str, list[Any]] = {
        "try_all": [GIVEN["OTHERS"]],
        "fork": [],
        "open_files": [],
        "take_memory": [MEBIBYTES],
    }
    for name, arguments in attacks.items():
        seen[name] = ask(f"attacks.{name}", *arguments)
        seen["good"][name] = ask("housekeeping.echo", kwargs={"job": {"text": "good"}})
    return seen


print("answer:" + json.dumps(run_all()))
