"""Runs on a host as root: what there is of applications. Prints JSON.

`paths`: everything in the folders where they have something, of folders of data only what lies on top; with the owner and the rights, and
of a file in /etc or /usr/local a digest. `processes`: the main processes of the units of these roles that run, by the unit; `limits`: what
memory these units may take (bytes), where they have a limit. `accounts`: with their groups. `ports`: TCP ports on which somebody listens.
"""

from __future__ import annotations

import fnmatch
import grp
import hashlib
import json
import os
import pwd
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

DEEP = ("/etc", "/usr/local", "/var/spool/cron")
# Folders, and how deep to look.
SHALLOW = {
    "/opt": 2,
    "/var/lib": 1,
    "/var/lib/postgresql": 2,
    "/var/lib/plainhost-front": 2,
    "/var/log": 2,
    "/var/cache": 1,
    "/run": 1,
    "/srv": 1,
    "/home": 1,
    "/root": 1,
}
UNITS = ("*celery-*.*", "*django-*.*", "redis-*", "postgresql@*", "nginx.*")
# Timers change these.
PASSING = ("/run/systemd/*", "/etc/*.cache", "/var/cache/ldconfig*", "/run/utmp")


def found() -> Iterator[str]:
    """Return what lies there."""
    for top in DEEP:
        for folder, folders, files in os.walk(top):
            yield from (f"{folder}/{name}" for name in folders + files)
    for top, depth in SHALLOW.items():
        for level in range(1, depth + 1):
            yield from (str(path) for path in Path(top).glob("/".join("*" * level)))
    # Of others a run may come meanwhile.
    yield from (
        str(path) for kind in ("celery", "django") for path in Path("/var/lib/systemd/timers").glob(f"*{kind}*")
    )


def look(path: str) -> list[str]:
    """Return the owner, the group, the rights, and what is in it or where it leads."""
    about = os.lstat(path)
    rest = ""
    if stat.S_ISLNK(about.st_mode):
        rest = str(Path(path).readlink())
    elif stat.S_ISREG(about.st_mode) and path.startswith(DEEP):
        rest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    return [str(about.st_uid), str(about.st_gid), oct(about.st_mode), rest]


def units() -> list[dict[str, str]]:
    """Return properties of the units that run."""
    command = ["systemctl", "show", "--property=Id,MainPID,ActiveState,MemoryMax", *UNITS]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    listed = [dict(line.split("=", 1) for line in block.splitlines()) for block in shown.split("\n\n") if block.strip()]
    return [unit for unit in listed if unit.get("ActiveState") == "active"]


def ports() -> list[str]:
    """Return the ports on which somebody listens."""
    shown = subprocess.run(["ss", "-Hltn"], capture_output=True, text=True, check=True).stdout
    return sorted({line.split()[3].rpartition(":")[2] for line in shown.splitlines()}, key=int)


def main() -> None:
    """Tell."""
    paths = {}
    for path in found():
        if not any(fnmatch.fnmatch(path, pattern) for pattern in PASSING):
            try:
                paths[path] = look(path)
            except FileNotFoundError:
                continue
    running = units()
    print(
        json.dumps(
            {
                "paths": paths,
                "processes": {unit["Id"]: int(unit.get("MainPID", 0)) for unit in running},
                "limits": {
                    unit["Id"]: int(unit["MemoryMax"])
                    for unit in running
                    if unit.get("MemoryMax", "infinity").isdigit()
                },
                "accounts": {
                    one.pw_name: sorted(
                        grp.getgrgid(group).gr_name for group in os.getgrouplist(one.pw_name, one.pw_gid)
                    )
                    for one in pwd.getpwall()
                },
                "ports": ports(),
            }
        )
    )


main()
