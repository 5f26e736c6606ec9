"""What is said to contributors is true to the tree, and CI runs what they run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT

from testbench import lint

GUIDE = (ROOT / "CONTRIBUTING.md").read_text()
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))


def loaded(path: Path) -> dict[str, Any]:
    # As YAML 1.2 has it, which GitHub reads: `on` is a word.
    return {"on" if key is True else key: value for key, value in yaml.safe_load(path.read_text()).items()}


def steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in loaded(path)["jobs"].values() for step in job["steps"]]


def test_the_paths_that_the_guide_names_are_there() -> None:
    named = {word for word in re.findall(r"`([^`\s]+)`", GUIDE) if "/" in word}
    named |= {link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", GUIDE) if "://" not in link}

    def is_there(name: str) -> bool:
        # <role> and the like stand for any; in the list of a role's files, names begin in its folder.
        pattern = re.sub(r"<\w+>", "*", name).rstrip("/")
        return any(list(folder.glob(pattern)) for folder in (ROOT, ROOT / "roles" / "flower"))

    missing = [name for name in named if not is_there(name)]
    assert sorted(missing) == []
    assert len(named) > 30


def test_the_targets_that_texts_name_are_there() -> None:
    texts = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *GITHUB.rglob("*.*"), *ROOT.glob("docs/*.md")]
    named = {target for path in texts for target in re.findall(r"(?:`|\$ |run: )make ([a-z-]+)", path.read_text())}
    assert named - TARGETS == set()
    assert {"setup", "demo", "test", "test-unit", "docs", "lock", "release"} <= named


def test_every_room_is_named() -> None:
    rooms = {path.relative_to(ROOT).parts[0] for path in lint.files() if path.parent != ROOT}
    texts = GUIDE + (ROOT / "docs/architecture.md").read_text()
    # Configuration of a tool, which its own name explains.
    assert sorted(room for room in rooms - {".config"} if f"`{room}/" not in texts) == []


def test_every_scenario_is_named() -> None:
    scenarios = {path.parent.name for path in ROOT.glob("molecule/*/molecule.yml")}
    assert sorted(name for name in scenarios if f"`{name}` (" not in GUIDE) == []


def test_ci_runs_what_a_developer_runs() -> None:
    assert "exec make test\n" in (ROOT / ".ci" / "run").read_text()
    workflow = loaded(GITHUB / "workflows" / "test.yml")
    assert {"push", "pull_request"} <= workflow["on"].keys()
    commands = [step["run"] for step in steps(GITHUB / "workflows" / "test.yml") if "run" in step]
    assert commands[-1] == ".ci/run"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_do_no_more_than_it_must(path: Path) -> None:
    assert loaded(path)["permissions"] == {"contents": "read"}
    for step in steps(path):
        # A tag can be moved to other code; a hash can't.
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", step.get("uses", f"own@{'0' * 40}")), step
        # What comes from outside gets into a script by its environment, never as a part of it.
        assert "${{" not in step.get("run", ""), step
    assert all(job["timeout-minutes"] <= 180 for job in loaded(path)["jobs"].values())


def test_the_locks_are_renewed_by_what_writes_them() -> None:
    commands = [step.get("run", "") for step in steps(GITHUB / "workflows" / "locks.yml")]
    (made,) = [number for number, command in enumerate(commands) if command.startswith("make lock")]
    (tested,) = [number for number, command in enumerate(commands) if command == ".ci/run"]
    (asked,) = [number for number, command in enumerate(commands) if "gh pr create" in command]
    assert made < tested < asked
    ecosystems = {update["package-ecosystem"] for update in loaded(GITHUB / "dependabot.yml")["updates"]}
    assert ecosystems == {"github-actions"}


@pytest.mark.parametrize("path", sorted((GITHUB / "ISSUE_TEMPLATE").glob("*.yml")), ids=lambda path: path.name)
def test_an_issue_form_is_one(path: Path) -> None:
    form = loaded(path)
    assert {"name", "description", "body"} <= form.keys()
    questions = [field for field in form["body"] if field["type"] != "markdown"]
    assert len({field["id"] for field in questions}) == len(questions)
    assert any(field.get("validations", {}).get("required") for field in questions)
