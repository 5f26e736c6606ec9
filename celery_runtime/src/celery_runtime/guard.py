"""The part `guard`: a task that goes wrong takes its own process with it, never the worker's main process.

The main process serves all children, so its end is that of every task beside it, and nobody can tell which of them was to blame. Each
child of the prefork pool is therefore set apart from it before its first task:

- The kernel refuses what it sends to the main process, to the main process's group and to everybody (seccomp(2)): a task that does
  so gets a PermissionError, and fails with it. Signal 0, which only asks, passes.
- It leads a process group of its own. A signal to "my group" ends at its own programs, and Celery ends those with it at a hard time limit.
- When memory runs out, in the unit or on the whole host, the kernel takes a child first (proc(5), oom_score_adj).
- The main process's memory can't be opened or traced (PR_SET_DUMPABLE), so it can't be written to either.

It keeps accidents apart. It isn't made against code that searches for a way around it.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import os
from functools import cache
from pathlib import Path
from typing import Any

from celery import signals

from .configuration import Runtime

logger = logging.getLogger(__name__)

LIBRARY = "libseccomp.so.2"
# How much sooner than the main process a child is taken when memory runs out: half of what there is (of 1000, proc(5)).
OOM_SCORE = 500
PR_SET_DUMPABLE = 4

# seccomp.h, of libseccomp 2.5.
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_ATTRIBUTE_BAD_ARCHITECTURE = 2
_NOT_EQUAL, _MASKED_EQUAL = 1, 7
# System calls that send a signal, the argument that says to whom (a process, or a group below zero), and the one that is the signal.
_SENDERS = {"kill": (0, 1), "tkill": (0, 1), "tgkill": (0, 2), "rt_sigqueueinfo": (0, 1), "rt_tgsigqueueinfo": (0, 2)}

# The worker's main process, as it called itself; a child that was spawned doesn't know.
_main: int | None = None


class GuardError(RuntimeError):
    """A child can't be set apart; the message says why."""


class _Comparison(ctypes.Structure):
    """`struct scmp_arg_cmp`: an argument of a system call, and what it is compared with."""

    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("a", ctypes.c_uint64),
        ("b", ctypes.c_uint64),
    )


def _is(argument: int, process: int) -> _Comparison:
    # The kernel looks at 32 bits of a process's number, whatever stands above them.
    return _Comparison(argument, _MASKED_EQUAL, 0xFFFFFFFF, process & 0xFFFFFFFF)


@cache
def _library() -> Any:
    """Return the library.

    Raises:
        GuardError: it isn't there.
    """
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise GuardError(f"{LIBRARY} can't be loaded: {error}") from error
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = [ctypes.c_uint32]
    library.seccomp_attr_set.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32]
    library.seccomp_syscall_resolve_name.argtypes = [ctypes.c_char_p]
    library.seccomp_rule_add_array.argtypes = [
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.POINTER(_Comparison),
    ]
    library.seccomp_load.argtypes = library.seccomp_release.argtypes = [ctypes.c_void_p]
    return library


def _checked(result: int, what: str) -> None:
    if result < 0:
        raise GuardError(f"{what}: {os.strerror(-result)}")


def refuse_signals(main: int) -> None:
    """Let the kernel refuse what this process and its own send to the main process, to its group, and to everybody.

    Raises:
        GuardError: there is no libseccomp, or the kernel doesn't take the filter.
    """
    library = _library()
    filter_ = library.seccomp_init(_ALLOW)
    if not filter_:
        raise GuardError("no memory for a filter")
    try:
        # A program of another architecture is no business of this filter; by itself it would end it.
        _checked(library.seccomp_attr_set(filter_, _ATTRIBUTE_BAD_ARCHITECTURE, _ALLOW), "another architecture")
        for call, (target, number) in _SENDERS.items():
            for process in {main, -os.getpgid(main), -1}:
                _refuse(filter_, call, _is(target, process), _Comparison(number, _NOT_EQUAL, 0, 0))
        # What is sent through a descriptor says nothing of the process; so there is none of it to be had.
        _refuse(filter_, "pidfd_open", _is(0, main))
        _checked(library.seccomp_load(filter_), "seccomp_load")
    finally:
        library.seccomp_release(filter_)


def _refuse(filter_: int, call: str, *comparisons: _Comparison) -> None:
    library = _library()
    number = library.seccomp_syscall_resolve_name(call.encode())
    rule = (_Comparison * len(comparisons))(*comparisons)
    _checked(library.seccomp_rule_add_array(filter_, _ERRNO | errno.EPERM, number, len(comparisons), rule), call)


def _set_dumpable(whether: bool) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, int(whether), 0, 0, 0):
        raise OSError(ctypes.get_errno(), "PR_SET_DUMPABLE")


def _attempt(what: str, do: Any, *arguments: Any) -> None:
    """Do one thing; a worker works without it, too."""
    try:
        do(*arguments)
    except (GuardError, OSError) as error:
        logger.warning("a task may take its worker with it: %s: %s", what, error)


def _before_child(**_: Any) -> None:
    """Close the main process's memory, before the first child; and load the library once for all of them."""
    global _main
    if _main != os.getpid():
        _main = os.getpid()
        _attempt("its memory isn't closed", _set_dumpable, False)
        _attempt("signals aren't refused", _library)


def _in_child(**_: Any) -> None:
    """Set this child apart."""
    main = _main or os.getppid()
    # First: a process whose memory is closed owns nothing of itself in /proc.
    _attempt("its own memory stays closed", _set_dumpable, True)
    _attempt("no process group of its own", os.setpgid, 0, 0)
    _attempt("the kernel may take the main process when memory runs out", _offer_for_memory)
    _attempt("signals aren't refused", refuse_signals, main)


def _offer_for_memory() -> None:
    file = Path("/proc/self/oom_score_adj")
    file.write_text(str(min(int(file.read_text()) + OOM_SCORE, 1000)))


def _look_at_pool(instance: Any, **_: Any) -> None:
    if instance.pool_cls.__module__ != "celery.concurrency.prefork":
        logger.warning(
            "a task may take its worker with it: it runs in the main process itself, since the pool isn't prefork"
        )


def settings(_: Runtime) -> dict[str, Any]:
    """Return the Celery settings of this part: none."""
    return {}


def install() -> None:
    """Set each child apart when it begins. The signals of processes are sent for the prefork pool alone."""
    for signal, receiver in (
        (signals.celeryd_after_setup, _look_at_pool),
        (signals.worker_before_create_process, _before_child),
        (signals.worker_process_init, _in_child),
    ):
        signal.connect(receiver, weak=False, dispatch_uid=f"celery_runtime.guard.{receiver.__name__}")
