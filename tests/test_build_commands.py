"""Commands of a build of the project's own, such as a front-end's: what is refused, what they may reach, and where they run."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import build
import build_commands
import pytest
from conftest import ROOT, Role

COMMANDS = [
    {"run": "npm ci --ignore-scripts", "hosts": ["registry.example.com"]},
    {"run": ["sh", "-c", "npm run build && rm -rf node_modules"]},
]


def test_commands_are_split_into_words_and_reach_nobody_who_is_not_named() -> None:
    assert build_commands.build_commands(COMMANDS) == [
        {"words": ["npm", "ci", "--ignore-scripts"], "hosts": ["registry.example.com"]},
        {"words": ["sh", "-c", "npm run build && rm -rf node_modules"], "hosts": []},
    ]
    assert build_commands.build_command_faults(COMMANDS) == []


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("npm ci", "must be an entry"),
        ({"run": ""}, "run is empty"),
        ({"run": "npm 'ci"}, "run can't be split into words"),
        ({"run": "npm ci", "host": "x"}, "unknown key 'host'"),
        ({"run": "npm ci", "hosts": "registry.example.com"}, "hosts must be a list"),
        ({"run": "npm ci", "hosts": ["https://registry.example.com/"]}, "hosts has 'https://registry.example.com/'"),
    ],
)
def test_a_wrong_one_is_named_with_its_mend(command: Any, said: str) -> None:
    (text,) = build_commands.build_command_faults([command])
    assert text.startswith("django_project_build_commands[0]: ")
    assert said in text


def project(**variables: Any) -> Role:
    return Role(
        "django_project",
        django_project_app="shop",
        celery_runtime_source={"digest": "a"},
        __django_project_folder={"digest": "b"},
        **variables,
    )


def test_changed_commands_are_another_release_and_none_leave_it_as_it_was() -> None:
    ids = [
        project(**variables).evaluate("__django_project_code_id")
        for variables in (
            {},
            {"django_project_build_commands": COMMANDS},
            {"django_project_build_commands": COMMANDS[:1]},
        )
    ]
    assert len(set(ids)) == 3
    assert project(django_project_build_commands=[]).evaluate("__django_project_code_id") == ids[0]


def test_their_sandbox_has_no_network_but_what_the_moment_adds_and_writes_to_the_tree_alone() -> None:
    unit = project().evaluate("__django_project_commands_unit | plainhost.stack.sandbox_directives")
    assert "IPAddressDeny=any" in unit
    assert [line for line in unit if line.startswith("IPAddressAllow=")] == []
    assert "ReadWritePaths=/opt/shop/live" in unit
    # node compiles while it runs.
    assert "MemoryDenyWriteExecute=yes" not in unit
    assert "NoNewPrivileges=yes" in unit


def test_a_command_reaches_the_hosts_that_it_names_or_the_proxy_in_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    index: dict[str, str] = {}
    monkeypatch.setattr(build, "step", lambda *arguments: seen.append(arguments) or 0)
    monkeypatch.setattr(build, "index_of", lambda *_: {"UV_DEFAULT_INDEX": "https://u:p@index.example.com"} | index)
    options = argparse.Namespace(rest=["npm", "ci"], host=["registry.example.com"])
    build.commands({}, options)
    index["HTTPS_PROXY"] = "http://proxy.example.com:3128"
    build.commands({}, options)
    build.commands({}, argparse.Namespace(rest=["true"], host=[]))
    assert [one[2] for one in seen] == [
        (["registry.example.com"], []),
        (["proxy.example.com"], ["registry.example.com"]),
        ([], []),
    ]
    # The index's login is nothing for them.
    assert [json.loads(one[3]["index"]) for one in seen][:2] == [{}, {"HTTPS_PROXY": "http://proxy.example.com:3128"}]


def test_a_command_runs_in_the_source_with_a_home_that_it_can_write_to(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    inside = ROOT / "roles/django_project/files/build/inside.py"
    words = ["sh", "-c", "pwd >where; echo $HOME >>where"]
    done = subprocess.run([sys.executable, inside, "command", f"--tree={tmp_path}", "--", *words], check=False)
    assert done.returncode == 0
    assert (tmp_path / "src/where").read_text().splitlines() == [f"{tmp_path}/src", "/tmp"]
    assert (
        subprocess.run([sys.executable, inside, "command", f"--tree={tmp_path}", "--", "false"], check=False).returncode
        == 1
    )


def run(tree: Path, *words: str) -> subprocess.CompletedProcess[str]:
    inside = ROOT / "roles/django_project/files/build/inside.py"
    command = [sys.executable, inside, "command", f"--tree={tree}", "--", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_programs_of_the_project_s_packages_are_found_by_their_name(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    programs = tmp_path / "venv/bin"
    programs.mkdir(parents=True)
    (programs / "shop-admin").write_text('#!/bin/sh\necho "$VIRTUAL_ENV" > "$1"\n')
    (programs / "shop-admin").chmod(0o755)
    done = run(tmp_path, "shop-admin", "start")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "src/start").read_text() == f"{tmp_path}/venv\n"


def test_a_program_that_is_not_there_is_named_with_the_variable(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    done = run(tmp_path, "npmm", "ci")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "django_project_build_commands: no program 'npmm'" in done.stderr
    assert "django_project_packages" in done.stderr
    (tmp_path / "src/build.sh").touch()
    assert "Permission denied" in run(tmp_path, "./build.sh").stderr.splitlines()[-1]
