"""The tasks: one that works as it should, and some that don't."""

import os
import signal
import time

from celery import Task, shared_task
from celery.exceptions import SoftTimeLimitExceeded
from django.db import InterfaceError, OperationalError, transaction

from .models import Delivery, Done, Effect

# A database that is away comes back; the task waits for it, a little longer from try to try.
RETRIED = {
    # For a retry after the process was killed, which Celery would put off for three minutes.
    "default_retry_delay": 1,
    "autoretry_for": (OperationalError, InterfaceError),
    "retry_backoff": 1,
    "retry_backoff_max": 4,
    "retry_jitter": True,
    "max_retries": None,
}
_leaked: list[bytearray] = []


def begin(task: Task, job: str) -> None:
    """Write down that a worker has begun with a job."""
    request = task.request
    Delivery.objects.create(
        job=job,
        task_id=request.id,
        node=request.hostname or "",
        process=os.getpid(),
        retries=request.retries,
        at=time.time(),
    )


def finish(task: Task, job: str) -> None:
    """Have the job's effect, once."""
    with transaction.atomic():
        _, first = Done.objects.get_or_create(job=job)
        if first:
            Effect.objects.create(job=job, node=task.request.hostname or "", at=time.time())


@shared_task(bind=True, name="jobs.work", **RETRIED)
def work(self: Task, job: str, seconds: float = 0) -> str:
    """Do a job that takes some seconds."""
    begin(self, job)
    time.sleep(seconds)
    finish(self, job)
    return job


@shared_task(bind=True, name="jobs.leak", **RETRIED)
def leak(self: Task, job: str, seconds: float = 0) -> str:
    """Do a job, and keep memory (40 MiB) that nobody needs any more."""
    begin(self, job)
    # Written to, for memory that was never touched counts nowhere.
    _leaked.append(bytearray(os.urandom(4096)) * (40 * 256))
    time.sleep(seconds)
    finish(self, job)
    return job


@shared_task(bind=True, name="jobs.kill_worker", **RETRIED)
def kill_worker(self: Task, job: str, seconds: float = 0) -> str:
    """Kill the worker's main process, as a fault in a library's native code or the kernel would."""
    begin(self, job)
    time.sleep(seconds)
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)
    return job


@shared_task(bind=True, name="jobs.overrun", soft_time_limit=2, time_limit=4, **RETRIED)
def overrun(self: Task, job: str, seconds: float = 0) -> str:
    """Go on and on, and don't listen to the soft time limit."""
    begin(self, job)
    while True:
        try:
            time.sleep(seconds)
        except SoftTimeLimitExceeded:
            continue
