"""Read the playbook as ansible-playbook reads it, for one inventory, with made-up facts and secrets and without a host.

Ansible's own classes load inventory, plays and roles and template each task's arguments, so that what is seen here is what a run would
hand to the modules. No module runs: what a task would register is made up (`ANSWERS`), and stands for hosts where nothing is deployed yet.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
# Before Ansible is imported: it reads its configuration, such as where our plugins are, only once.
os.environ["ANSIBLE_CONFIG"] = str(ROOT / "ansible.cfg")

from ansible.inventory.host import Host  # noqa: E402 (see above)
from ansible.inventory.manager import InventoryManager  # noqa: E402 (see above)
from ansible.playbook import Playbook  # noqa: E402 (see above)
from ansible.playbook.block import Block  # noqa: E402 (see above)
from ansible.playbook.helpers import load_list_of_blocks  # noqa: E402 (see above)
from ansible.playbook.play import Play  # noqa: E402 (see above)
from ansible.playbook.role_include import IncludeRole  # noqa: E402 (see above)
from ansible.playbook.task import Task  # noqa: E402 (see above)
from ansible.template import trust_as_template  # noqa: E402 (see above)
from ansible.vars.hostvars import HostVars  # noqa: E402 (see above)
from ansible.vars.manager import VariableManager  # noqa: E402 (see above)

from tools.templating import Engine, Loader  # noqa: E402 (see above)

# Four CPUs and 8 GiB, so that shares and limits come out as numbers that can be reckoned in the head.
FACTS: dict[str, Any] = {
    "distribution": "Debian",
    "distribution_version": "13.1",
    "distribution_major_version": "13",
    "os_family": "Debian",
    "service_mgr": "systemd",
    "memtotal_mb": 8192,
    "processor_nproc": 4,
    "cgroup_memory_mib": 0,
    "cgroup_cpu_quota": 0.0,
    "all_ipv6_addresses": ["2001:db8::1"],
    "_ansible_facts_gathered": True,
}
# What the inventories take from a vault, or generate: long enough for every rule, and easily told apart where it turns up.
SECRETS = {
    "broker_password": "made-up-broker-password-0123456789",
    "broker_seed": "MadeUpBrokerSeed0123456789012345678901234567",
    "database_password": "made-up-database-password-0123456789",
    "secret_key": "made-up-secret-key-01234567890123456789012345678901234567890",
    "flower_password": "made-up-flower-password-0123456789",
    "admin_password": "made-up-admin-password-0123456789",
}
# What tasks register, where later ones look into it: nothing is on the hosts yet.
ANSWERS: dict[str, dict[str, Any]] = {
    "celery_runtime_source": {"digest": "a" * 64},
    "__celery_runtime_wheel": {"wheel": "/srv/celery_runtime.whl", "archive": "/srv/archive.tar", "digest": "a" * 64},
    "__django_project_folder": {"digest": "b" * 64, "archive": "/srv/folder.tar.gz"},
    "__django_project_git": {"stdout": "c" * 40},
    "__django_project_probe": {
        "stdout": '{"static": true, "urls": {"STATIC_URL": "/static/"}, "laid_over": ["setting"], "dangers": ["task"]}'
    },
    "__certificates_ca_request": {"csr": "a request"},
    "__redis_live": {"restart_required": []},
    # The first application of a host, which is there before a second one comes.
    "__preflight_applications": {
        "stdout_lines": ['{"application": "sample", "prefix": "", "share": 0.75, "front": true}']
    },
}
PLAIN_ANSWER: dict[str, Any] = {
    "changed": False,
    "failed": False,
    "rc": 0,
    "stdout": "",
    "stdout_lines": [],
    "results": [],
}
INCLUDES = ("include_role", "ansible.builtin.include_role", "include_tasks", "ansible.builtin.include_tasks")


@dataclass(frozen=True)
class Case:
    """An inventory, and what a team might have set in it besides.

    Attributes:
        inventory: name of the folder below `inventories`.
        variables: variables of all hosts that are laid over those of the inventory.
        secrets: made-up secrets besides `SECRETS`, that are no more to be seen than those.
    """

    inventory: str
    variables: dict[str, Any] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()


SIGNING_KEY = "-----BEGIN PRIVATE KEY-----\nmade-up-signing-key-0123456789\n-----END PRIVATE KEY-----"
TOKEN, DSN = "made-up-api-token-0123456789", "made-up-sentry-dsn-0123456789"
CASES = {
    "local": Case("local"),
    "staging": Case("staging"),
    "production": Case("production"),
    # A second application on the host of the first.
    "second": Case(
        "local",
        {
            "stack_app": "second",
            "stack_prefix": "second",
            "stack_host_share": 0.25,
            "stack_web_hosts": ["second.example.com"],
            "stack_cache": True,
            "stack_media": "public",
            "stack_processes": [{"name": "bot", "manage": "run_bot"}],
            "stack_timers": [{"name": "sessions", "manage": "clearsessions", "calendar": "daily"}],
        },
    ),
    # Broker, database and front are somebody else's, messages are signed, and all that is optional is set, the cache included.
    "managed": Case(
        "staging",
        {
            "stack_broker_url": "rediss://:made-up-managed-broker-password@broker.example.com:6380/2",
            "stack_database_external": True,
            "stack_database_host": "database.example.com",
            "stack_trusted_ca_certificates": [
                "-----BEGIN CERTIFICATE-----\nmade-up-authority\n-----END CERTIFICATE-----"
            ],
            "stack_front": False,
            "stack_egress": ["198.51.100.0/24", "localhost"],
            "stack_message_signing": True,
            "stack_message_signing_key": SIGNING_KEY,
            "stack_message_signing_certificate": "-----BEGIN CERTIFICATE-----\nmade-up-signer\n-----END CERTIFICATE-----",
            "stack_secret_environment": {"API_TOKEN": TOKEN},
            "stack_credentials_extra": {"sentry_dsn": DSN},
            "stack_credential_settings_extra": {"SENTRY_DSN": "sentry_dsn"},
            "stack_beat_credentials": ["sentry_dsn"],
            "stack_flower_read_only": False,
            "stack_cache": True,
            "stack_celery_settings_extra": {
                "task_ignore_result": True,
                "broker_transport_options": {"socket_timeout": 9},
            },
            "stack_django_settings_extra": {"USE_TZ": True},
            "stack_processes": [
                {
                    "name": "bot",
                    "program": "bot --verbose",
                    "single": True,
                    "notify": True,
                    "watchdog": 30,
                    "credentials": [],
                }
            ],
            "stack_timers": [
                {"name": "nightly", "manage": "clearsessions", "calendar": "*-*-* 04:00:00", "egress": []}
            ],
        },
        (SIGNING_KEY, TOKEN, DSN, "made-up-managed-broker-password"),
    ),
}


@dataclass(frozen=True)
class Step:
    """A task on a host, as a run would reach it.

    Attributes:
        play: name of the play.
        host: name of the host.
        task: the task, as Ansible loaded it.
        variables: what the task sees.
        called_by_play: whether the play itself calls the task's role, and not another role.
        runs: whether its conditions hold.
    """

    play: str
    host: str
    task: Task
    variables: dict[str, Any]
    called_by_play: bool
    runs: bool

    @property
    def role(self) -> str:
        """Return the name of the task's role, without its collection."""
        return str(self.task._role.get_name()).rpartition(".")[2] if self.task._role else ""

    @property
    def action(self) -> str:
        """Return the name of the module, without its collection."""
        return str(self.task.action).rpartition(".")[2]


def made_up(folder: Path, case: Case) -> Path:
    """Copy the case's inventory below the folder, with made-up secrets where a user has his, and return its path."""
    path = folder / "inventories" / case.inventory
    # What the test bench wrote for a demo that is up, and a user's own vault, are not the repository's.
    ignored = shutil.ignore_patterns("zz-testbench.yml", "vault.yml")
    shutil.copytree(ROOT / "inventories" / case.inventory, path, ignore=ignored)
    variables = {f"vault_{name}": value for name, value in SECRETS.items()}
    (path / "group_vars/all/vault.yml").write_text(yaml.safe_dump(variables))
    (path / "group_vars/all/zz-case.yml").write_text(yaml.safe_dump(case.variables))
    if case.inventory == "local":
        host = {"ansible_host": "192.0.2.2", "testbench_gateway": "192.0.2.1"}
        (path / "zz-testbench.yml").write_text(yaml.safe_dump({"all": {"hosts": {"local": host}}}))
    (folder / "sample_project").symlink_to(ROOT / "sample_project")
    # Where the local inventory generates its own.
    generated = folder / ".secrets" / "local"
    generated.mkdir(parents=True)
    for name, value in SECRETS.items():
        (generated / name).write_text(value)
    return path


class DryRun:
    """A playbook and a case.

    Args:
        folder: an empty folder for a copy of the inventory.
        case: the inventory and its variables.
        playbook: path of the playbook, relative to the repository.
    """

    def __init__(self, folder: Path, case: Case, playbook: str = "site.yml") -> None:
        self.folder = folder
        self.case = case
        self.loader = Loader()
        self._last: tuple[dict[str, Any], Engine] | None = None
        self.loader.set_basedir(str(ROOT))
        self.inventory = InventoryManager(self.loader, [str(made_up(folder, case))])
        self.manager = VariableManager(self.loader, self.inventory)
        HostVars(self.inventory, self.manager, self.loader)
        self.manager.extra_vars.update(ansible_check_mode=False, ansible_diff_mode=False)
        for host in self.inventory.get_hosts():
            self.manager.set_host_facts(host.name, FACTS | {"nodename": host.name})
        self.playbook = Playbook.load(str(ROOT / playbook), variable_manager=self.manager, loader=self.loader)

    @cached_property
    def steps(self) -> list[Step]:
        """Return every task of every host that a run would come to, in order."""
        return [step for play in self.playbook.get_plays() for step in self._play(play)]

    def named(self, value: Any) -> Any:
        """Return the value with this machine's own paths replaced by `<repository>`, as plain data."""
        if isinstance(value, dict):
            return {str(name): self.named(one) for name, one in value.items()}
        if isinstance(value, list | tuple):
            return [self.named(one) for one in value]
        if isinstance(value, str):
            return str(value).replace(str(self.folder), "<repository>").replace(str(ROOT), "<repository>")
        # Ansible's own kinds of numbers know where they come from; nothing else reads them.
        return next((kind(value) for kind in (bool, int, float) if isinstance(value, kind)), value)

    def evaluate(self, step: Step, variable: str) -> Any:
        """Return the value of a variable as the step's task sees it.

        Raises:
            AnsibleError: it is undefined, or can't be computed.
        """
        return self.named(self._template(step.variables, trust_as_template("{{ " + variable + " }}")))

    def arguments(self, step: Step) -> dict[str, Any]:
        """Return what the module of a step that runs would get; this takes up to a second for a file of many units."""
        # An assert's are conditions: it prints them as they are written, and the message that it is given.
        if step.action == "assert":
            that = step.task.args["that"]
            return {
                "that": [self._holds([one], step.variables) for one in (that if isinstance(that, list) else [that])]
            }
        if step.action in ("meta", "validate_argument_spec"):
            return {}
        environment = (
            {"environment": self._template(step.variables, step.task.environment)} if step.task.environment else {}
        )
        return self.named(self._template(step.variables, step.task.args)) | environment

    def argument(self, step: Step, name: str) -> Any:
        """Return one of a step's arguments alone, nothing if it has none of that name."""
        return self.named(self._template(step.variables, step.task.args.get(name)))

    def no_log(self, step: Step) -> bool:
        """Return whether what a step gets and gives stays out of logs."""
        return bool(self._template(step.variables, step.task.no_log))

    def _template(self, variables: dict[str, Any], value: Any) -> Any:
        return self._engine(variables).template(value)

    def _holds(self, conditions: list[str | bool], variables: dict[str, Any]) -> bool:
        return all(self._engine(variables).evaluate_conditional(one) for one in conditions)

    def _engine(self, variables: dict[str, Any]) -> Engine:
        """Return what templates with these variables; the last one again, if they are the last one's."""
        if self._last is None or self._last[0] != variables:
            self._last = (variables, Engine(self.loader, variables))
        return self._last[1]

    def _play(self, play: Play) -> Iterator[Step]:
        hosts = self.inventory.get_hosts(play.hosts)
        for block in play.compile():
            yield from self._block(play, block, hosts, called_by_play=True)

    def _block(self, play: Play, block: Block, hosts: list[Host], *, called_by_play: bool) -> Iterator[Step]:
        for task in block.block:
            if isinstance(task, Block):
                yield from self._block(play, task, hosts, called_by_play=called_by_play)
                continue
            for host in hosts:
                yield from self._task(play, task, host, called_by_play=called_by_play)

    def _task(self, play: Play, task: Task, host: Host, *, called_by_play: bool) -> Iterator[Step]:
        names = [one.name for one in self.inventory.get_hosts(play.hosts)]
        with self.loader.sharing():
            seen = self.manager.get_vars(play=play, host=host, task=task, _hosts=names, _hosts_all=names)
        seen["ansible_search_path"] = task.get_search_path()
        for item in self._template(seen, task.loop) if task.loop else [None]:
            variables = seen | ({task.loop_control.loop_var or "item": item} if task.loop else {})
            runs = task.action == "meta" or self._holds(task.when, variables)
            if runs and task.action in INCLUDES:
                yield from self._included(play, task, host, variables)
                continue
            step = Step(play.get_name(), host.name, task, variables, called_by_play, runs)
            yield step
            if runs and step.action == "set_fact":
                self._learn(host, self.arguments(step))
        if task.register:
            answer = PLAIN_ANSWER | ANSWERS.get(str(task.register), {})
            self._learn(host, {str(task.register): answer})

    def _learn(self, host: Host, facts: dict[str, Any]) -> None:
        self.manager.set_nonpersistent_facts(host.name, facts)
        # What was computed of other hosts' variables may be another from now on.
        self._last = None

    def _included(self, play: Play, task: Task, host: Host, variables: dict[str, Any]) -> Iterator[Step]:
        copy = task.copy()
        if isinstance(copy, IncludeRole):
            copy._role_name = self._template(variables, copy._role_name)
            blocks, _ = copy.get_block_list(play=play, variable_manager=self.manager, loader=self.loader)
        else:
            path = Path(copy._role._role_path) / "tasks" / self._template(variables, copy.args["_raw_params"])
            blocks = load_list_of_blocks(
                self.loader.load_from_file(str(path), trusted_as_template=True),
                play=play,
                parent_block=copy.build_parent_block(),
                role=copy._role,
                variable_manager=self.manager,
                loader=self.loader,
            )
        for block in blocks:
            yield from self._block(play, block, [host], called_by_play=task._role is None)
