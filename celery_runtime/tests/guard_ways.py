"""Ways in which a process signals another. SIGURG does nothing to a process that doesn't ask for it."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
# unistd.h of x86-64 and of arm64 (asm-generic).
NUMBERS = {
    "x86_64": {"tkill": 200, "tgkill": 234, "rt_sigqueueinfo": 129, "rt_tgsigqueueinfo": 297, "kill": 62},
    "aarch64": {"tkill": 130, "tgkill": 131, "rt_sigqueueinfo": 138, "rt_tgsigqueueinfo": 240, "kill": 129},
}[os.uname().machine]
URG = int(signal.SIGURG)


class _Information(ctypes.Structure):
    _fields_ = (
        ("number", ctypes.c_int),
        ("error", ctypes.c_int),
        ("code", ctypes.c_int),
        ("rest", ctypes.c_char * 116),
    )


def call(name: str, *arguments: object) -> None:
    """Do a system call.

    Raises:
        OSError: it failed.
    """
    if LIBC.syscall(ctypes.c_long(NUMBERS[name]), *arguments):
        raise OSError(ctypes.get_errno(), name)


def in_a_program(main: int) -> None:
    """Signal from a program that the task started.

    Raises:
        PermissionError: it was refused.
    """
    done = subprocess.run(
        [sys.executable, "-c", f"import os; os.kill({main}, {URG})"], capture_output=True, check=False
    )
    if b"PermissionError" in done.stderr:
        raise PermissionError


def to_own_program(_: int) -> None:
    """End a program that the task started, and its group."""
    with subprocess.Popen(["/bin/sleep", "60"], start_new_session=True) as program:
        os.killpg(program.pid, signal.SIGKILL)
        assert program.wait(10) == -signal.SIGKILL


def to_own_group(main: int) -> None:
    """Signal the own group, which isn't the main process's."""
    assert os.getpgid(0) != os.getpgid(main)
    os.kill(0, signal.SIGURG)


REFUSED = {
    "kill": lambda main: os.kill(main, URG),
    "killpg": lambda main: os.killpg(os.getpgid(main), URG),
    "everybody": lambda _: os.kill(-1, URG),
    "upper-bits": lambda main: call("kill", ctypes.c_long(main | 1 << 40), ctypes.c_long(URG)),
    "tkill": lambda main: call("tkill", main, URG),
    "tgkill": lambda main: call("tgkill", main, main, URG),
    "sigqueue": lambda main: call("rt_sigqueueinfo", main, URG, ctypes.byref(_Information(URG, 0, -1))),
    "tgsigqueue": lambda main: call("rt_tgsigqueueinfo", main, main, URG, ctypes.byref(_Information(URG, 0, -1))),
    "pidfd": lambda main: signal.pidfd_send_signal(os.pidfd_open(main), URG),
    "program": in_a_program,
}
ALLOWED = {
    "question": lambda main: os.kill(main, 0),
    "own-program": to_own_program,
    "own-group": to_own_group,
    "itself": lambda _: signal.raise_signal(signal.SIGURG),
}
