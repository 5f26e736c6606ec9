"""Compares the settings of the loaded Celery app with those that the deployment asks for, and its packages with what the parts need.

Run in a release, before anything of it is started. A project that sets Celery's options past Django's settings, or that forces
a settings module of its own, would run with other timeouts than its neighbours; here it is found and refused.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from celery import Celery
from celery.app.utils import find_app
from django.conf import settings
from kombu.exceptions import OperationalError

from . import compatibility
from .alone import complaint
from .configuration import ConfigurationError, load
from .overlay import operational
from .transport import Channel

# Scripts that may run while memory is full came with it (release notes of Redis 7.0).
OLDEST_BROKER = 7
SETTINGS_MODULE = "celery_runtime.settings"
ADVICE = """Fix: let {app} take its settings from Django's, with app.config_from_object('django.conf:settings',
namespace='{namespace}') and nothing after it; set DJANGO_SETTINGS_MODULE with os.environ.setdefault alone; declare every
queue in stack_queues; or say what you want in stack_celery_settings_extra.
"""


def differences(app: Celery, wanted: dict[str, Any]) -> list[str]:
    """Return a line for each setting whose value in the app isn't the wanted one."""
    lines = []
    for name, value in sorted(wanted.items()):
        actual = getattr(app.conf, name, None)
        if json.loads(json.dumps(actual, default=str)) != value:
            lines.append(f"{name} is {actual!r} in the loaded app; the deployment asks for {value!r}")
    return lines


def orphaned_queues(app: Celery, consumed: list[str]) -> list[str]:
    """Return a line for each queue that a task is sent to and that no pool consumes."""
    targets: dict[str, str] = {str(app.conf.task_default_queue): "task_default_queue"}
    routes = app.conf.task_routes
    if isinstance(routes, dict):
        for pattern, route in routes.items():
            queue = route.get("queue") if isinstance(route, dict) else route
            if queue:
                targets[str(getattr(queue, "name", queue))] = f"task_routes[{pattern!r}]"
    for name, task in app.tasks.items():
        if getattr(task, "queue", None):
            targets[str(task.queue)] = f"the task {name}"
    return [
        f"{source} sends to the queue '{queue}', which is not in stack_queues ({', '.join(consumed)})"
        for queue, source in sorted(targets.items())
        if queue not in consumed
    ]


def old_broker(app: Celery) -> list[str]:
    """Return a line where the broker is too old for the part `transport`; none where it can't be asked now."""
    try:
        with app.connection_for_read() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0)
            if not isinstance(connection.default_channel, Channel):
                return [
                    "the part 'transport' of stack_runtime_parts is made for redis:// and rediss://: leave it out for this broker"
                ]
            answer = connection.default_channel.pool.get_connection().handshake_metadata
    except OperationalError as error:
        sys.stderr.write(f"the broker's version is not checked, since it can't be reached: {error}\n")
        return []
    version = {str(key, "utf-8"): value for key, value in answer.items()}["version"].decode()
    if int(version.split(".")[0]) >= OLDEST_BROKER:
        return []
    return [
        f"the broker is Redis {version}; the part 'transport' of stack_runtime_parts needs {OLDEST_BROKER}.0: upgrade it, or leave the part out"
    ]


def main() -> int:
    """Load the app as `celery --app` does, compare, print its tasks as JSON; return 1 when the deployment must not go on."""
    try:
        configuration = load()
        app = find_app(configuration.celery_app)
        app.loader.import_default_modules()
        app.finalize(auto=True)
        if unfit := compatibility.faults(configuration.runtime.parts):
            sys.stderr.write("\n".join(unfit) + "\n")
            return 1
        problems = differences(app, operational(configuration)) + orphaned_queues(app, configuration.queues)
        if "transport" in configuration.runtime.parts:
            problems += old_broker(app)
            problems += filter(None, [complaint(app.conf.broker_transport_options)])
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except (ImportError, AttributeError) as error:
        sys.stderr.write(
            f"stack_celery_app: '{configuration.celery_app}' can't be loaded: {type(error).__name__}: {error}\n"
        )
        return 1
    if os.environ["DJANGO_SETTINGS_MODULE"] != SETTINGS_MODULE:
        problems.insert(0, f"the project replaced DJANGO_SETTINGS_MODULE with {os.environ['DJANGO_SETTINGS_MODULE']}")
    if problems:
        sys.stderr.write(
            "\n".join(problems) + "\n" + ADVICE.format(app=configuration.celery_app, namespace=configuration.namespace)
        )
        return 1
    tasks = sorted(name for name in app.tasks if not name.startswith("celery."))
    static = "django.contrib.staticfiles" in settings.INSTALLED_APPS
    sys.stdout.write(json.dumps({"app": app.main, "tasks": tasks, "static": static}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
