"""The deployment's configuration file and the credentials that systemd hands to a unit."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CONFIG_VARIABLE = "CELERY_RUNTIME_CONFIG"


class ConfigurationError(RuntimeError):
    """The deployment's configuration is missing or can't be used; the message says what to do."""


@dataclass(frozen=True)
class Runtime:
    """What the runtime adds to stock Celery.

    Attributes:
        parts: the parts that are on (see `celery_runtime.parts`); none of them leaves Celery as it is.
        delivery_limit: how often a message may take its worker down before it becomes a dead letter (see `blame`); 0 for no limit.
        lease_seconds: for how long a worker may give no sign before others take over what it holds (s).
        message_max_bytes: size from which on a message becomes a dead letter unread; 0 for no limit.
        publish_timeout: for how long a process that is no Celery command, such as a web request, waits for the broker (s).
        inspectors: users of the broker who ask workers and may give no orders, such as the web's.
        flower_commands: whether workers do what Flower orders, beside answering its questions.
    """

    parts: list[str] = field(default_factory=list)
    delivery_limit: int = 5
    lease_seconds: float = 45
    message_max_bytes: int = 8388608
    publish_timeout: float = 1
    inspectors: list[str] = field(default_factory=list)
    flower_commands: bool = False


@dataclass(frozen=True)
class Configuration:
    """The content of the configuration file.

    Attributes:
        project_settings: dotted name of the project's own settings module.
        celery_app: what `celery -A` gets.
        namespace: prefix of Celery's settings in Django's, without the underscore; empty where Celery reads them by their older names.
        celery: Celery settings by their lower-case names.
        celery_defaults: such that hold where the project has none of its own; of `result_backend` a class, and not an address.
        longest_time_limit: the longest time limit for whose tasks stops and timeouts leave time (s); 0 for that of the settings.
        django: Django settings by name.
        database: entries of the default database without its password, laid over the project's; empty to leave the project's own.
        database_defaults: entries, also of its OPTIONS, that the default database gets where the project has none.
        cache: entries of the default cache without its address, laid over the project's; empty to leave the project's own.
        credentials: setting name to credential name; `DATABASE_USER` and `DATABASE_PASSWORD` stand for the default database's, `CACHE_URL` for
            the default cache's address.
        installed_apps: apps to add where the project lacks them.
        queues: the queues that some worker consumes.
        environment: variables of the environment and what is in each, such as `database` or `database.password` (see `environment`).
        addresses: where `database`, `broker` and `cache` are, as URLs without a login.
        said: names of the settings that somebody has asked for, beside what the deployment wants: Celery's in lower case, Django's as they are.
        runtime: what the runtime adds to stock Celery.
    """

    project_settings: str
    celery_app: str
    namespace: str = "CELERY"
    celery: dict[str, Any] = field(default_factory=dict)
    celery_defaults: dict[str, Any] = field(default_factory=dict)
    longest_time_limit: float = 0
    django: dict[str, Any] = field(default_factory=dict)
    database: dict[str, Any] = field(default_factory=dict)
    database_defaults: dict[str, Any] = field(default_factory=dict)
    cache: dict[str, Any] = field(default_factory=dict)
    credentials: dict[str, str] = field(default_factory=dict)
    installed_apps: list[str] = field(default_factory=list)
    queues: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    runtime: Runtime = field(default_factory=Runtime)

    def setting(self, name: str) -> str:
        """Return what a setting of Celery's is called in Django's, such as `CELERY_TASK_ACKS_LATE`.

        Without a namespace Celery finds there, where all names are in capitals, those alone that it had before Celery 4: `CELERY_ACKS_LATE`.
        """
        if self.namespace:
            return f"{self.namespace}_{name.upper()}"
        return older_names().get(name, name.upper())

    def celery_name(self, setting: str) -> str | None:
        """Return what a setting of Django's is called by Celery; None where it isn't one of Celery's."""
        if self.namespace:
            prefix = f"{self.namespace}_"
            return setting.removeprefix(prefix).lower() if setting.startswith(prefix) else None
        return next((name for name, older in older_names().items() if older == setting), None)


def older_names() -> dict[str, str]:
    """Return what Celery's settings are called where there is no namespace, by the names that they have now."""
    from celery.app import defaults  # A process that has a namespace doesn't need it, and each begins here.

    return dict(defaults._TO_OLD_KEY)


def newer_names() -> dict[str, str]:
    """Return what Celery's settings are called now, by the names that they had before Celery 4."""
    from celery.app import defaults  # As above.

    return dict(defaults._TO_NEW_KEY)


def load() -> Configuration:
    """Read the file that the environment names.

    Raises:
        ConfigurationError: the variable isn't set, or the file can't be read.
    """
    name = os.environ.get(CONFIG_VARIABLE)
    if not name:
        raise ConfigurationError(
            f"{CONFIG_VARIABLE} is not set: use the application's operator commands, or the project's own settings module"
        )
    try:
        return read(Path(name).read_text())
    except (OSError, ValueError, TypeError) as error:
        raise ConfigurationError(f"{name} can't be used: {error}") from error


def read(text: str) -> Configuration:
    """Return the configuration of a file's content.

    Raises:
        ValueError, TypeError: it is none.
    """
    content = json.loads(text)
    return Configuration(**{**content, "runtime": Runtime(**content.get("runtime", {}))})


def handed(name: str) -> bool:
    """Tell whether this unit was handed a credential. Without any it wasn't started by systemd, and `credential` says so."""
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    return not directory or (Path(directory) / name).exists()


def credential(name: str) -> str:
    """Return a credential of this unit (systemd.exec(5), LoadCredential=), without its trailing newline.

    Raises:
        ConfigurationError: the unit has no credentials, or not this one.
    """
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    if not directory:
        raise ConfigurationError(
            f"no CREDENTIALS_DIRECTORY, so no credential '{name}': this process was not started by systemd"
        )
    try:
        return (Path(directory) / name).read_text().rstrip("\n")
    except OSError as error:
        raise ConfigurationError(f"credential '{name}' was not handed to this unit: {error.strerror}") from error
