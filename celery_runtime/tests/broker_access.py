"""The users of the broker on a test's own server, and what it refused them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "plugins/filter"))
from broker_users import broker_users

NAMES = ("web", "worker", "beat", "flower", "monitoring", "backup", "operator")
QUEUES = ["high", "low"]


def known(rules: list[str], server: Any) -> list[str]:
    """Leave out what the server is too old for, as the module does."""
    version = server.client.info("server")["redis_version"].split(".")
    recent = (int(version[0]), int(version[1])) >= (7, 2)
    return [rule.split("@7.2")[0] for rule in rules if recent or not rule.endswith("@7.2")]


def set_up(server: Any, options: dict[str, Any] | None = None, **rights: Any) -> dict[str, str]:
    """Set the users up, for these of kombu's options and these rights; return the URL of each."""
    for user in broker_users(QUEUES, {name: f"secret-{name}" for name in NAMES}, options, **rights):
        server.client.execute_command(
            "ACL", "SETUSER", user["name"], "reset", "on", f">{user['password']}", *known(user["rules"], server)
        )
    return {name: f"redis://{name}:secret-{name}@127.0.0.1:{server.port}/0" for name in NAMES}


def refusals(server: Any) -> list[str]:
    """Return what the server has refused so far."""
    return [
        f"{entry['username']}: {entry['reason']} {entry['object']} ({entry['context']})"
        for entry in server.client.acl_log()
    ]
