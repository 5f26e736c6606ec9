"""Variables of the environment that a project reads its servers and secrets from, made of this unit's own credentials.

Python calls `install` as it starts (`celery_runtime_start.pth`), before anything of a project may read them. A variable that systemd sets
would be the same for all services, and stand in /proc.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from .caches import with_database
from .configuration import CONFIG_VARIABLE, Configuration, ConfigurationError, load

# What clients of Redis take where an address doesn't say it.
REDIS = {"port": "6379", "name": "0"}
SOCKETS = ("redis+socket", "unix")


def held(name: str) -> str:
    """Return a credential of this unit; nothing where it wasn't handed over."""
    path = Path(os.environ.get("CREDENTIALS_DIRECTORY", "/nonexistent"), name)
    return path.read_text().rstrip("\n") if path.is_file() else ""


def variables(configuration: Configuration, credential: Callable[[str], str]) -> dict[str, str]:
    """Return the variables.

    Args:
        configuration: `environment` says which there are and what is in each, `addresses` where the servers are.
        credential: returns a credential by name, and nothing where this unit has no such. Then an address has no login, and a password is
            empty: settings can be loaded with them, and no server lets anybody in.
    """

    def address(kind: str) -> str:
        if kind != "database":
            return credential(f"{kind}_url") or configuration.addresses[kind]
        user = credential("database_user") or str(configuration.database.get("USER", ""))
        return _with_login(configuration.addresses[kind], user, credential("database_password"))

    def value(source: str) -> str:
        kind, _, part = source.partition(".")
        if kind == "secret_key":
            return credential(kind)
        if kind == "file":
            return str(Path(os.environ.get("CREDENTIALS_DIRECTORY", "/nonexistent"), part))
        return _part(address(kind), part) if part else address(kind)

    return {name: value(source) for name, source in configuration.environment.items()}


def _with_login(address: str, user: str, password: str) -> str:
    scheme, _, rest = address.partition("://")
    login = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
    return f"{scheme}://{login}@{rest}" if login else address


def _part(address: str, part: str) -> str:
    """Return a part of an address: `host`, `port`, `user`, `password`, `name` or `socket`; for a number the address with that database."""
    if part.isdigit():
        return with_database(address, int(part))
    url = urlsplit(address)
    query = dict(parse_qsl(url.query))
    on_socket = url.scheme in SOCKETS
    path = unquote(url.path)
    found = {
        "host": query.get("host") or url.hostname or "",
        "port": str(url.port or ""),
        "user": unquote(url.username or ""),
        "password": unquote(url.password or ""),
        "name": query.get("virtual_host") or query.get("db") or ("" if on_socket else path.lstrip("/")),
        "socket": path if on_socket else "",
    }[part]
    return found or (REDIS.get(part, "") if url.scheme.startswith("redis") else "")


def install() -> None:
    """Set the variables of this process and of those that it starts; nothing outside of a deployment."""
    if not os.environ.get(CONFIG_VARIABLE):
        return
    try:
        os.environ.update(variables(load(), held))
    except ConfigurationError:
        # The settings can't be loaded with it either, and say so.
        return
