"""Write what the inventories come to as tables that a reviewer can read: `python tools/tables.py [--check] [CASE …]`.

Each case (an inventory with made-up facts and secrets, see `dry_run.py`) has three files in tests/tables/<case>/:

- stack.yml: what the role `stack` computes from the inputs;
- wiring.yml: every input of each role that a play or the inventory sets, so whatever isn't the role's own default;
- units.yml: each directive of each unit and of each sandboxed command, with the units that have it.
"""

from __future__ import annotations

import argparse
import difflib
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tools.dry_run import CASES, ROOT, DryRun, Step

TABLES = ROOT / "tests" / "tables"
HEAD = "# Written by `make tables`; see tools/tables.py. Passwords are made up, or computed from what is made up.\n"
EVERYWHERE = "on every host"
# The roles that write units and sandboxed commands; to render what the others write would take twice the time.
WRITERS = ("systemd_unit", "redis", "postgresql")
# By host, by name: what was found.
Found = dict[str, dict[str, Any]]


@cache
def dry_run(case: str) -> DryRun:
    """Return the case's run, once for the whole process; it takes seconds."""
    return DryRun(Path(tempfile.mkdtemp(prefix="plainhost-tables-")), CASES[case])


def stack(run: DryRun) -> dict[str, Any]:
    """Return the table of what the role `stack` computes."""
    names = [name for name in _yaml(ROOT / "roles/stack/vars/main.yml") if not name.startswith("_")]
    found: Found = {}
    for step in run.steps:
        # The first play knows no facts yet.
        if (
            step.role == "stack"
            and step.host not in found
            and step.play != "Check the inputs, before any host is asked"
        ):
            found[step.host] = {name: run.evaluate(step, name) for name in names}
    return _by_host(found)


def wiring(run: DryRun) -> dict[str, Any]:
    """Return the table of the inputs that a play or the inventory sets, by role; those on which plays differ, by role and play."""
    plays: dict[str, dict[str, Found]] = {}
    for step in run.steps:
        if step.called_by_play and step.runs and step.role not in ("", "stack"):
            found = plays.setdefault(step.role, {}).setdefault(step.play, {})
            if step.host not in found:
                found[step.host] = {name: run.evaluate(step, name) for name in _set_inputs(step)}
    table = {}
    for role, by_play in sorted(plays.items()):
        merged: Found = {}
        unlike: set[str] = set()
        for found in by_play.values():
            for host, values in found.items():
                known = merged.setdefault(host, {})
                unlike |= {name for name, value in values.items() if known.setdefault(name, value) != value}
        table[role] = _by_host({host: _without(values, unlike) for host, values in merged.items()})
        for play, found in by_play.items():
            if unlike:
                table[f"{role}, in the play: {play}"] = _by_host(
                    {host: _without(values, set(values) - unlike) for host, values in found.items()}
                )
    return table


def _without(values: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


def _set_inputs(step: Step) -> list[str]:
    """Return the inputs of the step's role whose value, before templating, isn't the role's default."""
    defaults = step.task._role.get_default_vars()
    return [str(name) for name, value in defaults.items() if step.variables[name] != value and not name.startswith("_")]


def units(run: DryRun) -> dict[str, Any]:
    """Return the table of directives: for each, its values in order, by the units (or commands) that have them."""
    directives: dict[str, dict[str, list[str]]] = {}
    by_section: dict[str, set[str]] = {}
    for unit, lines in sorted(unit_lines(run).items()):
        for name, value in lines:
            directives.setdefault(name, {}).setdefault(unit, []).append(value)
            by_section.setdefault(name.split(" ")[0], set()).add(unit)
    table: dict[str, Any] = {
        f"all of {section}": sorted(having) for section, having in sorted(by_section.items()) if len(having) > 1
    }
    for name, by_unit in sorted(directives.items()):
        same: dict[tuple[str, ...], list[str]] = {}
        for unit, values in by_unit.items():
            same.setdefault(tuple(values), []).append(unit)
        everybody = by_section[name.split(" ")[0]]
        table[name] = {
            _who(having, everybody): values[0] if len(values) == 1 else list(values) for values, having in same.items()
        }
    return table


def _who(having: list[str], everybody: set[str]) -> str:
    """Return the units as a reader would name them: all, all but some, or each."""
    others = sorted(everybody - set(having))
    if len(everybody) > 1 and not others:
        return "all"
    return f"all but {', '.join(others)}" if len(others) * 2 < len(having) else ", ".join(having)


def unit_lines(run: DryRun) -> dict[str, list[tuple[str, str]]]:
    """Return the directives of each unit or command in order, with their sections; where hosts differ, by unit and host."""
    # By name and host, then by path: what several drop-ins say of a unit, systemd reads in the order of their names.
    found: dict[str, dict[str, dict[str, list[tuple[str, str]]]]] = {}
    for step in run.steps:
        if step.runs and step.action == "managed_files" and step.role in WRITERS:
            for file in run.argument(step, "files") or []:
                name, lines = _lines_of(str(file["dest"]), file.get("content") or "")
                if lines:
                    found.setdefault(name, {}).setdefault(step.host, {})[file["dest"]] = lines
    table = {}
    for name, by_host in found.items():
        lines_of = {
            host: [line for _, lines in sorted(by_path.items()) for line in lines] for host, by_path in by_host.items()
        }
        same = len(set(map(tuple, lines_of.values()))) == 1
        table |= {name if same else f"{name} on {host}": lines for host, lines in lines_of.items()}
    return table


def _lines_of(dest: str, content: str) -> tuple[str, list[tuple[str, str]]]:
    """Return what a file is called in the table, and its directives; none, if it is neither a unit nor a command."""
    if dest.startswith("/etc/systemd/system/"):
        unit, drop_in, _ = dest.removeprefix("/etc/systemd/system/").partition(".d/")
        return unit.removesuffix(".service") + (" (drop-ins)" if drop_in else ""), list(_of_unit(content))
    return dest.rpartition("/")[2], list(_of_command(content)) if "exec systemd-run" in content else []


def _of_unit(content: str) -> Iterator[tuple[str, str]]:
    section = ""
    for line in content.splitlines():
        if line.startswith("["):
            section = line
        elif line and not line.startswith("#"):
            name, _, value = line.partition("=")
            yield f"{section} {name}", value


def _of_command(content: str) -> Iterator[tuple[str, str]]:
    for line in content.splitlines():
        word = line.strip().removesuffix(" \\")
        if word.startswith(("--uid", "--gid", "--working-directory")):
            yield from (("systemd-run options", option) for option in word.split())
        elif word.startswith(("--property=", "${STACK_")):
            name, _, value = word.partition("--property=")[2].strip("'\"}").partition("=")
            yield f"[Service] {name}", value


def _by_host(found: Found) -> dict[str, Any]:
    """Return what is the same on every host once, and what isn't by the hosts that share it."""
    everywhere = {
        name: value
        for name, value in next(iter(found.values())).items()
        if all(name in one and one[name] == value for one in found.values())
    }
    table: dict[str, Any] = {EVERYWHERE: everywhere} if everywhere else {}
    rest: list[tuple[dict[str, Any], list[str]]] = []
    for host, values in sorted(found.items()):
        own = {name: value for name, value in values.items() if name not in everywhere}
        same = next((hosts for known, hosts in rest if known == own), None)
        if same is None:
            rest.append((own, [host]))
        else:
            same.append(host)
    return table | {f"on {', '.join(hosts)}": own for own, hosts in rest if own}


def _yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


class _Dumper(yaml.SafeDumper):
    """Writes a line for each fact: no anchors, and lists of plain values in one line."""

    def ignore_aliases(self, _: Any) -> bool:
        """Say of everything that it is to be written in full."""
        return True

    def represent_mapping(self, tag: str, mapping: Any, flow_style: bool | None = None) -> yaml.MappingNode:
        """Write a line for each entry."""
        return super().represent_mapping(tag, mapping, flow_style=False if mapping else flow_style)


def text_of(table: Any) -> str:
    """Return a table as the text of its file."""
    return HEAD + yaml.dump(
        table, Dumper=_Dumper, sort_keys=False, default_flow_style=None, allow_unicode=True, width=10000
    )


KINDS: dict[str, Callable[[DryRun], dict[str, Any]]] = {"stack": stack, "wiring": wiring, "units": units}


def changes(case: str, kind: str) -> tuple[str, str]:
    """Return the text that a table should have, and how its file differs from it, as a diff (empty if it doesn't)."""
    path = TABLES / case / f"{kind}.yml"
    wanted = text_of(KINDS[kind](dry_run(case)))
    there = path.read_text() if path.is_file() else ""
    lines = difflib.unified_diff(
        there.splitlines(), wanted.splitlines(), str(path.relative_to(ROOT)), "now", lineterm="", n=1
    )
    return wanted, "\n".join(lines)


def main(arguments: Iterable[str] | None = None) -> int:
    """Write the tables, or say how they differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a table differs")
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], help="all, if none is named")
    options = parser.parse_args(arguments)
    differ = False
    for case in options.cases or CASES:
        for kind in KINDS:
            wanted, diff = changes(case, kind)
            if diff:
                differ = True
                print(diff)
            if not options.check:
                path = TABLES / case / f"{kind}.yml"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(wanted)
    return int(differ and options.check)


if __name__ == "__main__":
    sys.exit(main())
