"""The module redis_live_config with a real redis-server."""

from __future__ import annotations

import grp
import json
import os
import shutil
import socket
import ssl
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# Everything that quoting can get wrong: quotes, a backslash, a comment's sign, a variable's.
OLD, NEW = "old-\"horse\"-'battery'", "new\\horse#battery$HOME%20"
CLI = shutil.which("redis-cli")
SYSTEMCTL = "#!/bin/sh\necho ActiveState={state}\necho MainPID={pid}\n"


class Broker:
    """A redis-server of a test's own, with a systemctl that knows it."""

    def __init__(self, folder: Path, run_module: Callable[..., dict[str, Any]]) -> None:
        self.folder, self.run_module = folder, run_module
        self.access_file = folder / "access.conf"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        # Where it is asked, if not at its port.
        self.ask_at: list[str] = []
        self.process: subprocess.Popen[bytes] | None = None
        (folder / "bin").mkdir()
        # Notes the arguments of every redis-cli, which any account of a host could read.
        self._tool("redis-cli", f'#!/bin/sh\nprintf "%s\\n" "$*" >> {folder}/argv\nexec {CLI} "$@"\n')
        self._tool("systemctl", SYSTEMCTL.format(state="inactive", pid=0))

    def _tool(self, name: str, text: str) -> None:
        (self.folder / "bin" / name).write_text(text)
        (self.folder / "bin" / name).chmod(0o755)

    def config(self, **changes: Any) -> str:
        """Return a configuration as the role writes one."""
        usual = {
            "bind": "127.0.0.1",
            "port": self.port,
            "maxmemory": 67108864,
            "appendfsync": "everysec",
            "databases": 16,
        }
        settings = usual | {"save": "3600 1 300 100", "logfile": '""'} | changes
        return (
            "# a comment\n"
            + "".join(f"{name} {value}\n" for name, value in settings.items())
            + f"include {self.access_file}\n"
        )

    def start(self, password: str = OLD, **changes: Any) -> None:
        """Write the password file as the module does, start the server, and wait until it listens."""
        self.apply(password=password)
        path = self.folder / "redis.conf"
        path.write_text(self.config(**changes))
        if "unixsocket" in changes:
            self.ask_at = ["-s", changes["unixsocket"]]
        self._run(password)

    def restart(self) -> None:
        """Start the server anew, as after a reboot."""
        assert self.process is not None
        self.process.terminate()
        self.process.wait()
        self._run(OLD)

    def _run(self, password: str) -> None:
        path = self.folder / "redis.conf"
        self.process = subprocess.Popen(["redis-server", path, "--dir", self.folder], stdout=subprocess.DEVNULL)
        for _ in range(100):
            if "PONG" in self.ask(password, "ping"):
                break
            time.sleep(0.05)
        self._tool("systemctl", SYSTEMCTL.format(state="active", pid=self.process.pid))

    def ask(self, password: str, *words: str) -> str:
        """Return a reply of the server."""
        result = subprocess.run(
            [str(CLI), *(self.ask_at or ["-p", str(self.port)]), *words],
            env={**os.environ, "REDISCLI_AUTH": password},
            capture_output=True,
            text=True,
            check=False,
        )
        return result.stdout + result.stderr

    def value(self, password: str, name: str) -> str:
        """Return a setting of the server."""
        return self.ask(password, "config", "get", name).splitlines()[-1]

    def apply(
        self, password: str = OLD, *, check: bool = False, users: list[dict[str, Any]] | None = None, **changes: Any
    ) -> dict[str, Any]:
        """Run the module."""
        arguments = {
            "users": users or [],
            "unit": "redis-server.service",
            "config": self.config(**changes),
            "password": password,
            "access_file": str(self.access_file),
            "group": grp.getgrgid(os.getgid()).gr_name,
        }
        return self.run_module("redis_live_config", arguments, check=check, path=self.folder / "bin")


@pytest.fixture
def broker(tmp_path: Path, run_module: Callable[..., dict[str, Any]]) -> Iterator[Broker]:
    assert CLI and shutil.which("redis-server"), "install redis-server or redis-tools, or run `make setup`"
    broker = Broker(tmp_path, run_module)
    yield broker
    if broker.process:
        broker.process.kill()
        broker.process.wait()


def test_a_server_that_does_not_run_gets_its_access_file_and_no_more(broker: Broker) -> None:
    result = broker.apply()
    assert (result["changed"], result["running"], result["applied"], result["restart_required"]) == (
        True,
        False,
        [],
        [],
    )
    assert stat.S_IMODE(broker.access_file.stat().st_mode) == 0o640
    assert broker.apply()["changed"] is False


def test_a_server_that_agrees_is_left_alone(broker: Broker) -> None:
    broker.start()
    result = broker.apply()
    assert (result["changed"], result["running"]) == (False, True)


def test_settings_are_changed_while_it_runs(broker: Broker) -> None:
    broker.start()
    result = broker.apply(maxmemory=1048576, save='""')
    assert (result["applied"], result["restart_required"]) == (["maxmemory", "save"], [])
    assert broker.value(OLD, "maxmemory") == "1048576"
    assert broker.apply(maxmemory=1048576, save='""')["changed"] is False


def test_the_log_can_be_made_to_reach_the_disk_at_once_while_it_runs(broker: Broker) -> None:
    broker.start()
    result = broker.apply(appendfsync="always")
    assert (result["applied"], result["restart_required"]) == (["appendfsync"], [])
    assert broker.value(OLD, "appendfsync") == "always"


def test_check_mode_names_the_settings_and_changes_none(broker: Broker) -> None:
    broker.start()
    before = broker.access_file.read_text()
    result = broker.apply(NEW, check=True, maxmemory=1048576)
    assert (result["changed"], result["applied"]) == (True, ["maxmemory", "requirepass"])
    assert (broker.value(OLD, "maxmemory"), broker.access_file.read_text()) == ("67108864", before)


def test_a_new_password_is_taken_while_it_runs(broker: Broker) -> None:
    broker.start()
    assert broker.apply(NEW)["applied"] == ["requirepass"]
    assert "PONG" in broker.ask(NEW, "ping")
    assert "WRONGPASS" in broker.ask(OLD, "ping")
    assert broker.apply(NEW)["changed"] is False


def test_a_run_that_died_between_server_and_file_is_made_good(broker: Broker) -> None:
    broker.start()
    broker.ask(OLD, "config", "set", "requirepass", NEW)
    result = broker.apply(NEW)
    assert (result["changed"], result["applied"], result["restart_required"]) == (True, [], [])
    assert broker.apply(NEW)["changed"] is False


def test_a_server_without_a_password_gets_one(broker: Broker) -> None:
    broker.start()
    broker.ask(OLD, "config", "set", "requirepass", "")
    assert broker.apply()["applied"] == ["requirepass"]
    assert "NOAUTH" in broker.ask("", "ping")


def test_a_server_that_takes_no_known_password_is_to_be_restarted(broker: Broker) -> None:
    broker.start()
    broker.ask(OLD, "config", "set", "requirepass", "somebody-elses")
    result = broker.apply(NEW)
    assert (result["changed"], result["restart_required"]) == (True, ["requirepass"])


def test_what_it_can_not_take_is_named_and_the_rest_applied(broker: Broker) -> None:
    broker.start()
    result = broker.apply(maxmemory=1048576, databases=3)
    assert (result["applied"], result["restart_required"]) == (["maxmemory"], ["databases"])
    assert broker.value(OLD, "maxmemory") == "1048576"
    # Until somebody restarts it, it says so again.
    assert broker.apply(maxmemory=1048576, databases=3)["restart_required"] == ["databases"]


def test_a_port_is_changed_while_it_runs(broker: Broker) -> None:
    broker.start()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert broker.apply(port=port)["applied"] == ["port"]
    broker.port = port
    assert "PONG" in broker.ask(OLD, "ping")
    assert broker.apply()["changed"] is False


def test_a_unit_that_runs_but_does_not_listen_is_to_be_restarted(broker: Broker) -> None:
    broker._tool("systemctl", SYSTEMCTL.format(state="activating", pid=0))
    assert broker.apply()["restart_required"] == ["bind", "port", "unixsocket"]


WEB = {
    "name": "web",
    "password": "of the-web",
    "rules": ["+ping", "+lpush", "~low\x06\x16[369]", "+client|setinfo@7.2", "+get@99.0"],
}
WORKER = {"name": "worker", "password": "workers", "rules": ["+ping", "+rpop", "~low", "(-@all +subscribe &events)"]}


def test_users_are_set_while_it_runs_and_those_that_are_gone_are_removed(broker: Broker) -> None:
    broker.start()
    assert broker.apply(users=[WEB, WORKER])["users_changed"] is True
    assert broker.apply(users=[WEB, WORKER])["changed"] is False
    assert "PONG" in broker.ask(OLD, "--user", "web", "--pass", "of the-web", "ping")
    assert "NOPERM" in broker.ask(OLD, "--user", "web", "--pass", "of the-web", "get", "low")
    assert broker.apply(users=[WORKER])["users_changed"] is True
    assert broker.ask(OLD, "acl", "users").split() == ["default", "worker"]


def test_a_user_that_was_changed_by_hand_is_put_right(broker: Broker) -> None:
    broker.start()
    broker.apply(users=[WEB])
    before = broker.ask(OLD, "acl", "list")
    broker.ask(OLD, "acl", "setuser", "web", "allcommands", "allkeys", "nopass")
    assert broker.apply(users=[WEB])["changed"] is True
    assert broker.ask(OLD, "acl", "list") == before


def test_check_mode_changes_no_user(broker: Broker) -> None:
    broker.start()
    assert broker.apply(users=[WEB], check=True)["users_changed"] is True
    assert broker.ask(OLD, "acl", "users").split() == ["default"]


def test_after_a_restart_the_users_are_those_that_the_running_server_had(broker: Broker) -> None:
    broker.start()
    broker.apply(users=[WEB, WORKER])
    assert "of the-web" not in broker.access_file.read_text()
    broker.restart()
    assert "PONG" in broker.ask(OLD, "--user", "web", "--pass", "of the-web", "ping")
    assert broker.apply(users=[WEB, WORKER])["changed"] is False


def test_a_rule_that_redis_refuses_fails_and_shows_no_password(broker: Broker) -> None:
    broker.start()
    result = broker.apply(users=[{**WEB, "rules": ["+no-such-command"]}])
    assert result["failed"] is True
    assert "web" in result["msg"]
    assert "of the-web" not in json.dumps(result["msg"])


def test_a_value_that_redis_refuses_fails_and_shows_no_password(broker: Broker) -> None:
    broker.start()
    result = broker.apply(NEW, appendfsync="sometimes")
    assert result["failed"] is True
    assert "appendfsync" in result["msg"]
    assert broker.value(OLD, "maxmemory") == "67108864"
    assert NEW not in json.dumps(result).replace("\\\\", "\\")


def test_no_password_is_an_argument(broker: Broker) -> None:
    broker.start()
    broker.apply(NEW)
    broker.apply(NEW, maxmemory=1048576)
    arguments = (broker.folder / "argv").read_text()
    assert "--json" in arguments
    assert "horse" not in arguments


def certificate(folder: Path, name: str) -> dict[str, str]:
    """Make a key and a certificate of its own under the names that the server was given."""
    key, cert = folder / "tls.key", folder / "tls.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run(
        [*command, "-keyout", key, "-out", cert, "-subj", f"/CN={name}", "-days", "2"], check=True, capture_output=True
    )
    return {"tls-cert-file": str(cert), "tls-key-file": str(key), "tls-auth-clients": "no"}


def shown(port: int) -> str:
    """Return the certificate that a server shows, without white space."""
    return "".join(ssl.get_server_certificate(("127.0.0.1", port)).split())


def test_plain_text_becomes_tls_while_it_runs_and_a_renewed_certificate_is_shown(broker: Broker) -> None:
    broker.start()
    tls = certificate(broker.folder, "first") | {"tls-port": broker.port, "port": 0}
    pid = broker.process.pid
    with socket.create_connection(("127.0.0.1", broker.port)) as open_before:
        assert set(broker.apply(**tls)["applied"]) >= {"port", "tls-port", "tls-cert-file"}
        open_before.sendall(b"PING\r\n")
        assert b"NOAUTH" in open_before.recv(100)
    assert shown(broker.port) == "".join(Path(tls["tls-cert-file"]).read_text().split())
    broker.ask_at = ["-p", str(broker.port), "--tls", "--insecure"]
    assert "PONG" in broker.ask(OLD, "ping")
    assert broker.process.pid == pid


def test_tls_becomes_plain_text_on_the_same_port(broker: Broker) -> None:
    local = {"unixsocket": str(broker.folder / "redis.sock")}
    broker.start(**certificate(broker.folder, "first"), **local, **{"tls-port": broker.port, "port": 0})
    result = broker.apply(**local, **{"tls-port": 0})
    assert set(result["applied"]) == {"port", "tls-port"}
    broker.ask_at = []
    assert "PONG" in broker.ask(OLD, "ping")


def test_a_renewed_certificate_is_shown_without_a_restart(broker: Broker) -> None:
    local = str(broker.folder / "redis.sock")
    tls = certificate(broker.folder, "first") | {"tls-port": broker.port, "port": 0, "unixsocket": local}
    broker.start(**tls)
    assert broker.apply(**tls)["changed"] is False
    certificate(broker.folder, "second")
    renewed = "".join(Path(tls["tls-cert-file"]).read_text().split())
    assert shown(broker.port) != renewed
    assert broker.apply(**tls, check=True)["applied"] == ["tls-cert-file", "tls-key-file"]
    assert broker.apply(**tls)["applied"] == ["tls-cert-file", "tls-key-file"]
    assert shown(broker.port) == renewed
    assert broker.apply(**tls)["changed"] is False


def test_a_socket_that_a_killed_server_left_behind_is_passed_over(broker: Broker) -> None:
    broker.start()
    path = broker.folder / "left.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    result = broker.apply(unixsocket=str(path))
    assert result["restart_required"] == ["unixsocket"]
