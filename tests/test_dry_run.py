"""What site.yml does with the hosts of an inventory, and in which order, read without a host."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from conftest import ROOT

from tools.dry_run import CASES, SECRETS, Step
from tools.tables import dry_run

ORDER = [
    "preflight",
    "record",
    "certificates",
    "redis",
    "cache",
    "postgresql",
    "django_project",
    "celery_worker",
    "celery_beat",
    "django_processes",
    "flower",
    "django_web",
    "nginx",
    "retire",
    "smoke",
]
# Names of tasks by what they do to a deployment; one host of it does each.
ONCE = ["deploy | Migrate the database", "deploy | Make the administrator"]


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, one in value.items():
            yield from strings(name)
            yield from strings(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from strings(one)
    elif isinstance(value, str):
        yield value


def secrets_of(case: str) -> set[str]:
    """Return what is never to be seen: the made-up secrets, what is derived from them, and each host's credentials."""
    run = dry_run(case)
    step = next(step for step in run.steps if step.role == "stack" and step.play != run.steps[0].play)
    public = ("database_user", "signing_certificate")
    credentials = {
        value for name, value in run.evaluate(step, "stack_credentials").items() if not name.startswith(public)
    }
    derived = [run.evaluate(step, f"stack_{name}_passwords") for name in ("broker_user", "database_role")]
    return {*SECRETS.values(), *CASES[case].secrets, *credentials, *strings([list(one.values()) for one in derived])}


def shown(value: Any, secrets: set[str]) -> list[str]:
    """Return the first letters of the secrets that are somewhere in the value."""
    return sorted({secret[:16] for text in strings(value) for secret in secrets if secret in text})


def runs(case: str, name: str) -> list[Step]:
    return [step for step in dry_run(case).steps if step.task.name == name and step.runs]


def test_the_parts_come_in_the_order_in_which_they_need_each_other() -> None:
    # By the first tag of each play.
    assert list(dict.fromkeys(play.tags[0] for play in dry_run("production").playbook.get_plays())) == ORDER


def test_a_release_is_current_everywhere_before_a_worker_is_restarted_and_a_worker_before_beat_and_the_web() -> None:
    steps = dry_run("production").steps
    at = {
        name: [number for number, step in enumerate(steps) if step.runs and step.role == role]
        for name, role in (
            ("project", "django_project"),
            ("worker", "celery_worker"),
            ("beat", "celery_beat"),
            ("web", "django_web"),
        )
    }
    main = {name: [number for number in numbers if steps[number].play not in PREFLIGHT] for name, numbers in at.items()}
    assert max(main["project"]) < min(main["worker"])
    assert max(main["worker"]) < min(main["beat"])
    assert max(main["beat"]) < min(main["web"])


PREFLIGHT = {play["name"] for play in yaml.safe_load((ROOT / "playbooks/preflight.yml").read_text())}


@pytest.mark.parametrize("case", CASES)
def test_preflight_comes_first_and_passes(case: str) -> None:
    run = dry_run(case)
    plays = list(dict.fromkeys(step.play for step in run.steps))
    assert set(plays[: len(PREFLIGHT)]) == PREFLIGHT
    refused = {
        step.task.get_name()
        for step in run.steps
        if step.play in PREFLIGHT and step.runs and step.action == "assert" and not all(run.arguments(step)["that"])
    }
    assert refused == set()


@pytest.mark.parametrize("name", ONCE)
@pytest.mark.parametrize("case", CASES)
def test_one_host_of_a_deployment_migrates_its_database(case: str, name: str) -> None:
    run = dry_run(case)
    deployments = {
        step.host: run.evaluate(step, "stack_deployment") for step in run.steps if step.role == "django_project"
    }
    assert sorted(deployments[step.host] for step in runs(case, name)) == sorted(set(deployments.values()))


def test_no_host_of_a_deployment_switches_before_the_migration() -> None:
    # One that fails stops the others.
    steps = dry_run("production").steps
    assert {
        step.task.any_errors_fatal for step in steps if step.role == "django_project" and step.play not in PREFLIGHT
    } == {True}


@pytest.mark.parametrize("case", ["staging", "managed"])
def test_no_task_shows_a_secret(case: str) -> None:
    run, secrets = dry_run(case), secrets_of(case)
    seen = {}
    for step in run.steps:
        if step.runs and not run.no_log(step):
            # What the module itself keeps to itself: see tests/test_managed_files.py.
            arguments = {name: value for name, value in run.arguments(step).items() if name != "sensitive_files"}
            found = shown([arguments, step.task.name], secrets)
            if found:
                seen[f"{step.role}: {step.task.name}"] = found
    assert seen == {}


@pytest.mark.parametrize("case", ["staging", "managed"])
def test_an_input_that_holds_a_secret_is_marked_as_one(case: str) -> None:
    run, secrets = dry_run(case), secrets_of(case)
    unmarked = set()
    for role in {step.role for step in run.steps if step.called_by_play and step.role}:
        specs = yaml.safe_load((ROOT / "roles" / role / "meta/argument_specs.yml").read_text())["argument_specs"]
        options = {name: option for spec in specs.values() for name, option in spec.get("options", {}).items()}
        # The last, which has all that a run comes to know.
        step = [step for step in run.steps if step.role == role][-1]
        for name, option in options.items():
            if not option.get("no_log") and name in step.variables and shown(run.evaluate(step, name), secrets):
                unmarked.add(name)
    assert unmarked == set()


def test_a_secret_that_is_passed_on_is_found() -> None:
    # What the two tests above look with.
    assert shown({"a": [{"b": f"x{SECRETS['secret_key']}"}]}, set(SECRETS.values())) == [SECRETS["secret_key"][:16]]
