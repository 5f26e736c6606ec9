"""The plan of a host's Celery workers: how many processes each pool gets, and within which limits.

Pure functions of the pools and of facts about the host, so that the same plan is printed, checked and applied, and so that its rules can be
tested without a host. Each filter is documented in a file of its name beside this one.
"""

from __future__ import annotations

import ipaddress
import math
import re
from typing import Any

# A pool's name becomes a systemd instance name, a host name part of the Celery node and a file name.
POOL_NAME = re.compile(r"^[a-z][a-z0-9_]{0,23}$")
# Queue names become Redis keys and are part of ACL patterns, where other characters have a meaning.
QUEUE_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
POOL_KEYS = {
    "name",
    "queues",
    "weight",
    "concurrency",
    "child_memory_mib",
    "max_tasks_per_child",
    "soft_time_limit",
    "time_limit",
    "prefetch_multiplier",
    "egress",
    "exec_paths",
    "listens",
    "child_threads",
    "cpu_weight",
}
PREFORK_ONLY = (
    "all pools are prefork. Threads and greenlets can't be killed at a time limit, replaced when they outgrow their memory, "
    "or told apart from their worker when they take it down"
)
# The main process of a prefork worker with a Django project loaded (MiB, and threads); it runs no task.
MAIN_PROCESS_MIB = 256
MAIN_PROCESS_THREADS = 32


def effective_cpus(cpus: int, quota: float) -> int:
    """Return the CPUs that can be kept busy: whole CPUs within the quota (0: none), at least one."""
    return max(1, math.floor(min(cpus, quota) if quota > 0 else cpus))


def share_out(total: int, weights: list[float]) -> list[int]:
    """Share `total` out by weight (largest remainder), each share at least 1, whatever the total."""
    shares = [1] * len(weights)
    left = total - len(weights)
    # No weights: every pool has a fixed concurrency.
    if left <= 0 or not weights:
        return shares
    exact = [total * weight / sum(weights) for weight in weights]
    while left > 0:
        # Ties go to the first pool, as the list is in the order of what matters to its author.
        neediest = max(range(len(weights)), key=lambda index: (exact[index] - shares[index], -index))
        shares[neediest] += 1
        left -= 1
    return shares


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def default_pools(queues: list[str]) -> list[dict[str, Any]]:
    """Return the pools of who names none: the queue `high` waits behind nothing, and the others share the rest of the host."""
    pools = [
        {"name": "high", "queues": [queue for queue in queues if queue == "high"], "weight": 1},
        {"name": "main", "queues": [queue for queue in queues if queue != "high"], "weight": 2},
    ]
    return [pool for pool in pools if pool["queues"]]


def pool_errors(pools: Any, queues: list[str], defaults: dict[str, Any]) -> list[str]:
    """Return what is wrong with the pools, each with the variable and the fix."""
    if not isinstance(pools, list):
        return ["celery_worker_pools is no list: name pools such as {name: main, queues: [default]}"]
    if not pools:
        return ["stack_queues is empty: name every queue that a task is sent to, such as [default]"]
    errors = []
    names = [pool.get("name") for pool in pools]
    for duplicate in sorted({str(name) for name in names if names.count(name) > 1}):
        errors.append(f"celery_worker_pools: the name '{duplicate}' is used twice; give each pool a name of its own")
    for index, pool in enumerate(pools):
        where = f"celery_worker_pools[{index}] ({pool.get('name', 'no name')})"
        errors += [f"{where}: {text}" for text in _one_pool(pool, queues, defaults)]
    return errors


def _one_pool(pool: dict[str, Any], queues: list[str], defaults: dict[str, Any]) -> list[str]:
    errors = []
    if not POOL_NAME.match(str(pool.get("name", ""))):
        errors.append("name must be lower-case letters, digits and _, starting with a letter, at most 24")
    if "pool" in pool:
        errors.append(f"pool is '{pool['pool']}'; leave it out: {PREFORK_ONLY}")
    for key in sorted(set(pool) - POOL_KEYS - {"pool"}):
        errors.append(f"unknown key '{key}'; known: {', '.join(sorted(POOL_KEYS))}")
    if not isinstance(pool.get("queues"), list) or not pool["queues"]:
        errors.append("queues is empty, so it would never get a task; list at least one of stack_queues")
    else:
        for queue in pool["queues"]:
            if queue not in queues:
                errors.append(f"queue '{queue}' is not declared; add it to stack_queues ({', '.join(queues)})")
    if "weight" in pool and "concurrency" in pool:
        errors.append("has both weight and concurrency; keep weight to share CPUs, or concurrency for a fixed number")
    for key in (
        "weight",
        "concurrency",
        "child_memory_mib",
        "max_tasks_per_child",
        "prefetch_multiplier",
        "child_threads",
        "cpu_weight",
    ):
        if key in pool and not (_number(pool[key]) and pool[key] > 0):
            errors.append(f"{key} is {pool[key]!r}; it must be a number above 0")
    for key in ("concurrency", "max_tasks_per_child", "prefetch_multiplier", "child_threads", "cpu_weight"):
        if isinstance(pool.get(key), float):
            errors.append(f"{key} is {pool[key]!r}; it must be a whole number")
    for peer in pool.get("egress") or []:
        if not _may_be_reached(str(peer)):
            errors.append(
                f"egress has '{peer}': the sandbox allows addresses and networks, and a name is none. Use the address, or any"
            )
    soft = pool.get("soft_time_limit", defaults["soft_time_limit"])
    hard = pool.get("time_limit", defaults["time_limit"])
    if not (_number(soft) and _number(hard) and 0 < soft < hard):
        errors.append(f"soft_time_limit ({soft}) must be above 0 and below time_limit ({hard}), in seconds")
    return errors


def _may_be_reached(peer: str) -> bool:
    try:
        ipaddress.ip_network(peer, strict=False)
    except ValueError:
        return peer in ("any", "localhost")
    return True


def celery_plan(
    pools: list[dict[str, Any]], facts: dict[str, Any], queues: list[str], defaults: dict[str, Any]
) -> dict[str, Any]:
    """Plan the pools of one host.

    Args:
        pools: `celery_worker_pools`; empty for those that follow from the queues.
        facts: `cpus`, `cpu_quota` (CPUs, 0: none) and `memory_mib` (MiB) of the host, and `reserved_mib`, what other processes may take of it.
        queues: the queues that exist, fleet-wide.
        defaults: `soft_time_limit` and `time_limit` (s), `child_memory_mib` (MiB), `max_tasks_per_child`,
            `prefetch_multiplier`, `processes_per_cpu`, `memory_share` (of the host's memory).

    Returns:
        `pools` with `concurrency`, limits and `memory_max_mib`, what they were computed from, `errors` and `warnings`.
    """
    pools = default_pools(queues) if pools == [] else pools
    errors = [
        f"stack_queues: '{queue}' is no usable name; use letters, digits, _ . and -"
        for queue in queues
        if not QUEUE_NAME.match(str(queue))
    ] + pool_errors(pools, queues, defaults)
    cpus = effective_cpus(int(facts["cpus"]), float(facts["cpu_quota"]))
    reserved = int(facts.get("reserved_mib", 0))
    budget = math.floor(max(0, int(facts["memory_mib"]) - reserved) * float(defaults["memory_share"]))
    plan: dict[str, Any] = {
        "cpus": cpus,
        "memory_mib": int(facts["memory_mib"]),
        "reserved_mib": reserved,
        "budget_mib": budget,
        "pools": [],
        "errors": errors,
        "warnings": [],
    }
    if errors:
        return plan
    child = {pool["name"]: int(pool.get("child_memory_mib", defaults["child_memory_mib"])) for pool in pools}
    fixed = [pool for pool in pools if "concurrency" in pool]
    shared = [pool for pool in pools if "concurrency" not in pool]
    wanted = share_out(
        math.floor(cpus * float(defaults["processes_per_cpu"])), [float(pool.get("weight", 1)) for pool in shared]
    )
    left = budget - sum(pool["concurrency"] * child[pool["name"]] for pool in fixed)
    counts = dict(zip((pool["name"] for pool in shared), wanted, strict=True))
    while sum(counts[name] * child[name] for name in counts) > left and max(counts.values(), default=0) > 1:
        largest = max(counts, key=lambda name: counts[name] * child[name] if counts[name] > 1 else 0)
        counts[largest] -= 1
        plan["bounded_by"] = "memory"
    counts |= {pool["name"]: pool["concurrency"] for pool in fixed}
    plan["pools"] = [_planned(pool, counts[pool["name"]], child[pool["name"]], defaults) for pool in pools]
    _check_memory(plan)
    return plan


def _planned(pool: dict[str, Any], concurrency: int, child_mib: int, defaults: dict[str, Any]) -> dict[str, Any]:
    hard = int(pool.get("time_limit", defaults["time_limit"]))
    prefetch = int(pool.get("prefetch_multiplier", defaults["prefetch_multiplier"]))
    return {
        "name": pool["name"],
        "queues": pool["queues"],
        "concurrency": concurrency,
        "child_memory_mib": child_mib,
        # A child may outgrow its limit for the length of one task; a second measure of the same is room for that.
        "memory_max_mib": MAIN_PROCESS_MIB + 2 * concurrency * child_mib,
        # Half-way there the kernel slows it down and takes back what it can, before it must kill.
        "memory_high_mib": MAIN_PROCESS_MIB + 3 * concurrency * child_mib // 2,
        "tasks_max": MAIN_PROCESS_THREADS + concurrency * int(pool.get("child_threads", defaults["child_threads"])),
        "cpu_weight": int(pool.get("cpu_weight", defaults["cpu_weight"])),
        "max_tasks_per_child": int(pool.get("max_tasks_per_child", defaults["max_tasks_per_child"])),
        "prefetch_multiplier": prefetch,
        "soft_time_limit": int(pool.get("soft_time_limit", defaults["soft_time_limit"])),
        "time_limit": hard,
        # Without limits of its own a pool keeps those of the settings, which may be the project's, and lower.
        "has_own_limits": "time_limit" in pool or "soft_time_limit" in pool,
        # What is fetched ahead waits for the runs of those before it, and then runs itself (s).
        "longest_run": prefetch * hard,
        "egress": pool.get("egress"),
        "exec_paths": pool.get("exec_paths", []),
        "listens": bool(pool.get("listens", False)),
    }


def _check_memory(plan: dict[str, Any]) -> None:
    needed = sum(pool["concurrency"] * pool["child_memory_mib"] for pool in plan["pools"])
    sizes = " + ".join(f"{pool['concurrency']} x {pool['child_memory_mib']}" for pool in plan["pools"])
    others = (
        f"stack_processes, stack_timers and the cache may take {plan['reserved_mib']} MiB; "
        if plan["reserved_mib"]
        else ""
    )
    text = (
        f"the pools need {needed} MiB ({sizes}) of the host's {plan['memory_mib']} MiB, of which workers may use "
        f"{plan['budget_mib']}; {others}use fewer pools or lower concurrency or child_memory_mib in celery_worker_pools, "
        "or raise celery_worker_memory_share"
    )
    if needed + plan["reserved_mib"] > plan["memory_mib"]:
        plan["errors"].append(f"celery_worker_pools: {text}")
    elif needed > plan["budget_mib"]:
        plan["warnings"].append(text)


class FilterModule:
    """Ansible's way to find filters."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {"celery_plan": celery_plan, "effective_cpus": effective_cpus}
