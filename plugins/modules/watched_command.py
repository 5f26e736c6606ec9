"""Run a command that may take long, and say what it is at. The module's part; ../action/watched_command.py calls it again and again."""

from __future__ import annotations

DOCUMENTATION = r"""
module: watched_command
short_description: Run a command that may take long, and say what it is at meanwhile
description:
  - Starts a command on the host and waits for its end. While it runs, the play says every O(every) seconds what it printed last, and for how
    long it is at that.
  - What it prints is kept on the host, in a folder of root's. Secrets are masked there, too, when it has ended.
  - The command goes on where the connection breaks. It isn't started a second time while it runs.
options:
  argv: {description: The command and its arguments., type: list, elements: str, required: true}
  folder: {description: "Folder for the files C(stdout) and C(stderr); made with its parent, 0700.", type: path, required: true}
  title: {description: What the command is called in lines of the play. Without it the name of the task., type: str, default: ""}
  every: {description: Seconds between two lines., type: int, default: 20}
  show: {description: Whether the end of what it printed is shown also when it succeeds., type: bool, default: false}
  lines: {description: Lines that are shown at most., type: int, default: 40}
  time_limit: {description: Seconds after which somebody else ends it; only for a message., type: int, default: 0}
  secrets:
    description: Files, and folders of files, whose content is masked. One of assignments is read as such.
    type: list
    elements: path
    default: []
  not_secret:
    description: Names of files in such folders, as shell patterns, whose content may be shown, such as the name of a user.
    type: list
    elements: str
    default: []
  wait: {description: Seconds that one call of the module waits. The action sets it., type: int, default: 20}
  attach: {description: Whether to wait for what an earlier call started. The action sets it., type: bool, default: false}
author: The plainhost maintainers (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Migrate the database
  plainhost.stack.watched_command:
    argv: [/usr/local/sbin/shop-manage, migrate, --no-input]
    folder: /var/log/shop/migrate
"""

RETURN = r"""
running: {description: Whether it still runs., returned: success, type: bool}
rc: {description: Its exit status; -1 where it was killed with what had started it., returned: when it has ended, type: int}
stdout: {description: What it printed., returned: when it has ended and not failed, type: str}
stderr: {description: What it said on standard error., returned: when it has ended and not failed, type: str}
last: {description: The last line of both., returned: success, type: str}
quiet_seconds: {description: For how long it has printed nothing., returned: success, type: int}
seconds: {description: How long it runs, or ran., returned: success, type: int}
"""

import fcntl
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, TextIO

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.plainhost.stack.plugins.module_utils.masking import masked, secrets

# Bytes of each of both that are read back.
LONGEST = 4 * 2**20
# Seconds between two looks.
PAUSE = 0.1
SCRIPT = """
folder=$1
shift
"$@" >"$folder/stdout" 2>"$folder/stderr"
status=$?
umask 077
echo "$status" >"$folder/.status"
mv "$folder/.status" "$folder/status"
"""


class Running(Exception):
    """Another of its kind has not ended yet."""


def locked_file(folder: Path) -> TextIO:
    """Return the file that is locked for as long as a command runs."""
    (folder / "lock").touch(mode=0o600)
    return (folder / "lock").open("w")


def start(folder: Path, argv: list[str]) -> None:
    """Start the command in a session of its own, so that it outlives this process.

    Raises:
        Running: the one before still runs.
    """
    for path in (folder.parent, folder):
        path.mkdir(mode=0o700, exist_ok=True)
    with locked_file(folder) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Running from None
        for name in ("status", "begun", "stdout", "stderr"):
            (folder / name).unlink(missing_ok=True)
        for name in ("begun", "stdout", "stderr"):
            (folder / name).touch(mode=0o600)
        subprocess.Popen(
            ["sh", "-c", SCRIPT, "sh", str(folder), *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            # Held for as long as it runs.
            pass_fds=[lock.fileno()],
        )


def ended(folder: Path) -> int | None:
    """Return the exit status; -1 where it ended without one, and nothing while it runs."""
    for _ in range(2):
        if (folder / "status").exists():
            return int((folder / "status").read_text())
        with locked_file(folder) as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return None
    # Nobody holds it, and no status came in between.
    return -1


def tail(file: Path, size: int) -> str:
    """Return the end of a file."""
    with file.open("rb") as content:
        content.seek(max(0, file.stat().st_size - size))
        return content.read().decode(errors="replace")


def state(folder: Path, hidden: list[str]) -> dict[str, Any]:
    """Return what the command is at."""
    newest = max((folder / "stdout", folder / "stderr"), key=lambda file: file.stat().st_mtime)
    lines = [line for line in tail(newest, 4096).splitlines() if line.strip()]
    now, begun = time.time(), (folder / "begun").stat().st_mtime
    return {
        "last": masked(lines[-1].strip(), hidden)[:200] if lines else "",
        "quiet_seconds": int(now - max(begun, newest.stat().st_mtime)),
        "seconds": int(now - begun),
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "argv": {"type": "list", "elements": "str", "required": True},
            "folder": {"type": "path", "required": True},
            "title": {"type": "str", "default": ""},
            "every": {"type": "int", "default": 20},
            "show": {"type": "bool", "default": False},
            "lines": {"type": "int", "default": 40},
            "time_limit": {"type": "int", "default": 0},
            "secrets": {"type": "list", "elements": "path", "default": [], "no_log": False},
            "not_secret": {"type": "list", "elements": "str", "default": [], "no_log": False},
            "wait": {"type": "int", "default": 20},
            "attach": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    params, folder = module.params, Path(module.params["folder"])
    if module.check_mode:
        module.exit_json(changed=False, skipped=True, stdout="", stderr="")
    if not shutil.which(params["argv"][0]):
        module.fail_json(msg=f"there is no program {params['argv'][0]}")
    try:
        if not params["attach"]:
            start(folder, params["argv"])
    except Running:
        module.fail_json(
            msg=f"{' '.join(params['argv'][:3])} is still running, since an earlier run: wait for its end, and run again"
        )
    hidden = secrets(params["secrets"], params["not_secret"])
    deadline = time.monotonic() + params["wait"]
    while (status := ended(folder)) is None and time.monotonic() < deadline:
        time.sleep(PAUSE)
    result = state(folder, hidden) | {"running": status is None, "changed": True, "rc": status}
    for name in () if status is None else ("stdout", "stderr"):
        result[name] = masked(tail(folder / name, LONGEST), hidden)
        (folder / name).write_text(result[name])
    module.exit_json(**result)


if __name__ == "__main__":
    main()
