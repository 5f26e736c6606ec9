"""Which of Celery's commands a process is, also while Celery still reads its command line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import SOURCES

# Celery before 5.5 loads the application where click makes an object of `--app`, and so before click knows the command; see celery/bin/celery.py
# of 5.4. Later ones load it in the group's own function.
EARLY = """
import click
from celery_runtime.commands import is_beat, is_flower

class App(click.ParamType):
    name = "application"
    def convert(self, value, param, ctx):
        print("beat" * is_beat() + "flower" * is_flower())
        return value

@click.group(invoke_without_command=True)
@click.option("-A", "--app", type=App())
@click.option("-b", "--broker")
@click.option("-q", "--quiet", is_flag=True)
def celery(app, broker, quiet):
    pass

@celery.command(context_settings={"ignore_unknown_options": True})
@click.argument("rest", nargs=-1)
def flower(rest):
    pass

@celery.command()
@click.option("-s")
def beat(s):
    pass

@celery.command()
@click.option("-Q")
def worker(q):
    pass

celery()
"""
LATE = """
from celery import Celery
from celery_runtime.commands import is_beat, is_flower
print("beat" * is_beat() + "flower" * is_flower())
app = Celery("late", broker="memory://")
"""


def run(*words: str, folder: Path) -> str:
    """Return what a process of Celery's says it is when its application is loaded."""
    done = subprocess.run(
        [sys.executable, *words],
        env=os.environ | {"PYTHONPATH": f"{SOURCES}:{folder}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout.splitlines()[0] if done.stdout else done.stderr


LINES = [
    (["--app=late", "flower", "--help"], "flower"),
    (["-A", "late", "flower", "--help"], "flower"),
    (["-q", "-b", "memory://", "-A", "late", "flower", "--help"], "flower"),
    (["-A", "late", "-b", "beat", "flower", "--help"], "flower"),
    (["--app", "late", "beat", "-s", "flower", "--help"], "beat"),
    (["-A", "late", "worker", "-Q", "flower", "--help"], ""),
    (["-b", "flower", "-A", "late", "worker", "--help"], ""),
]


@pytest.mark.parametrize(("line", "command"), LINES)
def test_it_is_known_when_the_application_is_loaded_late(tmp_path: Path, line: list[str], command: str) -> None:
    (tmp_path / "late.py").write_text(LATE)
    assert run("-m", "celery", *line, folder=tmp_path) == command


@pytest.mark.parametrize(("line", "command"), LINES)
def test_it_is_known_when_the_application_is_loaded_early(tmp_path: Path, line: list[str], command: str) -> None:
    (tmp_path / "early.py").write_text(EARLY)
    assert run(str(tmp_path / "early.py"), *line, folder=tmp_path) == command


def test_a_process_without_a_command_is_none(tmp_path: Path) -> None:
    code = "from celery_runtime.commands import is_beat, is_flower; print(is_beat(), is_flower())"
    assert run("-c", code, "flower", folder=tmp_path) == "False False"


def test_a_command_line_of_another_program_is_none(tmp_path: Path) -> None:
    """A group that is called with words of its own, as in a test, says nothing of this process' command line."""
    (tmp_path / "early.py").write_text(EARLY.replace("\ncelery()\n", '\ncelery(["-A", "late", "worker"])\n'))
    assert run(str(tmp_path / "early.py"), "--of-its-own", "flower", folder=tmp_path) == ""
