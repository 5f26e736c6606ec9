"""Run a command that may take long, and say what it is at meanwhile; documented in ../modules/watched_command.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

MODULE = "plainhost.stack.watched_command"
# Characters of a line that are shown.
WIDTH = 300


def last_lines(text: str, count: int) -> list[str]:
    """Return the last lines of a text, each cut."""
    return [line[:WIDTH] for line in text.rstrip().splitlines()[-count:]]


def progress(result: Mapping[str, Any]) -> str:
    """Return what a command is at, and for how long."""
    last, quiet, seconds = str(result["last"])[:WIDTH], result["quiet_seconds"], result["seconds"]
    if not last:
        return f"nothing printed yet ({seconds} s)"
    return f"{last} ({quiet} s, {seconds} s in all)"


def failure(title: str, result: Mapping[str, Any], limit: int, count: int, folder: str) -> str:
    """Return what is said of a command that failed: the end of what it said, and where all of it is.

    Args:
        title: what the command is called.
        result: the module's.
        limit: seconds after which it is ended; 0 for no limit.
        count: lines to show at most.
        folder: where what it printed is kept.
    """
    said = last_lines(result["stderr"] if result["stderr"].strip() else result["stdout"], count)
    if result["rc"] == -1:
        said.append("It was killed, or its host has restarted meanwhile.")
    elif limit and result["seconds"] >= limit:
        said.append(f"It took longer than its time_limit of {limit} s, and was ended.")
    return "\n".join(
        [f"{title} failed (exit status {result['rc']}).", *said, f"All that it printed is on the host, in {folder}."]
    )


class ActionModule(ActionBase):
    """The action: it starts the command, and looks after it until it has ended."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the command."""
        result = super().run(tmp, task_vars)
        variables = task_vars or {}
        options = dict(self._task.args)
        title = str(options.get("title") or self._task.get_name())
        host, folder = variables.get("inventory_hostname", ""), str(options.get("folder", ""))
        count, limit = int(options.get("lines", 40)), int(options.get("time_limit", 0))
        options["wait"] = int(options.get("every", 20))
        display = Display()
        result.update(self._execute_module(module_name=MODULE, module_args=options, task_vars=variables))
        while result.get("running"):
            display.display(f"[{host}] {title}: {progress(result)}")
            result.update(
                self._execute_module(module_name=MODULE, module_args={**options, "attach": True}, task_vars=variables)
            )
        if result.get("failed") or result.get("skipped"):
            return result
        if result["rc"] != 0:
            message = failure(title, result, limit, count, folder)
            return {"failed": True, "changed": True, "rc": result["rc"], "msg": message}
        if options.get("show"):
            printed = f"{result['stdout']}\n{result['stderr']}".strip()
            shown = last_lines(printed, count)
            more = len(printed.splitlines()) - len(shown)
            display.display(f"[{host}] {title}, {result['seconds']} s" + (":" if shown else " (it printed nothing)"))
            for line in [*([f"… {more} lines before these are on the host, in {folder}"] if more else []), *shown]:
                display.display(f"    {line}")
        return result
