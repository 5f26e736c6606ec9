"""A Celery project with a task that does nothing, under the runtime where a configuration file is named, and stock where none is."""

import os

from celery import Celery
from kombu import Exchange, Queue

QUEUES = ("high", "low")
RUNTIME = "CELERY_RUNTIME_CONFIG" in os.environ
if RUNTIME:
    from celery_runtime import parts
    from celery_runtime.configuration import load

    parts.install(load().runtime)

results = os.environ.get("BENCH_RESULTS")
app = Celery("bench", broker=os.environ["BENCH_BROKER"], backend=results, set_as_current=True)
# As the roles set it, for both.
app.conf.update(
    task_acks_late=True,
    task_default_queue="low",
    task_ignore_result=results is None,
    task_queues=[Queue(name, Exchange(name), routing_key=name) for name in QUEUES],
    worker_prefetch_multiplier=1,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"visibility_timeout": 7200, "socket_timeout": 5, "socket_connect_timeout": 2},
)
if RUNTIME:
    from celery_runtime.overlay import operational

    app.conf.update(operational(load()))


@app.task
def nothing() -> None:
    """Do nothing."""
