"""Loads all that will run of a release, and compares the Celery app's settings with those that the deployment asks for.

Run in a release, before anything of it is started. A project that sets Celery's options past Django's settings, or that forces
a settings module of its own, would run with other timeouts than its neighbours; here it is found and refused. What must have its tables
is tried after the migration: the site's page, and the checks of the database.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from importlib import import_module
from typing import Any

from celery import Celery
from celery.app.utils import find_app
from celery.utils.imports import load_extension_class_names, symbol_by_name
from django.conf import settings
from kombu.exceptions import OperationalError
from redis import Redis

from . import app_settings, choices, compatibility, laid_over, parts, system_checks
from .configuration import Configuration, load
from .explain import FAILURES, SETTINGS_MODULE, Watch, explained, whole
from .masking import masked, own_secrets
from .overlay import effective
from .single_worker import complaint
from .transport import Channel

# Seconds that each of the other processes may take.
PATIENCE = 300
# Scripts that may run while memory is full came with it (release notes of Redis 7.0).
OLDEST_BROKER = 7
ADVICE = """Fix: let {app} take its settings from Django's, with app.config_from_object('django.conf:settings',
namespace='{namespace}') and change none when they were read; set DJANGO_SETTINGS_MODULE with os.environ.setdefault alone; declare every
queue in stack_queues; or say what you want in stack_celery_settings_extra.
"""


# kombu's options that decide the names of keys, and so what the broker's users may do (see the filter `broker_users`).
NAMING_OPTIONS = ("global_keyprefix", "priority_steps", "sep")
# Those that decide the names of channels, for which rights are granted by the names that are kombu's default.
CHANNEL_OPTIONS = ("fanout_prefix", "fanout_patterns")
EAGER = (
    "task_always_eager is on: every task would run inside of who sends it, such as a web request, and none would reach a worker. "
    "It is for tests: turn it off in the project's settings, or by stack_celery_settings_extra: {task_always_eager: false}"
)


def differences(app: Celery, wanted: dict[str, Any]) -> list[str]:
    """Return a line for each setting whose value in the app isn't the wanted one."""
    lines = []
    for name, value in sorted(wanted.items()):
        actual = getattr(app.conf, name, None)
        if name == "broker_transport_options":
            # The project may have others besides.
            actual = {option: (actual or {}).get(option) for option in value}
        if _plain(actual) != _plain(value):
            shown = masked(repr(actual), own_secrets())
            lines.append(f"{name} is {shown} in the loaded app; the deployment asks for {value!r}")
    return lines


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))


def expected(configuration: Configuration, used: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that the app is to have: what a credential gives in place of one is meant so, unless a part needs another.

    Args:
        configuration: the deployment's.
        used: the settings in force.
    """
    needed = parts.settings(configuration.runtime)
    given = {configuration.celery_name(name) for name in configuration.credentials}
    wanted = effective(configuration, used)
    return {name: value for name, value in wanted.items() if name in needed or name not in given}


def other_names(app: Celery, configuration: Configuration) -> list[str]:
    """Return a line where the app looks for its settings by other names than the deployment gives them."""
    own = app.namespace or ""
    if own == configuration.namespace:
        return []
    how = (
        f"namespace={own!r}"
        if own
        else "no namespace, so by the names that they had before Celery 4, such as BROKER_URL"
    )
    return [
        f"stack_celery_app: '{configuration.celery_app}' calls config_from_object with {how}. "
        f'Fix: stack_celery_namespace: "{own}". What follows may come of it'
    ]


def orphaned_queues(app: Celery, consumed: list[str]) -> list[str]:
    """Return a line for each queue that a task is sent to and that no pool consumes."""
    targets: dict[str, str] = {str(app.conf.task_default_queue): "task_default_queue"}
    targets |= {queue: f"task_routes[{pattern!r}]" for pattern, queue in _written_routes(app.conf.task_routes)}
    for name, task in app.tasks.items():
        if queue := _queue_of(_computed_route(app, name, task)):
            targets.setdefault(queue, f"task_routes, for the task {name},")
        if queue := _queue_of(getattr(task, "queue", None)):
            targets[queue] = f"the task {name}"
    return [
        f"{source} sends to the queue '{queue}', which is not in stack_queues ({', '.join(consumed)})"
        for queue, source in sorted(targets.items())
        if not any(fnmatchcase(queue, name) for name in consumed)
    ]


def _queue_of(route: Any) -> str:
    """Return the name of the queue that a route names; nothing where it names none."""
    queue = route.get("queue") if isinstance(route, Mapping) else route
    return str(getattr(queue, "name", queue)) if queue else ""


def _written_routes(routes: Any) -> Iterator[tuple[Any, str]]:
    """Find patterns and queues in `task_routes`: a dictionary, pairs, or a list of these and of functions, whose routes stand nowhere."""
    if isinstance(routes, Mapping):
        routes = list(routes.items())
    if not isinstance(routes, (list, tuple)):
        return
    for route in routes:
        if isinstance(route, (list, tuple)) and len(route) == 2 and isinstance(route[0], (str, re.Pattern)):
            if queue := _queue_of(route[1]):
                yield route[0], queue
        else:
            yield from _written_routes(route)


def _computed_route(app: Celery, name: str, task: Any) -> Any:
    """Return where the project's routes, also functions, send a task that is called without arguments."""
    try:
        return app.amqp.router.lookup_route(name, (), {}, {}, task)
    except Exception as error:
        # A function may want arguments that nobody can make up.
        sys.stderr.write(f"task_routes can't be asked for {name}: {type(error).__name__}: {error}\n")
        return None


def unknown_names(app: Celery, said: Mapping[str, Any]) -> list[str]:
    """Return a line for each of kombu's options by which keys have other names than the broker's users may use.

    Args:
        app: the loaded app.
        said: the options that the deployment knows of.
    """
    options = app.conf.broker_transport_options
    return [
        f"broker_transport_options of the project sets {name} to {options[name]!r}, and the deployment grants rights to keys by other names. "
        f"Say it there, too: stack_celery_settings_extra: {{broker_transport_options: {json.dumps({name: options[name]}, default=str)}}}"
        for name in NAMING_OPTIONS
        if name in options and options[name] != said.get(name)
    ] + [
        f"broker_transport_options sets {name} to {options[name]!r}: its users may use channels of kombu's own names alone. Leave it out"
        for name in CHANNEL_OPTIONS
        if options.get(name, True) is not True
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
            # As the workers ask: the others' protocol may be one without an answer.
            pool = connection.default_channel._get_pool(asynchronous=True)
            with Redis(connection_pool=pool, single_connection_client=True) as client:
                answer = client.connection.handshake_metadata
            pool.disconnect()
    except OperationalError as error:
        sys.stderr.write(f"the broker's version is not checked, since it can't be reached: {error}\n")
        return []
    version = {str(key, "utf-8"): value for key, value in answer.items()}["version"].decode()
    if int(version.split(".")[0]) >= OLDEST_BROKER:
        return []
    return [
        f"the broker is Redis {version}; the part 'transport' of stack_runtime_parts needs {OLDEST_BROKER}.0: upgrade it, or leave the part out"
    ]


class Refused(Exception):
    """The deployment must not go on; the text says why."""


@contextmanager
def _told(what: str, watch: Watch) -> Iterator[None]:
    """Let what goes wrong in here be told in a line; the traceback is printed.

    Raises:
        Refused: something went wrong.
    """
    try:
        yield
    except Refused:
        raise
    except FAILURES as error:
        sys.stdout.write(whole(error))
        raise Refused(watch.complaint(what) or explained(error, f"{what} can't be loaded")) from error


def loaded_app(name: str, watch: Watch) -> Celery:
    """Return the app, loaded with its tasks as `celery --app` does."""
    with _told(f"stack_celery_app: '{name}'", watch):
        try:
            app = find_app(name)
        except AttributeError:
            # Where `shop` has no app, Celery looks into `shop.celery`, and says nothing of an error that it finds there.
            if ":" not in name:
                import_module(f"{name}.celery")
            raise
        # Its checks of the whole project may ask for tables; they have a turn of their own.
        os.environ["CELERY_SKIP_CHECKS"] = "1"
        app.loader.import_default_modules()
        app.finalize(auto=True)
        return app


def load_scheduler(app: Celery, watch: Watch) -> None:
    """Load the class of beat's scheduler as beat does."""
    name = app.conf.beat_scheduler
    with _told(f"beat_scheduler: '{name}' (see stack_celery_settings_extra)", watch):
        symbol_by_name(name, aliases=dict(load_extension_class_names("celery.beat_schedulers")))


def compared(configuration: Configuration, app: Celery, used: dict[str, Any]) -> list[str]:
    """Return what is wrong with a loaded app.

    Args:
        configuration: the deployment's.
        app: the project's.
        used: the settings in force.
    """
    problems = differences(app, expected(configuration, used))
    problems = (
        (other_names(app, configuration) if problems else []) + problems + orphaned_queues(app, configuration.queues)
    )
    problems += unknown_names(app, configuration.celery.get("broker_transport_options", {}))
    problems += choices.faults(app, configuration)
    problems += choices.plain_login(used, configuration)
    problems += [EAGER] if app.conf.task_always_eager else []
    if "transport" in configuration.runtime.parts:
        problems += old_broker(app)
        problems += filter(None, [complaint(app.conf.broker_transport_options)])
    return problems


def probed(beat: bool) -> dict[str, Any]:
    """Load the Celery app, compare it, and return its tasks and which settings of the project are replaced.

    Args:
        beat: whether the scheduler is to run here.

    Raises:
        Refused: the deployment must not go on.
    """
    watch = Watch()
    with _told("the deployment's configuration", watch):
        configuration = load()
    with _told(f"stack_settings_module: '{configuration.project_settings}'", watch):
        static = "django.contrib.staticfiles" in settings.INSTALLED_APPS
    app = loaded_app(configuration.celery_app, watch)
    if unfit := compatibility.faults(configuration.runtime.parts):
        raise Refused("\n".join(unfit))
    if replaced := watch.complaint(f"stack_celery_app: '{configuration.celery_app}'"):
        raise Refused(replaced)
    said = app_settings.said(app)
    used = vars(import_module(SETTINGS_MODULE)) | said.used
    if problems := compared(configuration, app, used):
        advice = ADVICE.format(app=configuration.celery_app, namespace=configuration.namespace)
        raise Refused("\n".join(problems) + f"\n{advice}")
    if beat:
        load_scheduler(app, watch)
    tasks = sorted(name for name in app.tasks if not name.startswith("celery."))
    found = laid_over.rows(vars(import_module(configuration.project_settings)) | said.project, used, configuration)
    return {
        "app": app.main,
        "tasks": tasks,
        "static": static,
        "urls": {name: str(getattr(settings, name) or "") for name in ("STATIC_URL", "MEDIA_URL")},
        "laid_over": laid_over.table(found),
        "dangers": choices.dangers(app, configuration),
    }


def other_process(what: str, arguments: list[str], patience: float, fine: tuple[int, ...] = (0,)) -> tuple[int, str]:
    """Run a module in a process of its own: what was loaded here may hide what it can't load by itself.

    Args:
        what: what it tries, for a message.
        arguments: of the interpreter.
        patience: seconds that it may take.
        fine: exit statuses with which the deployment goes on.

    Returns:
        its exit status, and what it printed.

    Raises:
        Refused: it says that the deployment must not go on, or takes too long. What it has to say of that it has said.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-m", *arguments], stdout=subprocess.PIPE, text=True, timeout=patience, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise Refused(f"{what}: no answer within {patience:g} s") from error
    if done.returncode not in fine:
        sys.stdout.write(done.stdout)
        raise Refused("")
    return done.returncode, done.stdout


def arguments() -> argparse.Namespace:
    """Return what is to be tried."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--beat", action="store_true", help="load the scheduler too")
    parser.add_argument("--wsgi", default="", help="application to load, such as shop.wsgi:application")
    parser.add_argument("--asgi", default="", help="application to load, such as shop.asgi:application")
    parser.add_argument("--checks", action="store_true", help="run the project's own checks")
    parser.add_argument("--migrated", action="store_true", help="what the tables are needed for, in place of the rest")
    parser.add_argument("--path", default="", help="page to ask for when the tables are there")
    parser.add_argument("--host", default="localhost", help="name of the site, for the page")
    parser.add_argument("--status", default="200", help="of the page, with commas between those that are right")
    parser.add_argument("--secure", action="store_true", help="ask as the front does for a request by HTTPS")
    parser.add_argument(
        "--patience", type=float, default=PATIENCE, help="seconds for the application, and for the checks"
    )
    return parser.parse_args()


def tried(options: argparse.Namespace) -> dict[str, Any]:
    """Try what is asked for, and return what there is to say of it.

    Raises:
        Refused: the deployment must not go on.
    """
    answer: dict[str, Any] = {} if options.migrated else probed(options.beat)
    if options.checks:
        words = ["celery_runtime.system_checks", *(["--migrated"] if options.migrated else [])]
        status, _ = other_process(system_checks.NAMED, words, options.patience, fine=(0, system_checks.DEFERRED))
        answer |= {} if options.migrated else {"deferred": status == system_checks.DEFERRED}
    if options.wsgi or options.asgi:
        words = ["celery_runtime.web_probe", f"--wsgi={options.wsgi}", f"--asgi={options.asgi}"]
        if options.migrated:
            words += [f"--path={options.path}", f"--host={options.host}", f"--status={options.status}"]
            words += ["--secure"] if options.secure else []
        what = f"stack_health_path: {options.path}" if options.migrated else "stack_wsgi_app, stack_asgi_app"
        _, printed = other_process(what, words, options.patience)
        answer |= {"status": int(printed.splitlines()[-1])} if options.migrated else {}
    return answer


def main() -> int:
    """Try a release; print what there is to say of it as JSON, in the last line.

    Returns:
        1 when the deployment must not go on: why is on standard error, and tracebacks are printed.
    """
    try:
        answer = tried(arguments())
    except Refused as reason:
        sys.stderr.write(f"{reason}\n" if str(reason) else "")
        return 1
    sys.stdout.write(json.dumps(answer) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
