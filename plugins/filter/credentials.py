"""The credentials of the application: passwords that are computed from the seed, and which service finds which of them under which name.

Each filter is documented in a file of its name beside this one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

# A login's address for each service: the name under which the service finds it, before an underscore and the service.
ADDRESSES = ("broker_url", "cache_url", "cache_celery_url")
# Django's settings may refuse to load without a key: services that check no signature get one that opens nothing.
STAND_INS = ("beat", "flower", "process")


def derived_passwords(names: Iterable[str], secret: str, purpose: str = "") -> dict[str, str]:
    """Return a password for each name; see the documentation of the filter."""
    prefix = f"{secret}:{purpose}" if purpose else secret
    return {name: hashlib.sha256(f"{prefix}:{name}".encode()).hexdigest() for name in names}


def database_credentials(passwords: Mapping[str, str], user: str, password: str) -> dict[str, str]:
    """Return the credentials by which services log in to the database.

    Args:
        passwords: password of each service that has a role of its own.
        user: name of the owner's role; a service's is this, an underscore and the service.
        password: the owner's; empty where none is set.

    The name of the role is no secret; it stands with the password since the settings are the same for all services.
    """
    return {
        **({"database_password": password} if password else {}),
        **({"database_user": user} if passwords else {}),
        **{f"database_password_{service}": one for service, one in passwords.items()},
        **{f"database_user_{service}": f"{user}_{service}" for service in passwords},
    }


def database_roles(
    passwords: Mapping[str, str], user: str, tables: Mapping[str, list[str]], shares: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Return the services' roles as the database's server is told of them.

    Args:
        passwords: password of each service that has a role of its own.
        user: name of the owner's role.
        tables: shell patterns of the tables that each service uses.
        shares: share of the connections that each may have, as a fraction; one that isn't named has 0.
    """
    return [
        {"name": f"{user}_{service}", "password": password, "tables": tables[service], "share": shares.get(service, 0)}
        for service, password in passwords.items()
    ]


def stand_in_keys(secret_key: str, services: Iterable[str] = STAND_INS) -> dict[str, str]:
    """Return the keys that these services get in place of Django's, by the name of the credential; none where Django's isn't set."""
    keys = derived_passwords([name for name in STAND_INS if name in services], secret_key) if secret_key else {}
    return {f"secret_key_{service}": key for service, key in keys.items()}


def application_credentials(
    services: Iterable[str],
    broker_urls: Mapping[str, str],
    database: Mapping[str, str],
    secret_key: str,
    signing: Mapping[str, str],
    extra: Mapping[str, str],
    cache: Mapping[str, Mapping[str, str]] | None = None,
) -> dict[str, str]:
    """Return every credential of the application by its name.

    Args:
        services: those that log in to the broker.
        broker_urls: address of the broker with the login of each of its users.
        database: what `database_credentials` returns.
        secret_key: Django's; empty where none is set.
        signing: key and certificate of signed messages; empty where none are signed.
        extra: the inventory's own, which win.
        cache: addresses of the cache for each service that logs in there, by the name under which the service finds its own.
    """
    services = list(services)
    return {
        **{f"broker_url_{service}": broker_urls[service] for service in services},
        **{f"{name}_{service}": url for name, urls in (cache or {}).items() for service, url in urls.items()},
        **database,
        **({"secret_key": secret_key} if secret_key else {}),
        **stand_in_keys(secret_key, services),
        **signing,
        **extra,
    }


def shared_credentials(credentials: Mapping[str, str], database: Mapping[str, str]) -> list[str]:
    """Return the names of the credentials that are nobody's login: what a service has besides its own."""
    stand_ins = {f"secret_key_{service}" for service in STAND_INS}
    return [
        name
        for name in credentials
        if not name.startswith(tuple(f"{address}_" for address in ADDRESSES))
        and name not in database
        and name not in stand_ins
    ]


def service_logins(
    services: Iterable[str],
    shared: Iterable[str],
    named: Mapping[str, list[str]],
    database: Mapping[str, str],
    database_services: Iterable[str],
    has_secret_key: bool,
    folder: str,
    cache: Mapping[str, Iterable[str]] | None = None,
) -> dict[str, dict[str, str]]:
    """Return the files that each service's unit loads, by the name under which the service finds them.

    Every service finds a login of its own under the same names: `broker_url`, `database_user` and `database_password`, and the cache's
    addresses. Flower asks nobody but the broker; the cleaner works beside beat and has beat's logins to broker and cache, which it doesn't use.

    Args:
        services: those that log in to the broker.
        shared: names of the credentials besides the logins.
        named: for a service that doesn't get all of those, the names of those that it gets.
        database: what `database_credentials` returns.
        database_services: those with a role of their own in the database.
        has_secret_key: whether Django's key is set.
        folder: where the files lie.
        cache: those that log in to the cache, by the name under which they find its address.
    """
    shared, database_services = list(shared), list(database_services)
    login = (
        ["database_user", "database_password"]
        if database_services
        else [name for name in database if name == "database_password"]
    )
    logins = {}
    for service in [*services, "cleaner"]:
        account = "beat" if service == "cleaner" else service
        wanted = named.get(service, shared)
        own = {"broker_url": f"broker_url_{account}"}
        own |= {name: f"{name}_{account}" for name, members in (cache or {}).items() if account in members}
        for name in login:
            if service != "flower" or name in wanted:
                own[name] = f"{name}_{service}" if service in database_services else name
        own |= {name: name for name in shared if name in wanted}
        if has_secret_key and "secret_key" not in wanted:
            own["secret_key"] = f"secret_key_{account}"
        logins[service] = {name: f"{folder}/{file}" for name, file in own.items()}
    return logins


class FilterModule:
    """Ansible's way to find filters."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by name."""
        return {
            function.__name__: function
            for function in (
                derived_passwords,
                database_credentials,
                database_roles,
                application_credentials,
                shared_credentials,
                service_logins,
            )
        }
