"""Read the inputs of roles from their argument specs, with what the text of those files says besides: topics, defaults as written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

# A comment such as `# --- Broker ---` in argument specs: where a user looks for the inputs that follow. In the order of docs/variables.md.
TOPICS = {
    "Application": "How the project is loaded, and what is laid over its settings.",
    "Project and releases": "Where the project comes from, how a release is built, and what a deployment does.",
    "Hosts and network": "Folders and accounts on a host, what services may talk to, and which hosts are let in.",
    "Tasks and queues": "What holds for every task, wherever it runs.",
    "Workers": "Pools, their share of a host, and how they stop.",
    "Scheduler": "Beat, and how long results are kept.",
    "Processes and timers": "What the project runs beside the web, workers and beat.",
    "Files and programs": "Static files, uploads, folders of the project's own, and programs that services may start.",
    "Broker": "Redis, of these roles' making or somebody else's.",
    "Cache": "A further Redis, for what may be lost: Django's cache, sessions, channel layers, results.",
    "Database": "PostgreSQL, of these roles' making or somebody else's.",
    "Web and front": "gunicorn, and nginx before it.",
    "Flower": "The view of workers and tasks.",
    "Mail": "The server that the project sends through.",
    "Certificates": "Encryption between hosts and towards browsers, and the private authority.",
    "Secrets": "What services are handed, and signed messages. Passwords of a part stand with that part.",
}
# Below this heading stands what whoever includes the role sets; no inventory does.
BY_CALLERS = "Set by the caller"

_HEADING = re.compile(r"^ *# --- (.+?) -*$")
_UNITS = r"seconds?|minutes?|days?|MiB|bytes|fraction|number"
# What a number is called in brackets goes before what its description is about.
_UNIT = (re.compile(rf"\(an? ({_UNITS})\b", re.IGNORECASE), re.compile(rf"\b({_UNITS})\b", re.IGNORECASE))
_MARKUP = re.compile(r"(?<![A-Za-z])(?:C|O|M|V|RV)\(([^)]*)\)")


@dataclass(frozen=True)
class Input:
    """An input of a role.

    Attributes:
        role: name of the role.
        name: name of the variable.
        option: its entry in the argument specs.
        topic: the heading that it stands below, one of `TOPICS` or `BY_CALLERS`.
        default_text: its default as YAML, from the colon on, as it is written in the argument specs.
    """

    role: str
    name: str
    option: dict[str, Any]
    topic: str
    default_text: str


def of_role(folder: Path) -> list[Input]:
    """Return the inputs of all entry points of a role, each once, in the order of the argument specs.

    Args:
        folder: the role's folder.

    Raises:
        SystemExit: the file lacks something that an input must have; the message says what.
    """
    path = folder / "meta" / "argument_specs.yml"
    text = path.read_text()
    lines = text.splitlines()
    headings = {number: found[1] for number, line in enumerate(lines) if (found := _HEADING.match(line))}
    inputs: dict[str, Input] = {}
    entries = yaml.safe_load(text)["argument_specs"]
    for entry, node in _items(_items(yaml.compose(text))["argument_specs"][1]).items():
        for name, (key, option) in _items(_items(node[1]).get("options", (None, None))[1]).items():
            if name not in inputs:
                topic = next((headings[one] for one in sorted(headings, reverse=True) if one < key.start_mark.line), "")
                if topic not in (*TOPICS, BY_CALLERS):
                    raise SystemExit(
                        f"{path}: {name} stands below the heading {topic!r}: use one of {', '.join(TOPICS)}, {BY_CALLERS}"
                    )
                spec = entries[entry]["options"][name]
                inputs[name] = Input(folder.name, name, spec, topic, _default_text(path, lines, name, spec, option))
    return list(inputs.values())


def _items(node: yaml.Node | None) -> dict[str, tuple[yaml.Node, yaml.Node]]:
    """Return the entries of a mapping: name to the nodes of key and value."""
    return {key.value: (key, value) for key, value in node.value} if isinstance(node, yaml.MappingNode) else {}


def _default_text(path: Path, lines: list[str], name: str, spec: dict[str, Any], option: yaml.Node) -> str:
    """Return the default of an input from its colon on, with lines indented as below a name that begins its line."""
    if spec.get("required"):
        return {"list": " []", "dict": " {}"}.get(spec["type"], ' ""')
    if "default" not in spec:
        raise SystemExit(f"{path}: {name} has no default, and isn't required")
    start = _items(option)["default"][0].start_mark
    found = [lines[start.line][start.column :].removeprefix("default:")]
    for line in lines[start.line + 1 :]:
        if line.strip() and not line.startswith(" " * (start.column + 1)):
            break
        found.append(line[start.column :])
    text = "\n".join(found).rstrip()
    if yaml.safe_load(f"{name}:{text}") != {name: spec["default"]}:
        raise SystemExit(f"{path}: the default of {name} must stand in lines of its own, without an anchor")
    return text


def description_of(option: dict[str, Any]) -> str:
    """Return the description as one line, with Ansible's markup in it."""
    description = option["description"]
    return " ".join((description if isinstance(description, str) else " ".join(description)).split())


def first_sentence(option: dict[str, Any]) -> str:
    """Return the first sentence of the description, with Ansible's markup in it."""
    return re.split(r"(?<=[.])\s+", description_of(option), maxsplit=1)[0]


def plain(text: str) -> str:
    """Return a text without Ansible's markup, such as C(x)."""
    return _MARKUP.sub(r"\1", text)


def markdown(text: str) -> str:
    """Return a text with Ansible's markup turned into Markdown."""
    return _MARKUP.sub(r"`\1`", text)


def unit_of(option: dict[str, Any]) -> str:
    """Return the unit of a number as its description says it (`seconds`, `MiB`, `number`, …); an empty text for anything else."""
    if option["type"] not in ("int", "float"):
        return ""
    found = next((found for one in _UNIT if (found := one.search(description_of(option)))), None)
    return (found[1] if found[1] == "MiB" else found[1].lower()) if found else ""
