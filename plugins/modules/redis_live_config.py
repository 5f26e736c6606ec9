"""Make a running Redis agree with its configuration file, without a restart where that is possible."""

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_live_config
short_description: Make a running Redis agree with its configuration, without a restart where possible
description:
  - Compares every setting of a configuration with what the running server says, and applies what differs in one C(CONFIG SET).
    What the server refuses to change while it runs is reported in RV(restart_required); restarting is the caller's matter.
  - The comparison is with the server, not with what a play has just changed, so a play that died midway is made good by the next.
  - Owns the file that holds the password. It still has the previous password when the wanted one is new, and is rewritten only after
    the server has taken the new one; whenever a run is cut short, one of the two opens the server.
  - A server that isn't running gets its password file, no more.
  - Settings that C(CONFIG GET) doesn't know, such as C(include), are left out.
options:
  unit: {description: The server's systemd unit., type: str, required: true}
  config: {description: The server's wanted configuration as text, without the password., type: str, required: true}
  password: {description: The wanted password., type: str, required: true}
  password_file:
    description: File that the configuration includes; gets C(requirepass) and nothing else.
    type: path
    required: true
  group: {description: Group that may read the password file., type: str, default: redis}
author: The plainhost maintainers
"""

EXAMPLES = r"""
- name: Apply settings to the running server
  redis_live_config:
    unit: redis-server.service
    config: "{{ lookup('ansible.builtin.template', 'redis.conf.j2') }}"
    password: "{{ redis_password }}"
    password_file: /etc/redis/password.conf
  no_log: true
"""

RETURN = r"""
applied: {description: Settings that were (or in check mode would be) changed., returned: always, type: list, elements: str}
restart_required: {description: Settings that need a restart., returned: always, type: list, elements: str}
running: {description: Whether the unit runs., returned: always, type: bool}
"""

import grp
import json
import os
import re
import shlex
import shutil
import tempfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

HEADER = "# Ansible managed: written by the module redis_live_config.\n"
# The server says which argument it refuses, and why: these reasons go away with a restart, any other is a fault of ours.
NEEDS_RESTART = re.compile(
    r"related to argument '([^']+)'\).*(immutable config|protected config|operating system is not able)"
)
SECONDS = "20"


class Unreachable(Exception):
    """Nothing answers at an address."""


class Refused(Exception):
    """The server doesn't accept the password."""


def quoted(value: str) -> str:
    """Quote a value for redis.conf and for redis-cli's standard input, which share their rules."""
    plain = {'"': '\\"', "\\": "\\\\"}
    return '"' + "".join(plain.get(c, c) if " " <= c <= "~" else _hexadecimal(c) for c in value) + '"'


def _hexadecimal(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in character.encode())


def parsed(config: str) -> dict[str, str]:
    """Return the settings of a configuration as `CONFIG GET` would show them."""
    settings: dict[str, str] = {}
    for line in config.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            name, *values = shlex.split(line)
            settings[name.lower()] = " ".join(values)
    return settings


class Server:
    """A running server, spoken to through redis-cli; no secret goes into its arguments."""

    def __init__(self, module: AnsibleModule, host: str, port: str) -> None:
        self.module = module
        # timeout: a frozen server must not hang the play.
        self.command = ["timeout", SECONDS, "redis-cli", "-h", host, "-p", port, "--json"]
        self.password = ""

    def call(self, *words: str) -> str:
        """Run one command and return its reply, as JSON or as an error's text."""
        environment = {"REDISCLI_AUTH": self.password} if self.password else {}
        line = " ".join(quoted(word) for word in words) + "\n"
        code, out, err = self.module.run_command(self.command, data=line, environ_update=environment)
        if "Could not connect" in err + out:
            raise Unreachable
        # The last: it has no password, so any other is wrong.
        if "WRONGPASS" in err or "NOAUTH" in err + out or "without any password" in err:
            raise Refused
        if code != 0:
            self.module.fail_json(msg=f"redis-cli ended with {code}: {err.strip()}")
        return out.strip()

    def login(self, passwords: list[str]) -> None:
        """Find the password that the server accepts."""
        for self.password in passwords:
            try:
                self.call("PING")
            except Refused:
                continue
            return
        raise Refused


class LiveConfig:
    """The wanted settings, compared with a server and applied to it."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        params = module.params
        self.wanted = parsed(params["config"]) | {"requirepass": params["password"]}
        self.file = Path(params["password_file"])
        self.text = f"{HEADER}requirepass {quoted(params['password'])}\n"
        self.result: dict[str, list[str]] = {"applied": [], "restart_required": []}

    def run(self) -> None:
        """Compare and apply; exits the module."""
        previous = self.file.read_text() if self.file.is_file() else ""
        running, title = self._process()
        if running:
            try:
                self._apply(self._connected(title, parsed(previous).get("requirepass", "")))
            except Unreachable:
                self.result["restart_required"] = ["bind", "port"]
            except Refused:
                self.result["restart_required"] = ["requirepass"]
        stale = previous != self.text
        if stale and not self.module.check_mode:
            self._write()
        changed = stale or any(self.result.values())
        self.module.exit_json(changed=changed, running=running, password_file_changed=stale, **self.result)

    def _process(self) -> tuple[bool, str]:
        """Tell whether the unit runs, and the title of its process, which names where it listens."""
        command = ["systemctl", "show", "--property=ActiveState,MainPID", self.module.params["unit"]]
        _, out, _ = self.module.run_command(command, check_rc=True)
        shown = dict(line.split("=", 1) for line in out.splitlines())
        try:
            title = Path(f"/proc/{shown['MainPID']}/cmdline").read_text()
        except OSError:
            title = ""
        return shown["ActiveState"] not in ("inactive", "failed"), title

    def _connected(self, title: str, previous_password: str) -> Server:
        """Return the server, found where it listens now, which the new configuration may be about to change."""
        found = re.search(r" (\S+):(\d+)\b", title)
        bound = self.wanted.get("bind", "127.0.0.1").split()
        host, port = found.groups() if found else (bound[0], self.wanted.get("port", "6379"))
        host = "127.0.0.1" if host in ("*", "0.0.0.0", "-::*") else host.lstrip("-").strip("[]")  # noqa: S104 (compared, not bound)  # nosec B104
        server = Server(self.module, host, port)
        server.login([self.wanted["requirepass"], previous_password, ""])
        return server

    def _apply(self, server: Server) -> None:
        names = sorted(self.wanted)
        current = json.loads(server.call("CONFIG", "GET", *names))
        pending = [name for name in names if name in current and current[name] != self.wanted[name]]
        while pending and not self.module.check_mode:
            pairs = [word for name in pending for word in (name, self.wanted[name])]
            reply = server.call("CONFIG", "SET", *pairs)
            if reply == '"OK"':
                break
            refused = NEEDS_RESTART.search(reply)
            if not refused:
                self.module.fail_json(msg=f"redis refuses {', '.join(pending)}: {reply}")
            # A refused CONFIG SET has changed nothing: the others are tried again without it.
            pending.remove(refused[1])
            self.result["restart_required"].append(refused[1])
        self.result["applied"] = pending

    def _write(self) -> None:
        """Replace the password file; it has its owner and mode before it has its name."""
        handle, temporary = tempfile.mkstemp(dir=self.file.parent, prefix=".password.")
        try:
            with os.fdopen(handle, "w") as stream:
                stream.write(self.text)
                stream.flush()
                os.fsync(stream.fileno())
            os.chown(temporary, -1, grp.getgrnam(self.module.params["group"]).gr_gid)
            Path(temporary).chmod(0o640)
            Path(temporary).rename(self.file)
        except BaseException:
            Path(temporary).unlink()
            raise


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "unit": {"type": "str", "required": True},
            "config": {"type": "str", "required": True},
            "password": {"type": "str", "required": True, "no_log": True},
            "password_file": {"type": "path", "required": True, "no_log": False},
            "group": {"type": "str", "default": "redis"},
        },
        supports_check_mode=True,
    )
    if module.check_mode and not shutil.which("redis-cli"):
        # A fresh host: the package would be installed, and the file written, by a real run.
        module.exit_json(changed=True, running=False, password_file_changed=True, applied=[], restart_required=[])
    LiveConfig(module).run()


if __name__ == "__main__":
    main()
