"""What a project has chosen for itself, and whether it can hold: its result backend, scheduler, time limits, serializers, login for mail.

For the probe, in a release that isn't current yet. Each line names the variable that decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

from celery import Celery
from celery.app import backends
from kombu.serialization import registry

from .beat import named, scheduler_class
from .configuration import Configuration, ConfigurationError
from .explain import explained
from .overlay import operational

HARD, SOFT = "task_time_limit", "task_soft_time_limit"
# Seconds beside a run after which a message that isn't acknowledged may be handed out again, as in the filter `visibility_fault`.
SLOW_HOST = 60
EXTRA = "stack_celery_settings_extra"
PICKLE = "application/x-python-serialize"
# What something is written in, and what it is read from.
FORMATS = {"task_serializer": "accept_content", "result_serializer": "result_accept_content"}


def faults(app: Celery, configuration: Configuration) -> list[str]:
    """Return a line for each choice with which the deployment must not go on."""
    return [
        *_backend(app),
        *_scheduler(app, configuration),
        *_limits(app.conf, configuration),
        *_serializers(app.conf, operational(configuration)),
        *_endless(app, app.conf.broker_transport_options.get("visibility_timeout")),
    ]


def plain_login(used: Mapping[str, Any], configuration: Configuration) -> list[str]:
    """Return a line if the project's login for mail would go to the deployment's mail server in plain text, over a network, unsaid.

    Args:
        used: the Django settings in force.
        configuration: the deployment's.
    """
    server = str(configuration.django.get("EMAIL_HOST") or "")
    encrypted = used.get("EMAIL_USE_TLS") or used.get("EMAIL_USE_SSL")
    said = {"EMAIL_USE_TLS", "EMAIL_USE_SSL"} & set(configuration.said)
    if not server or not used.get("EMAIL_HOST_USER") or encrypted or said or _on_host(server):
        return []
    return [
        f"EMAIL_HOST_USER of the project, and its password, would go to {server} in plain text: set stack_mail_encryption to starttls or tls. "
        "In a network that is encrypted by other means, say so: stack_django_settings_extra: {EMAIL_USE_TLS: false}"
    ]


def _on_host(server: str) -> bool:
    try:
        return ip_address(server).is_loopback
    except ValueError:
        return server == "localhost"


def dangers(app: Celery, configuration: Configuration) -> list[str]:
    """Return a line for each task whose own time limit is longer than the deployment reckons with."""
    most = max(configuration.longest_time_limit, app.conf.task_time_limit or 0)
    return [
        f"the task {name} has a time_limit of {limit:g} s, and no pool one above {most:g} s: a stop or a deployment ends it before that, "
        f"and it begins again. Give the pool of its queue a time_limit of at least {limit:g} in celery_worker_pools, or set stack_time_limit"
        for name, limit in _own_limits(app)
        if 0 < most < limit
    ]


def _own_limits(app: Celery) -> list[tuple[str, float]]:
    return [
        (name, float(task.time_limit))
        for name, task in sorted(app.tasks.items())
        if not name.startswith("celery.") and getattr(task, "time_limit", None)
    ]


def _endless(app: Celery, visible: Any) -> list[str]:
    return [
        f"the task {name} has a time_limit of {limit:g} s, and after stack_visibility_timeout ({visible} s) Redis hands it out again though it "
        "runs: raise that variable, or lower the task's limit"
        for name, limit in _own_limits(app)
        if visible and limit + SLOW_HOST >= float(visible)
    ]


def _backend(app: Celery) -> list[str]:
    chosen = app.backend_cls or app.conf.result_backend
    try:
        backends.by_url(chosen, app.loader)
    except Exception as error:
        # Whatever its module raises.
        return [explained(error, f"result_backend is {_named(chosen)}, and can't be loaded")]
    return []


def _scheduler(app: Celery, configuration: Configuration) -> list[str]:
    chosen = app.conf.beat_scheduler
    try:
        found = named(chosen)
    except Exception:
        # Whatever its module raises. Where beat is to run, the probe loads it and says where that fails.
        return []
    try:
        scheduler_class(found, configuration.runtime.parts)
    except ConfigurationError as error:
        return [str(error)]
    return []


def _named(backend: Any) -> str:
    """Return a backend's name as it may be shown: of an address the scheme alone."""
    return repr(str(backend).partition("://")[0]) if "://" in str(backend) else repr(backend)


def _limits(conf: Mapping[str, Any], configuration: Configuration) -> list[str]:
    hard, soft = conf[HARD], conf[SOFT]
    bound = configuration.celery_defaults.get(HARD)
    found = []
    if bound and HARD not in configuration.celery and (hard or 0) > bound:
        found.append(
            f"{HARD} of the project is {hard:g} s, and stops and timeouts are computed for {bound:g} s: set stack_time_limit: {hard:g} to keep "
            f"it, and stack_visibility_timeout where that must grow; or set stack_time_limit to a lower number, which holds in its place"
        )
    if soft and hard and soft >= hard:
        found.append(
            f"{SOFT} is {soft:g} s and {HARD} {hard:g} s: tasks would be killed before they are warned. Set stack_soft_time_limit below, or "
            f"stack_time_limit above"
        )
    return found


def _serializers(conf: Mapping[str, Any], said: Mapping[str, Any]) -> list[str]:
    found = []
    for name in (*FORMATS, *FORMATS.values(), "event_serializer"):
        formats = [conf[name]] if isinstance(conf[name], str) else list(conf[name] or ())
        found += [
            f"{name} has {one!r}, which nobody has registered with kombu: register it where the Celery app is made, or leave it out"
            for one in formats
            if one not in registry.name_to_type and one not in registry.type_to_name
        ]
        if PICKLE in map(_type, formats) and name not in said:
            found.append(
                f"{name} of the project has pickle, which runs any code of whoever can write to the broker or to the results: leave it out, or "
                f"name it yourself in {EXTRA}: {{{name}: {conf[name]!r}}}"
            )
    for writes, reads in FORMATS.items():
        read = conf[reads] or conf["accept_content"]
        if _type(conf[writes]) not in map(_type, read):
            found.append(
                f"{writes} is {conf[writes]!r}, and {reads} ({', '.join(map(str, read))}) lacks it, so nobody would read it: add it there, in "
                f"the project's settings or in {EXTRA}"
            )
    return found


def _type(name: str) -> str:
    """Return the content type that a serializer's name or a content type stands for."""
    return str(registry.name_to_type.get(name, name))
