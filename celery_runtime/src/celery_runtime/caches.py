"""Django's caches: the default one on the deployment's server, and for the rest what the project says.

Which server it is and as whom to log in is the deployment's. For how long something is kept, and how keys are named, is the project's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit, urlunsplit

# `cache.clear()` empties a whole database of Redis. So Django's caches have one to themselves, unless the project names one. The first is for
# what the project does with the address by itself, such as a channel layer: the deployment's address names it, and what names none means it.
FIRST = 0
DATABASE = 1


def is_redis(backend: str) -> bool:
    """Tell whether a backend speaks to Redis, as its name says."""
    return "redis" in backend.lower()


def default_cache(own: Mapping[str, Any], ours: Mapping[str, Any], url: str) -> dict[str, Any]:
    """Return the entry of the default cache.

    Args:
        own: the project's entry.
        ours: the deployment's, laid over the project's.
        url: address of the server with the login.
    """
    backend, wanted = str(own.get("BACKEND", "")), str(ours["BACKEND"])
    is_of_its_kind = backend == wanted or (is_redis(backend) and is_redis(wanted))
    kept = dict(own)
    if not is_of_its_kind:
        # Options of another kind of cache, such as how many entries fit into it, are errors to this one.
        kept.pop("OPTIONS", None)
    result = {
        **kept,
        **ours,
        "LOCATION": with_database(url, _database(own.get("LOCATION")) if is_of_its_kind else DATABASE),
    }
    if is_of_its_kind and wanted.startswith("django."):
        result["BACKEND"] = backend
    return result


def other_caches(own: Mapping[str, Any], url: str) -> dict[str, Any]:
    """Return the project's caches beside the default one: as they are, but for those in the first database of the deployment's server.

    Args:
        own: the project's entries by their names, the default cache left out.
        url: address of the deployment's server, with the login.
    """
    return {name: _moved(entry, url) for name, entry in own.items()}


def _moved(entry: Any, url: str) -> Any:
    if not isinstance(entry, Mapping) or not is_redis(str(entry.get("BACKEND", ""))):
        return entry
    location = entry.get("LOCATION")
    if isinstance(location, (list, tuple)):
        return {**entry, "LOCATION": [_moved_address(one, url) for one in location]}
    return {**entry, "LOCATION": _moved_address(location, url)} if location else entry


def _moved_address(location: Any, url: str) -> Any:
    is_ours = isinstance(location, str) and _server(location) == _server(url)
    return with_database(location, DATABASE) if is_ours and _named(location) == FIRST else location


def _server(url: str) -> tuple[str, str]:
    """Return which server an address leads to, whoever logs in and whatever the database."""
    parts = urlsplit(url)
    return ("unix", parts.path) if parts.scheme == "unix" else ("", parts.netloc.rpartition("@")[2].lower())


def with_database(url: str, number: int) -> str:
    """Return the address of a Redis server with another number of the database."""
    parts = urlsplit(url)
    if parts.scheme != "unix":
        return urlunsplit((parts.scheme, parts.netloc, f"/{number}", parts.query, parts.fragment))
    query = [(name, value) for name, value in parse_qsl(parts.query) if name != "db"]
    # Without a login there is nothing between the slashes, and urlunsplit leaves two of them out.
    return f"unix://{parts.netloc}{parts.path}?{urlencode([*query, ('db', number)])}"


def _database(location: Any) -> int:
    """Return the number of the database that the project chose for a cache; several servers have the same."""
    if isinstance(location, (list, tuple)) and location:
        location = location[0]
    return _named(location if isinstance(location, str) else "") or DATABASE


def _named(url: str) -> int:
    """Return the number of the database in an address."""
    parts = urlsplit(url)
    named = parse_qs(parts.query).get("db", [""])[0] or (parts.path.strip("/") if parts.scheme != "unix" else "")
    return int(named) if named.isdigit() else FIRST
