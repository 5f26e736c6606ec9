"""What a task tries that was taken over by somebody. Each attempt returns what it got, or fails."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings

from attacks.secret_files import APP, SECRET_FILES
from attacks.system_calls import CALLS

OWN = os.environ.get("CREDENTIALS_DIRECTORY", "none")


# World-writable on a host of Debian's.
SHARED_MEMORY = "/dev/shm"  # noqa: S108 (the attack)
LOCKS = "/run/lock"


def read(path: str) -> Callable[[], str]:
    """Return what reads a file."""
    return lambda: f"{len(Path(path).read_bytes())} bytes"


def write(path: str) -> Callable[[], str]:
    """Return what makes a file."""

    def attempt() -> str:
        Path(path).write_text("x")
        Path(path).unlink()
        return "written"

    return attempt


def open_for_writing(path: str) -> Callable[[], str]:
    """Return what opens a file for writing, and leaves it as it is."""

    def attempt() -> str:
        with Path(path).open("r+b"):
            return "opened"

    return attempt


def read_credentials_of_others() -> str:
    """Read what systemd handed to other units."""
    got = []
    for folder in Path("/run/credentials").iterdir():
        if str(folder) != OWN:
            got += [str(path) for path in folder.iterdir() if path.read_bytes()]
    if not got:
        raise FileNotFoundError(2, "none to be seen")
    return " ".join(got)


def read_journal() -> str:
    """Read a file of the journal."""
    (path, *_) = Path("/var/log/journal").glob("*/system.journal")
    return f"{len(path.read_bytes())} bytes"


def look_at_processes(what: str) -> Callable[[], str]:
    """Return what looks at the processes of other accounts."""

    def attempt() -> str:
        got, last = [], FileNotFoundError(2, "no process of another account to be seen")
        for path in Path("/proc").glob("[0-9]*"):
            try:
                if path.stat().st_uid == os.getuid():
                    continue
                got.append(
                    f"{path}: {len(list((path / what).iterdir()) if what == 'fd' else (path / what).read_bytes())}"
                )
            except OSError as error:
                last = error
        if not got:
            raise last
        return " ".join(got)

    return attempt


def signal_others() -> str:
    """Find processes of this account outside of this unit, and ask whether they may be killed."""
    own, got = Path("/proc/self/cgroup").read_text(), []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if (path / "cgroup").read_text() != own:
                os.kill(int(path.name), 0)
                got.append(path.name)
        except OSError:
            continue
    if not got:
        raise PermissionError(1, "none that may be killed")
    return " ".join(got)


def find_shared_memory_of_others() -> str:
    """Look for what another service keeps in the memory that is shared by name."""
    found = [path.name for path in Path(SHARED_MEMORY).iterdir() if path.stat().st_uid != os.getuid()]
    if not found:
        raise FileNotFoundError(2, "nothing of others")
    return " ".join(found)


def execute(*command: str) -> str:
    """Run a program."""
    done = subprocess.run(command, capture_output=True, timeout=10, check=False)
    if done.returncode in (126, 127):
        # The dynamic linker could not map what it was given.
        raise PermissionError(1, done.stderr.decode())
    return f"exit status {done.returncode}: {done.stdout.decode()[:200]}"


def execute_dropped(folder: str, source: str = "/usr/bin/true", through: str = "") -> Callable[[], str]:
    """Return what drops a program somewhere and runs it."""

    def attempt() -> str:
        path = Path(folder, "dropped")
        shutil.copyfile(source, path)
        path.chmod(0o755)
        try:
            return execute(*([through] if through else []), str(path))
        finally:
            path.unlink()

    return attempt


def execute_without_path() -> str:
    """Run a program that lies in memory only."""
    number = os.memfd_create("dropped")
    os.write(number, Path("/usr/bin/true").read_bytes())
    return execute(f"/proc/{os.getpid()}/fd/{number}")


def set_user_id_bit() -> str:
    """Make a program that runs as its owner."""
    path = Path(settings.MEDIA_ROOT, "suid")
    path.write_text("x")
    try:
        path.chmod(0o4755)
        return oct(path.stat().st_mode)
    finally:
        path.unlink()


def make_device() -> str:
    """Make a device file of the memory."""
    os.mknod("/tmp/mem", 0o600 | stat.S_IFCHR, os.makedev(1, 1))  # noqa: S108 (the unit's own)
    return "made"


def open_socket(family: int, kind: int, protocol: int = 0) -> Callable[[], str]:
    """Return what opens a socket."""

    def attempt() -> str:
        socket.socket(family, kind, protocol).close()
        return "opened"

    return attempt


def listen(port: int) -> Callable[[], str]:
    """Return what listens on a port."""

    def attempt() -> str:
        with socket.socket() as one:
            one.bind(("0.0.0.0", port))  # noqa: S104 (the attack)
            one.listen()
        return "listens"

    return attempt


def connect(host: str, port: int) -> Callable[[], str]:
    """Return what connects to an address."""

    def attempt() -> str:
        with socket.socket() as one:
            one.settimeout(3)
            one.connect((host, port))
        return "connected"

    return attempt


def send_datagram(host: str, port: int) -> Callable[[], str]:
    """Return what sends a datagram, as a tunnel through name resolution does."""

    def attempt() -> str:
        with socket.socket(type=socket.SOCK_DGRAM) as one:
            one.sendto(b"x", (host, port))
        return "sent"

    return attempt


def ask_systemd() -> str:
    """Speak to systemd over its own socket."""
    with socket.socket(socket.AF_UNIX) as one:
        one.connect("/run/systemd/private")
    return "connected"


def claim(path: str, kind: int, text: str) -> Callable[[], str]:
    """Return what sends a line to a socket of the journal, where whoever sends says under which name."""

    def attempt() -> str:
        with socket.socket(socket.AF_UNIX, kind) as one:
            one.connect(path)
            one.sendall(text.encode())
        return "sent"

    return attempt


def reach_the_bus() -> str:
    """Connect to the system bus, which tells of all units and their processes."""
    with socket.socket(socket.AF_UNIX) as bus:
        bus.connect("/run/dbus/system_bus_socket")
    return "connected"


def _text(value: str) -> bytes:
    return struct.pack("<I", len(value)) + value.encode() + b"\0"


def _call(serial: int, path: str, interface: str, member: str, destination: str, *texts: str) -> bytes:
    """Return a method call of D-Bus with texts as its arguments."""
    body = b""
    for value in texts:
        body += b"\0" * (-len(body) % 4) + _text(value)
    fields = b""
    for code, kind, value in ((1, "o", path), (2, "s", interface), (3, "s", member), (6, "s", destination)):
        fields += b"\0" * (-len(fields) % 8) + struct.pack("<B", code) + b"\1" + kind.encode() + b"\0" + _text(value)
    if texts:
        kinds = "s" * len(texts)
        fields += b"\0" * (-len(fields) % 8) + b"\x08\1g\0" + bytes([len(kinds)]) + kinds.encode() + b"\0"
    head = struct.pack("<cBBBIII", b"l", 1, 0, 1, len(body), serial, len(fields)) + fields
    return head + b"\0" * (-len(head) % 8) + body


def stop_unit(unit: str) -> Callable[[], str]:
    """Return what asks systemd over the system bus to stop a unit."""

    def attempt() -> str:
        with socket.socket(socket.AF_UNIX) as bus:
            bus.settimeout(3)
            bus.connect("/run/dbus/system_bus_socket")
            bus.sendall(b"\0AUTH EXTERNAL " + str(os.getuid()).encode().hex().encode() + b"\r\n")
            if not bus.recv(1000).startswith(b"OK"):
                raise PermissionError(1, "the bus lets nobody in")
            name, path = "org.freedesktop.DBus", "/org/freedesktop/DBus"
            manager = "org.freedesktop.systemd1"
            call = (f"/{manager.replace('.', '/')}", f"{manager}.Manager", "StopUnit", manager, unit, "replace")
            bus.sendall(b"BEGIN\r\n" + _call(1, path, name, "Hello", name) + _call(2, *call))
            answer = b""
            # The answer to Hello comes first, and with it a signal.
            while b"AccessDenied" not in answer and b"InteractiveAuthorizationRequired" not in answer:
                more = bus.recv(4096)
                if not more:
                    raise PermissionError(1, "the bus hung up")
                answer += more
                if b"/org/freedesktop/systemd1/job/" in answer:
                    return "stopped"
        raise PermissionError(1, "the bus says no")

    return attempt


JOURNAL = "/run/systemd/journal"
# One line in each of the ways that the journal knows; the test looks for it.
CLAIMED_NAME, CLAIMED_TEXT = "sshd", "a-task-says-this-in-another-name"
SYSLOG_LINE = f"<86>{CLAIMED_NAME}[1]: {CLAIMED_TEXT}"
JOURNAL_ENTRY = f"SYSLOG_IDENTIFIER={CLAIMED_NAME}\nMESSAGE={CLAIMED_TEXT}\n"
STREAM = f"{CLAIMED_NAME}\n\n6\n0\n0\n0\n0\n{CLAIMED_TEXT}\n"
LIVE = f"/opt/{APP}/live"
LINKER = "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"
TEMPORARY = "/tmp"  # noqa: S108 (the unit's own)


def attempts(others: list[str]) -> dict[str, Callable[[], Any]]:
    """Return all attempts by name.

    Args:
        others: addresses of other hosts of the network that the worker has no business with.
    """
    found: dict[str, Callable[[], Any]] = {
        **{f"call-{name}": one for name, one in CALLS.items()},
        **{f"read-{name}": read(path) for name, path in SECRET_FILES.items()},
        "read-the-memory": read("/dev/mem"),
        "read-the-kernel's-messages": read("/dev/kmsg"),
        "read-init's-environment": read("/proc/1/environ"),
        "read-the-journal": read_journal,
        "read-home": lambda: " ".join(map(str, Path("/home/ops").iterdir())),
        "read-root's-home": lambda: " ".join(map(str, Path("/root").iterdir())),
        "read-credentials-of-others": read_credentials_of_others,
        **{f"look-at-{what}-of-others": look_at_processes(what) for what in ("environ", "cmdline", "fd", "maps")},
        "write-the-release": write(f"{LIVE}/src/attack.py"),
        "write-the-environment": write(f"{LIVE}/venv/lib/attack.pth"),
        "write-the-current-release": write(f"/opt/{APP}/current/src/attack.py"),
        "write-a-setting": write(f"/etc/{APP}/attack"),
        "write-a-unit": write("/etc/systemd/system/attack.service"),
        "write-a-runtime-unit": write("/run/systemd/system/attack.service"),
        "write-a-command": write("/usr/local/sbin/attack"),
        "write-a-cron-job": write("/etc/cron.d/attack"),
        "write-the-state": write(f"/var/lib/{APP}/attack"),
        "write-a-kernel-setting": open_for_writing("/proc/sys/kernel/core_pattern"),
        "write-a-control-group": write("/sys/fs/cgroup/attack"),
        "run-a-shell": lambda: execute("/bin/sh", "-c", "id"),
        "run-sudo": lambda: execute("/usr/bin/sudo", "-n", "id"),
        "run-su": lambda: execute("/bin/su", "-c", "id"),
        "run-systemctl": lambda: execute("/usr/bin/systemctl", "stop", f"{APP}.target"),
        "run-what-was-dropped-in-tmp": execute_dropped(TEMPORARY),
        "run-what-was-dropped-in-media": execute_dropped(str(settings.MEDIA_ROOT)),
        "run-what-was-dropped-through-the-linker": execute_dropped(TEMPORARY, through=LINKER),
        "run-a-shell-through-the-linker": lambda: execute(LINKER, "/bin/sh", "-c", "id"),
        "run-what-lies-in-memory": execute_without_path,
        "run-what-was-dropped-in-shared-memory": execute_dropped(SHARED_MEMORY),
        "run-what-was-dropped-in-shared-memory-through-the-linker": execute_dropped(SHARED_MEMORY, through=LINKER),
        "write-a-lock": write(f"{LOCKS}/attack"),
        "write-to-run": write("/run/attack"),
        "signal-processes-of-others": signal_others,
        "find-shared-memory-of-others": find_shared_memory_of_others,
        "set-user-id": set_user_id_bit,
        "make-a-device": make_device,
        "raw-socket": open_socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
        "packet-socket": open_socket(socket.AF_PACKET, socket.SOCK_RAW, 0x0300),
        "netlink-socket": open_socket(socket.AF_NETLINK, socket.SOCK_RAW),
        "crypto-socket": open_socket(socket.AF_ALG, socket.SOCK_SEQPACKET),
        "vsock-socket": open_socket(socket.AF_VSOCK, socket.SOCK_STREAM),
        "listen-on-a-privileged-port": listen(25),
        "listen-on-a-port": listen(8081),
        "reach-a-public-address": connect("198.51.100.1", 443),
        # Beside a cloud's metadata service. Where the sandbox fails, the attempt must meet nobody.
        "reach-a-link-local-address": connect("169.254.1.254", 80),
        "send-a-datagram-to-a-public-address": send_datagram("203.0.113.53", 53),
        "ask-systemd": ask_systemd,
        "reach-the-system-bus": reach_the_bus,
        "claim-a-name-in-the-system-log": claim("/dev/log", socket.SOCK_DGRAM, SYSLOG_LINE),
        "claim-a-name-in-the-journal-s-own-log": claim(f"{JOURNAL}/dev-log", socket.SOCK_DGRAM, SYSLOG_LINE),
        "claim-a-name-in-the-journal": claim(f"{JOURNAL}/socket", socket.SOCK_DGRAM, JOURNAL_ENTRY),
        "claim-a-name-as-a-unit-s-output": claim(f"{JOURNAL}/stdout", socket.SOCK_STREAM, STREAM),
        "stop-a-unit": stop_unit("celery-beat.service"),
        "stop-the-target": stop_unit(f"{APP}.target"),
    }
    return found | {f"reach-{host}-{port}": connect(host, port) for host in others for port in (22, 5432, 6379)}
