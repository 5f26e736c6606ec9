"""A Celery project that knows nothing of the runtime; its tasks leave a line each in a file."""

import os
import signal
import time
from pathlib import Path

from celery import Celery, signals
from celery_runtime import parts
from celery_runtime.configuration import load
from celery_runtime.overlay import operational
from kombu import Exchange, Queue

# What `celery_runtime.settings` does for a Django project.
configuration = load()
parts.install(configuration.runtime)

app = Celery("jobs", broker=os.environ["BROKER_URL"])
app.conf.update(
    task_acks_late=True,
    task_default_queue="low",
    task_queues=[Queue(name, Exchange(name), routing_key=name) for name in ("high", "low")],
    worker_prefetch_multiplier=1,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"visibility_timeout": 7200, "socket_timeout": 5, "socket_connect_timeout": 2},
)
app.conf.update(operational(configuration))


if "KILL_AT_HEARTBEAT" in os.environ:
    # The broker goes in the moment in which a heartbeat is due.
    @signals.heartbeat_sent.connect(weak=False)
    def kill(**_: object) -> None:
        heartbeats.append(time.monotonic())
        if len(heartbeats) == 3:
            os.kill(int(os.environ["KILL_AT_HEARTBEAT"]), signal.SIGKILL)
            time.sleep(0.5)

    heartbeats: list[float] = []


def leave(line: str) -> None:
    with Path(os.environ["EFFECTS"]).open("a") as file:
        file.write(f"{line}\n")


@app.task
def note(name: str, seconds: float = 0) -> None:
    leave(f"begin-{name}")
    time.sleep(seconds)
    leave(name)


@app.task
def hold(name: str) -> None:
    """Begin, and end when the test opens the gate of this name."""
    leave(f"begin-{name}")
    gate = Path(f"{os.environ['EFFECTS']}-{name}-may-end")
    while not gate.exists():
        time.sleep(0.02)
    leave(name)


@app.task
def note_time() -> None:
    leave(str(time.time()))


@app.task(bind=True, max_retries=None)
def fail_until(self, path: str) -> None:
    leave("try")
    if not Path(path).exists():
        raise self.retry(countdown=0)
    leave("done")


@app.task(time_limit=30)
def note_with_limit(name: str, seconds: float = 0) -> None:
    note(name, seconds)


@app.task(bind=True, max_retries=None)
def retry_with_what_no_message_can_hold(self) -> None:
    leave("impossible")
    try:
        raise ConnectionError("a service that is away, and no broker")
    except ConnectionError as error:
        raise self.retry(exc=error, kwargs={"name": object()}, countdown=0) from error


@app.task(bind=True)
def hold_here(self, path: str) -> None:
    """Run until the file of this worker is there."""
    name = self.request.hostname
    leave(f"begin-{name}")
    while not Path(f"{path}-{name}").exists():
        time.sleep(0.05)
    leave(f"end-{name}")


class EndsWhoReadsIt(Exception):
    """As a fault in native code: where the worker's main process unpickles it, that process ends."""

    def __init__(self, how: str) -> None:
        super().__init__(how)
        self.how = how

    def __reduce__(self):
        return end_unless, (os.getpid(), self.how)


def end(how: str) -> None:
    if how.startswith("SIG"):
        signal.signal(signal.Signals[how], signal.SIG_DFL)
        os.kill(os.getpid(), signal.Signals[how])
    os._exit(int(how))


def end_unless(process: int, how: str) -> EndsWhoReadsIt:
    if os.getpid() != process:
        end(how)
    return EndsWhoReadsIt(how)


@app.task
def end_main_process(how: str) -> None:
    leave("end")
    raise EndsWhoReadsIt(how)


@app.task(reject_on_worker_lost=True)
def end_own_process(how: str) -> None:
    leave("end")
    end(how)


@app.task(default_retry_delay=0)
def lose_child_once(how: str) -> None:
    """End the child at the first attempt."""
    effects = Path(os.environ["EFFECTS"])
    if effects.exists() and "end" in effects.read_text().split():
        leave("done")
        return
    leave("end")
    if how == "exit":
        raise SystemExit(3)
    end(how)


@app.task(default_retry_delay=0, max_retries=2)
def lose_each_child() -> None:
    leave("end")
    os._exit(1)


@app.task
def kill_main_process() -> None:
    leave("kill")
    os.kill(os.getppid(), signal.SIGKILL)


@app.task
def signal_in_every_way() -> None:
    """Leave a line for each way to send a signal: whether it was refused. The signals themselves would do no harm."""
    from guard_ways import ALLOWED, REFUSED

    for name, way in (REFUSED | ALLOWED).items():
        try:
            way(os.getppid())
        except PermissionError:
            leave(f"{name}-refused")
        else:
            leave(f"{name}-passed")


@app.task(reject_on_worker_lost=True)
def hold_and_be_requeued(name: str) -> None:
    hold(name)
