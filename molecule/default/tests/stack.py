"""What the tests ask a host, and wait for."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SCENARIO = HERE.parent
INVENTORY = SCENARIO / "inventory"
ANSWER = "answer:"
REDIS_SOCKET = "/run/redis/redis-server.sock"

ACCOUNTS = {
    "celery-worker@high.service": "celery_high",
    "celery-worker@main.service": "celery_main",
    "celery-beat.service": "celery-beat",
    "celery-flower.service": "celery-flower",
    "django-web.service": "django-web",
}
UNITS = list(ACCOUNTS)
DEPENDENCIES = ["redis-server.service", "postgresql@*"]


def wait_for(look: Callable[[], Any], what: str, patience: float = 180) -> Any:
    """Look until there is something to see, and return it. The patience (s) bounds a hang; it measures no machine."""
    deadline = time.monotonic() + patience
    while True:
        if seen := look():
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {patience} s")
        time.sleep(0.3)


def show(host: Any, unit: str, *properties: str) -> dict[str, str]:
    """Return properties of a unit as systemd has them now."""
    out = host.check_output(f"systemctl show --property={','.join(properties)} {shlex.quote(unit)}")
    return dict(line.split("=", 1) for line in out.splitlines() if "=" in line)


def main_pid(host: Any, unit: str) -> int:
    """Return the number of a unit's main process; 0 when it has none."""
    return int(show(host, unit, "MainPID")["MainPID"])


def memory_mib(host: Any, variables: dict[str, Any]) -> int:
    """Return the memory of the host that is the application's (MiB)."""
    total = int(host.check_output("awk '/^MemTotal/ { print $2 }' /proc/meminfo")) // 1024
    return int(total * float(variables.get("stack_host_share", 1)))


def active(host: Any, units: list[str] = UNITS) -> bool:
    """Tell whether all of these units are active."""
    # Its exit status is 0 as soon as one of several is active.
    return set(host.run(f"systemctl is-active {' '.join(units)}").stdout.split()) == {"active"}


def shell(host: Any, script: str) -> Any:
    """Run a script of tests/on_host in the deployed Django and return its answer."""
    code = (HERE / "on_host" / script).read_text()
    printed = host.check_output(f"sample-manage shell -c {shlex.quote(code)}")
    answers = [line for line in printed.splitlines() if line.startswith(ANSWER)]
    if len(answers) != 1:
        raise AssertionError(f"{script} gave no answer:\n{printed}")
    return json.loads(answers[0].removeprefix(ANSWER))


def script(host: Any, name: str, *arguments: str) -> Any:
    """Run a script of tests/on_host with the host's own Python and return its answer."""
    code = (HERE / "on_host" / name).read_text()
    return json.loads(host.check_output(f"python3 -c {shlex.quote(code)} {' '.join(arguments)}"))


def inspect(host: Any, question: str) -> dict[str, Any]:
    """Ask both workers with `celery inspect` until both answer, and return what each says, by its node name.

    A worker hears nothing for the moment in which it connects anew, after a restart of Redis for example.
    """
    nodes = ("high", "main")
    destination = ",".join(f"{name}@$(uname -n)" for name in nodes)
    # It ends with the last answer; the timeout (s) bounds a hang.
    command = f"sample-celery inspect {question} --json --timeout=20 --destination={destination}"

    def answers() -> dict[str, Any]:
        asked = host.run(command)
        found: dict[str, Any] = json.loads(asked.stdout.splitlines()[-1]) if asked.rc == 0 else {}
        return found if len(found) == len(nodes) else {}

    return dict(wait_for(answers, "the answers of both workers"))


def redis_command(command: str, server: str = "redis") -> str:
    """Return what runs redis-cli as the administrator, whose password stands in the environment only."""
    between = r's,^requirepass "\(.*\)"$,\1,p'
    socket = f"/run/{server}/redis-server.sock"
    return f"REDISCLI_AUTH=$(sed -n '{between}' /etc/{server}/access.conf) redis-cli -s {socket} {command}"


def redis(host: Any, command: str) -> str:
    """Run redis-cli as the administrator."""
    return str(host.check_output(redis_command(command)))


def marker(host: Any, name: str) -> float:
    """Return when the side effects logged a marker (seconds since 1970)."""
    out = host.check_output(f"journalctl --identifier=plainhost-test --output=json --grep='^{name}$'")
    if not out.strip():
        raise AssertionError(f"no marker {name} in the journal: did the side effects run?")
    return float(json.loads(out.splitlines()[-1])["__REALTIME_TIMESTAMP"]) / 1e6
