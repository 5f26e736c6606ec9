"""What a project may bring of its own: result backends and schedulers that know nothing of the runtime."""

from __future__ import annotations

import json
from typing import Any

from celery.backends.base import BaseBackend
from celery.beat import Scheduler
from django.db import connection
from django_celery_results.backends import DatabaseBackend

RESULTS = "CREATE TABLE IF NOT EXISTS own_results (task_id TEXT PRIMARY KEY, meta TEXT)"
RUNS = "CREATE TABLE IF NOT EXISTS own_runs (name TEXT, count INTEGER)"


class Derived(DatabaseBackend):
    """One that adds to django-celery-results."""

    def _store_result(self, task_id: str, result: Any, status: str, *args: Any, **kwargs: Any) -> Any:
        """Store it under another state, too, so that a test knows who did."""
        with connection.cursor() as cursor:
            cursor.execute(RESULTS)
            cursor.execute("INSERT OR REPLACE INTO own_results VALUES (%s, %s)", [task_id, f"derived {status}"])
        return super()._store_result(task_id, result, status, *args, **kwargs)


class Own(BaseBackend):
    """One that keeps results in a table of its own."""

    def _store_result(
        self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None, **_: Any
    ) -> None:
        meta = self._get_result_meta(result, state, traceback, request)
        with connection.cursor() as cursor:
            cursor.execute(RESULTS)
            cursor.execute(
                "INSERT OR REPLACE INTO own_results VALUES (%s, %s)", [task_id, json.dumps(meta, default=str)]
            )

    def _get_task_meta_for(self, task_id: str) -> dict[str, Any]:
        with connection.cursor() as cursor:
            cursor.execute(RESULTS)
            cursor.execute("SELECT meta FROM own_results WHERE task_id = %s", [task_id])
            row = cursor.fetchone()
        return json.loads(row[0]) if row else {"status": "PENDING", "result": None}


class Counting(Scheduler):
    """A scheduler that writes each run into a table of the project's."""

    def reserve(self, entry: Any) -> Any:
        """Count the run."""
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO own_runs VALUES (%s, %s)", [entry.name, entry.total_run_count])
        return super().reserve(entry)

    def setup_schedule(self) -> None:
        """Make the table."""
        with connection.cursor() as cursor:
            cursor.execute(RUNS)
        super().setup_schedule()
