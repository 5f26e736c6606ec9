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
        flower_commands: whether workers do what Flower orders, beside answering its questions.
    """

    parts: list[str] = field(default_factory=list)
    delivery_limit: int = 5
    lease_seconds: float = 45
    message_max_bytes: int = 8388608
    publish_timeout: float = 1
    flower_commands: bool = False


@dataclass(frozen=True)
class Configuration:
    """The content of the configuration file.

    Attributes:
        project_settings: dotted name of the project's own settings module.
        celery_app: what `celery -A` gets.
        namespace: prefix of Celery's settings in Django's, without the underscore.
        celery: Celery settings by their lower-case names.
        django: Django settings by name.
        database: entries of the default database without its password; empty to leave the project's own.
        credentials: setting name to credential name; `DATABASE_USER` and `DATABASE_PASSWORD` stand for the default database's.
        installed_apps: apps to add where the project lacks them.
        queues: the queues that some worker consumes.
        runtime: what the runtime adds to stock Celery.
    """

    project_settings: str
    celery_app: str
    namespace: str = "CELERY"
    celery: dict[str, Any] = field(default_factory=dict)
    django: dict[str, Any] = field(default_factory=dict)
    database: dict[str, Any] = field(default_factory=dict)
    credentials: dict[str, str] = field(default_factory=dict)
    installed_apps: list[str] = field(default_factory=list)
    queues: list[str] = field(default_factory=list)
    runtime: Runtime = field(default_factory=Runtime)


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
        content = json.loads(Path(name).read_text())
        return Configuration(**{**content, "runtime": Runtime(**content.get("runtime", {}))})
    except (OSError, ValueError, TypeError) as error:
        raise ConfigurationError(f"{name} can't be used: {error}") from error


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
