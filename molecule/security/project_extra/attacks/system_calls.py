"""System calls that nobody but an attacker makes from a task, through the C library, with the error that the kernel gives."""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
from collections.abc import Callable
from typing import Any

LIBC = ctypes.CDLL(None, use_errno=True)
NOWHERE = ctypes.create_string_buffer(4096)
# By the machine's names; the numbers of the others are alike on all newer machines.
X86 = platform.machine() == "x86_64"
NUMBERS = {
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "kexec_load": (246, 104),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "pivot_root": (155, 41),
    "capset": (126, 91),
    "memfd_create": (319, 279),
    "io_uring_setup": (425, 425),
    "quotactl": (179, 60),
    "clock_settime": (227, 112),
    "process_vm_readv": (310, 270),
    "pidfd_getfd": (438, 438),
}
# The kernel is shared with the machine that runs the tests: where nothing stops an attempt it is to fail by itself, with EINVAL or so.
NO_TIME = ctypes.create_string_buffer(b"\0" * 8 + b"\xff" * 8)
NEW_USER, NEW_NETWORK, NEW_MOUNTS = 0x10000000, 0x40000000, 0x00020000
ATTACH, READ_LOG = 16, 3


def check(result: int) -> int:
    """Return a result that means success.

    Raises:
        OSError: it means a failure.
    """
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def call(name: str, *arguments: Any) -> Callable[[], int]:
    """Return what makes a system call that the C library has no function for."""
    number = NUMBERS[name][0 if X86 else 1]
    return lambda: check(LIBC.syscall(ctypes.c_long(number), *arguments))


def function(name: str, *arguments: Any) -> Callable[[], int]:
    """Return what calls a function of the C library."""
    return lambda: check(getattr(LIBC, name)(*arguments))


def map_writable_code() -> None:
    """Map memory that can be written to and executed."""
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()


def make_code_of_data() -> None:
    """Write into memory, and make it executable afterwards."""
    LIBC.mmap.restype = ctypes.c_void_p
    where = LIBC.mmap(None, ctypes.c_size_t(4096), 3, 0x22, -1, ctypes.c_long(0))
    try:
        check(LIBC.mprotect(ctypes.c_void_p(where), ctypes.c_size_t(4096), 5))
    finally:
        LIBC.munmap(ctypes.c_void_p(where), ctypes.c_size_t(4096))


def map_shared_code() -> None:
    """Write into shared memory, and attach it once more as code."""
    number = check(LIBC.shmget(0, ctypes.c_size_t(4096), 0o1700))
    try:
        LIBC.shmat.restype = ctypes.c_void_p
        ctypes.set_errno(0)
        where = LIBC.shmat(number, None, 0o100000)
        check(-1 if ctypes.get_errno() else 0)
        LIBC.shmdt(ctypes.c_void_p(where))
    finally:
        LIBC.shmctl(number, 0, None)


CALLS: dict[str, Callable[[], Any]] = {
    "become-root": lambda: os.setuid(0),
    "join-root's-group": lambda: os.setgid(0),
    "join-groups": lambda: os.setgroups([0]),
    "take-capabilities": call("capset", NOWHERE, NOWHERE),
    "new-user-namespace": function("unshare", NEW_USER),
    "new-network-namespace": function("unshare", NEW_NETWORK),
    "new-mount-namespace": function("unshare", NEW_MOUNTS),
    "mount": function("mount", b"none", b"/tmp", b"tmpfs", 0, None),
    "unmount": function("umount2", b"/proc", 2),
    "pivot-root": call("pivot_root", b"/tmp", b"/tmp"),
    "chroot": lambda: os.chroot("/var"),
    "trace-the-worker": function("ptrace", ATTACH, os.getppid(), None, None),
    "trace-init": function("ptrace", ATTACH, 1, None, None),
    "read-the-memory-of-the-worker": call("process_vm_readv", os.getppid(), NOWHERE, 1, NOWHERE, 1, 0),
    "take-a-file-of-the-worker": call("pidfd_getfd", -1, 0, 0),
    "keyring": call("keyctl", 0, -3, 0),
    "add-a-key": call("add_key", b"user", b"x", b"x", 1, -3),
    "load-a-module": call("init_module", NOWHERE, 4096, b""),
    "load-a-module-file": call("finit_module", 0, b"", 0),
    "load-a-kernel": call("kexec_load", 0, 0, None, 0),
    "load-a-filter": call("bpf", 5, NOWHERE, 128),
    "count-events": call("perf_event_open", NOWHERE, 0, -1, -1, 0),
    "handle-page-faults": call("userfaultfd", 0),
    "ring-of-requests": call("io_uring_setup", 4, NOWHERE),
    "open-by-handle": call("open_by_handle_at", -100, NOWHERE, 0),
    "watch-all-files": call("fanotify_init", 0, 0),
    "quotas": call("quotactl", 0, None, 0, NOWHERE),
    "set-the-clock": call("clock_settime", 0, NO_TIME),
    "adjust-the-clock": function("adjtimex", ctypes.create_string_buffer(b"\xff" * 4, 256)),
    "set-the-host-name": function("sethostname", b"mine", 4),
    "read-the-kernel-log": function("klogctl", READ_LOG, NOWHERE, 4096),
    "reboot": function("reboot", 1),
    "swap": function("swapon", b"/tmp/x", 0),
    "personality": function("personality", 0x0400000),
    "real-time": lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)),
    "priority": lambda: os.setpriority(os.PRIO_PROCESS, 0, -20),
    "writable-code": map_writable_code,
    "data-as-code": make_code_of_data,
    "shared-memory-as-code": map_shared_code,
    "file-without-a-path": call("memfd_create", b"x", 0),
}
if X86:
    CALLS["port-permissions"] = function("iopl", 3)
