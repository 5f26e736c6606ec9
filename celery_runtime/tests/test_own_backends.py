"""Result backends that a project or a deployment chooses, with all parts of the runtime: what holds while the backend is away."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import Server, wait_for
from django_project import Project, project

PARTS = ("watchdog", "transport", "guard", "limits", "results", "database", "memory", "beat")
AWAY = "the result backend is away"


@dataclass
class Store:
    """Where results are kept: how it is chosen, how it is taken away, and what puts an end to that."""

    own: dict[str, Any]
    settings: dict[str, Any]
    outage: Callable[[], AbstractContextManager[None]]


@pytest.fixture
def second(tmp_path: Path) -> Iterator[Server]:
    """Return a Redis beside the broker."""
    folder = tmp_path / "results"
    folder.mkdir()
    one = Server(folder)
    one.start()
    yield one
    if one.process and one.process.poll() is None:
        one.signal(signal.SIGKILL)


@pytest.fixture
def jobs(server: Any, tmp_path: Path) -> Iterator[Project]:
    yield from project(server, tmp_path, *PARTS)


def redis(second: Server) -> Store:
    @contextmanager
    def outage() -> Iterator[None]:
        second.signal(signal.SIGKILL)
        yield
        second.start()

    return Store({}, {"result_backend": second.url}, outage)


def files(folder: Path) -> Store:
    place, elsewhere = folder / "files", folder / "unmounted"
    place.mkdir()

    @contextmanager
    def outage() -> Iterator[None]:
        place.rename(elsewhere)
        yield
        elsewhere.rename(place)

    return Store({}, {"result_backend": f"file://{place}"}, outage)


@pytest.fixture(params=["django-db", "derived", "own", "redis", "file"])
def store(request: Any, jobs: Project, second: Server, tmp_path: Path) -> Store:
    if request.param == "redis":
        return redis(second)
    if request.param == "file":
        return files(tmp_path)
    name = {"derived": "own_choices:Derived", "own": "own_choices:Own"}.get(request.param, request.param)
    return Store({"CELERY_RESULT_BACKEND": name}, {}, jobs.outage)


def state(jobs: Project, task: str) -> str:
    return jobs.python(f"print(django_jobs.app.AsyncResult({task!r}).state)")


def test_a_task_waits_for_it_before_it_begins_and_when_it_ends(jobs: Project, store: Store) -> None:
    jobs.own, jobs.settings = store.own, store.settings
    jobs.consume()
    first, second = (jobs.delay("hold", name) for name in ("one", "two"))
    wait_for(jobs.effects, "the first has begun")
    with store.outage():
        jobs.release("one", "two")
        wait_for(lambda: AWAY in jobs.log(), f"it is waited for; {jobs.log()}")
        # The child has the first one's result still, and has not begun the second.
        assert jobs.effects() == ["begin-one", "one"]
    wait_for(lambda: jobs.effects()[2:] == ["begin-two", "two"], f"the second; {jobs.log()}")
    wait_for(lambda: state(jobs, second) == "SUCCESS", "stored")
    assert state(jobs, first) == "SUCCESS"
    if "own_choices" in str(store.own):
        with jobs.session() as connection:
            assert connection.execute("SELECT count(*) FROM own_results").fetchone() == (2,)


def test_the_main_process_keeps_what_a_redis_does_not_take_and_serves_on(jobs: Project, second: Server) -> None:
    store = redis(second)
    jobs.settings = store.settings
    jobs.consume()
    late = jobs.delay("note", "late", 600, time_limit=6)
    wait_for(jobs.effects, "begun")
    with store.outage():
        wait_for(lambda: f"the state FAILURE of the task {late} is stored when it is back" in jobs.log(), "kept")
        assert "pong" in jobs.python("print(django_jobs.app.control.ping(timeout=5))")
    wait_for(lambda: state(jobs, late) == "FAILURE", "stored")


def test_a_chord_is_counted_after_an_outage_of_redis(jobs: Project, second: Server) -> None:
    store = redis(second)
    jobs.settings = store.settings
    jobs.consume(concurrency=2)
    jobs.python("""if 1:
        from celery import chord
        chord([django_jobs.hold.si("one"), django_jobs.hold.si("two")])(django_jobs.note.si("all"))
    """)
    wait_for(lambda: len(jobs.effects()) == 2, "begun")
    with store.outage():
        jobs.release("one", "two")
        wait_for(lambda: AWAY in jobs.log(), "it is waited for")
    wait_for(lambda: "all" in jobs.effects(), f"its body; {jobs.log()}")
    assert jobs.effects().count("all") == 1


def test_a_reply_by_the_broker_arrives_after_an_outage_of_it(jobs: Project, server: Any) -> None:
    """RPC: the broker is the backend, and so away with it. Who waits is there all the time."""
    jobs.settings = {"result_backend": "rpc://"}
    jobs.consume()
    sender = jobs.spawn_python("""if 1:
        import os, time
        from kombu.exceptions import OperationalError
        result = django_jobs.hold.delay("one")
        while not os.path.exists(os.environ["EFFECTS"] + "-ask"):
            time.sleep(0.05)
        print(result.get(timeout=120))
    """)
    wait_for(jobs.effects, "begun")
    server.signal(signal.SIGKILL)
    jobs.release("one")
    wait_for(lambda: AWAY in jobs.log(), f"it is waited for; {jobs.log()}")
    server.start()
    wait_for(lambda: not server.client.exists("unacked"), "settled")
    (jobs.folder / "effects-ask").touch()
    assert sender.communicate(timeout=120)[0].strip() == "one"


def test_one_that_keeps_nothing_is_left_as_it_is(jobs: Project) -> None:
    jobs.own = {"CELERY_RESULT_BACKEND": "disabled"}
    assert jobs.python("print(type(django_jobs.app.backend).__module__)") == "celery.backends.base"


def test_a_backend_outlives_a_pickle(jobs: Project) -> None:
    code = "import pickle; print(pickle.loads(pickle.dumps(django_jobs.app.backend)).counts_again)"
    assert jobs.python(code) == "True"
