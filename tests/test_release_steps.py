"""The project's own steps of a release: when, where and for how long each runs, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import release_steps
import yaml
from conftest import ROOT, Role

STEPS = [
    {"at": "before_migration", "manage": "check_data --strict"},
    {"at": "after_static", "manage": ["compress", "a b"], "every_host": True, "time_limit": 60},
    {"at": "after_switch", "manage": "warm_cache"},
]


def at(moment: str, leads: bool = True) -> list[dict[str, Any]]:
    return release_steps.steps_at(STEPS, moment, leads)


def test_a_step_runs_once_in_a_deployment_unless_it_is_for_every_host() -> None:
    assert at("before_migration") == [{"words": ["check_data", "--strict"], "time_limit": 600}]
    assert at("before_migration", leads=False) == []
    assert at("after_static", leads=False) == [{"words": ["compress", "a b"], "time_limit": 60}]
    assert at("after_migration") == []


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ({"at": "sometime"}, ["at is 'sometime'", "before_migration", "after_switch"]),
        ({"manage": ""}, ["manage is empty"]),
        ({"manage": "x 'y"}, ["manage", "quot"]),
        ({"manage": None}, ["manage is empty"]),
        ({"time_limit": 0}, ["time_limit is 0"]),
        ({"every_host": 1}, ["every_host is 1"]),
        ({"host": "a"}, ["unknown key 'host'"]),
    ],
)
def test_a_wrong_step_is_named_with_its_mend(step: dict[str, Any], said: list[str]) -> None:
    (text,) = release_steps.step_faults([{"at": "after_migration", "manage": "x"} | step])
    assert text.startswith("stack_release_steps[0]")
    assert [word for word in said if word not in text] == [], text


def test_right_steps_are_no_faults_and_what_is_no_list_is_one() -> None:
    assert release_steps.step_faults(STEPS) == []
    assert len(release_steps.step_faults("migrate")) == 1
    assert len(release_steps.step_faults(["migrate"])) == 1


def project(**variables: Any) -> Role:
    return Role(
        "django_project",
        django_project_app="shop",
        celery_runtime_source={"digest": "a"},
        __django_project_folder={"digest": "b"},
        **variables,
    )


def test_changed_steps_are_a_deployment_of_their_own_and_none_leave_it_as_it_was() -> None:
    ids = {
        project(django_project_steps=steps).evaluate("__django_project_deployment_id")
        for steps in ([], STEPS, STEPS[:1])
    }
    assert len(ids) == 3
    assert project().evaluate("__django_project_deployment_id") in ids


def test_each_moment_is_where_it_says() -> None:
    names = []
    for file in ("deploy", "main"):
        for task in yaml.safe_load((ROOT / f"roles/django_project/tasks/{file}.yml").read_text()):
            moment = task.get("vars", {}).get("__django_project_moment")
            names.append(moment or task["name"])
    order = [
        "deploy | Load all that will run",
        "before_migration",
        "deploy | Migrate the database",
        "after_migration",
        "deploy | Collect static files",
        "after_static",
        "deploy | Try what needs tables, and ask the site",
        "before_switch",
        "deploy | Make the release current, and its credentials",
        "Keep what goes with the current release",
        "after_switch",
        "Note that the release is deployed",
    ]
    assert [name for name in names if name in order] == order


def test_a_release_counts_as_deployed_only_after_its_last_step() -> None:
    """A step behind the switch that failed runs again in the next run."""

    def marks(steps: list[dict[str, Any]]) -> tuple[bool, bool]:
        role = project(django_project_steps=steps, django_project_migrates=True)
        return tuple(
            bool(role.evaluate(name))
            for name in ("__django_project_mark_with_switch", "__django_project_mark_after_steps")
        )

    assert marks([]) == (True, False)
    assert marks(STEPS[:2]) == (True, False)
    assert marks(STEPS) == (False, True)
