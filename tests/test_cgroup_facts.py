"""Limits of control groups, as both versions show them, on hosts and in containers."""

from __future__ import annotations

from pathlib import Path

import pytest
from cgroup_facts import Cgroups

NO_LIMIT = "9223372036854771712\n"


def host(folder: Path, membership: str, files: dict[str, str]) -> Cgroups:
    (folder / "membership").write_text(membership)
    for name, content in files.items():
        (folder / "fs" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "fs" / name).write_text(content)
    return Cgroups(folder / "fs", folder / "membership")


@pytest.mark.parametrize(
    ("membership", "files", "cpus", "mib"),
    [
        pytest.param("0::/init.scope\n", {"init.scope/cpu.stat": ""}, 0.0, 0, id="a plain host, version 2"),
        pytest.param(
            "0::/init.scope\n",
            {"cpu.max": "150000 100000\n", "memory.max": "2147483648\n", "init.scope/memory.max": "max\n"},
            1.5,
            2048,
            id="a container of version 2 with a namespace of its own",
        ),
        pytest.param(
            "0::/machine/one/init.scope\n",
            {
                "machine/cpu.max": "400000 100000\n",
                "machine/one/cpu.max": "max 100000\n",
                "machine/memory.max": "1073741824\n",
            },
            4.0,
            1024,
            id="a limit further up counts",
        ),
        pytest.param(
            "4:memory:/pod/one/init.scope\n1:cpu,cpuacct:/pod/one\n0::/pod/one/init.scope\n",
            {
                "memory/memory.limit_in_bytes": NO_LIMIT,
                "memory/pod/one/memory.limit_in_bytes": "2147483648\n",
                "cpu/pod/one/cpu.cfs_quota_us": "50000\n",
                "cpu/pod/one/cpu.cfs_period_us": "100000\n",
            },
            0.5,
            2048,
            id="a container of version 1",
        ),
        pytest.param(
            "4:memory:/\n1:cpu:/\n",
            {
                "memory/memory.limit_in_bytes": NO_LIMIT,
                "cpu/cpu.cfs_quota_us": "-1\n",
                "cpu/cpu.cfs_period_us": "100000\n",
            },
            0.0,
            0,
            id="a plain host, version 1",
        ),
    ],
)
def test_limits(tmp_path: Path, membership: str, files: dict[str, str], cpus: float, mib: int) -> None:
    groups = host(tmp_path, membership, files)
    assert (groups.cpu_quota(), groups.memory_mib()) == (cpus, mib)
