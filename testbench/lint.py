"""Every linter over every file of the project, side by side; the output of those that complain."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

from testbench.console import duration, heartbeat, say, verdict
from testbench.podman import ROOT

PYTHON = ("plugins", "roles", "testbench", "tools", "sample_project")
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


def commands() -> dict[str, list[str]]:
    """Return the linters and how each is called."""
    scripts = [str(path.relative_to(ROOT)) for path in files() if is_shell_script(path)]
    return {
        "ruff": ["ruff", "check", "."],
        "yamllint": ["yamllint", "--strict", "."],
        "shellcheck": ["shellcheck", *scripts],
        # What runs on hosts and controllers, from medium severity on. Below that are asserts and subprocesses, which
        # ruff's rules S judge line by line.
        "bandit": ["bandit", "--quiet", "--recursive", "--severity-level=medium", *PYTHON],
        # Answers from the installed collections alone: a range that they don't satisfy is an error.
        "collections": ["ansible-galaxy", "collection", "install", "--offline", *dependencies()],
        "ansible-lint": ["ansible-lint", "--nocolor"],
    }


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
        env={**os.environ, "NO_COLOR": "1"},
    )
    well = result.returncode == 0
    said = "" if well else f"\n{result.stdout}{result.stderr}"
    say(f"  {verdict(well)}  {name:<14}{duration(time.monotonic() - started):>8}{said}")
    return well


def main() -> int:
    """Run all linters; the status tells whether one complained."""
    with heartbeat("linting"), ThreadPoolExecutor(max_workers=2) as pool:
        # The slow one first, so that it does not run alone at the end.
        results = list(pool.map(lambda item: run(*item), reversed(commands().items())))
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
