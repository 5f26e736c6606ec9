"""What follows from the inputs about the connections to the broker, the cache and the database: addresses, TLS, and who is a peer.

Each filter is documented in a file of its name beside this one.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

ON_HOST = ("127.0.0.1", "::1", "localhost")
# What switches the verification off in an address, in any of the ways that redis-py and kombu read.
UNVERIFIED = re.compile(r"ssl_cert_reqs=(cert_)?(none|optional)|ssl_check_hostname=(false|0|no)", re.IGNORECASE)


def broker_is_on_host(host: str, url: str) -> bool:
    """Return whether the broker belongs to the host alone: it listens on the loopback, and these roles install it (`url` is empty)."""
    return url == "" and host in ON_HOST


def broker_is_encrypted(host: str, url: str, tls: bool) -> bool:
    """Return whether the broker is spoken to over TLS.

    Args:
        host: its name or address.
        url: address of one that these roles don't install, which says so itself; empty for one that they do.
        tls: whether what crosses the network is to be encrypted.
    """
    return url.startswith("rediss:") if url else tls and host not in ("", *ON_HOST)


def broker_query(ca_file: str, database: int, on_host: bool, encrypted: bool) -> str:
    """Return what follows the broker's location in its address.

    Args:
        ca_file: file of the authorities that clients trust.
        database: number of the Redis database, which the path of a socket has no place for.
        on_host: what `broker_is_on_host` says.
        encrypted: what `broker_is_encrypted` says.
    """
    if on_host:
        return f"?virtual_host={database}"
    return f"?ssl_cert_reqs=required&ssl_check_hostname=true&ssl_ca_certs={quote(ca_file)}" if encrypted else ""


def broker_urls(passwords: Mapping[str, str], scheme: str, location: str, query: str, url: str) -> dict[str, str]:
    """Return the address of the broker for each user; see the documentation of the filter."""
    return {user: url or f"{scheme}://{user}:{password}@{location}{query}" for user, password in passwords.items()}


def cache_urls(
    passwords: Mapping[str, str],
    host: str,
    port: int,
    socket: str,
    on_host: bool,
    encrypted: bool,
    ca_file: str,
    for_celery: bool = False,
) -> dict[str, str]:
    """Return the address of the cache for each service; see the documentation of the filter."""
    query = broker_query(ca_file, 0, on_host, encrypted)
    if on_host:
        scheme, location = ("redis+socket", socket) if for_celery else ("unix", socket)
        return broker_urls(passwords, scheme, location, query if for_celery else "?db=0", "")
    return broker_urls(passwords, "rediss" if encrypted else "redis", f"{host}:{port}/0", query, "")


def is_postgresql(engine: str) -> bool:
    """Return whether a database engine of Django's, or of its geographic part, speaks to PostgreSQL."""
    return re.search("postgresql|postgis", engine) is not None


def database_is_encrypted(host: str, engine: str, tls: bool) -> bool:
    """Return whether the database is spoken to over TLS.

    Args:
        host: name or address of the server, or the folder of its unix socket.
        engine: Django's database engine; of any but PostgreSQL nothing is known.
        tls: whether what crosses the network is to be encrypted.
    """
    return tls and is_postgresql(engine) and host not in ("", *ON_HOST) and not host.startswith("/")


def plain_variables(
    broker_url: str,
    broker_tls: bool,
    broker_use_ssl: Mapping[str, Any],
    database_tls: bool,
    database_options: Mapping[str, Any],
) -> list[str]:
    """Return the variables of the inventory by which something would cross the network in plain text, or to a peer that nobody verified.

    Args:
        broker_url: address of a broker that these roles don't install; empty for one that they do.
        broker_tls: whether the broker is spoken to over TLS.
        broker_use_ssl: Celery's setting of that name, the inventory's own laid over.
        database_tls: whether the database is spoken to over TLS.
        database_options: libpq's options, the inventory's own laid over.
    """
    is_far = (urlsplit(broker_url).hostname or "") not in ("", *ON_HOST)
    wrong = {
        "stack_broker_url": broker_url != ""
        and ((not broker_tls and is_far) or UNVERIFIED.search(broker_url) is not None),
        "stack_celery_settings_extra.broker_use_ssl": broker_tls
        and (broker_use_ssl["ssl_cert_reqs"] != "required" or not broker_use_ssl["ssl_check_hostname"]),
        "stack_database_options.sslmode": database_tls and database_options["sslmode"] != "verify-full",
    }
    return [name for name, is_wrong in wrong.items() if is_wrong]


def network_peers(peers: Iterable[str], egress: Iterable[str] = ()) -> list[str]:
    """Return what systemd is to let a service talk to: each once, the host itself as localhost.

    Args:
        peers: what a service needs. Unix sockets and what is not set are left out, and so are names: `named_peers` tells them.
        egress: what it may talk to besides, as `stack_egress`; with `any` among it the rest says nothing more.
    """
    reached = [str(peer) for peer in peers if peer and not str(peer).startswith("/")]
    allowed = ["localhost" if peer in ON_HOST else peer for peer in reached if peer in ON_HOST or _is_address(peer)]
    allowed += egress
    return ["any"] if "any" in allowed else list(dict.fromkeys(allowed))


def named_peers(peers: Iterable[str]) -> list[str]:
    """Return those peers that are names: systemd lets a service talk to addresses and networks alone."""
    return [
        peer
        for peer in peers
        if peer not in ("", "localhost", "any") and not str(peer).startswith("/") and not _is_network(peer)
    ]


def host_networks(hosts: Iterable[str], variables: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the networks that hold these hosts alone, and that of the loopback.

    Args:
        hosts: names of the hosts in the inventory.
        variables: of each host, with its address as `ansible_host`. A name is no network, and stays for the rules to refuse.
    """
    addresses = [str(variables[host].get("ansible_host", host)) for host in hosts]
    networks = [str(ipaddress.ip_network(one)) if _is_address(one) else one for one in addresses]
    return ["127.0.0.0/8", *dict.fromkeys(networks)]


def _is_address(peer: str) -> bool:
    try:
        ipaddress.ip_address(peer)
    except ValueError:
        return False
    return True


def _is_network(peer: str) -> bool:
    try:
        ipaddress.ip_network(peer, strict=False)
    except ValueError:
        return False
    return True


class FilterModule:
    """Ansible's way to find filters."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {
            function.__name__: function
            for function in (
                broker_is_on_host,
                broker_is_encrypted,
                broker_query,
                broker_urls,
                cache_urls,
                is_postgresql,
                database_is_encrypted,
                plain_variables,
                network_peers,
                named_peers,
                host_networks,
            )
        }
