"""Kernel settings that hosts share with this machine: noted before the first, put back after the last.

The note is the machine's, not a clone's. A clone whose run was killed leaves its hosts behind, and perhaps the settings without hosts;
another clone must not take those for the machine's own.
"""

from __future__ import annotations

import json
from pathlib import Path

from testbench.console import say
from testbench.podman import PREFIX, as_root, run

# Gone after a reboot, as the settings are.
NOTE = Path(f"/run/{PREFIX}-testbench/kernel.json")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
SETTINGS = (
    Path("/proc/sys/vm/overcommit_memory"),
    Path("/sys/kernel/mm/transparent_hugepage/enabled"),
    # Raised by every systemd that starts, in a privileged container too.
    Path("/proc/sys/fs/file-max"),
    Path("/proc/sys/fs/nr_open"),
    # Switched on by Podman for the hosts' network.
    Path("/proc/sys/net/ipv4/ip_forward"),
)


def chosen(text: str) -> str:
    """Return a setting's value; of choices, such as `always [madvise] never`, the one in brackets."""
    if "[" in text:
        return text.split("[", 1)[1].split("]", 1)[0]
    return text.strip()


def current() -> dict[str, str]:
    """Return the settings as they are now."""
    return {str(path): chosen(path.read_text()) for path in SETTINGS if path.exists()}


def note() -> None:
    """Note the settings, unless some clone has done so since this machine was booted."""
    boot = BOOT_ID.read_text().strip()
    if NOTE.exists():
        if json.loads(NOTE.read_text())["boot"] == boot:
            return
        run(as_root(["rm", str(NOTE)]))
    text = json.dumps({"boot": boot, "settings": current()}, indent=2) + "\n"
    # Of two clones that come together the first is right (noclobber); a note appears whole or not at all.
    script = 'umask 022; mkdir -p "${1%/*}"; cat > "$1.$$"; ln "$1.$$" "$1" 2> /dev/null; rm "$1.$$"'
    run(as_root(["sh", "-c", script, "sh", str(NOTE)]), data=text.encode())


def restore() -> None:
    """Put back what differs from the note, and forget the note."""
    if not NOTE.exists():
        return
    noted = json.loads(NOTE.read_text())
    if noted["boot"] == BOOT_ID.read_text().strip():
        now = current()
        for path, value in noted["settings"].items():
            if now.get(path) != value:
                run(as_root(["tee", path]), data=value.encode())
                say(f"  {path} is {value} again (was {now.get(path)})")
    run(as_root(["rm", str(NOTE)]))
