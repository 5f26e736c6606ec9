"""Lays the deployment's settings over a project's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from . import parts
from .configuration import Configuration

# Entries of the default database, and what else the deployment calls them.
LOGIN = {"DATABASE_USER": "USER", "DATABASE_PASSWORD": "PASSWORD"}


def operational(configuration: Configuration) -> dict[str, Any]:
    """Return the Celery settings that every process must have, by their lower-case names."""
    return configuration.celery | parts.settings(configuration.runtime)


def celery_settings(configuration: Configuration) -> dict[str, Any]:
    """Return Celery's settings under the names that Django's settings give them."""
    return {f"{configuration.namespace}_{name.upper()}": value for name, value in operational(configuration).items()}


def overlay(
    project: Mapping[str, Any],
    configuration: Configuration,
    credential: Callable[[str], str],
    handed: Callable[[str], bool] = lambda _: True,
) -> dict[str, Any]:
    """Return the settings to use.

    Args:
        project: the names of the project's own settings module.
        configuration: what the deployment says.
        credential: returns a credential by name.
        handed: tells whether this unit has a credential. A setting whose own it lacks stays the project's; without a login to the database
            there is none, and the database refuses.
    """
    result = {name: value for name, value in project.items() if name.isupper()}
    result |= configuration.django
    result |= celery_settings(configuration)
    secrets = dict(configuration.credentials)
    login = {entry: secrets.pop(name) for name, entry in LOGIN.items() if name in secrets}
    result |= {name: credential(source) for name, source in secrets.items() if handed(source)}
    if configuration.database:
        default = dict(configuration.database)
        default |= {entry: credential(source) for entry, source in login.items() if handed(source)}
        result["DATABASES"] = {**result.get("DATABASES", {}), "default": default}
    present = list(result.get("INSTALLED_APPS", []))
    # An app may stand there by its name or by its AppConfig class, such as "reports.apps.ReportsConfig".
    names = {name.split(".apps.")[0] for name in present}
    result["INSTALLED_APPS"] = present + [name for name in configuration.installed_apps if name not in names]
    return result
