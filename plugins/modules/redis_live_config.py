"""Make a running Redis agree with its configuration file, without a restart where that is possible."""

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_live_config
short_description: Make a running Redis agree with its configuration, without a restart where possible
description:
  - Compares every setting of a configuration with what the running server says, and applies what differs in one C(CONFIG SET).
    What the server refuses to change while it runs is reported in RV(restart_required); restarting is the caller's matter.
  - The comparison is with the server, not with what a play has just changed, so a play that died midway is made good by the next.
  - Owns the file that holds the password and the users. It still has the previous password when the wanted one is new, and is rewritten
    only after the server has taken the new one; whenever a run is cut short, one of the two opens the server.
  - Each user is set in one step, so that none is ever without the rules that it keeps; users that aren't wanted are removed.
  - A server that isn't running gets that file, no more.
  - Where the configuration has a certificate, the one that the server shows is compared with the file, and the file is read anew when they
    differ. Open connections stay.
  - Settings that C(CONFIG GET) doesn't know, such as C(include), are left out.
options:
  unit: {description: The server's systemd unit., type: str, required: true}
  config: {description: "The server's wanted configuration as text, without the password.", type: str, required: true}
  password: {description: The administrator's wanted password., type: str, required: true}
  users:
    description: The other users. C(rule@7.2) is left out where the server is older than 7.2.
    type: list
    elements: dict
    default: []
    suboptions:
      name: {description: Name of the user., type: str, required: true}
      password: {description: Password of the user., type: str, required: true}
      rules: {description: What the user may do., type: list, elements: str, required: true}
  access_file:
    description: File that the configuration includes; gets C(requirepass) and a C(user) line for each user, with a hash of the password.
    type: path
    required: true
  group: {description: Group that may read that file., type: str, default: redis}
author: The plainhost maintainers (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Apply settings to the running server
  plainhost.stack.redis_live_config:
    unit: redis-server.service
    config: "{{ lookup('ansible.builtin.template', 'redis.conf.j2') }}"
    password: "{{ redis_password }}"
    users:
      - {name: web, password: "{{ web_password }}", rules: [+lpush, ~default]}
    access_file: /etc/redis/access.conf
  no_log: true
"""

RETURN = r"""
applied: {description: Settings that were (or in check mode would be) changed., returned: always, type: list, elements: str}
restart_required: {description: Settings that need a restart., returned: always, type: list, elements: str}
users_changed: {description: Whether users were changed on the running server., returned: always, type: bool}
running: {description: Whether the unit runs., returned: always, type: bool}
"""

import grp
import hashlib
import json
import os
import re
import shlex
import shutil
import ssl
import tempfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

HEADER = "# Ansible managed: written by the module redis_live_config.\n"
# The server says which argument it refuses, and why: these reasons go away with a restart, any other is a fault of ours.
NEEDS_RESTART = re.compile(
    r"related to argument '([^']+)'\).*(immutable config|protected config|operating system is not able)"
)
SECONDS = "20"
CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
# What Redis reads anew when it is set, also to the path that it had.
TLS_FILES = ("tls-cert-file", "tls-key-file")
LISTENERS = ("port", "tls-port")


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


def version_of(text: str) -> tuple[int, int]:
    """Return the version that `redis-server --version` tells; 0.0 where it can't be read."""
    found = re.search(r"v=(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def known(rules: list[str], version: tuple[int, int]) -> list[str]:
    """Return the rules that a version knows, without the mark of the version that brought them."""
    kept = []
    for rule in rules:
        marked = re.fullmatch(r"(.+)@(\d+)\.(\d+)", rule)
        if not marked:
            kept.append(rule)
        elif version >= (int(marked[2]), int(marked[3])):
            kept.append(marked[1])
    return kept


def granted(users: list[str]) -> list[list[str]]:
    """Return what `ACL LIST` says, without the differences between users read from a file and the same users set later."""
    return sorted(sorted(set(user.split()) - {"sanitize-payload"}) for user in users)


def _first_certificate(text: str) -> str:
    found = CERTIFICATE.search(text)
    return "".join(found[0].split()) if found else ""


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

    def __init__(self, module: AnsibleModule, *address: str) -> None:
        self.module = module
        # timeout: a frozen server must not hang the play.
        self.command = ["timeout", SECONDS, "redis-cli", *address, "--json"]
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
        self.file = Path(params["access_file"])
        version = version_of(module.run_command(["redis-server", "--version"], check_rc=True)[1])
        self.users = {
            user["name"]: [
                "on",
                "#" + hashlib.sha256(user["password"].encode()).hexdigest(),
                *known(user["rules"], version),
            ]
            for user in params["users"]
        }
        lines = [["requirepass", quoted(params["password"])]]
        lines += [["user", name, *map(quoted, rules)] for name, rules in self.users.items()]
        self.text = HEADER + "".join(f"{' '.join(words)}\n" for words in lines)
        self.users_changed = False
        self.result: dict[str, list[str]] = {"applied": [], "restart_required": []}

    def run(self) -> None:
        """Compare and apply; exits the module."""
        previous = self.file.read_text() if self.file.is_file() else ""
        running, title = self._process()
        if running:
            try:
                server = self._connected(title, parsed(previous).get("requirepass", ""))
                # Users first: settings may move the server to another port.
                self._apply_users(server)
                self._apply(server)
            except Unreachable:
                self.result["restart_required"] = ["bind", "port", "unixsocket"]
            except Refused:
                self.result["restart_required"] = ["requirepass"]
        stale = previous != self.text
        if stale and not self.module.check_mode:
            self._write()
        changed = stale or self.users_changed or any(self.result.values())
        self.module.exit_json(
            changed=changed, running=running, users_changed=self.users_changed, access_file_changed=stale, **self.result
        )

    def _process(self) -> tuple[bool, str]:
        """Tell whether the unit runs, and the title of its process, which names where it listens."""
        command = ["systemctl", "show", "--property=ActiveState,MainPID", self.module.params["unit"]]
        out = self.module.run_command(command, check_rc=True)[1]
        shown = dict(line.split("=", 1) for line in out.splitlines())
        try:
            title = Path(f"/proc/{shown['MainPID']}/cmdline").read_text()
        except OSError:
            title = ""
        return shown["ActiveState"] not in ("inactive", "failed"), title

    def _connected(self, title: str, previous_password: str) -> Server:
        """Return the server, found where it listens now, which the new configuration may be about to change."""
        passwords = [self.wanted["requirepass"], previous_password, ""]
        local = self.wanted.get("unixsocket", "")
        if local and Path(local).is_socket():
            server = Server(self.module, "-s", local)
            try:
                server.login(passwords)
                return server
            except Unreachable:
                # Left behind by a server that was killed.
                pass
        found = re.search(r" (\S+):(\d+)\b", title)
        if not found:
            raise Unreachable
        host, port = found.groups()
        host = "127.0.0.1" if host in ("*", "0.0.0.0", "-::*") else host.lstrip("-").strip("[]")  # noqa: S104 (compared, not bound)  # nosec B104
        server = Server(self.module, "-h", host, "-p", port)
        server.login(passwords)
        return server

    def _apply(self, server: Server) -> None:
        names = sorted(self.wanted)
        current = json.loads(server.call("CONFIG", "GET", *names))
        pending = [name for name in names if name in current and current[name] != self.wanted[name]]
        if self._shows_another_certificate(current):
            pending = sorted({*pending, *TLS_FILES})
        # In this order they are applied: a port is left by one protocol before the other takes it.
        pending.sort(key=lambda name: (name not in LISTENERS or self.wanted[name] != "0", name))
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

    def _apply_users(self, server: Server) -> None:
        """Set every user anew, each in one step, and remove the others; a connection keeps its login."""
        before = json.loads(server.call("ACL", "LIST"))
        present = set(json.loads(server.call("ACL", "USERS"))) - {"default"}
        if self.module.check_mode:
            # What rules come to is known to the server alone, and asking it would change it.
            self.users_changed = present != set(self.users)
            return
        for name, rules in self.users.items():
            reply = server.call("ACL", "SETUSER", name, "reset", *rules)
            if reply != '"OK"':
                self.module.fail_json(msg=f"redis refuses the rules of the user {name}: {reply}")
        if unknown := sorted(present - set(self.users)):
            server.call("ACL", "DELUSER", *unknown)
        self.users_changed = granted(json.loads(server.call("ACL", "LIST"))) != granted(before)

    def _shows_another_certificate(self, current: dict[str, str]) -> bool:
        """Tell whether a server that speaks TLS shows another certificate than the one in its file."""
        path, port = Path(self.wanted.get("tls-cert-file", "")), int(current.get("tls-port", "0"))
        if not path.is_file() or port == 0:
            return False
        address = current["bind"].split()[0].lstrip("-")
        try:
            # Looked at, not trusted: nothing is sent to it.
            shown = ssl.get_server_certificate((address, port), timeout=5)
        except (OSError, ValueError):
            # Nobody can use what it shows; the files can't make it worse.
            return True
        return _first_certificate(shown) != _first_certificate(path.read_text())

    def _write(self) -> None:
        """Replace the file; it has its owner and mode before it has its name."""
        handle, temporary = tempfile.mkstemp(dir=self.file.parent, prefix=".access.")
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
            "users": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "name": {"type": "str", "required": True},
                    "password": {"type": "str", "required": True, "no_log": True},
                    "rules": {"type": "list", "elements": "str", "required": True},
                },
            },
            "access_file": {"type": "path", "required": True},
            "group": {"type": "str", "default": "redis"},
        },
        supports_check_mode=True,
    )
    if module.check_mode and not shutil.which("redis-cli"):
        # A fresh host: the package would be installed, and the file written, by a real run.
        module.exit_json(
            changed=True, running=False, users_changed=False, access_file_changed=True, applied=[], restart_required=[]
        )
    LiveConfig(module).run()


if __name__ == "__main__":
    main()
