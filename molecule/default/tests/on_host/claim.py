"""Writes to the journal under another program's name in each way there is, and connects to the system bus; prints what came of each.

`MARKER`, the text of the lines, is put before it.
"""

import errno
import json
import socket

TEXT = globals()["MARKER"]
NAME = "sshd"
SYSLOG = f"<86>{NAME}[1]: {TEXT}"
# By path: the kind of its socket, and what is sent there. After the name, `stdout` takes unit, level, and four switches.
SOCKETS = {
    "/dev/log": (socket.SOCK_DGRAM, SYSLOG),
    "/run/systemd/journal/dev-log": (socket.SOCK_DGRAM, SYSLOG),
    "/run/systemd/journal/socket": (socket.SOCK_DGRAM, f"SYSLOG_IDENTIFIER={NAME}\nMESSAGE={TEXT}\n"),
    "/run/systemd/journal/stdout": (socket.SOCK_STREAM, f"{NAME}\n\n6\n0\n0\n0\n0\n{TEXT}\n"),
    "/run/dbus/system_bus_socket": (socket.SOCK_STREAM, "\0"),
}


def send(path, kind, text):
    """Send a text to a socket, and return the name of the error if there is one."""
    with socket.socket(socket.AF_UNIX, kind) as one:
        try:
            one.connect(path)
            one.sendall(text.encode())
        except OSError as error:
            return errno.errorcode[error.errno]
    return "sent"


print("answer:" + json.dumps({path: send(path, *how) for path, how in SOCKETS.items()}))
