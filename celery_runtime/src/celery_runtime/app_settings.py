"""What a project says on its Celery app: `app.conf.task_acks_late = False` in its `celery.py`, or `Celery("shop", broker="redis://localhost")`.

Celery lets such a word win over what `config_from_object` reads, and so it would win over the deployment's. What the deployment decides is
taken out of it, just before Celery puts the two together; the rest holds as what the project says in its settings does. What is said
later, when the settings were read, is not seen here: the probe refuses it.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any
from weakref import WeakKeyDictionary

from celery import Celery

from .configuration import Configuration, handed, newer_names
from .overlay import GO_WITH, is_address, operational

OPTIONS = "broker_transport_options"


@dataclass
class Said:
    """What was said on an app, by the names that Django's settings would have for it.

    Attributes:
        project: the project's values.
        used: those of them that hold, the options of the broker with the deployment's in them.
    """

    project: dict[str, Any] = field(default_factory=dict)
    used: dict[str, Any] = field(default_factory=dict)


_said: WeakKeyDictionary[Celery, Said] = WeakKeyDictionary()
_stock = Celery.prepare_config


def said(app: Celery) -> Said:
    """Return what the project said on an app whose settings were read."""
    return _said.get(app, Said())


def settled(values: MutableMapping[str, Any], project: Mapping[str, Any], configuration: Configuration) -> Said:
    """Take out of what was said on an app what the deployment decides.

    Args:
        values: what was said, by names of any age; it is changed.
        project: the names of the project's own settings module.
        configuration: the deployment's.
    """
    ours = operational(configuration)
    ours |= {name: None for name in map(configuration.celery_name, _handed(configuration)) if name}
    result = Said()
    chosen = set()
    for key, value in list(values.items()):
        name = newer_names().get(key) or configuration.celery_name(key) or key
        result.project[configuration.setting(name)] = value
        if name == OPTIONS and name in ours:
            values[key] = {**(value or {}), **ours[name]}
        elif name in ours or (name == "result_backend" and name in configuration.celery_defaults and is_address(value)):
            del values[key]
            continue
        chosen.add(name)
        result.used[configuration.setting(name)] = values[key]
    for name, other in GO_WITH.items():
        # A default of the deployment's that would stand beside what the project chose here.
        if other in chosen and name not in chosen and _is_default(name, project, configuration):
            values[name] = result.used[configuration.setting(name)] = None
    return result


def _handed(configuration: Configuration) -> list[str]:
    return [name for name, source in configuration.credentials.items() if handed(source)]


def _is_default(name: str, project: Mapping[str, Any], configuration: Configuration) -> bool:
    """Tell whether a setting is the deployment's only because the project's settings say nothing of it."""
    return (
        name in configuration.celery_defaults
        and name not in operational(configuration)
        and project.get(configuration.setting(name)) is None
    )


def install(configuration: Configuration) -> None:
    """Let it be done for each app that reads Django's settings."""

    def prepare_config(self: Celery, c: Any) -> Any:
        from django.conf import settings  # They are being loaded when this is installed.

        if getattr(c, "obj", None) is settings:
            project = vars(import_module(configuration.project_settings))
            _said[self] = settled(self._preconf, project, configuration)
        return _stock(self, c)

    Celery.prepare_config = prepare_config
