"""Write the table of inputs in each role's README from its argument specs: `python tools/role_docs.py [--check]`."""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "plugins/filter"))
import wired_input_faults as wired  # noqa: E402  (found on the path above)

ROLES = ROOT / "roles"
BEGIN = "<!-- inputs: generated from meta/argument_specs.yml by `make docs` -->"
END = "<!-- inputs: end -->"
HEAD = "| Variable | Type | Default | Meaning |\n| --- | --- | --- | --- |\n"


def rows(options: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield a table's row for each option, those inside an option after it."""
    for name, option in options.items():
        kind = option["type"] + (f" of {option['elements']}" if "elements" in option else "")
        default = (not prefix and set_by_the_stack(name)) or default_of(option)
        yield f"| `{prefix}{name}` | {kind} | {default} | {meaning_of(option)} |"
        inner = f"{prefix}{name}[]." if option["type"] == "list" else f"{prefix}{name}."
        yield from rows(option.get("options", {}), inner)


def set_by_the_stack(name: str) -> str:
    """Return what stands in place of the default of an input that the playbooks set; an empty text for another."""
    if name not in wired.wiring():
        return ""
    sources = wired.sources(name)
    return f"set from {', '.join(f'`{one}`' for one in sources)}" if sources else "set by the stack"


def default_of(option: dict[str, Any]) -> str:
    """Return what stands in the column of the default."""
    if option.get("required"):
        return "required"
    if option.get("default") is None:
        return ""
    value = option["default"]
    text = value.strip() if isinstance(value, str) and value else json.dumps(value)
    return "`" + " ".join(text.replace("|", "\\|").split()) + "`"


def meaning_of(option: dict[str, Any]) -> str:
    """Return the description and the choices as one line."""
    description = option["description"]
    text = description if isinstance(description, str) else " ".join(description)
    for mark in ("C(", "O(", "M(", "V(", "RV("):
        text = _unmarked(text, mark)
    choices = option.get("choices", [])
    return (text + (f" One of {', '.join(f'`{choice}`' for choice in choices)}." if choices else "")).replace(
        "|", "\\|"
    )


def _unmarked(text: str, mark: str) -> str:
    """Turn Ansible's markup, such as C(x), into Markdown."""
    before, found, rest = text.partition(mark)
    if not found or before[-1:].isalpha():
        return text
    inside, _, after = rest.partition(")")
    return f"{before}`{inside}`{_unmarked(after, mark)}"


def section(specs: dict[str, Any]) -> str:
    """Return the generated part of a README; entry points with the same inputs as `main` are named only."""
    parts, main = [], specs.get("main", {}).get("options", {})
    for name, spec in specs.items():
        title = "## Inputs" if name == "main" else f"### Entry point `{name}`\n\n{spec['short_description']}."
        options = spec.get("options", {})
        if name != "main" and options == main:
            parts.append(f"{title} Same inputs.\n")
        elif options:
            parts.append(f"{title}\n\n{HEAD}" + "\n".join(rows(options)) + "\n")
        else:
            parts.append(f"{title}\n\nNone.\n")
    return f"{BEGIN}\n" + "\n".join(parts) + f"{END}\n"


def merged(readme: str, generated: str) -> str:
    """Return a README with its generated part replaced, or put at its end; all else is a person's."""
    before, found, rest = readme.partition(BEGIN)
    if not found:
        return readme.rstrip("\n") + "\n\n" + generated
    _, ended, after = rest.partition(END + "\n")
    if not ended:
        raise SystemExit(f"a README has the line {BEGIN!r} without {END!r}")
    return before + generated + after


def main() -> int:
    """Write the tables, or say which differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when a README is out of date")
    parser.add_argument("roles", nargs="*", help="only these roles")
    arguments = parser.parse_args()
    stale = False
    for spec_path in sorted(ROLES.glob("*/meta/argument_specs.yml")):
        role = spec_path.parent.parent
        if arguments.roles and role.name not in arguments.roles:
            continue
        specs = yaml.safe_load(spec_path.read_text())["argument_specs"]
        readme = role / "README.md"
        old = readme.read_text() if readme.exists() else f"# {role.name}\n\n{specs['main']['short_description']}.\n"
        new = merged(old, section(specs))
        if readme.exists() and new == readme.read_text():
            continue
        stale = True
        if arguments.check:
            print(f"{role.name}/README.md is out of date; run `make docs`")
            print("".join(list(difflib.unified_diff(old.splitlines(True), new.splitlines(True), "now", "wanted"))[:20]))
        else:
            readme.write_text(new)
            print(f"wrote roles/{role.name}/README.md")
    return 1 if stale and arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
