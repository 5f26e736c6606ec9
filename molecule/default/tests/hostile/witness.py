"""Hostile code of a dependency: writes down, beside itself, as whom it runs and what it can reach. It must never break what runs it."""

import json
import os
import socket
from pathlib import Path

SECRETS = ("/etc/sample/credentials/secret_key", "/opt/sample/tools/index.env", "/etc/shadow", "/root/.profile")
FOLDERS = ("/etc", "/opt/sample", "/usr/local/sbin", "/var/lib/sample/media")
SOCKETS = (
    "/run/redis/redis-server.sock",
    "/run/postgresql/.s.PGSQL.5432",
    "/run/dbus/system_bus_socket",
    "/run/systemd/journal/stdout",
)
DATAGRAM_SOCKETS = ("/dev/log", "/run/systemd/journal/socket")
# Address and port of who isn't the package index; the test fills them in.
PEERS = []


def works(attempt):
    """Tell whether an attempt is let through; one that is answered by a refusal of the peer is."""
    try:
        attempt()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return True


def write(folder):
    """Make a file and remove it."""
    file = Path(folder, "made-by-a-dependency")
    file.touch()
    file.unlink()


def connect(path, kind=socket.SOCK_STREAM):
    """Connect to a unix socket."""
    with socket.socket(socket.AF_UNIX, kind) as one:
        one.connect(path)


def testify(kind, folder):
    """Write the testimony."""
    lines = Path("/proc/self/status").read_text().splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    seen = {
        "kind": kind,
        "uid": os.getuid(),
        "groups": sorted({os.getgid(), *os.getgroups()}),
        "capabilities": int(status["CapEff"], 16) | int(status["CapBnd"], 16) | int(status["CapPrm"], 16),
        "no_new_privileges": status["NoNewPrivs"].strip(),
        "system_calls_filtered": status["Seccomp"].strip(),
        "read": [path for path in SECRETS if works(Path(path).read_bytes)],
        "written": [path for path in FOLDERS if works(lambda: write(path))],  # noqa: B023 (called at once)
        "reached": [peer for peer in PEERS if works(lambda: socket.create_connection(peer, timeout=3).close())],  # noqa: B023 (the same)
        "sockets": [path for path in SOCKETS if works(lambda: connect(path))]  # noqa: B023 (the same)
        + [path for path in DATAGRAM_SOCKETS if works(lambda: connect(path, socket.SOCK_DGRAM))],  # noqa: B023 (the same)
        "credentials": [str(path) for path in Path("/run/credentials").glob("*/*") if works(path.read_bytes)],
        "index": sorted(name for name in os.environ if "INDEX" in name),
    }
    try:
        Path(folder, f"witness-{os.getpid()}-{kind}.json").write_text(json.dumps(seen) + "\n")
    except OSError:
        # Where nothing may be written it has nobody to tell.
        return
