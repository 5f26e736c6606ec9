"""The test project `django_jobs` under the runtime: its processes, its database, and what takes that away."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conftest import HERE, SOURCES, Celery, wait_for

SETTINGS = {
    "task_acks_late": True,
    "task_track_started": True,
    "task_default_queue": "low",
    "task_retry_on_worker_lost": True,
    "result_extended": True,
    "result_expires": None,
    "worker_prefetch_multiplier": 1,
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    "broker_connection_retry_on_startup": True,
    "broker_transport_options": {"visibility_timeout": 7200, "socket_timeout": 5, "socket_connect_timeout": 2},
}
# As the stack has them: what holds where the project says nothing. But for time limits: under a soft limit of a pool Celery begins to count
# towards a message's hard limit when the soft one is over.
DEFAULTS = {
    "task_serializer": "json",
    "result_serializer": "json",
    "event_serializer": "json",
    "accept_content": ["json"],
    "result_accept_content": ["json"],
    "result_backend": "django-db",
    "beat_scheduler": "django_celery_beat.schedulers:DatabaseScheduler",
}


@dataclass
class Project(Celery):
    """Processes of `django_jobs`."""

    namespace: str = "CELERY"
    extra: dict[str, str] = field(default_factory=dict)
    own: dict[str, Any] = field(default_factory=dict)
    defaults: dict[str, Any] = field(default_factory=lambda: dict(DEFAULTS))

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of a process of the deployment."""
        file = self.folder / "settings.json"
        celery = SETTINGS | {"broker_url": self.url} | self.settings
        content = {
            "project_settings": "django_jobs",
            "celery_app": "django_jobs",
            "namespace": self.namespace,
            "celery": celery,
            "celery_defaults": self.defaults,
            "queues": ["low"],
            "runtime": self.runtime,
        }
        file.write_text(json.dumps(content))
        return os.environ | {
            "PYTHONPATH": f"{SOURCES}:{HERE}",
            "DJANGO_SETTINGS_MODULE": "celery_runtime.settings",
            "CELERY_RUNTIME_CONFIG": str(file),
            "DATABASE": str(self.folder / "database.sqlite3"),
            "EFFECTS": str(self.folder / "effects"),
            "NAMESPACE": self.namespace,
            "OWN_SETTINGS": json.dumps(self.own),
            **self.extra,
        }

    def python(self, code: str) -> str:
        """Run code in a process of the project's, as a web request or a shell would."""
        code = f"import django; django.setup(); import django_jobs\n{code}"
        done = subprocess.run(
            [sys.executable, "-c", code], env=self.environment, capture_output=True, text=True, timeout=180, check=False
        )
        if done.returncode != 0:
            raise AssertionError(done.stdout + done.stderr)
        return done.stdout.strip()

    def spawn_python(self, code: str) -> subprocess.Popen[str]:
        """Start code in a process of the project's; its output can be read."""
        code = f"import django; django.setup(); import django_jobs\n{code}"
        return subprocess.Popen([sys.executable, "-c", code], env=self.environment, stdout=subprocess.PIPE, text=True)

    def migrate(self) -> None:
        """Make the tables."""
        self.python("from django.core.management import call_command; call_command('migrate', verbosity=0)")

    def delay(self, task: str, *arguments: Any, **options: Any) -> str:
        """Send a task and return its id."""
        return self.python(f"print(django_jobs.{task}.apply_async({arguments!r}, **{options!r}).id)")

    def start(self, name: str, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a Celery command in a process group of its own."""
        process = subprocess.Popen(
            [sys.executable, "-m", "celery", "--app=django_jobs", *arguments],
            env=self.environment | environment,
            stdout=(self.folder / f"{name}.log").open("ab"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def consume(
        self, *arguments: str, name: str = "one", concurrency: int = 1, **environment: str
    ) -> subprocess.Popen[bytes]:
        """Start a worker and wait until it consumes."""
        options = ("worker", "--loglevel=INFO", "--without-gossip", "--without-mingle", f"--concurrency={concurrency}")
        before = self.log(name).count(" ready.") if (self.folder / f"{name}.log").exists() else 0
        process = self.start(name, *options, f"--hostname={name}@test", *arguments, **environment)
        wait_for(lambda: self.log(name).count(" ready.") > before, f"worker {name}")
        return process

    def states(self) -> dict[str, str]:
        """Return the stored states by the tasks' ids."""
        with self.session() as connection:
            return dict(connection.execute("SELECT task_id, status FROM django_celery_results_taskresult"))

    @contextmanager
    def session(self) -> Iterator[sqlite3.Connection]:
        """Return a connection of the test's own to the database."""
        connection = sqlite3.connect(self.folder / "database.sqlite3", timeout=5, isolation_level=None)
        try:
            yield connection
        finally:
            connection.close()

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Take the database away: whoever asks gets an OperationalError after a tenth of a second."""
        with self.session() as connection:
            connection.execute("BEGIN EXCLUSIVE")
            yield
            connection.execute("ROLLBACK")


def project(server: Any, folder: Path, *parts: str, **options: Any) -> Iterator[Project]:
    """Return the project with its tables, and end its processes afterwards."""
    one = Project(folder, server.url, {"parts": list(parts), "publish_timeout": 60}, **options)
    one.migrate()
    yield one
    for process in one.processes:
        if process.poll() is None:
            one.kill(process)
