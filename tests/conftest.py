"""What host-free tests share: templates rendered with Ansible's own templar, and modules run as processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
# Before Ansible is imported: it reads its configuration, such as where our plugins are, only once.
os.environ["ANSIBLE_CONFIG"] = str(ROOT / "ansible.cfg")
os.environ.pop("ANSIBLE_COLLECTIONS_PATH", None)

from ansible.parsing.dataloader import DataLoader  # noqa: E402 (see above)
from ansible.plugins.loader import init_plugin_loader  # noqa: E402 (see above)
from ansible.template import Templar, trust_as_template  # noqa: E402 (see above)

init_plugin_loader([])

GALAXY = yaml.safe_load((ROOT / "galaxy.yml").read_text())
# What comes before the name of a role, a module, a filter or a playbook of ours.
PREFIX = f"{GALAXY['namespace']}.{GALAXY['name']}."
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())
FACTS = {
    "distribution": "Debian",
    "distribution_major_version": "12",
    "memtotal_mb": 2048,
    "processor_nproc": 2,
    "cgroup_memory_mib": 0,
    "cgroup_cpu_quota": 0.0,
}


class Role:
    """A role's variables: its defaults and its vars, with what a test sets and made-up facts."""

    def __init__(self, name: str, facts: dict[str, Any] | None = None, **variables: Any) -> None:
        self.path = ROOT / "roles" / name
        self.loader = DataLoader()
        self.loader.set_basedir(str(self.path))
        self.variables: dict[str, Any] = {
            "ansible_managed": "Ansible managed",
            "ansible_facts": FACTS | (facts or {}),
            "ansible_search_path": [str(self.path)],
            "role_name": name,
        }
        self.variables |= self._file("defaults") | variables | self._file("vars")

    def _file(self, folder: str) -> dict[str, Any]:
        path = self.path / folder / "main.yml"
        if not path.exists():
            return {}
        return self.loader.load_from_file(str(path), trusted_as_template=True) or {}

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression as a task of the role would see it; anything undefined is an error."""
        text = trust_as_template("{{ " + expression + " }}")
        return Templar(loader=self.loader, variables=self.variables).template(text)

    def render(self, template: str) -> str:
        """Return a template of the role, rendered."""
        return self.evaluate(f"lookup('ansible.builtin.template', '{template}')")


@pytest.fixture(name="role")
def _role() -> Callable[..., Role]:
    """Return the way to a role's variables and templates."""
    return Role


@pytest.fixture
def run_module(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Return a way to run a module as Ansible does: a process, arguments as JSON on standard input.

    With `journal`, a file, what the module sends to the host's journal is written there.
    """

    def run(
        name: str,
        arguments: dict[str, Any],
        *,
        check: bool = False,
        diff: bool = False,
        path: Path | None = None,
        journal: Path | None = None,
    ) -> dict[str, Any]:
        internal = {
            "_ansible_check_mode": check,
            "_ansible_diff": diff,
            "_ansible_remote_tmp": str(tmp_path),
            "_ansible_no_log": False,
        }
        # Where Ansible finds what modules share.
        paths = [str(ROOT / "collections")]
        environment = dict(os.environ)
        if path is not None:
            environment["PATH"] = f"{path}:{environment['PATH']}"
        if journal is not None:
            paths.append(str(ROOT / "tests" / "stand_ins"))
            environment["JOURNAL"] = str(journal)
        environment["PYTHONPATH"] = os.pathsep.join(paths)
        process = subprocess.run(
            [sys.executable, "-W", "ignore", ROOT / "plugins" / "modules" / f"{name}.py"],
            input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments | internal}),
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
        assert process.stdout, process.stderr
        return json.loads(process.stdout)

    return run
