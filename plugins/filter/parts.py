"""Which parts of the stack a host has, and what its front serves.

Each filter is documented in a file of its name beside this one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any


def absent_parts(
    groups: Mapping[str, Collection[str]],
    host: str,
    own_front: bool,
    own_broker: bool,
    own_database: bool,
    cache_hosts: Collection[str] = (),
) -> list[str]:
    """Return the parts of the stack that a host has none of.

    Args:
        groups: the inventory's groups and their hosts.
        host: name of the host.
        own_front: whether the web's front is the stack's; somebody else's may be an nginx of his, and stays out of this.
        own_broker: whether the broker is the stack's.
        own_database: whether the database is.
        cache_hosts: hosts that run the cache.

    Returns:
        Of `workers`, `flower`, `web`, `front`, `app`, `redis`, `database` and `cache`, in this order, those that it hasn't.
    """

    def among(*names: str) -> bool:
        return any(host in groups.get(name, ()) for name in names)

    has = {
        "workers": among("workers"),
        "flower": among("flower"),
        "web": among("web"),
        "front": not own_front or among("web", "flower"),
        "app": among("app"),
        "redis": own_broker and among("redis"),
        "database": own_database and among("database"),
        "cache": host in cache_hosts,
    }
    return [part for part, there in has.items() if not there]


def front_servers(
    site_hosts: Iterable[str], flower_hosts: Iterable[str], serves_site: bool, serves_flower: bool
) -> list[dict[str, Any]]:
    """Return the servers of the front: whom each answers as, and what it leads to.

    Args:
        site_hosts: names of the site; where there is one, they lead to the site and to Flower.
        flower_hosts: names of Flower's own; they lead to Flower alone. Where there is no site, its names do too.
        serves_site: whether the host has the site.
        serves_flower: whether it has Flower.

    Returns:
        For each server its `hosts` in lower case, and whether it leads to the `site` and to `flower`.
    """
    site, flower = _names(site_hosts), _names(flower_hosts)
    servers = [{"hosts": site, "site": True, "flower": serves_flower}] if serves_site else []
    alone = [name for name in flower if name not in site] if serves_site else list(dict.fromkeys(site + flower))
    if serves_flower and (alone or not serves_site):
        servers.append({"hosts": alone, "site": False, "flower": True})
    return servers


def _names(hosts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(name.lower() for name in hosts))


class FilterModule:
    """Ansible's way to find filters."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {function.__name__: function for function in (absent_parts, front_servers)}
