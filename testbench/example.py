"""An application that nobody here wrote, from its folder in examples/: a host, site.yml on it, a login, a task and its stored result."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from types import ModuleType
from typing import cast

from testbench import demo, inventory
from testbench.browser import Browser
from testbench.console import Problem, Steps, paint, say
from testbench.front import Front
from testbench.podman import ROOT
from testbench.remote import MARK, Remote

EXAMPLES = ROOT / "examples"
# What an application does may take longer than the demo's e-mail (s).
PATIENCE = 120
# The longest interval of a schedule that is waited for, and some more (s).
BEAT_PATIENCE = 400
RECAP = re.compile(r"^\S+\s+: ok=\d+\s+changed=(\d+)", re.MULTILINE)
# Runs inside of `manage.py shell`.
SCHEDULED = """
import json, time
from django_celery_results.models import TaskResult
deadline = time.monotonic() + {patience}
while True:
    row = TaskResult.objects.filter(status="SUCCESS").{which}.order_by("-id").first()
    if row or time.monotonic() > deadline:
        break
    time.sleep(1)
fields = ("periodic_task_name", "task_name", "status", "worker", "date_done")
print({mark!r} + json.dumps(row and {{field: str(getattr(row, field)) for field in fields}}))
"""
# Logs in and does something that makes a task; returns the task's name, and a word of its arguments or its number.
Follow = Callable[[Browser, str, str], tuple[str, str]]


def names() -> list[str]:
    """Return the names of the examples that can be brought up."""
    return sorted(path.parent.name for path in EXAMPLES.glob("*/follow.py"))


def _own(name: str) -> ModuleType:
    """Return `follow.py` of an example's folder: what is the application's own in it."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / name / "follow.py")
    if spec is None or spec.loader is None:
        raise Problem(f"examples/{name}/follow.py can't be read.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def follower(name: str) -> Follow:
    """Return the function `follow` of an example."""
    return cast(Follow, _own(name).follow)


def beat_task(name: str) -> str:
    """Return the task that an example says nobody but beat sends, or nothing."""
    return str(getattr(_own(name), "BEAT_TASK", ""))


def scheduled_code(task: str) -> str:
    """Return what waits on the host for a task that was due.

    Args:
        task: a task that nobody but beat sends, for a scheduler that names no entry; without it, a result that names its entry.
    """
    which = f"filter(task_name={task!r})" if task else "exclude(periodic_task_name=None)"
    return SCHEDULED.format(patience=BEAT_PATIENCE, which=which, mark=MARK)


def changed(output: str) -> int:
    """Return how many tasks changed something, from the recap of a run."""
    hosts = [int(number) for number in RECAP.findall(output)]
    if not hosts:
        raise Problem("The run printed no recap.")
    return sum(hosts)


def again(plan: demo.Plan) -> None:
    """Run site.yml a second time, which must change nothing."""
    command = ["ansible-playbook", "-i", inventory.shown(plan.inventory), "site.yml"]
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Problem(f"The second run exited {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
    number = changed(done.stdout)
    say(f"  changed: {paint(str(number), 'red' if number else 'green')}")
    if number:
        raise Problem(f"The second run changed something:\n{done.stdout}")


def show_scheduled(remote: Remote, app: str, task: str) -> None:
    """Wait for a task that was due by beat's schedule, and print its result."""
    printed = remote.manage(app, ["shell", "-c", scheduled_code(task)])
    row = json.loads(printed)
    if row is None:
        raise Problem(f"No task that was due by the schedule has a result after {BEAT_PATIENCE} s.")
    for name, value in row.items():
        say(f"  {name:<18} {paint(value, 'green') if value == 'SUCCESS' else value}")


def show_result(remote: Remote, app: str, task: str, word: str) -> str:
    """Wait for the stored result of a task, and print it; return the task's number."""
    row = remote.stored_result(app, task, word, PATIENCE)
    if row is None:
        raise Problem(f"No result of {task} with {word!r} in the database.")
    for name, value in row.items():
        say(f"  {name:<13} {paint(value, 'green') if value == 'SUCCESS' else value[:200]}")
    if row["status"] != "SUCCESS":
        raise Problem(f"The task ended with {row['status']}.")
    return row["task_id"]


def follow(name: str, plan: demo.Plan, remote: Remote, steps: Steps) -> None:
    """Log in, start a task of the application's own, and look at what comes of it."""
    known = plan.variables
    app = str(known["stack_app"])
    front = Front(remote.address, plan.authority)
    with steps.step("Log in over HTTPS, and do something that makes a task"):
        task, word = follower(name)(
            Browser(front), str(known["django_project_superuser"]), plan.secret("admin_password")
        )
    with steps.step("The task's stored result, from PostgreSQL"):
        number = show_result(remote, app, task, word)
    with steps.step("The task, as Flower sees it"):
        demo.show_flower(front, number, f"flower:{plan.secret('flower_password')}")
    with steps.step("A task that was due by beat's schedule"):
        show_scheduled(remote, app, beat_task(name))
    with steps.step("The units"):
        demo.show_units(remote.units())


def main(arguments: list[str] | None = None) -> int:
    """Bring the example up; on failure say what failed and show the end of the journal."""
    parser = argparse.ArgumentParser(prog="python -m testbench.example", description=__doc__)
    parser.add_argument("name", choices=names(), help="folder in examples/")
    options = parser.parse_args(arguments)
    folder = EXAMPLES / options.name / "inventory"
    plan = demo.Plan(options.name, folder, folder / ".secrets")
    steps = Steps()
    remote = None
    problem = None
    try:
        remote = demo.bring_up(plan, steps)
        with steps.step("Run site.yml"):
            demo.converge(plan.inventory)
        follow(options.name, plan, remote, steps)
        with steps.step("Run site.yml again"):
            again(plan)
    except Problem as error:
        problem = error
    return demo.ended(steps, problem, remote)


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())
