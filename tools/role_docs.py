"""Write what follows from the roles' argument specs: `python -m tools.role_docs [--check] [ROLE …]`.

For each role that is the table of inputs in README.md, and defaults/main.yml; for all of them docs/variables.md.
"""

from __future__ import annotations

import argparse
import difflib
import json
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from tools import inputs

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "plugins/filter"))
import input_name_faults as names  # noqa: E402  (found on the path above)

ROLES = ROOT / "roles"
BEGIN = "<!-- inputs: generated from meta/argument_specs.yml by `make docs` -->"
END = "<!-- inputs: end -->"
VARIABLES = ROOT / "docs" / "variables.md"
VARIABLES_HEAD = "| Variable | Type | Unit | Default | Meaning | Role |\n| --- | --- | --- | --- | --- | --- |\n"
VARIABLES_TEXT = """<!-- Written by `make docs` from roles/*/meta/argument_specs.yml: change those files, and not this one. -->
# Variables

What you may set in an inventory, by topic. A default with `{{` is computed on each host. The page of the role says more of a variable: keys
of a list's entries, and the rest of its meaning. An input of a role that is not here is set by the playbooks or by another role.
Preflight refuses in an inventory what the playbooks set, and names what to set instead. Names that begin with `stack_` are the role
`stack`'s alone: preflight refuses one that isn't here, such as a misspelt one.
"""
COMMENT_WIDTH = 140
HEADING_WIDTH = 124
# How the short description of a role ends that isn't for use alone.
PART = " (part of the stack)"
HEAD = "| Variable | Type | Default | Meaning |\n| --- | --- | --- | --- |\n"


def rows(options: dict[str, Any], prefix: str = "", alone: bool = False) -> Iterator[str]:
    """Yield a table's row for each option, those inside an option after it; of a role that works alone, with its own defaults too."""
    for name, option in options.items():
        sources = "" if prefix else set_by_the_stack(name)
        own = default_of(option)
        default = "; ".join(filter(None, [own, sources])) if alone else sources or own
        yield f"| `{prefix}{name}` | {kind_of(option)} | {default} | {meaning_of(option)} |"
        inner = f"{prefix}{name}[]." if option["type"] == "list" else f"{prefix}{name}."
        yield from rows(option.get("options", {}), inner)


def kind_of(option: dict[str, Any]) -> str:
    """Return the type, and that of a list's entries."""
    return option["type"] + (f" of {option['elements']}" if "elements" in option else "")


def set_by_the_stack(name: str) -> str:
    """Return what stands in place of the default of an input that the playbooks set; an empty text for another."""
    if name not in names.wiring():
        return ""
    sources = names.sources(name)
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
    return _cell(inputs.markdown(inputs.description_of(option)) + choices_of(option))


def choices_of(option: dict[str, Any]) -> str:
    """Return the sentence that names the choices; an empty text where anything goes."""
    choices = option.get("choices", [])
    how = "Any" if option["type"] == "list" else "One"
    return f" {how} of {', '.join(f'`{choice}`' for choice in choices)}." if choices else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def section(specs: dict[str, Any]) -> str:
    """Return the generated part of a README; entry points with the same inputs as `main` are named only."""
    parts, main = [], specs.get("main", {}).get("options", {})
    alone = not specs["main"]["short_description"].endswith(PART)
    for name, spec in specs.items():
        title = "## Inputs" if name == "main" else f"### Entry point `{name}`\n\n{spec['short_description']}."
        options = spec.get("options", {})
        if name != "main" and options == main:
            parts.append(f"{title} Same inputs.\n")
        elif options:
            parts.append(f"{title}\n\n{HEAD}" + "\n".join(rows(options, alone=alone)) + "\n")
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


def defaults(role: Path) -> str:
    """Return the text of a role's defaults/main.yml."""
    parts = [
        "---\n# Written by `make docs` from meta/argument_specs.yml: change that file, and not this one."
        " README.md says more of each input."
    ]
    topic = ""
    for one in inputs.of_role(role):
        if one.topic != topic:
            topic = one.topic
            parts.append(f"# --- {topic} ".ljust(HEADING_WIDTH, "-"))
        sentence = inputs.plain(inputs.first_sentence(one.option))
        comment = ("Required. " if one.option.get("required") else "") + sentence
        parts.append(
            textwrap.fill(
                comment,
                COMMENT_WIDTH,
                initial_indent="# ",
                subsequent_indent="# ",
                break_long_words=False,
                break_on_hyphens=False,
            )
            + f"\n{one.name}:{one.default_text}"
        )
    return "\n\n".join(parts) + "\n"


def variables() -> str:
    """Return the text of docs/variables.md: what an inventory may set, by topic."""
    rows: dict[str, list[str]] = {topic: [] for topic in inputs.TOPICS}
    folders = sorted(ROLES.iterdir(), key=lambda folder: (folder.name != "stack", folder.name))
    for one in (one for folder in folders for one in inputs.of_role(folder)):
        if one.topic != inputs.BY_CALLERS and one.name not in names.wiring():
            meaning = _cell(inputs.markdown(inputs.first_sentence(one.option)) + choices_of(one.option))
            rows[one.topic].append(
                f"| `{one.name}` | {kind_of(one.option)} | {inputs.unit_of(one.option)} | {default_of(one.option)} | {meaning}"
                f" | [{one.role}](../roles/{one.role}/README.md) |\n"
            )
    listed = "\n".join(
        f"- [{topic}](#{topic.lower().replace(' ', '-')}): {text}" for topic, text in inputs.TOPICS.items()
    )
    tables = "".join(f"\n## {topic}\n\n{VARIABLES_HEAD}{''.join(lines)}" for topic, lines in rows.items())
    return f"{VARIABLES_TEXT}\n{listed}\n{tables}"


def readme(role: Path) -> str:
    """Return the text of a role's README.md."""
    specs = yaml.safe_load((role / "meta/argument_specs.yml").read_text())["argument_specs"]
    path = role / "README.md"
    old = path.read_text() if path.exists() else f"# {role.name}\n\n{specs['main']['short_description']}.\n"
    return merged(old, section(specs))


def wanted(roles: Sequence[str]) -> Iterator[tuple[Path, str]]:
    """Yield each file with the text that it should have."""
    for role in sorted(path.parent.parent for path in ROLES.glob("*/meta/argument_specs.yml")):
        if not roles or role.name in roles:
            yield role / "README.md", readme(role)
            yield role / "defaults/main.yml", defaults(role)
    if not roles:
        yield VARIABLES, variables()


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the files, or say which differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when a file is out of date")
    parser.add_argument("roles", nargs="*", help="only these roles")
    options = parser.parse_args(arguments)
    stale = False
    for path, new in wanted(options.roles):
        old = path.read_text() if path.exists() else ""
        if new == old:
            continue
        stale = True
        named = path.relative_to(ROOT if path.is_relative_to(ROOT) else ROLES)
        if options.check:
            print(f"{named} is out of date; run `make docs`")
            print("".join(list(difflib.unified_diff(old.splitlines(True), new.splitlines(True), "now", "wanted"))[:20]))
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(new)
            print(f"wrote {named}")
    return 1 if stale and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
