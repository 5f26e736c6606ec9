"""The units of a host's worker pools, for the role systemd_unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DOCUMENTATION = r"""
name: worker_units
short_description: A unit for each pool of a plan
description:
  - Returns what the role C(systemd_unit) takes, one unit C(celery-worker@<pool>.service) for each pool that
    P(plainhost.stack.celery_plan#filter) planned.
options:
  _input: {description: The pools of a plan. Times are in seconds and memory is in MiB., type: list, elements: dict, required: true}
  unit: {description: What the pools' units have in common; see C(systemd_unit_units)., type: dict, required: true}
  options:
    description:
      - What the units are made with.
      - C(app), C(python) and C(log_level) say what is run. C(prefix) begins the units' names. C(user) is the accounts' names up to the
        pool's, or with C(account_per_pool) false the name of all.
      - C(media_dir), C(restart_on) and C(peers) are the inputs of the role C(celery_worker) without their prefix.
      - C(notify) (boolean) and C(watchdog) (seconds, V(0) for none) say how a pool is watched.
      - C(stop_grace), C(reboot_grace) and C(stop_margin) (seconds) say how a pool is stopped. A C(stop_grace) of V(0) lasts as long as
        the longest task.
      - C(stop_script) and C(note_script) are the paths of the programs that stop a pool and note how it ended. C(notes) is the folder
        of the notes.
    type: dict
    required: true
positional: unit, options
author: The plainhost maintainers (!UNKNOWN)
"""

EXAMPLES = r"""
units: "{{ plan.pools | plainhost.stack.worker_units({'group': 'shop', 'egress': ['localhost']}, options) }}"
options:
  app: shop
  python: /opt/shop/live/venv/bin/python
  log_level: INFO
  prefix: ""
  user: shop_worker
  account_per_pool: true
  media_dir: /var/lib/shop/media
  restart_on: [/etc/shop/settings.json]
  peers: [localhost]
  notify: true
  watchdog: 120
  stop_grace: 0
  reboot_grace: 60
  stop_margin: 90
  stop_script: /usr/local/libexec/celery-worker-stop
  note_script: /usr/local/libexec/celery-worker-note
  notes: /run/celery-worker
"""

RETURN = r"""
_value:
  description: The units.
  type: list
  elements: dict
"""


def worker_units(
    pools: list[dict[str, Any]], unit: Mapping[str, Any], options: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return a unit for each pool.

    Args:
        pools: `pools` of a plan; times in seconds, memory in MiB.
        unit: what their units have in common.
        options: `app`, `python`, `log_level`: what is run; `prefix`: what the units' names begin with; `user`: the
            accounts' names up to the pool's, or with `account_per_pool` false the name of all; `media_dir`, `restart_on`, `peers`: as
            the role's inputs; `notify` and `watchdog` (s, 0 for none): how a pool is watched; `stop_grace` (s, 0 for as long as the longest
            task), `reboot_grace` (s) and `stop_margin` (s): how one is stopped; `stop_script`, `note_script` and `notes`: paths of the programs
            that stop a pool and note how it ended, and of the notes.
    """
    return [{**unit, **_unit_of(pool, unit, options)} for pool in pools]


def _unit_of(pool: Mapping[str, Any], unit: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    name = pool["name"]
    egress = (
        unit.get("egress", []) if pool["egress"] is None else list(dict.fromkeys([*options["peers"], *pool["egress"]]))
    )
    return {
        "name": f"{options['prefix']}celery-worker@{name}.service",
        "description": f"Celery worker, pool {name} ({', '.join(pool['queues'])})",
        "user": f"{options['user']}_{name}" if options["account_per_pool"] else options["user"],
        "shared_memory": f"{pool['memory_max_mib']}M",
        "umask": unit.get("umask", "0007"),
        "read_write_paths": [
            *([options["media_dir"]] if options["media_dir"] else []),
            *unit.get("read_write_paths", []),
        ],
        "enabled": True,
        "state": "started",
        "restart_on": options["restart_on"],
        "watchdog": int(options["watchdog"]) if options["notify"] else 0,
        "egress": egress,
        "exec_paths": list(dict.fromkeys([*unit.get("exec_paths", []), *pool["exec_paths"]])),
        "listens": pool["listens"],
        "exec_start": " ".join(_command(pool, options)),
        "directives": _directives(pool, options),
    }


def _command(pool: Mapping[str, Any], options: Mapping[str, Any]) -> list[str]:
    return [
        options["python"],
        "-m celery --app",
        options["app"],
        "worker",
        # The host's name, which celery puts in; systemd reads % itself.
        f"--hostname={pool['name']}@%%h",
        f"--queues={','.join(pool['queues'])}",
        f"--concurrency={pool['concurrency']}",
        f"--prefetch-multiplier={pool['prefetch_multiplier']}",
        *(
            [f"--soft-time-limit={pool['soft_time_limit']}", f"--time-limit={pool['time_limit']}"]
            if pool["has_own_limits"]
            else []
        ),
        f"--max-tasks-per-child={pool['max_tasks_per_child']}",
        # In KiB.
        f"--max-memory-per-child={pool['child_memory_mib'] * 1024}",
        "--without-gossip --without-mingle",
        f"--loglevel={options['log_level']}",
    ]


def _directives(pool: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    # Of the margin, a third is for the last task that reaches its hard limit, and a third for a cold shutdown; the rest keeps systemd's
    # SIGKILL away.
    third = int(options["stop_margin"]) // 3
    longest = pool["time_limit"] + third
    grace = min(int(options["stop_grace"]) or longest, longest)
    notes = f"{options['notes']}/{pool['name']}"
    return {
        "Type": "notify" if options["notify"] else "exec",
        "NotifyAccess": "main" if options["notify"] else "none",
        "Restart": "always",
        "RestartSec": 2,
        "TimeoutStartSec": "infinity",
        "Environment": f"CELERY_RUNTIME_ENDS={notes}",
        "ExecStop": [
            f"-+{options['note_script']} {notes} stop",
            f"+{options['stop_script']} {grace} {options['reboot_grace']} {third}",
        ],
        "ExecStopPost": f"-+{options['note_script']} {notes} end",
        "TimeoutStopSec": pool["time_limit"] + int(options["stop_margin"]),
        "KillMode": "mixed",
        "OOMPolicy": "continue",
        "MemoryHigh": f"{pool['memory_high_mib']}M",
        "MemoryMax": f"{pool['memory_max_mib']}M",
        "TasksMax": pool["tasks_max"],
        "CPUWeight": pool["cpu_weight"],
    }


class FilterModule:
    """Ansible's way to find filters."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {"worker_units": worker_units}
