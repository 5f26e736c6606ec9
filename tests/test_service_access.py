"""Programs and folders of services: what is refused of the inputs, and what each unit gets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import units
from conftest import Role
from crossing_paths import crossing_paths
from processes import process_units, processes_of_host
from service_access import access_faults, folder_environment, service_access
from unserved_urls import unserved_urls
from worker_units import worker_units

STATE = "/var/lib/shop"
FOLDERS = [{"name": "exports", "services": ["worker"]}, {"name": "beat-state", "services": ["beat", "web"]}]
PROGRAMS = {"all": ["/usr/bin/git"], "worker": ["/usr/bin/pdftotext", "/usr/bin/git"], "beat": ["/opt/tools"]}


@pytest.mark.parametrize(("programs", "folders"), [({}, []), (PROGRAMS, FOLDERS), ({"web": []}, [])])
def test_good_inputs_have_no_fault(programs: Any, folders: Any) -> None:
    assert access_faults(programs, folders, STATE) == []


@pytest.mark.parametrize(
    ("programs", "text"),
    [
        (["/usr/bin/git"], "stack_programs must be lists of programs by service"),
        ({"workers": []}, "stack_programs has the service 'workers'; known: all, web"),
        ({"web": "/usr/bin/git"}, "stack_programs: web must be a list"),
        ({"web": ["git"]}, "web has 'git': write the whole path"),
        ({"web": ["/"]}, "web has '/': write the whole path"),
        ({"web": ["/usr/bin/../../tmp/x"]}, "write the whole path"),
        ({"web": ["/usr/bin/a b"]}, "write the whole path"),
        ({"web": ["/tmp/x"]}, "services may write below /tmp"),
        ({"web": ["/run"]}, "services may write below /run"),
        ({"web": [f"{STATE}/exports/x"]}, f"services may write below {STATE}"),
    ],
)
def test_programs_that_are_refused(programs: Any, text: str) -> None:
    (fault,) = access_faults(programs, [], STATE)
    assert text in fault


@pytest.mark.parametrize(
    ("folders", "text"),
    [
        ({}, "stack_writable_folders must be a list"),
        (["exports"], "stack_writable_folders must be a list"),
        ([{"name": "../etc", "services": ["web"]}], "[0] (../etc): name must be lower-case letters"),
        ([{"services": ["web"]}], "[0] (no name): name must be"),
        ([{"name": "media", "services": ["web"]}], "uploads have that folder already"),
        ([{"name": "a"}], "services must list who may write"),
        ([{"name": "a", "services": []}], "services must list who may write"),
        ([{"name": "a", "services": ["redis"]}], "services must list who may write"),
        ([{"name": "a", "services": ["web"], "mode": "0777"}], "unknown key 'mode'"),
        ([{"name": "a-b", "services": ["web"]}, {"name": "a_b", "services": ["web"]}], "has a-b and a_b twice"),
    ],
)
def test_folders_that_are_refused(folders: Any, text: str) -> None:
    (fault,) = access_faults({}, folders, STATE)
    assert text in fault


def test_uploads_that_nobody_would_hand_out_are_refused() -> None:
    (fault,) = access_faults({}, [], STATE, media="public", front=False)
    assert "stack_media is 'public' and stack_front is false" in fault
    assert access_faults({}, [], STATE, media="private", front=False) == []


def test_each_service_gets_its_own() -> None:
    access = service_access(PROGRAMS, FOLDERS, STATE)
    assert access["worker"] == {
        "exec_paths": ["/usr/bin/git", "/usr/bin/pdftotext"],
        "read_write_paths": [f"{STATE}/exports"],
    }
    assert access["web"] == {"exec_paths": ["/usr/bin/git"], "read_write_paths": [f"{STATE}/beat-state"]}
    # As beat's account, and with nothing to write.
    assert access["cleaner"] == {"exec_paths": ["/usr/bin/git", "/opt/tools"], "read_write_paths": []}
    assert access["operator"]["read_write_paths"] == [f"{STATE}/exports", f"{STATE}/beat-state"]
    assert access["flower"]["read_write_paths"] == []


def test_the_project_finds_its_folders_in_the_environment() -> None:
    assert folder_environment(FOLDERS, STATE) == {
        "STACK_FOLDER_EXPORTS": f"{STATE}/exports",
        "STACK_FOLDER_BEAT_STATE": f"{STATE}/beat-state",
    }


def paths(unit: dict[str, Any], name: str) -> list[str]:
    lines = units.sandbox_directives(unit)
    return [word for line in lines if line.startswith(f"{name}=") for word in line.partition("=")[2].split()]


@pytest.mark.parametrize("umask", [{}, {"umask": "0002"}])
def test_pools_and_processes_have_it_beside_their_own(umask: dict[str, str]) -> None:
    access = service_access(PROGRAMS, FOLDERS, STATE)["worker"] | umask
    pool = {
        "name": "main",
        "queues": ["low"],
        "memory_max_mib": 512,
        "memory_high_mib": 400,
        "tasks_max": 64,
        "cpu_weight": 50,
    }
    pool |= {
        "egress": None,
        "exec_paths": ["/usr/bin/convert"],
        "listens": False,
        "concurrency": 1,
        "time_limit": 60,
        "soft_time_limit": 50,
        "has_own_limits": True,
    }
    pool |= {"prefetch_multiplier": 1, "max_tasks_per_child": 9, "child_memory_mib": 128}
    options: dict[str, Any] = dict.fromkeys(
        ("app", "python", "log_level", "prefix", "user", "stop_script", "note_script", "notes"), "/x"
    )
    options |= {"media_dir": f"{STATE}/media", "restart_on": [], "peers": [], "notify": True, "watchdog": 60}
    options |= {"account_per_pool": True, "stop_grace": 0, "reboot_grace": 60, "stop_margin": 60}
    entry = {"name": "bot", "manage": "run_bot", "exec_paths": ["/usr/bin/convert"], "writable": ["index"]}
    (filled,) = processes_of_host([entry], "a", {"workers": ["a"]}, alone=True)
    of_processes = {
        "account_per_entry": True,
        "prefix": "",
        "python": "/x",
        "programs_dir": "/x",
        "user": "django",
        "state_dir": STATE,
        "restart_on": [],
        "peers": [],
        "target": "t",
    }
    for (unit,), own in (
        (worker_units([pool], access, options), f"{STATE}/media"),
        (process_units([filled], access, of_processes), f"{STATE}/index"),
    ):
        assert {"/usr/bin/git", "/usr/bin/pdftotext", "/usr/bin/convert"} <= set(paths(unit, "ExecPaths"))
        assert paths(unit, "ReadWritePaths") == [own, f"{STATE}/exports"]
        # What may be written to is executed by nobody.
        assert f"{STATE}/exports" in paths(unit, "NoExecPaths")
        assert unit["umask"] == umask.get("umask", "0007")


def test_a_deployment_s_checks_and_steps_may_start_what_operators_may(role: Callable[..., Role]) -> None:
    # The probe imports the project: a library that starts a program meanwhile needs it there.
    stack = role(
        "stack",
        inventory_hostname="a",
        groups={},
        stack_programs=PROGRAMS,
        stack_writable_folders=FOLDERS,
        stack_app="shop",
    )
    access = stack.evaluate("__stack_access.operator")
    project = role("django_project", django_project_service_unit=access, django_project_state_dir=STATE)
    unit = project.evaluate("__django_project_staged_unit")
    assert paths(unit, "ExecPaths")[-1] == "/usr/bin/git"
    assert paths(unit, "ReadWritePaths") == [f"{STATE}/{name}" for name in ("media", "exports", "beat-state")]


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("/static/", False),
        ("/assets/", True),
        ("https://cdn.example/static/", False),
        ("//cdn.example/x/", False),
        ("", False),
        (None, False),
    ],
)
def test_a_path_that_the_front_does_not_serve_is_told(url: Any, says: bool) -> None:
    texts = unserved_urls({"STATIC_URL": "/static/", "MEDIA_URL": ""}, {"STATIC_URL": url, "MEDIA_URL": "/files/"})
    assert [f"set stack_static_path to {url}" in text for text in texts] == [True] * says


def test_paths_one_within_another_are_named() -> None:
    assert crossing_paths({"static": "/static/", "media": "/media/", "none": ""}, ["/", "/ws/"]) == []
    assert crossing_paths({"static": "/static/", "media": "/static/media/"}, []) == ["static", "media"]
    assert crossing_paths({"static": "/a/", "media": "/a/"}, []) == ["static", "media"]
    assert crossing_paths({"static": "/ws/x/", "media": "/flower/"}, ["/ws/", "/flower/"]) == ["static", "media"]
