"""A result backend: a table of the project's own, in the project's own format."""

from typing import Any

from celery import states
from celery.backends.base import BaseBackend

from .models import Outcome


class Outcomes(BaseBackend):
    """Keeps what became of each task."""

    def _store_result(
        self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None, **_: Any
    ) -> None:
        meta = self._get_result_meta(result, state, traceback, request)
        Outcome.objects.update_or_create(task_id=task_id, defaults={"body": self.encode(meta)})

    def _get_task_meta_for(self, task_id: str) -> dict[str, Any]:
        row = Outcome.objects.filter(task_id=task_id).first()
        return self.decode(row.body) if row else {"status": states.PENDING, "result": None}
