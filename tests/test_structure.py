"""Rules of the house about how playbooks, roles and templates are built."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

from testbench.lint import files

YAML_FILES = sorted([*ROOT.glob("roles/**/*.yml"), *ROOT.glob("playbooks/**/*.yml"), ROOT / "site.yml"])
TASK_FILES = sorted(ROOT.glob("roles/*/tasks/*.yml"))
TEMPLATES = sorted(ROOT.glob("roles/**/*.j2"))
# Variables of Ansible's own that are no facts of a host.
MAGIC = {
    "ansible_facts", "ansible_managed", "ansible_check_mode", "ansible_diff_mode", "ansible_play_hosts",
    "ansible_play_hosts_all", "ansible_play_batch", "ansible_remote_tmp", "ansible_host", "ansible_version",
    "ansible_role_name", "ansible_loop", "ansible_search_path",
    "ansible_pipelining", "ansible_playbook_python", "ansible_python_interpreter",
}  # fmt: skip
LONGEST = 100


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("site", [ROOT / "site.yml", ROOT / "playbooks" / "site.yml"], ids=named)
def test_site_only_imports_playbooks_that_exist(site: Path) -> None:
    plays = yaml.safe_load(site.read_text())
    assert all(set(play) <= {"name", "ansible.builtin.import_playbook", "tags"} for play in plays)
    imported = [site.parent / str(play.get("ansible.builtin.import_playbook")) for play in plays]
    assert imported
    assert [named(path) for path in imported if not path.is_file()] == []


def test_who_asks_for_the_checks_alone_gets_no_play_that_changes_a_host() -> None:
    tagged = {
        path.name
        for path in ROOT.glob("playbooks/*.yml")
        for play in yaml.safe_load(path.read_text())
        if "preflight" in play.get("tags", [])
    }
    assert tagged == {"preflight.yml"}


@pytest.mark.parametrize("path", TASK_FILES, ids=named)
def test_task_files_are_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST


@pytest.mark.parametrize("path", [*YAML_FILES, *TEMPLATES], ids=named)
def test_facts_are_not_taken_from_injected_variables(path: Path) -> None:
    assert set(re.findall(r"\bansible_[a-z0-9_]+", path.read_text())) - MAGIC == set()


@pytest.mark.parametrize("path", [*YAML_FILES, *TEMPLATES], ids=named)
def test_roles_name_no_inventory_groups(path: Path) -> None:
    # The role `stack` is the wiring: it holds what the application's hosts agree on, and no tasks.
    if named(path).startswith(("roles/stack/", "playbooks/", "site.yml")):
        return
    assert re.findall(r"\bgroups\s*\[|\bgroups\.|\bgroup_names\b", path.read_text()) == []


@pytest.mark.parametrize("path", TEMPLATES, ids=named)
def test_templates_of_files_say_who_writes_them(path: Path) -> None:
    first, *rest = path.read_text().splitlines()
    if first.startswith("{#-") or path.name == "plan.txt.j2":
        # Data for a task, or text for the screen: it never becomes a file. It must not look like one either.
        assert "ansible_managed" not in path.read_text()
        return
    line = rest[0] if first.startswith("#!") else first
    assert re.match(r"\{\{ ansible_managed \| comment", line), line


# The target of a link in Markdown, without its part behind #.
LINK = re.compile(r"\]\(([^)#\s]+)")
PAGES = [path for path in files() if path.suffix == ".md"]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(path: Path) -> None:
    targets = [target for target in LINK.findall(path.read_text()) if not re.match(r"[a-z]+:", target)]
    assert [target for target in targets if not (path.parent / target).exists()] == []
