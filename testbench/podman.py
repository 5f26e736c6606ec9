"""Podman as this machine needs it: detected, never assumed."""

from __future__ import annotations

import json
import os
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from testbench.console import Problem

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "testbench"
# Containers, networks, volumes and images all start with it, and nothing without it is ever removed.
PREFIX = "plainhost"
# Several clones can have hosts of the same scenario at once where each is given a name of its own (TESTBENCH_NAME=left make test).
NAMED = f"{PREFIX}-{name}" if (name := os.environ.get("TESTBENCH_NAME")) else PREFIX
CAP_SYS_RESOURCE = 24
# What a guest's systemd needs on cgroup v1 to enforce MemoryMax=, TasksMax= and CPUQuota=.
# Never the whole tree: the guest would remount the outer machine's.
V1_CONTROLLERS = ("memory", "pids", "cpu", "cpuacct")


def v1_controllers(cgroup: Path = Path("/sys/fs/cgroup")) -> list[Path]:
    """Return the controllers to bind into a host: those of cgroup v1, none where all is v2."""
    return [cgroup / name for name in V1_CONTROLLERS if (cgroup / name / "tasks").exists()]


def containers_conf(*, v1_memory: bool, may_raise_limits: bool) -> str:
    """Return the containers.conf that this kind of machine needs; empty where Podman's defaults are right."""
    lines: list[str] = []
    if not may_raise_limits:
        # Podman's own defaults can't be reached without CAP_SYS_RESOURCE, and the container would not start.
        lines += ["[containers]", 'default_ulimits = ["nofile=1024:20000", "nproc=32768:32768"]']
    if v1_memory:
        # crun refuses a hybrid cgroup tree.
        lines += ["[engine]", 'runtime = "runc"']
    return "\n".join([*lines, ""]) if lines else ""


def may_raise_limits(status: str) -> bool:
    """Tell from the text of /proc/self/status whether root here has CAP_SYS_RESOURCE."""
    for line in status.splitlines():
        if line.startswith("CapBnd:"):
            return bool(int(line.split()[1], 16) >> CAP_SYS_RESOURCE & 1)
    return True


def as_root(command: list[str], environment: dict[str, str] | None = None) -> list[str]:
    """Return the command as root runs it: systemd hosts with real sandboxes need a rootful Podman."""
    env = ["env", *[f"{name}={value}" for name, value in (environment or {}).items()]] if environment else []
    return [*([] if os.geteuid() == 0 else ["sudo"]), *env, *command]


@cache
def prefix() -> tuple[str, ...]:
    """Return the words that start every podman command on this machine."""
    conf = containers_conf(
        v1_memory=any(path.name == "memory" for path in v1_controllers()),
        may_raise_limits=may_raise_limits(Path("/proc/self/status").read_text()),
    )
    if not conf:
        return tuple(as_root(["podman"]))
    path = CACHE / "containers.conf"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != conf:
        path.write_text(conf)
    return tuple(as_root(["podman"], {"CONTAINERS_CONF": str(path)}))


def run(command: list[str], *, check: bool = True, data: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run a command quietly; on failure say what it was and what it said."""
    result = subprocess.run(command, input=data, capture_output=True, check=False)
    if check and result.returncode != 0:
        said = (result.stderr or result.stdout).decode(errors="replace").strip()
        raise Problem(f"{' '.join(command[:8])} … exited {result.returncode}:\n{said}")
    return result


def podman(*arguments: str, check: bool = True, data: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run podman with these arguments."""
    return run([*prefix(), *arguments], check=check, data=data)


def text(*arguments: str) -> str:
    """Run podman and return what it printed."""
    return podman(*arguments).stdout.decode().strip()


def inspect(kind: str, name: str) -> dict[str, Any] | None:
    """Return what podman knows of a container, network, volume or image; None when there is none."""
    result = podman(kind, "inspect", name, check=False)
    if result.returncode != 0:
        return None
    found = json.loads(result.stdout)
    return found[0] if found else None
