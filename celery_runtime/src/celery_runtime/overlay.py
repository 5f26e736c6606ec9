"""Lays the deployment's settings over a project's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from . import parts
from .caches import default_cache, other_caches
from .configuration import Configuration
from .databases import default_database

# Entries of the default database, and what else the deployment calls them.
LOGIN = {"DATABASE_USER": "USER", "DATABASE_PASSWORD": "PASSWORD"}
# The same of the address of the default cache.
CACHE = "CACHE_URL"

# Settings that mean something beside another only: a soft limit may be above a project's hard one, and what results may be written in
# follows from what messages may.
GO_WITH = {"task_soft_time_limit": "task_time_limit", "result_accept_content": "accept_content"}


def operational(configuration: Configuration) -> dict[str, Any]:
    """Return the Celery settings that every process must have, by their lower-case names."""
    return configuration.celery | parts.settings(configuration.runtime)


def defaults(project: Mapping[str, Any], configuration: Configuration) -> dict[str, Any]:
    """Return those of the deployment's defaults that hold, since the project has no such setting of its own.

    An address is none: where servers are, the deployment says. And one that goes with another of the project's is left to Celery.
    """

    def own(name: str) -> Any:
        return project.get(configuration.setting(name))

    return {
        name: value
        for name, value in configuration.celery_defaults.items()
        if name not in configuration.celery
        and (own(name) is None or (name == "result_backend" and is_address(own(name))))
        and not (name in GO_WITH and own(GO_WITH[name]) is not None)
    }


def is_address(backend: Any) -> bool:
    """Tell whether a result backend is named by where it is: a URL, or the broker."""
    return "://" in str(backend) or backend == "rpc"


def effective(configuration: Configuration, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the Celery settings that a process must have, where some are the project's own.

    Args:
        configuration: what the deployment says.
        settings: the settings that are used, as `overlay` returns them.
    """
    own = {name: settings.get(configuration.setting(name)) for name in configuration.celery_defaults}
    return own | operational(configuration)


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
            there is none, and the database refuses. Without a login to the cache the project's own cache stays.
    """
    result = {name: value for name, value in project.items() if name.isupper()}
    result |= configuration.django
    laid = {
        configuration.setting(name): value
        for name, value in (defaults(project, configuration) | operational(configuration)).items()
    }
    options = configuration.setting("broker_transport_options")
    if options in laid:
        # kombu's options are many, and the deployment has a word on some of them.
        laid[options] = {**(project.get(options) or {}), **laid[options]}
    result |= laid
    secrets = dict(configuration.credentials)
    login = {entry: secrets.pop(name) for name, entry in LOGIN.items() if name in secrets}
    cache_url = secrets.pop(CACHE, "")
    result |= {name: credential(source) for name, source in secrets.items() if handed(source)}
    if configuration.cache and handed(cache_url):
        caches, url = dict(result.get("CACHES", {})), credential(cache_url)
        default = default_cache(caches.pop("default", {}), configuration.cache, url)
        result["CACHES"] = {**other_caches(caches, url), "default": default}
    if configuration.database:
        databases = result.get("DATABASES", {})
        ours = configuration.database | {entry: credential(source) for entry, source in login.items() if handed(source)}
        default = default_database(databases.get("default", {}), ours, configuration.database_defaults)
        result["DATABASES"] = {**databases, "default": default}
    present = list(result.get("INSTALLED_APPS", []))
    # An app may stand there by its name or by its AppConfig class, such as "reports.apps.ReportsConfig".
    names = {name.split(".apps.")[0] for name in present}
    result["INSTALLED_APPS"] = present + [name for name in configuration.installed_apps if name not in names]
    return result
