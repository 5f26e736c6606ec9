"""Read the CPU and memory limits that a control group puts on a whole host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: cgroup_facts
short_description: Read the CPU and memory limits that a control group puts on a whole host
description:
  - Ansible's own facts see the CPUs a process may run on, but not a CPU quota, and the memory of the machine, but not a limit
    on the container that the host may be. Reads both versions of control groups.
author: The plainhost maintainers (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Read the limits
  plainhost.stack.cgroup_facts:
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

from collections.abc import Iterator
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

# Version 1 shows "no limit" as the highest page-aligned 63-bit number; no host has a PiB.
ABSURD_BYTES = 2**50


class Cgroups:
    """The control groups that the init process is in, from its own up to the root (cgroups(7)).

    Every one of them may set a limit, and the lowest counts. In a container, or where the namespace is private, the first path
    below may already be the root.
    """

    def __init__(self, mounts: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/1/cgroup")) -> None:
        self.mounts = mounts
        lines = (line.split(":", 2) for line in membership.read_text().splitlines())
        # Controller to path; version 2 has one line, with no controller named.
        self.paths = {name: path for _number, names, path in lines for name in names.split(",")}

    def _folders(self, controller: str) -> Iterator[Path]:
        """Yield the folders of a controller in either version."""
        for mount, path in (
            (self.mounts, self.paths.get("")),
            (self.mounts / "unified", self.paths.get("")),
            (self.mounts / controller, self.paths.get(controller)),
        ):
            if path is not None:
                own = mount / path.lstrip("/")
                yield from (own, *(parent for parent in own.parents if parent.is_relative_to(mount)))

    def _read(self, controller: str, name: str) -> Iterator[tuple[Path, list[str]]]:
        for folder in self._folders(controller):
            try:
                yield folder, (folder / name).read_text().split()
            except OSError:
                continue

    def cpu_quota(self) -> float:
        """Return the quota in CPUs, 0.0 when there is none (version 2: cpu.max; version 1: cpu.cfs_quota_us)."""
        quotas = [int(words[0]) / int(words[1]) for _folder, words in self._read("cpu", "cpu.max") if words[0] != "max"]
        for folder, words in self._read("cpu", "cpu.cfs_quota_us"):
            if int(words[0]) > 0:
                quotas.append(int(words[0]) / int((folder / "cpu.cfs_period_us").read_text()))
        return round(min(quotas, default=0.0), 3)

    def memory_mib(self) -> int:
        """Return the limit in MiB, 0 when there is none (version 2: memory.max; version 1: memory.limit_in_bytes)."""
        limits = [int(words[0]) for _folder, words in self._read("memory", "memory.max") if words[0] != "max"]
        limits += [int(words[0]) for _folder, words in self._read("memory", "memory.limit_in_bytes")]
        return min((limit for limit in limits if limit < ABSURD_BYTES), default=0) // 2**20


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    groups = Cgroups()
    facts = {"cgroup_cpu_quota": groups.cpu_quota(), "cgroup_memory_mib": groups.memory_mib()}
    module.exit_json(changed=False, ansible_facts=facts)


if __name__ == "__main__":
    main()
