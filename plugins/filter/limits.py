"""Limits that are reckoned from a host and from a deployment: memory, and connections to the database and the broker.

Each filter is documented in a file of its name beside this one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

MIB = 1048576
UNITS = {"kb": 1024, "mb": MIB, "gb": 1024 * MIB}
SIZE = re.compile(r"([1-9][0-9]{0,12})(kb|mb|gb)")
PERCENT = re.compile(r"([1-9][0-9]?)%")
# Seconds beside the longest delay and the longest run after which a message that isn't acknowledged may be handed out again.
SLOW_HOST = 60
# What a process or a thread holds of the broker: a consumer's connection, a publisher's, two of the runtime's own; and Flower all in all.
BROKER_CONNECTIONS = 4
FLOWER_CONNECTIONS = 10
# What a host says that it runs of, in connections to the database.
HOST_SERVICES = ("web", "worker", "process")
# Beat has two connections to the database for a moment, when one is renewed.
DATABASE_CONNECTIONS = {"beat": 2, "cleaner": 1}


def host_memory_mib(facts: Mapping[str, Any]) -> int:
    """Return the memory of a host (MiB): the machine's, or less where a control group limits the host.

    Args:
        facts: the host's, with `memtotal_mb`, and `cgroup_memory_mib` where the module cgroup_facts has run; 0 there for no limit.

    Raises:
        AnsibleFilterError: the machine's memory is not among the facts.
    """
    if "memtotal_mb" not in facts:
        raise AnsibleFilterError("the fact memtotal_mb is missing: gather the facts `hardware` first")
    limit = int(facts.get("cgroup_memory_mib") or 0)
    return min(size for size in (int(facts["memtotal_mb"]), limit) if size > 0)


def memory_bytes(size: Any, host_mib: int, share: float) -> int | None:
    """Return the bytes, or None for what is no size; see the documentation of the filter."""
    host, text = int(host_mib) * MIB, str(size).strip().lower()
    if not text:
        return int(host * float(share))
    if percent := PERCENT.fullmatch(text):
        return int(host * int(percent[1]) / 100)
    found = SIZE.fullmatch(text)
    return int(found[1]) * UNITS[found[2]] if found else None


def visibility_fault(timeout: Any, delay: Any, run: Any, of: str) -> str:
    """Return why Redis would hand a message out again too early; nothing if it wouldn't.

    Args:
        timeout: the visibility timeout (s).
        delay: how long (s) a message may wait at a worker for its time.
        run: how long (s) it may then stay unacknowledged.
        of: what that length comes from, as the reader knows it.
    """
    longest = int(delay) + int(run) + SLOW_HOST
    if int(timeout) > longest:
        return ""
    return (
        f"stack_visibility_timeout ({timeout} s) must be above {longest} s (stack_longest_delay {delay} + {of} {run} + {SLOW_HOST}), "
        "or Redis hands a task out again while it still runs: raise it, or lower one of the others"
    )


def database_role_limits(service_roles: Iterable[Mapping[str, Any]], connections: int) -> list[dict[str, Any]]:
    """Return the roles of services as the module postgresql_access wants them.

    Args:
        service_roles: `name`, `password`, `share` of the connections (a fraction) and `tables` (shell patterns) of each.
        connections: how many there are for all of them and the owner.

    Returns:
        `name`, `password`, `tables` and `connections` of each, at least one; what the shares leave is the owner's.
    """
    return [
        {
            "name": role["name"],
            "password": role["password"],
            "tables": role.get("tables", ["*"]),
            "connections": max(1, int(float(role["share"]) * int(connections))),
        }
        for role in service_roles
    ]


def service_limits(planned: Mapping[str, int], services: Iterable[str], owner: str) -> dict[str, int]:
    """Return how many connections to the database each service may have at once.

    Args:
        planned: the same of the database's roles; empty where the database isn't of these roles, and nothing is known.
        services: names of the services.
        owner: name of the role that owns the database; the services' roles are named after it.

    Raises:
        KeyError: a service's role isn't among those that were planned.
    """
    return {service: planned[f"{owner}_{service}"] for service in services} if planned else {}


def connection_faults(
    hosts: Iterable[Mapping[str, Any]],
    database_limits: Mapping[str, int],
    database_connections: int,
    broker_connections: int,
) -> list[str]:
    """Return where the servers take fewer connections than a deployment's processes and threads hold, with the variable to raise.

    To the database each process of a worker and each thread of the web holds one, to the broker up to `BROKER_CONNECTIONS`.

    Args:
        hosts: the deployment's, each with the number of threads of its `web`, of processes of its `worker`, and of connections of its `process`.
        database_limits: number of connections that each service's role may have; services without a role of their own have none.
        database_connections: number that the server takes in all; 0 where it isn't known.
        broker_connections: number that the broker takes in all; 0 where it isn't known.
    """
    hosts = list(hosts)
    needs = {
        service: sum(int(host.get(service, 0)) for host in hosts) for service in HOST_SERVICES
    } | DATABASE_CONNECTIONS
    database_needs = sum(needs.values())
    broker_needs = BROKER_CONNECTIONS * database_needs + FLOWER_CONNECTIONS
    faults = [
        f"the processes and threads of {service} need {needs[service]} connections to the database, and its role has {limit}: "
        f"raise postgresql_max_connections, or {service} in stack_database_shares"
        for service, limit in database_limits.items()
        if int(limit) < needs[service]
    ]
    if 0 < int(database_connections) < database_needs:
        faults.append(
            f"all services together need {database_needs} connections to the database, and it takes {database_connections}: "
            "raise postgresql_max_connections"
        )
    if 0 < int(broker_connections) < broker_needs:
        faults.append(
            f"all services together need up to {broker_needs} connections to the broker, and it takes {broker_connections}: "
            "raise redis_maxclients"
        )
    return faults


class FilterModule:
    """Ansible's way to find filters."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {
            function.__name__: function
            for function in (
                host_memory_mib,
                memory_bytes,
                visibility_fault,
                database_role_limits,
                service_limits,
                connection_faults,
            )
        }
