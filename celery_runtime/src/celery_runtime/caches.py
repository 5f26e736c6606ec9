"""The default cache: the deployment's server, and for the rest what the project says.

Which server it is and as whom to log in is the deployment's. For how long something is kept, and how keys are named, is the project's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit, urlunsplit

# `cache.clear()` empties a whole database of Redis. So the default cache has one to itself, unless the project names one; 0 is for what the
# project does with the address by itself.
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


def with_database(url: str, number: int) -> str:
    """Return the address of a Redis server with another number of the database."""
    parts = urlsplit(url)
    if parts.scheme != "unix":
        return urlunsplit((parts.scheme, parts.netloc, f"/{number}", parts.query, parts.fragment))
    query = [(name, value) for name, value in parse_qsl(parts.query) if name != "db"]
    # Without a login there is nothing between the slashes, and urlunsplit leaves two of them out.
    return f"unix://{parts.netloc}{parts.path}?{urlencode([*query, ('db', number)])}"


def _database(location: Any) -> int:
    """Return the number of the database that the project's address names; several servers have the same."""
    if isinstance(location, (list, tuple)) and location:
        location = location[0]
    parts = urlsplit(location if isinstance(location, str) else "")
    named = parse_qs(parts.query).get("db", [""])[0] or (parts.path.strip("/") if parts.scheme != "unix" else "")
    return int(named) if named.isdigit() else DATABASE
