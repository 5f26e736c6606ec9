"""Limits that are reckoned from a host and from a deployment: memory, and connections to the database and the broker.

Each filter is documented in a file of its name beside this one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

MIB = 1048576
UNITS = {"kb": 1024, "mb": MIB, "gb": 1024 * MIB}
SIZE = re.compile(r"([1-9][0-9]{0,12})(kb|mb|gb)")
PERCENT = re.compile(r"([1-9][0-9]?)%")
# What a process or a thread holds of the broker: a consumer's connection, a publisher's, two of the runtime's own; and Flower all in all.
BROKER_CONNECTIONS = 4
FLOWER_CONNECTIONS = 10
# Beat has two connections to the database for a moment, when one is renewed.
DATABASE_CONNECTIONS = {"beat": 2, "cleaner": 1}


def memory_bytes(size: Any, host_mib: int, share: float) -> int | None:
    """Return the bytes, or None for what is no size; see the documentation of the filter."""
    host, text = int(host_mib) * MIB, str(size).strip().lower()
    if not text:
        return int(host * float(share))
    if percent := PERCENT.fullmatch(text):
        return int(host * int(percent[1]) / 100)
    found = SIZE.fullmatch(text)
    return int(found[1]) * UNITS[found[2]] if found else None


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


def connection_faults(
    hosts: Iterable[Mapping[str, Any]],
    database_limits: Mapping[str, int],
    database_connections: int,
    broker_connections: int,
) -> list[str]:
    """Return where the servers take fewer connections than a deployment's processes and threads hold, with the variable to raise.

    To the database each process of a worker and each thread of the web holds one, to the broker up to `BROKER_CONNECTIONS`.

    Args:
        hosts: the deployment's, each with the number of threads of its `web` and of processes of its `worker`.
        database_limits: number of connections that each service's role may have; services without a role of their own have none.
        database_connections: number that the server takes in all; 0 where it isn't known.
        broker_connections: number that the broker takes in all; 0 where it isn't known.
    """
    hosts = list(hosts)
    needs = {service: sum(int(host[service]) for host in hosts) for service in ("web", "worker")} | DATABASE_CONNECTIONS
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
        return {function.__name__: function for function in (memory_bytes, database_role_limits, connection_faults)}
