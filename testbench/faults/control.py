"""The control: the same faults done to stock settings, which must lose jobs, or the other runs prove nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from testbench.faults import catalogue, damage
from testbench.faults.engine import Fault
from testbench.faults.host import Target

PLAYBOOKS = ("project", "worker", "beat", "web")
# No part of the runtime, and Celery's own way to acknowledge: before the work.
VARIABLES: dict[str, Any] = {
    "stack_runtime_parts": [],
    "stack_celery_settings_extra": {"task_acks_late": False},
}
STOCK_REDIS = "/run/systemd/system/redis-server.service.d/99-stock.conf"
# What is lost is lost: no need to wait for it for long.
PATIENCE = 12.0
FAULTS: tuple[Fault, ...] = tuple(
    replace(fault, patience=PATIENCE) for fault in catalogue.FAULTS if fault.name in ("kill-main", "kill-redis")
)


def forget_on_restart(target: Target) -> None:
    """Let Redis run as it would without a log: what is in memory is all there is."""
    command = (
        "/usr/bin/redis-server /etc/redis/redis.conf --supervised systemd --daemonize no --appendonly no --save ''"
    )
    target.sh(
        f"mkdir -p {STOCK_REDIS.rsplit('/', 1)[0]}\n"
        f"printf '[Service]\\nExecStart=\\nExecStart=%s\\n' \"{command}\" > {STOCK_REDIS}\n"
        f"systemctl daemon-reload && systemctl restart {damage.REDIS}"
    )


def remember_again(target: Target) -> None:
    """Give Redis its log back, where a control run has taken it."""
    target.sh(
        f"[ ! -e {STOCK_REDIS} ] || {{ rm {STOCK_REDIS} && systemctl daemon-reload && systemctl restart {damage.REDIS}; }}"
    )
