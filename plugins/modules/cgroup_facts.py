"""Read the CPU and memory limits that a control group puts on a whole host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: cgroup_facts
short_description: Read the CPU and memory limits that a control group puts on a whole host
description:
  - Ansible's own facts see the CPUs a process may run on, but not a CPU quota, and the memory of the machine, but not a limit
    on the container that the host may be. Reads both versions of control groups.
author: The plainhost maintainers
"""

EXAMPLES = r"""
- name: Read the limits
  cgroup_facts:
"""

RETURN = r"""
ansible_facts:
  description: The limits; a missing limit is 0.
  returned: always
  type: dict
  contains:
    cgroup_cpu_quota: {description: "CPUs that may be used at once, such as 1.5. 0: no quota.", type: float}
    cgroup_memory_mib: {description: "Memory limit in MiB. 0: no limit.", type: int}
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

ROOT = Path("/sys/fs/cgroup")
# Version 1 shows "no limit" as the highest page-aligned 63-bit number; no host has a PiB.
ABSURD_BYTES = 2**50


def _words(*relative: str) -> list[str]:
    """Return the words of the first of these files that can be read."""
    for name in relative:
        try:
            return (ROOT / name).read_text().split()
        except OSError:
            continue
    return []


def cpu_quota() -> float:
    """Return the quota in CPUs, 0.0 when there is none (cgroup v2: cpu.max; v1: cpu.cfs_quota_us)."""
    words = _words("cpu.max")
    if len(words) == 2 and words[0] != "max":
        return int(words[0]) / int(words[1])
    quota = _words("cpu/cpu.cfs_quota_us", "cpu,cpuacct/cpu.cfs_quota_us")
    period = _words("cpu/cpu.cfs_period_us", "cpu,cpuacct/cpu.cfs_period_us")
    if quota and period and int(quota[0]) > 0:
        return int(quota[0]) / int(period[0])
    return 0.0


def memory_mib() -> int:
    """Return the limit in MiB, 0 when there is none (cgroup v2: memory.max; v1: memory.limit_in_bytes)."""
    words = _words("memory.max", "memory/memory.limit_in_bytes")
    if words and words[0] != "max" and int(words[0]) < ABSURD_BYTES:
        return int(words[0]) // 2**20
    return 0


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    facts = {"cgroup_cpu_quota": round(cpu_quota(), 3), "cgroup_memory_mib": memory_mib()}
    module.exit_json(changed=False, ansible_facts=facts)


if __name__ == "__main__":
    main()
