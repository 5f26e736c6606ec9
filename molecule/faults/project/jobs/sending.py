"""How a job is sent, by the site and by the command alike."""

from typing import Any

from . import tasks

TASKS = {
    task.name: task
    for task in (
        tasks.work,
        tasks.wait_for_gate,
        tasks.leak,
        tasks.kill_worker,
        tasks.signal_worker,
        tasks.take_memory,
        tasks.overrun,
    )
}


def send(job: dict[str, Any]) -> None:
    """Publish a job: `id`, `task`, `queue`, `seconds` that it takes, `countdown` (s) before it may begin.

    The message's id is the job's own, so that what became of it is found even if this process never hears the broker's answer.

    Raises:
        kombu.exceptions.OperationalError: the broker didn't take it.
    """
    TASKS[job["task"]].apply_async(
        kwargs={"job": job["id"], "seconds": job.get("seconds", 0)},
        task_id=job["id"],
        queue=job["queue"],
        countdown=job.get("countdown") or None,
    )
