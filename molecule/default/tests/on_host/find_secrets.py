"""Runs on a host as root, and finds out who can see the deployment's secrets and who can change its code.

Prints JSON. Secrets are called by the file that they come from; their values never leave the host.
"""

from __future__ import annotations

import grp
import json
import os
import pwd
import re
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Temporary folders on purpose: that is where secrets are forgotten.
PLACES = ("/etc", "/opt", "/var", "/run", "/usr/local", "/home", "/srv", "/root", "/tmp", "/dev/shm")  # noqa: S108 (looked through, not written to)
CODE = ("/opt/sample", "/etc", "/usr/local", "/usr/lib/systemd", "/usr/bin")
SOURCES = (
    "/etc/sample/credentials",
    "/etc/sample/flower.conf",
    "/etc/redis/access.conf",
    "/etc/redis-cache/access.conf",
)
NAMES = {"/etc/redis-cache/access.conf": "access.conf of the cache"}
OTHERS = ("nobody", "ops")
# Journal files are searched as what journalctl prints, since they may be compressed.
SKIPPED = ("/var/log/journal",)
LARGEST = 64 * 2**20
# What starts a command of the operators, and what starts a command of Celery.
BUSY = (["/usr/local/sbin/sample-manage", "check"], ["/usr/local/sbin/sample-celery", "inspect", "ping"])
# The generated ones have 40 letters and digits or more; a word that long stands there for no other reason.
SECRET = re.compile(rb"[A-Za-z0-9]{32,}")


def secrets() -> dict[str, bytes]:
    """Return the secrets by the name of the file that root keeps them in."""
    found = {}
    for source in map(Path, SOURCES):
        for path in sorted(source.iterdir()) if source.is_dir() else [source]:
            for word in SECRET.findall(path.read_bytes()):
                # The first: behind the administrator's password stand mere hashes of the users'.
                found.setdefault(NAMES.get(str(path), path.name), word)
    return found


def names(content: bytes, wanted: dict[str, bytes]) -> list[str]:
    """Return the names of the secrets that stand in the content."""
    return [name for name, value in wanted.items() if value in content]


def processes(kind: str, wanted: dict[str, bytes]) -> list[str]:
    """Return the processes whose cmdline or environ, as far as it can be read, holds a secret."""
    hits = []
    for path in Path("/proc").glob(f"[0-9]*/{kind}"):
        try:
            content = path.read_bytes()
        except OSError:
            continue
        hits += [f"{path}: {name}" for name in names(content, wanted)]
    return hits


def walk(places: tuple[str, ...]) -> Iterator[Path]:
    """Yield what lies below some folders, the folders themselves included."""
    for place in places:
        yield Path(place)
        for folder, below, here in os.walk(place):
            below[:] = [name for name in below if f"{folder}/{name}" not in SKIPPED]
            yield from (Path(folder, name) for name in (*below, *here))


def hiding(wanted: dict[str, bytes]) -> dict[str, list[str]]:
    """Return all files that hold a secret, read as root once; whether an account can open them is asked later."""
    found = {}
    for path in walk(PLACES):
        try:
            seen = path.lstat()
            if stat.S_ISREG(seen.st_mode) and seen.st_size < LARGEST and (hits := names(path.read_bytes(), wanted)):
                found[str(path)] = hits
        except OSError:
            # Gone meanwhile.
            continue
    return found


def loose() -> list[str]:
    """Return what somebody besides root may change, going by owner and mode, in the folders of code."""
    found = []
    for path in walk(CODE):
        try:
            seen = path.lstat()
        except OSError:
            continue
        if not stat.S_ISLNK(seen.st_mode) and (seen.st_uid != 0 or seen.st_mode & 0o022):
            found.append(str(path))
    return found


def readable(path: str) -> bool:
    """Tell whether this process can really read a file."""
    try:
        with Path(path).open("rb") as opened:
            opened.read(1)
    except OSError:
        return False
    return True


def as_account(
    name: str, group: int, wanted: dict[str, bytes], hidden: dict[str, list[str]], changeable: list[str]
) -> dict[str, Any]:
    """Look around as an account, with no group but its own."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.setgroups([])
        os.setgid(group)
        os.setuid(pwd.getpwnam(name).pw_uid)
        seen = {
            "files": [f"{path}: {what}" for path, hits in hidden.items() if readable(path) for what in hits],
            "cmdline": processes("cmdline", wanted),
            "environ": processes("environ", wanted),
            "writable": [path for path in changeable if os.access(path, os.W_OK)],
        }
        with os.fdopen(writing, "w") as stream:
            json.dump(seen, stream)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as stream:
        text = stream.read()
    os.wait()
    result: dict[str, Any] = json.loads(text)
    return result


def while_busy(wanted: dict[str, bytes]) -> dict[str, Any]:
    """Return the argument lists with secrets that were seen while the operators' commands ran."""
    hits: set[str] = set()
    looks = 0
    commands = [subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) for command in BUSY]
    deadline = time.monotonic() + 60
    while any(command.poll() is None for command in commands) and time.monotonic() < deadline:
        hits |= set(processes("cmdline", wanted))
        looks += 1
        time.sleep(0.02)
    return {"hits": sorted(hits), "looks": looks, "statuses": [command.wait() for command in commands]}


def journal(wanted: dict[str, bytes]) -> list[str]:
    """Return the secrets that stand in any field of the journal."""
    export = subprocess.run(["journalctl", "--all", "--output=export"], capture_output=True, check=True)
    return names(export.stdout, wanted)


def units(wanted: dict[str, bytes]) -> list[str]:
    """Return the secrets that anybody can ask systemd for."""
    shown = subprocess.run(["systemctl", "show", "--all", "*"], capture_output=True, check=True)
    return names(shown.stdout, wanted)


def main() -> None:
    """Print what was found."""
    wanted = secrets()
    group = grp.getgrnam("sample").gr_gid
    hidden, changeable = hiding(wanted), loose()
    accounts = dict.fromkeys(sys.argv[1:], group) | {name: pwd.getpwnam(name).pw_gid for name in OTHERS}
    found = {
        "secrets": sorted(wanted),
        "hidden": sorted(hidden),
        "accounts": {name: as_account(name, gid, wanted, hidden, changeable) for name, gid in accounts.items()},
        "environ": processes("environ", wanted),
        "busy": while_busy(wanted),
        "journal": journal(wanted),
        "units": units(wanted),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
