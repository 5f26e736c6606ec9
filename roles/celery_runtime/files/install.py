"""Adds the runtime, and what a project is run with, to the project's environment, without touching what the project brings.

Prints what it did. Exits with 1, and a line for each reason, when the project's versions aren't supported or don't fit.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
import tempfile
from importlib.metadata import distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HERE = Path(__file__).resolve().parent
# Python is started without the folder of its script.
sys.path.insert(0, str(HERE))

from supported import beside_kombu, judge, lock_for, requirements  # noqa: E402 (see above)

# A pinned entry of the lock with its hash lines.
ENTRY = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])?==.*(?:\n[ \t]+.*)*", re.MULTILINE)


def installed(environment: Path) -> dict[str, str]:
    """Return the versions in a virtual environment by canonical name."""
    folders = [str(path) for path in environment.glob("lib/python*/site-packages")]
    return {canonicalize_name(item.name): item.version for item in distributions(path=folders)}


def supported(text: str, wheel: Path) -> list[Requirement]:
    """Return the ranges of a requirements file without options, and those that a wheel names, whatever it needs them for."""
    [runtime] = distributions(path=[str(wheel)])
    return [*requirements(text), *(Requirement(line) for line in runtime.requires or [])]


def missing(lock: str, present: dict[str, str]) -> str:
    """Return the entries of a lock, hashes included, whose packages aren't installed."""
    entries = [match.group(0) for match in ENTRY.finditer(lock) if canonicalize_name(match.group(1)) not in present]
    return "\n".join(entries) + "\n"


def this_wheel(wheel: Path) -> str:
    """Return the entry of a lock for a wheel of this host, which replaces whatever has its name."""
    name = wheel.name.partition("-")[0]
    return (
        f"{canonicalize_name(name)} @ {wheel.as_uri()} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"
    )


def unsettled(said: str, wheel: Path) -> str:
    """Return what uv says of an environment without what was settled when the runtime was installed.

    The runtime names ranges for all its parts. Whether a version beyond them is refused depends on the parts that are on (`judge`).

    Args:
        said: what `uv pip check` printed.
        wheel: the runtime's.
    """
    name = re.escape(canonicalize_name(wheel.name.partition("-")[0]))
    settled = re.compile(rf"The package `{name}` requires `[^`]+`, but `[^`]+` is installed")
    faults = [line for line in said.splitlines() if line.startswith("The package ")]
    # Without such lines it is something else that uv says, and counts.
    return "\n".join(line for line in faults if not settled.fullmatch(line)) if faults else said or "uv gave no reason"


def check(uv: str, environment: Path, wheel: Path) -> int:
    """Tell whether what is installed fits together."""
    done = subprocess.run(
        [uv, "pip", "check", f"--python={environment}/bin/python"], check=False, capture_output=True, text=True
    )
    if done.returncode == 0 or not (left := unsettled(f"{done.stdout}{done.stderr}", wheel)):
        return 0
    sys.stderr.write(
        "what the project brings doesn't fit what it is run with; change the project's lock "
        f"(django_project_requirements):\n{left}\n"
    )
    return 1


def main() -> int:
    """Refuse what isn't supported and install what is missing; or check what was installed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--environment", type=Path, required=True, help="the project's virtual environment")
    parser.add_argument("--uv", required=True, help="the command uv")
    parser.add_argument("--wheel", type=Path, required=True, help="the runtime's")
    parser.add_argument("--part", action="append", default=[], help="a part of the runtime that is on")
    parser.add_argument("--check", action="store_true", help="check only")
    options = parser.parse_args()
    if options.check:
        return check(options.uv, options.environment, options.wheel)
    present = installed(options.environment)
    ranges = supported((HERE / "requirements.in").read_text(), options.wheel)
    versions = {name: [version] for name, version in present.items()}
    faults, warnings = judge(versions, [*ranges, *beside_kombu(versions, HERE)], options.part)
    if "django" not in present:
        faults.append(
            "Django is not among the project's requirements (django_project_requirements); is it the right file?"
        )
    if faults:
        sys.stderr.write("\n".join(faults) + "\n")
        return 1
    python = f"--python={options.environment}/bin/python"
    with tempfile.NamedTemporaryFile("w", suffix=".lock") as lock:
        lock.write(missing(lock_for(present, HERE), present) + this_wheel(options.wheel))
        lock.flush()
        command = [options.uv, "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
        result = subprocess.run([*command, python, f"--requirement={lock.name}"], check=False)
    if result.returncode != 0:
        return 1
    added = sorted(set(installed(options.environment)) - set(present))
    sys.stdout.write("".join(f"warning: {one}\n" for one in warnings) + f"added: {', '.join(added) or 'nothing'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
