"""What playbooks say of hosts in rows: which of several things a host is to have, and which pages the front is asked for.

Each filter is documented in a file of its name beside this one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

# A site may answer its health page in any of these ways; that a redirect leads from HTTPS to HTTPS is told apart by the module that asks.
ANSWERS = [200, 301, 302, 401, 403, 404]
# DNS knows it: letters, and a dot before or behind them.
KNOWN_TO_DNS = re.compile(r"[A-Za-z].*[.]|[.].*[A-Za-z]")


def only_wanted(entries: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the wanted entries; see the documentation of the filter."""
    return [{name: value for name, value in one.items() if name != "wanted"} for one in entries if one["wanted"]]


def front_pages(
    site_hosts: Iterable[str],
    flower_hosts: Iterable[str],
    health_path: str,
    serves_site: bool,
    flower_path: str,
    by_acme: bool,
) -> list[dict[str, Any]]:
    """Return what to ask a host's front for, and which answers are right.

    Args:
        site_hosts: names of the site; a dot at the beginning stands for all subdomains.
        flower_hosts: names of Flower.
        health_path: path of the site that answers.
        serves_site: whether the host serves the site.
        flower_path: path of Flower, which is to be closed without a login; empty where the host doesn't serve it.
        by_acme: whether its certificate comes by ACME, so is for a name that DNS knows.
    """
    names = [name.removeprefix(".") for name in (site_hosts if serves_site else flower_hosts)]
    # Preflight has seen to it that there is one.
    host = next(name for name in names if not (by_acme and serves_site) or KNOWN_TO_DNS.search(name))
    pages: list[dict[str, Any]] = []
    if serves_site:
        pages.append({"host": host, "path": health_path, "status": ANSWERS})
    if flower_path:
        pages.append({"host": host, "path": flower_path, "status": [401]})
    return pages


class FilterModule:
    """Ansible's way to find filters."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {function.__name__: function for function in (only_wanted, front_pages)}
