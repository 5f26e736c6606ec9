"""Secrets that a role is given reach managed_files as sensitive files alone, so that its tasks need no `no_log` and show their paths."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from ansible.template import Templar
from conftest import ROLES, ROOT, Role

MARK = "secret-of-this-test"
KEYS = {"dest", "content", "source", "owner", "group", "mode"}
# What a role needs besides its secrets: what its tasks register, and inputs that let it write each of its files.
GIVEN: dict[str, dict[str, Any]] = {
    "certificates": {
        "certificates_dir": "/etc/shop/tls",
        "certificates_wanted": [{"name": "front", "subjects": ["www.example.com"]}],
        "certificates_own": {"front": {"certificate": "a certificate", "key": f"{MARK} certificates_own"}},
        "__certificates_new": {},
    },
    "django_project": {
        "django_project_superuser": "admin",
        "__django_project_look": {"stdout_lines": []},
        "__django_project_is_deployed": True,
        "celery_runtime_source": {"digest": "1" * 64},
        "__django_project_folder": {"digest": "2" * 64},
        "__django_project_wheel_pack": {"digest": "3" * 64},
    },
    "flower": {"flower_socket": "/run/celery-flower/http.sock"},
    "postgresql": {
        "postgresql_tls_certificate_file": "/etc/a.pem",
        "postgresql_tls_key_file": "/etc/a.key",
        "postgresql_service_roles": [
            {"name": "web", "password": f"{MARK} postgresql_service_roles", "share": 0.5, "tables": ["*"]}
        ],
    },
    "redis": {"redis_tls_certificate_file": "/etc/a.pem", "redis_tls_key_file": "/etc/a.key"},
    "systemd_unit": {"systemd_unit_units": [], "systemd_unit_commands": []},
    "celery_worker": {"__celery_worker_plan": {}},
}
# Secrets that go into files; the others reach their servers by a module, or stay on the controller.
IN_FILES = {
    "certificates": {"certificates_own"},
    "django_project": {
        "django_project_credentials",
        "django_project_git_key",
        "django_project_index_url",
        "django_project_extra_index_urls",
        "django_project_proxy",
        "django_project_secret_environment",
        "django_project_superuser_password",
    },
    "flower": {"flower_password"},
}


def tasks_of(role: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each task of a role that calls managed_files, whatever its collection, with the name of its file."""
    for path in sorted((ROOT / "roles" / role / "tasks").glob("*.yml")):
        for task in yaml.safe_load(path.read_text()) or []:
            if any(key.rpartition(".")[2] == "managed_files" for key in task):
                yield path.name, task


def secrets_of(role: str) -> dict[str, Any]:
    """Return a value with a mark for each secret input of a role."""
    specs = yaml.safe_load((ROOT / "roles" / role / "meta" / "argument_specs.yml").read_text())["argument_specs"]
    options = {name: option for spec in specs.values() for name, option in spec.get("options", {}).items()}
    values = {"str": "{}", "dict": {"name": "{}"}, "list": ["{}"]}
    return {
        name: yaml.safe_load(yaml.safe_dump(values[option["type"]]).replace("{}", f"{MARK} {name}"))
        for name, option in options.items()
        if option.get("no_log")
    }


def evaluated(role: Role, task_file: str, name: str, argument: str) -> list[dict[str, Any]]:
    """Return what an argument of a task of managed_files is on a host."""
    tasks = role.loader.load_from_file(str(role.path / "tasks" / task_file), trusted_as_template=True)
    (task,) = [task for task in tasks if task.get("name") == name]
    (call,) = [value for key, value in task.items() if key.rpartition(".")[2] == "managed_files"]
    templar = Templar(loader=role.loader, variables=role.variables | task.get("vars", {}))
    return templar.template(call.get(argument, []))


CALLERS = [role for role in ROLES if any(tasks_of(role))]


@pytest.mark.parametrize("name", CALLERS)
def test_a_secret_is_in_sensitive_files_and_nowhere_else(role: Callable[..., Role], name: str) -> None:
    secrets = secrets_of(name)
    caller = role(name, **secrets | GIVEN.get(name, {}))
    caller.variables |= GIVEN.get(name, {})
    seen = ""
    for file, task in tasks_of(name):
        plain, sensitive = (evaluated(caller, file, task["name"], kind) for kind in ("files", "sensitive_files"))
        assert MARK not in str(plain), f"{file}: {task['name']}"
        # The module refuses any other; it would do so on a host.
        assert {key for entry in plain + sensitive for key in entry} <= KEYS, f"{file}: {task['name']}"
        seen += str(sensitive)
    assert {secret for secret in secrets if f"{MARK} {secret}" in seen} == IN_FILES.get(name, set())


@pytest.mark.parametrize("name", CALLERS)
def test_what_changes_files_shows_which(name: str) -> None:
    assert [f"{file}: {task['name']}" for file, task in tasks_of(name) if "no_log" in task] == []


@pytest.mark.parametrize("name", ["postgresql", "redis"])
def test_a_key_that_is_copied_on_the_host_is_sensitive(role: Callable[..., Role], name: str) -> None:
    caller = role(name, **GIVEN[name])
    callers = [(file, task["name"]) for file, task in tasks_of(name)]
    assert any("/etc/a.key" in str(evaluated(caller, file, task, "sensitive_files")) for file, task in callers)
    assert not any("/etc/a.key" in str(evaluated(caller, file, task, "files")) for file, task in callers)


def test_the_mark_of_a_deployment_is_sensitive(role: Callable[..., Role]) -> None:
    # It is a hash over all secrets of the deployment: who knows all of them but a weak one could find that one by trying.
    project = role("django_project", **secrets_of("django_project"), **GIVEN["django_project"])
    mark = project.evaluate("__django_project_deployment_id")
    for file, task in tasks_of("django_project"):
        assert mark not in str(evaluated(project, file, task["name"], "files"))
    (deploy,) = [task["name"] for file, task in tasks_of("django_project") if file == "deploy.yml"]
    assert mark in str(evaluated(project, "deploy.yml", deploy, "sensitive_files"))


def test_every_caller_is_known() -> None:
    files = [path for path in (ROOT / "roles").glob("*/tasks/*.yml") if "managed_files:" in path.read_text()]
    assert sorted(CALLERS) == sorted({path.parent.parent.name for path in files})
