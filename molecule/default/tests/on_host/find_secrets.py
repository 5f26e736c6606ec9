"""Runs on a host as root: who can see which of the deployment's secrets, and what can the services change?

Prints JSON. Secrets are called by the name of the file that they come from; their values never leave the host.
"""

from __future__ import annotations

import grp
import json
import os
import pwd
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PLACES = ("/etc", "/opt", "/var", "/run", "/usr/local", "/home", "/srv", "/tmp", "/root", "/dev/shm")
CODE = ("/opt/sample", "/etc", "/usr/local", "/usr/lib/systemd", "/usr/bin")
SOURCES = ("/etc/sample/credentials", "/etc/sample/flower.conf")
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
                found[path.name] = word
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


def files(wanted: dict[str, bytes]) -> list[str]:
    """Return the files that this process can read and that hold a secret."""
    hits = []
    for place in PLACES:
        for folder, below, here in os.walk(place):
            below[:] = [name for name in below if os.path.join(folder, name) not in SKIPPED]
            for name in here:
                path = Path(folder, name)
                try:
                    if not path.is_file() or path.is_symlink() or path.stat().st_size > LARGEST:
                        continue
                    content = path.read_bytes()
                except OSError:
                    continue
                hits += [f"{path}: {found}" for found in names(content, wanted)]
    return hits


def writable() -> list[str]:
    """Return what this process could change in the folders of code and configuration."""
    hits = []
    for place in CODE:
        for folder, below, here in os.walk(place):
            for name in (".", *below, *here):
                path = os.path.join(folder, name)
                if not os.path.islink(path) and os.access(path, os.W_OK):
                    hits.append(path)
    return hits


def as_account(name: str, group: int, wanted: dict[str, bytes]) -> dict[str, Any]:
    """Look around as an account, with no group but its own."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.setgroups([])
        os.setgid(group)
        os.setuid(pwd.getpwnam(name).pw_uid)
        seen = {
            "files": files(wanted),
            "cmdline": processes("cmdline", wanted),
            "environ": processes("environ", wanted),
            "writable": writable(),
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
    commands = [
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) for command in BUSY
    ]
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
    accounts = {name: group for name in sys.argv[1:]} | {name: pwd.getpwnam(name).pw_gid for name in OTHERS}
    found = {
        "secrets": sorted(wanted),
        "accounts": {name: as_account(name, gid, wanted) for name, gid in accounts.items()},
        "environ": processes("environ", wanted),
        "busy": while_busy(wanted),
        "journal": journal(wanted),
        "units": units(wanted),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
