"""A role either works alone, with its own variables only, or says that it is part of the stack. There is no third state.

That those which work alone do so on a host is for molecule/bad_input/tests/test_roles_alone.py to see.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import input_name_faults as names
import pytest
import yaml
from conftest import PREFIX, ROLES, ROOT

ALONE = ["accounts", "certificates", "debian_packages", "nginx", "postgresql", "redis", "systemd_unit"]
# The one wording of each state, a paragraph of its own below the title.
SAYS_ALONE = (
    "This role works alone, in a playbook of your own, with the variables below and gathered facts. "
    "The table says which of them the stack sets."
)
SAYS_PART = "This role is part of the stack: it is used by `site.yml`, and not on its own."
# The end of the line that ansible-doc lists a role with.
MARK = " (part of the stack)"

EXAMPLES = ROOT / "examples/roles"
# What runs, and what is shown; a README's table says from which of the stack's variables the stack sets an input.
FOLDERS = ("tasks", "vars", "defaults", "templates", "files", "meta")


def readme(role: str) -> str:
    return (ROOT / "roles" / role / "README.md").read_text()


def short_description(role: str) -> str:
    specs = yaml.safe_load((ROOT / "roles" / role / "meta/argument_specs.yml").read_text())
    return specs["argument_specs"]["main"]["short_description"]


@pytest.mark.parametrize("role", ROLES)
def test_the_readme_says_one_of_the_two_states(role: str) -> None:
    paragraphs = [" ".join(text.split()) for text in readme(role).split("\n\n")]
    assert paragraphs[0] == f"# {role}"
    assert paragraphs[1] == (SAYS_ALONE if role in ALONE else SAYS_PART)


@pytest.mark.parametrize("role", ROLES)
def test_ansible_doc_says_the_same(role: str) -> None:
    text = short_description(role)
    assert text.endswith(MARK) == (role not in ALONE)
    assert not (role in ALONE and re.search(r"stack|broker|celery|django", text, re.IGNORECASE)), text


@pytest.mark.parametrize("role", ALONE)
def test_a_role_that_works_alone_names_no_variable_of_the_stack(role: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for folder in FOLDERS
        for path in sorted((ROOT / "roles" / role / folder).rglob("*"))
        if path.is_file()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"\bstack_\w", line)
    ]
    assert found == []


@pytest.mark.parametrize("role", ALONE)
def test_what_a_person_wrote_in_its_readme_names_none_either(role: str) -> None:
    assert re.findall(r"\bstack_\w+", readme(role).partition("<!-- inputs")[0]) == []


@pytest.mark.parametrize("role", ALONE)
def test_the_example_in_its_readme_is_the_tested_one(role: str) -> None:
    example = (EXAMPLES / f"{role}.yml").read_text().removeprefix("---\n")
    assert f"```yaml\n{example}```\n" in readme(role)


def test_every_example_is_in_the_playbook_that_is_tested() -> None:
    imported = [play["import_playbook"] for play in yaml.safe_load((EXAMPLES / "site.yml").read_text())]
    assert sorted(imported) == [f"{role}.yml" for role in ALONE]


@pytest.mark.parametrize("role", ALONE)
def test_an_example_uses_the_roles_own_variables_and_no_group_of_ours(role: str) -> None:
    (play,) = yaml.safe_load((EXAMPLES / f"{role}.yml").read_text())
    assert play["hosts"] not in ("all", "redis", "database", "app", "web", "workers", "beat", "flower")
    (used,) = play["roles"]
    assert used["role"] == f"{PREFIX}{role}"
    assert [name for name in used["vars"] if not name.startswith(f"{role}_")] == []


# --- Messages: the role's own name, and the stack's variable only where there is one ---

CASES: list[tuple[str, dict[str, Any], str, str]] = [
    ("redis", {"redis_password": ""}, "redis_password is missing", "stack_broker_password"),
    ("redis", {"redis_password": "p" * 16, "redis_maxmemory_policy": "allkeys-lru"}, "with redis_purpose: cache", ""),
    ("postgresql", {"postgresql_password": ""}, "postgresql_password is missing", "stack_database_password"),
    (
        "postgresql",
        {"postgresql_password": "p" * 16, "postgresql_user": "postgres"},
        "postgresql_user is postgres, a name of PostgreSQL's own",
        "stack_database_user",
    ),
    (
        "postgresql",
        {
            "postgresql_password": "p" * 16,
            "postgresql_service_roles": [{"name": "app_web", "password": "p" * 16, "tables": ["*"], "share": 1}],
        },
        "postgresql_service_roles: the shares of the connections add up to 1",
        # The stack computes this input.
        "stack_database_shares",
    ),
    ("certificates", {"certificates_ca_dir": ""}, "certificates_ca_dir is empty", "stack_secrets_dir"),
    (
        "certificates",
        {"certificates_ca_dir": "/ca", "certificates_trusted": ["/etc/ca.pem"]},
        "certificates_trusted lists the text of certificates",
        "stack_trusted_ca_certificates",
    ),
    (
        "certificates",
        {
            "certificates_ca_dir": "/ca",
            "certificates_wanted": [{"name": "front", "subjects": ["a.example"]}],
            "certificates_own": {"front": {"certificate": "x"}},
        },
        "certificates_own, front: needs the entries certificate and key",
        "stack_certificates_own",
    ),
    ("nginx", {"nginx_site_socket": "127.0.0.1:8000"}, "nginx_site_socket is '127.0.0.1:8000'", "stack_web_listen"),
    ("nginx", {"nginx_site_hosts": ["*"]}, "nginx_site_hosts has *", "stack_web_hosts"),
]


def refusals(folder: Path, variables: dict[str, Any]) -> list[str]:
    """Return what the roles' preflight says of each case, asked in one run on this machine, which it doesn't touch."""
    tasks = [
        {
            "name": "Ask",
            "block": [
                {
                    "name": "Check the inputs",
                    "ansible.builtin.include_role": {"name": f"{PREFIX}{role}", "tasks_from": "preflight"},
                    "vars": inputs,
                },
                {"name": "Wonder", "ansible.builtin.fail": {"msg": "nothing was refused"}},
            ],
            "rescue": [
                {
                    "name": "Keep the answer",
                    "ansible.builtin.set_fact": {
                        "answers": "{{ answers | default([]) + [ansible_failed_result.msg | default('')] }}"
                    },
                }
            ],
        }
        for role, inputs, _, _ in CASES
    ]
    tasks.append(
        {
            "name": "Write the answers down",
            "ansible.builtin.copy": {"dest": f"{folder}/answers.json", "content": "{{ answers | to_json }}"},
        }
    )
    play = {
        "name": "Ask",
        "hosts": "localhost",
        "connection": "local",
        "gather_subset": ["!all", "!min", "distribution", "hardware", "network"],
        "tasks": tasks,
    }
    (folder / "play.yml").write_text(yaml.safe_dump([play]))
    (folder / "hosts.yml").write_text(
        yaml.safe_dump(
            {"all": {"hosts": {"localhost": {"ansible_python_interpreter": sys.executable}}, "vars": variables}}
        )
    )
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", folder / "hosts.yml", folder / "play.yml"]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (folder / "answers.json").exists(), done.stdout + done.stderr
    return json.loads((folder / "answers.json").read_text())


def test_without_the_stack_a_message_names_the_roles_own_input(tmp_path: Path) -> None:
    answers = refusals(tmp_path, {})
    assert [words for (_, _, words, _), answer in zip(CASES, answers, strict=True) if words not in answer] == []
    assert [answer for answer in answers if "stack_" in answer] == []


def test_with_the_stack_a_message_names_the_stacks_variable_too(tmp_path: Path) -> None:
    answers = refusals(tmp_path, dict.fromkeys(names.settable(), "set"))
    for (_, _, words, source), answer in zip(CASES, answers, strict=True):
        assert words in answer
        assert source in answer
        assert bool(source) == ("is set from" in answer)
