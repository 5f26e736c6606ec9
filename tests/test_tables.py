"""What the inventories come to is what the committed tables say.

A difference is either a mistake or a change that a reviewer is to see: `make tables` writes the tables anew.
"""

from __future__ import annotations

import pytest

from tools.dry_run import CASES
from tools.tables import KINDS, changes, dry_run, unit_lines


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", CASES)
def test_the_table_says_what_is_computed(case: str, kind: str) -> None:
    _, diff = changes(case, kind)
    assert diff == "", f"`make tables` writes this into the table, if it is meant:\n{diff}"


# What is the same in the sandbox of each service and each command, whatever the service does.
SANDBOX = {
    "NoNewPrivileges=yes", "CapabilityBoundingSet=", "AmbientCapabilities=", "RestrictNamespaces=yes",
    "RestrictRealtime=yes", "RestrictSUIDSGID=yes", "LockPersonality=yes", "MemoryDenyWriteExecute=yes",
    "KeyringMode=private", "RemoveIPC=yes", "ProtectSystem=strict", "ProtectHome=yes", "PrivateTmp=yes",
    "PrivateDevices=yes", "DevicePolicy=closed", "PrivateUsers=yes", "PrivateIPC=yes", "ProtectHostname=yes",
    "ProtectClock=yes", "ProtectKernelTunables=yes", "ProtectKernelModules=yes", "ProtectKernelLogs=yes",
    "ProtectControlGroups=yes", "ProtectProc=invisible", "ProcSubset=pid", "SystemCallArchitectures=native",
    "SystemCallErrorNumber=EPERM",
}  # fmt: skip
CALLS = [
    "@system-service",
    "~@privileged @resources @keyring",
    "~memfd_create memfd_secret io_uring_setup io_uring_enter io_uring_register process_vm_readv process_vm_writev pidfd_getfd kcmp",
]
# Directives whose value is the service's own, but which none may lack.
NEVER_ABSENT = {
    "UMask",
    "TemporaryFileSystem",
    "ReadOnlyPaths",
    "InaccessiblePaths",
    "NoExecPaths",
    "ExecPaths",
    "RestrictAddressFamilies",
}
# What a service has instead, or lacks: its reason stands where its unit is described.
LACKING = {
    "postgresql@17-main (drop-ins)": {"RemoveIPC=yes"},
    "postgresql@17-second (drop-ins)": {"RemoveIPC=yes"},
    "step-commands": {"MemoryDenyWriteExecute=yes", "ProcSubset=pid"},
}


@pytest.mark.parametrize("case", CASES)
def test_every_service_has_the_one_sandbox(case: str) -> None:
    faults = {}
    services = 0
    for unit, lines in unit_lines(dry_run(case)).items():
        own = [(name.removeprefix("[Service] "), value) for name, value in lines if name.startswith("[Service] ")]
        services += bool(own)
        calls = [value for name, value in own if name == "SystemCallFilter" and value]
        missing = SANDBOX - {f"{name}={value}" for name, value in own}
        missing |= {f"SystemCallFilter={value}" for value in CALLS if value not in calls}
        missing |= NEVER_ABSENT - {name for name, value in own if value}
        if own and missing != LACKING.get(unit, set()):
            faults[unit] = sorted(missing)
    assert services > 5
    assert faults == {}


# The values of these add up over a unit and its drop-ins.
LISTS = {
    "BindReadOnlyPaths", "ExecPaths", "IPAddressAllow", "IPAddressDeny", "InaccessiblePaths", "NoExecPaths", "ReadOnlyPaths", "ReadWritePaths",
    "RestrictAddressFamilies", "SystemCallArchitectures", "SystemCallFilter", "TemporaryFileSystem",
}  # fmt: skip


@pytest.mark.parametrize("case", ["local", "production"])
def test_a_drop_in_leaves_nothing_of_the_distribution_s_own_sandbox(case: str) -> None:
    kept = {}
    for unit, lines in unit_lines(dry_run(case)).items():
        if unit.endswith("(drop-ins)"):
            first: dict[str, str] = {}
            for name, value in lines:
                first.setdefault(name.removeprefix("[Service] "), value)
            kept[unit] = {name for name in LISTS if first.get(name) != ""}
    assert len(kept) == 2
    assert [f"{unit}: {name}" for unit, names in kept.items() for name in sorted(names)] == []
