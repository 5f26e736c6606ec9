"""A real PostgreSQL of a test's own, behind a unix socket."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from conftest import wait_for
from django_project import Project

# It refuses to run as root.
ACCOUNT = "nobody"
DATABASE = "postgres"


def _programs() -> Path:
    """Return the folder of the newest server that Debian has installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if not found:
        raise AssertionError("no PostgreSQL: run make setup")
    return found[-1]


@dataclass
class Cluster:
    """A server and the folder of its data and its socket."""

    folder: Path

    def connect(self) -> psycopg.Connection[Any]:
        """Return a connection of the test's own."""
        return psycopg.connect(
            host=str(self.folder), user=ACCOUNT, dbname=DATABASE, autocommit=True, connect_timeout=10
        )

    def answers(self) -> bool:
        """Tell whether it takes connections."""
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Make a cluster, start it, and remove it in the end."""
    # Not in pytest's folder, which is its user's alone.
    folder = Path(tempfile.mkdtemp(prefix="postgresql-"))
    as_somebody: dict[str, Any] = {}
    if os.getuid() == 0:
        account = pwd.getpwnam(ACCOUNT)
        os.chown(folder, account.pw_uid, account.pw_gid)
        as_somebody = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    data = folder / "data"
    options = ("--auth=trust", f"--username={ACCOUNT}", "--no-sync", "--encoding=UTF8", "--locale=C")
    try:
        subprocess.run(
            [_programs() / "initdb", "-D", data, *options], check=True, capture_output=True, cwd=folder, **as_somebody
        )
        settings = ("listen_addresses=", f"unix_socket_directories={folder}", "fsync=off", "max_connections=40")
        command = [_programs() / "postgres", "-D", data, *(part for one in settings for part in ("-c", one))]
        process = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **as_somebody
        )
        try:
            one = Cluster(folder)
            wait_for(one.answers, "PostgreSQL")
            yield one
        finally:
            # An immediate shutdown.
            process.send_signal(signal.SIGQUIT)
            process.wait(60)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class PostgresProject(Project):
    """Processes of `django_jobs` with a PostgreSQL."""

    cluster: Cluster | None = None

    def __post_init__(self) -> None:
        if self.cluster is None:
            raise AssertionError("no cluster")
        self.extra |= {"POSTGRESQL": str(self.cluster.folder), "POSTGRESQL_USER": ACCOUNT, "POSTGRESQL_NAME": DATABASE}

    def ask(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a question."""
        assert self.cluster is not None
        with self.cluster.connect() as connection:
            return connection.execute(query, values).fetchall()

    def states(self) -> dict[str, str]:
        """Return the stored states by the tasks' ids."""
        return dict(self.ask("SELECT task_id, status FROM django_celery_results_taskresult"))  # type: ignore[arg-type]
