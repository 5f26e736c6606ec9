"""A Django project with a database on disk that knows nothing of the runtime: its settings, its Celery application and its tasks.

Its tasks touch no database, so that a test of what the runtime does with one isn't disturbed by them.
"""

import json
import os
import time
from pathlib import Path

from celery import Celery, signals
from kombu.serialization import register

SECRET_KEY = "no secret"  # noqa: S105 (it says so)
INSTALLED_APPS = ["django.contrib.contenttypes", "django_celery_results", "django_celery_beat"]
USE_TZ = True
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ["DATABASE"],
        "OPTIONS": {"timeout": 0.1},
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
    }
}
if "POSTGRESQL" in os.environ:
    DATABASES["default"] = {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": os.environ["POSTGRESQL"],
        "USER": os.environ["POSTGRESQL_USER"],
        "NAME": os.environ["POSTGRESQL_NAME"],
        "CONN_MAX_AGE": 60,
    }
# What a test lets the project say for itself.
globals().update(json.loads(os.environ.get("OWN_SETTINGS", "{}")))
# A serializer of the project's own: JSON behind a word.
register(
    "worded",
    lambda data: f"word {json.dumps(data)}",
    lambda text: json.loads(text[5:]),
    "application/x-worded",
    "utf-8",
)
app = Celery("django_jobs")
app.config_from_object("django.conf:settings", namespace=os.environ.get("NAMESPACE", "CELERY"))


if "KILL_BEFORE_WRITING" in os.environ:

    @signals.after_task_publish.connect(weak=False)
    def end(**_: object) -> None:
        """End beat as a kill would, when the broker has a run and nobody has written it down."""
        os._exit(9)


def leave(line: str) -> None:
    """Leave a line in the file of effects."""
    with Path(os.environ["EFFECTS"]).open("a") as file:
        file.write(f"{line}\n")


@app.task
def note(name: str, seconds: float = 0) -> str:
    """Take a while."""
    leave(f"begin-{name}")
    time.sleep(seconds)
    leave(name)
    return name


@app.task
def hold(name: str) -> str:
    """Begin, and end when the test opens the gate of this name."""
    leave(f"begin-{name}")
    gate = Path(f"{os.environ['EFFECTS']}-{name}-may-end")
    while not gate.exists():
        time.sleep(0.02)
    leave(name)
    return name


@app.task(max_retries=2, default_retry_delay=1)
def die(name: str) -> str:
    """End the child that runs this."""
    leave(f"begin-{name}")
    os._exit(1)


@app.task(max_retries=None, default_retry_delay=1)
def part(number: int, gate: str = "") -> int:
    """Be a part of a chord, which may end when its gate is open."""
    leave(f"part-{number}-{os.getpid()}")
    while gate and not Path(f"{os.environ['EFFECTS']}-{gate}").exists():
        time.sleep(0.02)
    if number < 0:
        raise ValueError(number)
    return number


@app.task(max_retries=None, default_retry_delay=1)
def body(numbers: list[int]) -> int:
    """Be the end of a chord."""
    leave(f"body-{len(numbers)}-{sum(numbers)}")
    return sum(numbers)


def number() -> int:
    """Return the number of this process's present connection to the database; a new one has a new number."""
    from django.db import connection as database

    raw = database.connection
    if raw is not _numbered[-1]:
        _numbered.append(raw)
    return len(_numbered)


_numbered: list[object] = [None]


@app.task
def connection(harm: str) -> None:  # noqa: ARG001 (for what follows the task)
    """Use the database and leave which connection of which child that was; harm comes to it when the result is stored."""
    from django.db import connection as database

    with database.cursor() as cursor:
        cursor.execute("SELECT 1")
    leave(f"{os.getpid()}:{number()}")


@signals.task_postrun.connect(sender=connection)
def do_harm(args: tuple[str], **_: object) -> None:
    """Harm the connection of the task that was just done."""
    from django.db import connection as database

    exec(args[0], {"database": database})  # noqa: S102 (the code is the test's own)


@app.task
def collect(seconds: float = 0) -> None:
    """Let the garbage collector look at everything, as it does in the long run."""
    import gc

    gc.collect()
    leave(str(os.getpid()))
    time.sleep(seconds)
