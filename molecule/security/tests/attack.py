"""What the attacks of this scenario need to know of a host: the one home of its names."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
APP = "sample"
ANSWER = "answer:"
PYTHON = f"/opt/{APP}/current/venv/bin/python"


def run(host: Any, script: str, *arguments: str) -> Any:
    """Run a script of tests/on_host as root, with the packages of the release and behind administrator.py, and return its answer."""
    code = "".join((HERE / "on_host" / name).read_text() for name in ("administrator.py", script))
    code = code.replace("from __future__ import annotations\n", "")
    # Over standard input: the table of poisoned messages is long for an argument.
    command = f"{PYTHON} - {shlex.join(arguments)} <<'END-OF-SCRIPT'\n{code}\nEND-OF-SCRIPT"
    return json.loads(host.check_output(command))


def shell(host: Any, script: str, **names: Any) -> Any:
    """Run a script of tests/on_host in the deployed Django, with names of its own set before, and return its answer."""
    given = "".join(f"{name} = {value!r}\n" for name, value in names.items())
    code = given + (HERE / "on_host" / script).read_text()
    printed = host.check_output(f"{APP}-manage shell -c {shlex.quote(code)}")
    return json.loads(printed.rpartition(ANSWER)[2])


def units(host: Any) -> dict[str, str]:
    """Return main process, number of restarts and state of each running unit of the application."""
    shown = host.check_output(
        "systemctl show --property=Id,MainPID,NRestarts,ActiveState 'celery-*.service' 'django-web.service'"
    )
    blocks = [dict(line.split("=", 1) for line in block.splitlines()) for block in shown.strip().split("\n\n")]
    return {
        block["Id"]: f"{block['MainPID']} {block['NRestarts']} {block['ActiveState']}"
        for block in blocks
        if block["ActiveState"] != "inactive"
    }
