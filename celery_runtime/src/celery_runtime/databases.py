"""The default database: the deployment's connection, and for the rest what the project says.

Which server is connected to, as whom and how it is verified, is the deployment's. What a connection does, such as `ATOMIC_REQUESTS`, decides
whether the project's data stay whole, and is the project's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from typing import Any

GENERIC_ENGINE = "django.db.backends.postgresql"
POSTGRESQL = re.compile(r"(^|[._])(postgresql|postgis)")
# Where a connection leads to, and as whom: none of the project's own is left, also where the deployment says nothing.
CONNECTION = ("HOST", "PORT", "NAME", "USER", "PASSWORD")
# The same under libpq's names. As entries of OPTIONS they would win over those above.
CONNECTION_OPTIONS = ("service", "passfile", "host", "hostaddr", "port", "dbname", "user", "password")


def speaks_postgresql(engine: str) -> bool:
    """Tell whether a database engine is Django's for PostgreSQL, or extends it under whatever name."""
    if POSTGRESQL.search(engine):
        return True
    if not engine or engine.startswith("django."):
        return False
    try:
        return bool(import_module(f"{engine}.base").DatabaseWrapper.vendor == "postgresql")
    except Exception:
        # A module that can't be loaded now, whatever its reason, is none to connect with.
        return False


def default_database(own: Mapping[str, Any], ours: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entry of the default database.

    Args:
        own: the project's entry.
        ours: the deployment's, laid over the project's. Its OPTIONS win one by one.
        defaults: what an entry gets that the project leaves out, the same for OPTIONS.
    """
    engine, wanted = str(own.get("ENGINE", "")), str(ours.get("ENGINE", ""))
    kept = {name: value for name, value in own.items() if name not in CONNECTION}
    options = {name: value for name, value in own.get("OPTIONS", {}).items() if name not in CONNECTION_OPTIONS}
    is_of_its_kind = engine == wanted or (speaks_postgresql(engine) and speaks_postgresql(wanted))
    if not is_of_its_kind:
        # Options of another kind of server, such as sqlite's timeout, are errors to this one.
        options = {}
    result = {**defaults, **kept, **ours}
    if is_of_its_kind and wanted == GENERIC_ENGINE:
        result["ENGINE"] = engine
    options = {**defaults.get("OPTIONS", {}), **options, **ours.get("OPTIONS", {})}
    if options:
        result["OPTIONS"] = options
    else:
        result.pop("OPTIONS", None)
    if options.get("pool") and "CONN_MAX_AGE" not in {**kept, **ours}:
        # Django refuses a pool of connections that live on by themselves.
        result["CONN_MAX_AGE"] = 0
    return result
