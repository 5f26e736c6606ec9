"""Variables of the environment that a project reads its servers from (`stack_environment_from`): where those are, and what is wrong.

Each filter is documented in a file of its name beside this one. The services themselves add their logins: celery_runtime/environment.py.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# What services are started with.
OWN = re.compile(
    r"DJANGO_SETTINGS_MODULE|CELERY_RUNTIME_CONFIG|CREDENTIALS_DIRECTORY|PATH|HOME|PYTHON[A-Z]*|LD_[A-Z_]*"
)
PARTS = ("host", "port", "user", "password", "name")
# The databases that a Redis of these roles has (redis.conf.j2). At the broker the deployment decides which, since rights go by it.
DATABASES = tuple(map(str, range(16)))
KINDS = {
    "database": PARTS,
    "broker": (*PARTS, "socket"),
    "cache": (*PARTS, "socket", *DATABASES),
    "secret_key": (),
}
ON_SOCKET = ("redis+socket", "unix")
MISSING = {
    "database": "stack_database_engine is none whose address is known: set it, or leave the variable out",
    "cache": "there is no cache: set stack_cache: true, or leave the variable out",
    "broker": "there is no broker",
}


def service_addresses(
    database: Mapping[str, Any], scheme: str, location: str, query: str, url: str, cache: str = ""
) -> dict[str, str]:
    """Return where the servers are, without a login; see the documentation of the filter."""
    # What follows such an address may hold a password, too.
    broker = _without_login(url).partition("?")[0] if url else f"{scheme}://{location}{query}"
    found = {"database": _database_address(database), "broker": broker, "cache": _without_login(cache)}
    return {kind: address for kind, address in found.items() if address}


def _without_login(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    place, slash, path = rest.partition("/")
    return scheme + separator + place.rpartition("@")[2] + slash + path


def _database_address(database: Mapping[str, Any]) -> str:
    engine = str(database.get("ENGINE", ""))
    scheme = next((name for name in ("postgis", "postgresql", "mysql") if name in engine), "")
    if not scheme:
        return ""
    host, options = str(database["HOST"]), dict(database.get("OPTIONS", {}))
    # A socket's folder stands where libpq, dj-database-url and django-environ alike look for it.
    folder = {"host": host} if host.startswith("/") else {}
    tls = {name: value for name, value in options.items() if name.startswith("ssl") and isinstance(value, str)}
    query = urlencode(folder | tls, safe="/", quote_via=quote)
    place = "" if folder else f"[{host}]" if ":" in host else host
    name = quote(str(database["NAME"]), safe="")
    return f"{scheme}://{place}:{database['PORT']}/{name}" + (f"?{query}" if query else "")


def environment_faults(
    sources: Mapping[str, Any],
    addresses: Mapping[str, str],
    taken: Mapping[str, Collection[str]],
    credentials: Collection[str],
) -> list[str]:
    """Return what is wrong, each with the variable and the mend.

    Args:
        sources: `stack_environment_from`.
        addresses: what `service_addresses` returns.
        taken: names that other variables of the inventory set, by the variable.
        credentials: names of the credentials.
    """
    return [
        f"stack_environment_from: {name} {fault}"
        for name, source in sources.items()
        for fault in (*_name_faults(name, taken), *_source_faults(str(source), addresses, credentials))
    ]


def _name_faults(name: str, taken: Mapping[str, Collection[str]]) -> Iterator[str]:
    if not NAME.fullmatch(name):
        yield "is no name of a variable: use letters, digits and _"
    elif OWN.fullmatch(name):
        yield "is the deployment's own variable: leave it out"
    yield from (
        f"stands in {variable}, too: leave it out of one of them" for variable in taken if name in taken[variable]
    )


def _source_faults(source: str, addresses: Mapping[str, str], credentials: Collection[str]) -> Iterator[str]:
    kind, dot, part = source.partition(".")
    if kind == "file":
        if part not in credentials:
            yield f"is from '{source}', and there is no credential of that name: put the file into stack_credentials_extra"
    elif kind not in KINDS or (dot and part not in KINDS[kind]):
        yield (
            f"is from '{source}', which is nothing known. Known are database, broker, cache, secret_key, "
            f"of the first three a part, such as database.password ({', '.join(KINDS['broker'])}), a database of the cache, such as cache.1 "
            f"(0 to {DATABASES[-1]}), and file.<credential>"
        )
    elif kind != "secret_key" and kind not in addresses:
        yield f"is from '{source}': {MISSING[kind]}"
    elif kind in ("broker", "cache"):
        on_socket = urlsplit(addresses[kind]).scheme in ON_SOCKET
        if on_socket and part in ("host", "port"):
            yield f"is from '{source}', and the {kind} is behind a unix socket: take {kind} or {kind}.socket"
        elif part == "socket" and not on_socket:
            yield f"is from '{source}', and the {kind} is met over the network: take {kind}, {kind}.host or {kind}.port"


class FilterModule:
    """Ansible's way to find filters."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {function.__name__: function for function in (service_addresses, environment_faults)}
