"""Packages that were upgraded past what the runtime knows: a worker that would lose something in silence doesn't start."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import foreign_names
import jobs_client
import pytest
from celery_runtime.internals import INTERNALS, Override
from conftest import HERE, SOURCES
from django_project import Project, project

IMPORTS = """
from kombu.transport import redis as transport
from kombu.transport.virtual import base as virtual
from celery.worker.consumer.consumer import Consumer
from celery.app import task, utils
"""

# What an upgrade may do, and the name that a worker must give.
TAMPERED = {
    "a method that is overridden is renamed": (
        "transport.Channel._fetch_start = transport.Channel._brpop_start; del transport.Channel._brpop_start",
        "kombu.transport.redis:Channel._brpop_start is gone",
    ),
    "a method that is overridden takes something else": (
        "transport.QoS.restore_by_tag = lambda self, tags, client=None: None",
        "kombu.transport.redis:QoS.restore_by_tag takes (self, tags, [client]), not (self, tag, [client], [leftmost])",
    ),
    "a method that is overridden is there and nobody calls it": (
        "transport.MultiChannelPoller._register_BRPOP = lambda self, channel: channel._fetch_start()",
        "kombu.transport.redis:MultiChannelPoller._register_BRPOP doesn't use kombu.transport.redis:Channel._brpop_start any more",
    ),
    "an attribute that both sides use is renamed": (
        "del transport.Channel._in_poll",
        "kombu.transport.redis:Channel._in_poll is gone",
    ),
    "the record of what was delivered is kept elsewhere": (
        """
        del virtual.QoS._delivered
        def __init__(self, channel, prefetch_count=0):
            self.channel, self.prefetch_count, self.unsettled = channel, prefetch_count, {}
        virtual.QoS.__init__ = __init__
        """,
        "kombu.transport.virtual.base:QoS._delivered is gone",
    ),
    "Celery's consumer handles messages elsewhere": (
        "Consumer.on_message_undecodable = Consumer.on_decode_error; del Consumer.on_decode_error",
        "celery.worker.consumer.consumer:Consumer.on_decode_error is gone",
    ),
    "a retry takes something else": (
        "task.Task.retry = lambda self, policy: None",
        "celery.app.task:Task.retry takes (self, policy), not (self, [args]",
    ),
    "what masks secrets is called no more": (
        "utils.Settings.table = lambda self: {}",
        "celery.app.utils:Settings.table doesn't use celery.app.utils:filter_hidden_settings any more",
    ),
}


def tampered(folder: Path, code: str) -> str:
    """Return a PYTHONPATH on which the packages are as after an upgrade."""
    (folder / "sitecustomize.py").write_text(IMPORTS + textwrap.dedent(code))
    return f"{folder}:{SOURCES}:{HERE}"


@pytest.mark.parametrize("what", TAMPERED)
def test_a_worker_does_not_start_on_what_it_does_not_know(celery: Any, server: Any, tmp_path: Path, what: str) -> None:
    code, says = TAMPERED[what]
    jobs_client.send_notes(celery, ["one"])
    worker = celery.spawn(PYTHONPATH=tampered(tmp_path, code))
    assert worker.wait(30) == 1, celery.log()
    assert says in celery.log()
    # It took nothing.
    assert server.client.llen("low") == 1
    assert not server.client.exists("unacked")


def test_a_part_that_is_off_is_not_looked_at(celery: Any, tmp_path: Path) -> None:
    celery.runtime["parts"] = ["watchdog"]
    path = tampered(
        tmp_path, "transport.Channel.unrelated = transport.Channel._restore; del transport.Channel._restore"
    )
    celery.worker(PYTHONPATH=path)


@pytest.fixture
def jobs(server: Any, tmp_path: Path) -> Iterator[Project]:
    yield from project(server, tmp_path, "results", "beat", "transport")


def test_beat_does_not_start_on_what_it_does_not_know(jobs: Project, tmp_path: Path) -> None:
    code = "from celery.beat import Scheduler; Scheduler.run = Scheduler.apply_async; del Scheduler.apply_async"
    beat = jobs.start("beat", "beat", PYTHONPATH=tampered(tmp_path, code))
    assert beat.wait(30) == 1
    assert "celery.beat:Scheduler.apply_async is gone" in jobs.log("beat")


def test_a_release_is_refused_before_it_becomes_current(jobs: Project, tmp_path: Path) -> None:
    code = "from celery.beat import Scheduler; Scheduler.run = Scheduler.apply_async; del Scheduler.apply_async"
    done = subprocess.run(
        [sys.executable, "-m", "celery_runtime.probe"],
        env=jobs.environment | {"PYTHONPATH": tampered(tmp_path, code)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "celery.beat:Scheduler.apply_async is gone, in celery 5." in done.stderr


def test_each_name_is_missed_when_it_is_gone(jobs: Project) -> None:
    """One after the other, all of them; and with all in its place there is nothing to say."""
    printed = jobs.python("""if 1:
        import inspect
        from celery_runtime import compatibility
        from celery_runtime.internals import INTERNALS
        from celery_runtime.parts import PARTS

        assert compatibility.faults(PARTS) == [], compatibility.faults(PARTS)
        for name in (one.name for group in INTERNALS for one in compatibility.applicable(group)):
            owner, last = compatibility._owner(name)
            place = compatibility.resolve(owner) if ":" in owner else compatibility.import_module(owner)
            holders = [one for one in inspect.getmro(place)] if inspect.isclass(place) else [place]
            kept = [(one, vars(one)[last]) for one in holders if last in vars(one)]
            inits = [(one, "__init__", vars(one)["__init__"]) for one in holders if "__init__" in vars(one) and "." in one.__module__]
            for one, _ in kept:
                if one is not object:
                    delattr(one, last)
            for one, init, _ in inits if last != "__init__" else ():
                setattr(one, init, lambda self: None)
            if last != "__init__" and not any(name in fault for fault in compatibility.faults(PARTS)):
                print("not missed:", name)
            for one, init, was in inits:
                setattr(one, init, was)
            for one, was in kept:
                if one is not object:
                    setattr(one, last, was)
        print("looked")
    """)
    assert printed == "looked"


# Django documents these, however they are written.
DOCUMENTED = {"_default_manager", "_meta"}


def test_whatever_is_overridden_or_private_is_looked_at(jobs: Project) -> None:
    """In a process that has Django: the bases of some classes are its models' friends."""
    assert jobs.python("import test_compatibility; test_compatibility.tell()") == "nothing is missing"


def tell() -> None:
    """Print what the sources of the runtime rely on and the table `internals` doesn't hold."""
    from celery_runtime.compatibility import _owner, applicable, function_of, resolve

    names = [one for group in INTERNALS for one in applicable(group)]
    # Of what is replaced where it is there, the table says so.
    listed_for_any = {one.name for group in INTERNALS for one in group.names}
    overrides = [one.name for one in names if isinstance(one, Override)]
    last = {_owner(one.name)[1] for one in names}
    missing = []
    own = foreign_names.own()
    for source in foreign_names.sources():
        for place, name in foreign_names.overridden(source):
            listed = [one for one in overrides if _owner(one)[1] == name and issubclass(place, resolve(_owner(one)[0]))]
            if not listed:
                missing.append(f"{source.path.name} overrides {place.__module__}:{place.__qualname__}.{name}")
            elif hasattr(place, name) and all(
                resolve(one) is not function_of(foreign_names.inspect.getattr_static(place, name)) for one in listed
            ):
                missing.append(f"{name} of {place.__module__}:{place.__qualname__} isn't {', '.join(listed)}")
        missing += [
            f"{source.path.name} mixes {name} in" for name in foreign_names.mixed_in(source) if name not in last
        ]
        missing += [
            f"{source.path.name} replaces {name}"
            for name in foreign_names.replaced(source)
            if name not in listed_for_any
        ]
        missing += [
            f"{source.path.name} uses {name}"
            for name in foreign_names.private(source)
            if name not in last | own | DOCUMENTED
        ]
    sys.stdout.write("\n".join(sorted(set(missing))) or "nothing is missing")
