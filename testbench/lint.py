"""Every linter over every file of the project, or over those that are named; side by side, with the output of those that complain."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

from testbench.console import duration, heartbeat, say, verdict
from testbench.podman import ROOT

PYTHON = ("plugins", "roles", "celery_runtime/src", "testbench", "tools", "sample_project")
ANSIBLE = ("playbooks", "roles", "molecule")
BANDIT = ["bandit", "--quiet", "--severity-level=medium"]
# Answers from the installed collections alone: a range that they don't satisfy is an error.
COLLECTIONS = ["ansible-galaxy", "collection", "install", "--offline"]
# The distribution of its own, which tells whoever installs it that it has types.
MYPY = ["mypy", "--config-file", "celery_runtime/pyproject.toml"]
ANSIBLE_LINT = ["ansible-lint", "--nocolor"]
SHELL = (b"#!/bin/sh", b"#!/bin/bash", b"#!/usr/bin/env bash", b"#!/usr/bin/env sh")


def files() -> list[Path]:
    """Return the files that are, or could be, committed."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def relative(path: Path) -> Path:
    """Return a file's path below the project's root, or the path itself when it lies elsewhere."""
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


def names(paths: list[Path]) -> list[str]:
    """Return paths as linters get them: from the project's root, where they run."""
    return [str(relative(path)) for path in paths]


def is_shell_script(path: Path) -> bool:
    """Tell by its first line whether a file is a shell script; a template is none yet."""
    if path.suffix == ".j2":
        return False
    with path.open("rb") as opened:
        return opened.readline().strip().startswith(SHELL)


def dependencies() -> list[str]:
    """Return the collections that galaxy.yml asks for, each with its range as ansible-galaxy takes it."""
    galaxy = yaml.safe_load((ROOT / "galaxy.yml").read_text())
    return [f"{name}:{versions}" for name, versions in galaxy["dependencies"].items()]


def commands(only: list[Path] | None = None) -> dict[str, list[str]]:
    """Return the linters and how each is called.

    Args:
        only: files to look at, in place of all. A linter that has nothing to say of them is left out.
    """
    if only is None:
        scripts = [path for path in files() if is_shell_script(path)]
        return {
            "ruff": ["ruff", "check", "."],
            "yamllint": ["yamllint", "--strict", "."],
            "shellcheck": ["shellcheck", *names(scripts)],
            # What runs on hosts and controllers, from medium severity on. Below that are asserts and subprocesses, which
            # ruff's rules S judge line by line.
            "bandit": [*BANDIT, "--recursive", *PYTHON],
            "mypy": MYPY,
            "collections": COLLECTIONS + dependencies(),
            "ansible-lint": ANSIBLE_LINT,
        }
    python = [path for path in only if path.suffix == ".py"]
    yaml = [path for path in only if path.suffix in (".yml", ".yaml")]
    ansible = [path for path in yaml if relative(path).parts[0] in ANSIBLE or path == ROOT / "site.yml"]
    chosen = {
        # Also what a linter's own configuration leaves out stays left out when it is named.
        "ruff": (["ruff", "check", "--force-exclude"], python),
        "yamllint": (["yamllint", "--strict"], yaml),
        "shellcheck": (["shellcheck"], [path for path in only if is_shell_script(path)]),
        "bandit": (BANDIT, [path for path in python if any(path.is_relative_to(ROOT / folder) for folder in PYTHON)]),
        "ansible-lint": (ANSIBLE_LINT, ansible),
    }
    wanted = {name: [*command, *names(paths)] for name, (command, paths) in chosen.items() if paths}
    wanted |= {"collections": COLLECTIONS + dependencies()} if ROOT / "galaxy.yml" in only else {}
    # Types hang together: all of the distribution, or nothing.
    return wanted | ({"mypy": MYPY} if any(path.is_relative_to(ROOT / "celery_runtime/src") for path in only) else {})


def run(name: str, command: list[str]) -> bool:
    """Run one linter and say how it went."""
    started = time.monotonic()
    result = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        # The linters of this environment, whether it is active or not.
        env={**os.environ, "NO_COLOR": "1", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )
    well = result.returncode == 0
    said = "" if well else f"\n{result.stdout}{result.stderr}"
    say(f"  {verdict(well)}  {name:<14}{duration(time.monotonic() - started):>8}{said}")
    return well


def main(arguments: list[str] | None = None) -> int:
    """Run all linters; the status tells whether one complained."""
    parser = argparse.ArgumentParser(prog="python -m testbench.lint", description=__doc__)
    parser.add_argument("only", nargs="*", type=Path, metavar="FILE", help="look at these files alone")
    named: list[Path] = parser.parse_args(arguments).only
    # A file that a commit removes isn't there to be looked at; nor are all others, when nothing else is named.
    only = [path.resolve() for path in named if path.is_file()] if named else None
    with heartbeat("linting"), ThreadPoolExecutor(max_workers=2) as pool:
        # The slow one first, so that it does not run alone at the end.
        results = list(pool.map(lambda item: run(*item), reversed(commands(only).items())))
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
