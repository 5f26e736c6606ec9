"""The repository as a collection: one name, written in galaxy.yml, and a tarball that holds what a team needs and no more."""

from __future__ import annotations

import ast
import configparser
import importlib
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import build_wheel
import jinja2
import pytest
import yaml
from conftest import GALAXY, PREFIX, ROLES, ROOT, Role
from jinja2 import nodes

BIN = Path(sys.executable).parent
EXAMPLE = ROOT / "examples" / "team"
LINK = ROOT / "collections" / "ansible_collections" / GALAXY["namespace"] / GALAXY["name"]
# What a team gets. A new entry at the root is either named here or left out by build_ignore in galaxy.yml.
PACKED = {
    "CHANGELOG.md", "FILES.json", "LICENSE", "MANIFEST.json", "README.md", "SECURITY.md",
    "celery_runtime", "docs", "meta", "playbooks", "plugins", "roles",
}  # fmt: skip
# What lies about in a clone that somebody works in.
LITTER = (
    ".cache/venv/x.py", ".env", ".hypothesis/x", ".secrets/local/broker_password", ".venv/bin/x", "id_ed25519", "production.key",
    "inventories/mine/group_vars/all/vault.yml", "inventories/zz-testbench.yml", "roles/redis/files/__pycache__/x.cpython-311.pyc",
    "plugins/modules/__pycache__/x.cpython-311.pyc", "tests/output/x", "vault.yml", "vault-password", "roles/redis/.pytest_cache/x",
)  # fmt: skip
MODULES = {path.stem for kind in ("modules", "action") for path in (ROOT / "plugins" / kind).glob("*.py")} - {
    "__init__"
}
LOOKUPS = {path.stem for path in (ROOT / "plugins" / "lookup").glob("*.py")} - {"__init__"}
PLAYBOOKS = {path.stem for path in ROOT.glob("playbooks/*.yml")}


@cache
def filters() -> dict[str, Callable[..., Any]]:
    """Return our filters by name; one file may have several."""
    found: dict[str, Callable[..., Any]] = {}
    for path in sorted((ROOT / "plugins" / "filter").glob("*.py")):
        found |= importlib.import_module(path.stem).FilterModule().filters()
    return found


def tracked() -> list[Path]:
    """Return the files that are, or could be, committed."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return [ROOT / name for name in listed.split("\0") if name]


def strings(value: Any) -> Iterator[str]:
    """Yield every text of a document, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from strings(key)
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


def mappings(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every mapping of a document."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else []:
        yield from mappings(inner)


def short_in_jinja(text: str) -> Iterator[str]:
    """Yield our filters and lookups that a template calls by their short names, also in `map('x')`."""
    if "{" not in text:
        return
    for node in jinja2.Environment(autoescape=True).parse(text).find_all((nodes.Filter, nodes.Call)):
        first = node.args[0].value if node.args and isinstance(node.args[0], nodes.Const) else ""
        if isinstance(node, nodes.Filter):
            yield from {node.name, first if node.name == "map" else ""} & set(filters())
        elif isinstance(node.node, nodes.Name) and node.node.name in ("lookup", "query", "q"):
            yield from {first} & LOOKUPS


def short_in_yaml(document: Any) -> Iterator[str]:
    """Yield our modules and roles that tasks and plays call by their short names."""
    for one in mappings(document):
        yield from set(one) & MODULES
        called = [
            one.get("role"),
            *(one.get(f"{prefix}{verb}_role") for prefix in ("", "ansible.builtin.") for verb in ("include", "import")),
        ]
        yield from {role.get("name") if isinstance(role, dict) else role for role in called if role} & set(ROLES)
        for role in one.get("roles") or [] if "hosts" in one else []:
            yield from {role} & set(ROLES) if isinstance(role, str) else ()


CALLERS = [
    path
    for path in tracked()
    if path.suffix in (".yml", ".j2")
    and path.relative_to(ROOT).parts[0] in ("roles", "playbooks", "molecule", "inventories", "site.yml", "examples")
]


# Jinja's own reading of texts such as '\\['.
@pytest.mark.filterwarnings("ignore:invalid escape sequence:DeprecationWarning")
@pytest.mark.parametrize("path", CALLERS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_ours_goes_by_its_full_name(path: Path) -> None:
    # A short name is found in a clone or in a role of the collection, and nowhere else.
    text = path.read_text()
    document = yaml.safe_load(text) if path.suffix == ".yml" else text
    if not isinstance(document, str) and path.parts[-2] != "meta":
        assert sorted(short_in_yaml(document)) == []
    faults = [name for string in strings(document) for name in short_in_jinja(string)]
    assert faults == []


@pytest.mark.parametrize("role", ROLES)
def test_a_roles_readme_shows_full_names(role: str) -> None:
    fences = re.findall(r"```yaml\n(.*?)```", (ROOT / "roles" / role / "README.md").read_text(), re.DOTALL)
    assert [
        name for fence in fences for document in yaml.safe_load_all(fence) for name in short_in_yaml(document)
    ] == []


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("- managed_files: {}", ["managed_files"]),
        ("- ansible.builtin.include_role: {name: redis}", ["redis"]),
        ("- hosts: all\n  roles: [stack, {role: nginx}]", ["nginx", "stack"]),
        (f"- {PREFIX}managed_files: {{}}\n- ansible.builtin.import_role: {{name: {PREFIX}redis}}", []),
    ],
)
def test_a_short_name_would_be_seen(text: str, faults: list[str]) -> None:
    assert sorted(short_in_yaml(yaml.safe_load(text))) == faults


@pytest.mark.parametrize("text", ["{{ x | unit_state }}", "{% if x | map('unit_state') %}{% endif %}"])
def test_a_short_filter_would_be_seen(text: str) -> None:
    assert list(short_in_jinja(text)) == ["unit_state"]
    assert list(short_in_jinja(text.replace("unit_state", f"{PREFIX}unit_state"))) == []


def test_the_collections_name_is_the_one_of_galaxy_yml_everywhere() -> None:
    name = re.compile(rf"\b{GALAXY['namespace']}\.([a-z_]+)\.([a-z_]+)\b")
    # By `plugins` modules import what they share; one that isn't there fails each of their tests.
    known = MODULES | LOOKUPS | set(filters()) | set(ROLES) | PLAYBOOKS | {"plugins"}
    faults = []
    for path in tracked():
        if path.suffix in (".yml", ".j2", ".py", ".md", ".cfg", ".txt") and path.is_file() and not path.is_symlink():
            faults += [
                f"{path.relative_to(ROOT)}: {found[0]}"
                for found in name.finditer(path.read_text())
                if found[1] != GALAXY["name"] or found[2] not in known
            ]
    assert faults == []


def test_a_clone_is_found_as_the_collection() -> None:
    assert LINK.is_symlink()
    assert not LINK.readlink().is_absolute()
    assert LINK.resolve() == ROOT


def test_the_version_is_the_projects() -> None:
    assert GALAXY["version"] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_the_collection_asks_for_what_it_calls_and_no_more() -> None:
    name = re.compile(r"\b((?:ansible|community)\.[a-z_]+)\.[a-z_]+\b")
    called = {
        found[1]
        for folder in ("roles", "playbooks")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".yml", ".j2")
        for found in name.finditer(path.read_text())
    }
    assert called - {"ansible.builtin", "ansible.module_utils"} == set(GALAXY["dependencies"])


@dataclass(frozen=True)
class Team:
    """A folder with nothing but an inventory and requirements.yml, and a home in which nothing of Ansible's lies yet."""

    folder: Path
    home: Path

    def run(self, tool: str, *arguments: str, status: int = 0) -> str:
        """Run one of Ansible's programs there, which is to end with a status; return what it prints."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "MOLECULE_"))}
        done = subprocess.run(
            [str(BIN / tool), *arguments],
            cwd=self.folder,
            env=kept | {"HOME": str(self.home), "ANSIBLE_NOCOLOR": "1", "GIT_CONFIG_GLOBAL": os.devnull},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout

    @property
    def installed(self) -> Path:
        """Where the collection lies once it is installed."""
        return self.home / ".ansible" / "collections" / "ansible_collections" / GALAXY["namespace"] / GALAXY["name"]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a clone that somebody has worked in: what is committed here, and litter that isn't."""
    folder = tmp_path_factory.mktemp("clone") / "anything"
    for path in tracked():
        if path.is_symlink() or path.is_file():
            target = folder / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target, follow_symlinks=False)
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
    for command in (["init", "--quiet"], ["add", "--all"], [*identity, "commit", "--quiet", "--message=all"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    for name in LITTER:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("not to be seen\n")
    return folder


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory, clone: Path) -> Team:
    """Return a team's folder, with the collection installed from the repository as its requirements.yml says."""
    folder = tmp_path_factory.mktemp("team")
    home = tmp_path_factory.mktemp("home")
    (folder / "requirements.yml").write_text(f"collections:\n  - {{name: 'git+file://{clone}', version: HEAD}}\n")
    groups = {"redis": None, "database": None, "app": {"children": dict.fromkeys(("web", "workers", "beat", "flower"))}}
    host = {"hosts": {"shop1": {"ansible_connection": "local"}}}
    groups = {name: inner or host for name, inner in groups.items()}
    groups["app"] = {"children": dict.fromkeys(groups["app"]["children"], host)}
    (folder / "inventory").write_text(yaml.safe_dump({"all": host | {"children": groups}}))
    made = Team(folder, home)
    # --offline: no Galaxy is asked. What ours needs comes with the package `ansible` of the lock.
    made.run("ansible-galaxy", "collection", "install", "--offline", "--requirements-file", "requirements.yml")
    return made


@pytest.fixture(scope="module")
def tarball(tmp_path_factory: pytest.TempPathFactory, clone: Path) -> Path:
    """Return the collection as it is built in that clone."""
    folder = tmp_path_factory.mktemp("built")
    Team(clone, folder).run("ansible-galaxy", "collection", "build", "--output-path", str(folder))
    return folder / f"{GALAXY['namespace']}-{GALAXY['name']}-{GALAXY['version']}.tar.gz"


def test_the_tarball_holds_what_a_team_needs_and_no_more(tarball: Path) -> None:
    with tarfile.open(tarball) as opened:
        names = opened.getnames()
    assert {name.partition("/")[0] for name in names} == PACKED
    unwanted = re.compile(r"(^|/)([.]|__pycache__|test_|conftest|vault|molecule)|[.](pyc|key|pem)$|(^|/)tests?/")
    assert [name for name in names if unwanted.search(name)] == []


def test_what_is_in_the_tarball_is_committed(tarball: Path) -> None:
    committed = {str(path.relative_to(ROOT)) for path in tracked()}
    with tarfile.open(tarball) as opened:
        files = [one.name for one in opened.getmembers() if not one.isdir()]
    assert sorted(set(files) - committed) == ["FILES.json", "MANIFEST.json"]


def settings_of(path: Path) -> dict[str, dict[str, str]]:
    """Return the sections of an ansible.cfg but for where things lie."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(path)
    return {
        name: {key: value for key, value in section.items() if key not in ("inventory", "collections_path")}
        for name, section in parser.items()
    }


def test_a_team_has_the_settings_that_a_clone_has() -> None:
    assert settings_of(EXAMPLE / "ansible.cfg") == settings_of(ROOT / "ansible.cfg")


def test_the_example_is_a_folder_to_begin_with(tarball: Path, tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    shutil.copytree(EXAMPLE, folder)
    shop = Team(folder, tmp_path / "home")
    said = shop.run("ansible-galaxy", "collection", "install", "--offline", str(tarball))
    assert f"{PREFIX[:-1]}:{GALAXY['version']} was installed successfully" in said
    assert (folder / "collections" / "ansible_collections" / GALAXY["namespace"] / GALAXY["name"]).is_dir()
    # Before any host is asked, and with the next step.
    said = " ".join(shop.run("ansible-playbook", f"{PREFIX}site", status=2).split())
    assert "stack_broker_password" in said
    assert "vault.yml.example to vault.yml" in said
    assert "UNREACHABLE" not in said
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    for name in ("collections/x", "inventory/.secrets/ca/ca.key", "vault-password"):
        subprocess.run(["git", "check-ignore", "--quiet", name], cwd=folder, check=True)


KINDS = {"module": MODULES, "filter": set(filters()), "lookup": LOOKUPS, "role": set(ROLES)}


@cache
def documentation(team: Team, kind: str) -> dict[str, Any]:
    """Return what ansible-doc says of everything of ours of a kind, by its full name."""
    names = sorted(f"{PREFIX}{name}" for name in KINDS[kind])
    known: dict[str, Any] = json.loads(team.run("ansible-doc", "--json", "--type", kind, *names))
    return known


@pytest.mark.parametrize("kind", [kind for kind, names in KINDS.items() if names])
def test_ansible_doc_knows_everything_of_ours(team: Team, kind: str) -> None:
    known = documentation(team, kind)
    assert set(known) == {f"{PREFIX}{name}" for name in KINDS[kind]}
    if kind == "role":
        assert {name for name, role in known.items() if "main" not in role["entry_points"]} == set()
        return
    short = [
        name for name, one in known.items() if not all((one["doc"].get("description"), one["examples"], one["return"]))
    ]
    assert short == []
    listed = json.loads(team.run("ansible-doc", "--json", "--list", "--type", kind, PREFIX[:-1]))
    assert set(listed) == set(known)


@pytest.mark.parametrize("kind", ["module", "filter", "lookup"])
def test_examples_show_full_names(team: Team, kind: str) -> None:
    examples = [yaml.safe_load(one["examples"]) for one in documentation(team, kind).values() if one["examples"]]
    assert examples != []
    assert list(short_in_yaml(examples)) == []
    assert [name for text in strings(examples) for name in short_in_jinja(text)] == []


@pytest.mark.parametrize("name", sorted(filters()))
def test_a_filter_is_documented_with_the_options_that_it_takes(team: Team, name: str) -> None:
    # What a Python file says of one filter is shown for each filter of that file, whatever the file of its own name says.
    doc = documentation(team, "filter")[f"{PREFIX}{name}"]["doc"]
    _, *parameters = inspect.signature(filters()[name]).parameters.values()
    options = doc["options"]
    assert options.pop("_input")["required"]
    assert {one.name: one.default is one.empty for one in parameters} == {
        option: said.get("required", False) for option, said in options.items()
    }
    # Jinja takes them in the order of the function.
    positional = doc.get("positional", [])
    positional = positional.split(", ") if isinstance(positional, str) else positional
    assert positional == [one.name for one in parameters]


def test_an_example_gives_what_the_comment_above_it_says(team: Team, role: Callable[..., Role]) -> None:
    examples = "\n".join(one["examples"] for one in documentation(team, "filter").values())
    said = re.findall(r"^# (.+)\n\w+: \"\{\{ (.+) }}\"$", examples, re.MULTILINE)
    assert said != []
    values = {expression: role("stack").evaluate(expression) for _, expression in said}
    assert values == {expression: ast.literal_eval(value) for value, expression in said}


def test_every_playbook_parses_in_a_folder_of_its_own(team: Team) -> None:
    names = sorted(f"{PREFIX}{name}" for name in PLAYBOOKS)
    said = team.run("ansible-playbook", "--inventory=inventory", "--syntax-check", *names)
    assert said.count("playbook: ") == len(names)


def test_site_has_the_same_tasks_from_a_clone_and_from_an_installation(team: Team) -> None:
    there = team.run("ansible-playbook", "--inventory=inventory", "--list-tasks", f"{PREFIX}site")
    here = subprocess.run(
        [str(BIN / "ansible-playbook"), f"--inventory={team.folder / 'inventory'}", "--list-tasks", "site.yml"],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert there.count("\n      ") > 100
    assert there.split("\n")[3:] == here.split("\n")[3:]


def test_the_files_of_an_installation_are_those_of_the_clone(team: Team) -> None:
    # A release is named after the runtime's content and modes: it has one name, wherever the collection lies.
    faults = []
    for path in tracked():
        name = path.relative_to(ROOT)
        if name.parts[0] in ("roles", "playbooks", "plugins") and not path.is_symlink():
            copy = team.installed / name
            if (
                not copy.is_file()
                or copy.read_bytes() != path.read_bytes()
                or (copy.stat().st_mode ^ path.stat().st_mode) & 0o100
            ):
                faults.append(str(name))
    assert faults == []


def test_the_runtime_is_found_in_an_installation_that_git_ignores(team: Team) -> None:
    # Somebody's home, or his team's folder, is a repository that ignores what is installed in it.
    subprocess.run(["git", "init", "--quiet", str(team.home)], check=True)
    (team.home / ".gitignore").write_text("*\n")
    shown = "{{ celery_runtime_source.digest }}"
    play = {
        "hosts": "all",
        "gather_facts": False,
        "tasks": [
            {
                "ansible.builtin.import_role": {
                    "name": f"{PREFIX}celery_runtime",
                    "tasks_from": "source",
                    "rolespec_validate": False,
                }
            },
            {"ansible.builtin.debug": {"msg": f"named {shown}"}},
        ],
    }
    (team.folder / "look.yml").write_text(yaml.safe_dump([play]))
    there = team.run("ansible-playbook", "--inventory=inventory", "look.yml")
    named = there.partition("named ")[2].split()[0].strip('"')
    beside = sorted((ROOT / "roles/celery_runtime/files").iterdir())
    assert named == build_wheel.digest(ROOT / "celery_runtime", [path for path in beside if path.is_file()])


def test_the_authoritys_key_is_not_committed_by_accident(team: Team) -> None:
    # Nobody has told git of the folder.
    subprocess.run(["git", "init", "--quiet", str(team.folder)], check=True)
    folder = team.folder / ".secrets" / "ca"
    role = {"name": f"{PREFIX}certificates", "tasks_from": "ca", "rolespec_validate": False}
    play = {
        "hosts": "all",
        "gather_facts": False,
        "vars": {"certificates_ca_dir": str(folder)},
        "tasks": [{"ansible.builtin.import_role": role}],
    }
    (team.folder / "authority.yml").write_text(yaml.safe_dump([play]))
    team.run("ansible-playbook", "--inventory=inventory", "authority.yml")
    assert (folder / "ca.key").stat().st_mode & 0o777 == 0o600
    subprocess.run(["git", "-C", str(team.folder), "add", "--all"], check=True)
    added = subprocess.run(
        ["git", "-C", str(team.folder), "ls-files"], check=True, capture_output=True, text=True
    ).stdout
    assert "authority.yml" in added
    assert ".secrets" not in added
