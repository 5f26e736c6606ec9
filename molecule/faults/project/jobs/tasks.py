"""The tasks: one that works as it should, and some that don't."""

import os
import signal
import time

from celery import Task, shared_task
from celery.exceptions import Reject, SoftTimeLimitExceeded
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


def end_unless(process: int) -> "EndsWhoReadsIt":
    """End this process, unless it is the one that the object comes from."""
    if os.getpid() != process:
        os._exit(70)
    return EndsWhoReadsIt()


class EndsWhoReadsIt:
    """Ends the process that unpickles it."""

    def __reduce__(self) -> tuple[object, tuple[int]]:
        return end_unless, (os.getpid(),)


@shared_task(bind=True, name="jobs.work", **RETRIED)
def work(self: Task, job: str, seconds: float = 0) -> str:
    """Do a job that takes some seconds."""
    begin(self, job)
    time.sleep(seconds)
    finish(self, job)
    return job


@shared_task(bind=True, name="jobs.wait_for_gate", **RETRIED)
def wait_for_gate(self: Task, job: str, seconds: float = 0) -> str:
    """Do a job that takes as long as somebody else wants."""
    begin(self, job)
    time.sleep(seconds)
    while not Done.objects.filter(job=f"{job}-may-end").exists():
        time.sleep(0.1)
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
    """End the worker's main process, as a fault in a library's native code would: where that process reads what became of the task."""
    begin(self, job)
    time.sleep(seconds)
    raise Reject(EndsWhoReadsIt())


@shared_task(bind=True, name="jobs.signal_worker", **RETRIED)
def signal_worker(self: Task, job: str, seconds: float = 0) -> str:
    """Send the worker's main process a SIGKILL."""
    begin(self, job)
    time.sleep(seconds)
    os.kill(os.getppid(), signal.SIGKILL)
    return job


@shared_task(bind=True, name="jobs.take_memory", **{**RETRIED, "max_retries": 1})
def take_memory(self: Task, job: str, seconds: float = 0) -> str:
    """Take memory until the kernel ends it."""
    begin(self, job)
    time.sleep(seconds)
    taken = []
    while True:
        taken.append(bytearray(os.urandom(4096)) * (16 * 256))


@shared_task(bind=True, name="jobs.overrun", soft_time_limit=2, time_limit=4, **RETRIED)
def overrun(self: Task, job: str, seconds: float = 0) -> str:
    """Go on and on, and don't listen to the soft time limit."""
    begin(self, job)
    while True:
        try:
            time.sleep(seconds)
        except SoftTimeLimitExceeded:
            continue
