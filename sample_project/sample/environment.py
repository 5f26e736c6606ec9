"""Reads configuration: systemd credentials first, then environment variables.

Only the standard library is used, and nothing of Django but its exception, so that settings can import it.
"""

import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

TRUE_WORDS = {"1", "true", "yes", "on"}
FALSE_WORDS = {"0", "false", "no", "off", ""}


def credential(name: str, default: str = "") -> str:
    """Return a secret: the file `name` in $CREDENTIALS_DIRECTORY, else the variable NAME, else a default.

    An empty value counts as absent. A file that is there but unreadable is an error, never a reason to go on
    without.
    """
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    if directory:
        path = Path(directory, name)
        if path.exists():
            value = path.read_text(encoding="utf-8").strip()
            if value:
                return value
    return os.environ.get(name.upper(), "") or default


def text(name: str, default: str = "") -> str:
    """Return a variable that is no secret; an empty one counts as absent."""
    return os.environ.get(name, "") or default


def flag(name: str, default: bool = False) -> bool:
    """Return a yes-or-no variable; a value that is neither is refused."""
    value = os.environ.get(name)
    if value is None:
        return default
    word = value.strip().lower()
    if word in TRUE_WORDS:
        return True
    if word in FALSE_WORDS:
        return False
    raise ImproperlyConfigured(f"{name}={value!r}: say 1 or 0.")


def number(name: str, default: int) -> int:
    """Return a whole-number variable."""
    value = os.environ.get(name, "").strip()
    if not value:
        return default
    try:
        return int(value)
    except ValueError:
        raise ImproperlyConfigured(f"{name}={value!r}: say a whole number.") from None


def words(name: str, default: str = "") -> list[str]:
    """Return a comma-separated variable as a list."""
    return [word.strip() for word in os.environ.get(name, default).split(",") if word.strip()]


def database(url: str) -> dict[str, Any]:
    """Turn `postgresql://user:password@host:port/name?option=value` or `sqlite:///path` for Django."""
    # The URL holds a password: no message may repeat it.
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        if parts.netloc or len(parts.path) < 2:
            raise ImproperlyConfigured("DATABASE_URL: for SQLite say sqlite:////absolute/path.")
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": unquote(parts.path[1:]),
            "OPTIONS": {
                # A web server and a worker write side by side: wait for the lock, and take it at the start of
                # a transaction, where waiting works, not in its middle, where SQLite gives up at once.
                "timeout": 20,
                "transaction_mode": "IMMEDIATE",
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
            },
        }
    if parts.scheme not in {"postgres", "postgresql"}:
        raise ImproperlyConfigured("DATABASE_URL: the scheme must be postgresql or sqlite.")
    name = unquote(parts.path.lstrip("/"))
    if not name:
        raise ImproperlyConfigured("DATABASE_URL: the database's name is missing, as in postgresql://host/name.")
    options: dict[str, Any] = {"connect_timeout": 5, **dict(parse_qsl(parts.query))}
    # `?host=/run/postgresql` is libpq's way to write a socket's folder in a URL.
    host = options.pop("host", None) or unquote(parts.hostname or "")
    try:
        port = parts.port
    except ValueError:
        raise ImproperlyConfigured("DATABASE_URL: the port is not a number.") from None
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": host,
        "PORT": str(port or ""),
        "OPTIONS": options,
        # Checked before reuse, so that a restarted database costs a reconnect, not a failed request.
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
    }
