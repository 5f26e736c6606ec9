"""Runs on a host as root: an account holds many connections without a login, and meanwhile commands are run. Prints JSON.

Arguments: the account, what it speaks (`postgresql`, or `nothing`), how many connections, a socket's path or `address:port`, and the
commands. The answer: how many were `held`, why the first of the others was `refused`, and each command's exit status and output. With
the command `wait` it is waited until the server has `left` them all.
"""

from __future__ import annotations

import json
import os
import pwd
import resource
import socket
import struct
import subprocess
import sys

# Bounds on a hang (s): for an answer, and for the server's leaving.
PATIENCE = 10
LONGEST = 60


def startup(role: str) -> bytes:
    """Return the first packet of PostgreSQL's protocol, after which the server asks for the password."""
    body = struct.pack("!i", 196608) + f"user\0{role}\0database\0{role}\0\0".encode()
    return struct.pack("!i", len(body) + 4) + body


def connect(target: str) -> socket.socket:
    """Connect to a unix socket or to an address."""
    if not target.startswith("/"):
        address, _, port = target.rpartition(":")
        return socket.create_connection((address, int(port)), timeout=PATIENCE)
    link = socket.socket(socket.AF_UNIX)
    link.settimeout(PATIENCE)
    link.connect(target)
    return link


def hold(speaks: str, count: int, target: str) -> tuple[list[socket.socket], str]:
    """Return the connections that are held, and why the first of the others was refused."""
    links, refused = [], ""
    for _ in range(count):
        try:
            link = connect(target)
            if speaks == "postgresql":
                link.sendall(startup("sample"))
                answer = link.recv(1000)
                if answer[:1] != b"R":
                    raise OSError(answer.decode(errors="replace"))
            links.append(link)
        except OSError as error:
            refused = refused or str(error)
            if isinstance(error, PermissionError):
                break
    return links, refused


def is_left(link: socket.socket) -> bool:
    """Wait until the server ends a connection."""
    link.settimeout(LONGEST)
    try:
        while link.recv(1000):
            pass
    except ConnectionResetError:
        pass
    except TimeoutError:
        return False
    return True


def main() -> None:
    """Hold, run, tell."""
    account, speaks, count, target, *commands = sys.argv[1:]
    resource.setrlimit(resource.RLIMIT_NOFILE, (int(count) + 500, int(count) + 500))
    asked, asking = os.pipe()
    telling, told = os.pipe()
    if not os.fork():
        user = pwd.getpwnam(account)
        os.setgroups([])
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
        os.close(asking)
        links, refused = hold(speaks, int(count), target)
        os.write(told, json.dumps({"held": len(links), "refused": refused}).encode() + b"\n")
        if commands == ["wait"]:
            os.write(told, json.dumps({"left": all(map(is_left, links))}).encode() + b"\n")
        # Until the other end is closed.
        os.read(asked, 1)
        os._exit(0)
    os.close(told)
    lines = os.fdopen(telling)
    answer = json.loads(lines.readline())
    if commands == ["wait"]:
        answer |= json.loads(lines.readline())
        commands = []
    done = [subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False) for command in commands]
    answer["commands"] = [[one.returncode, one.stdout + one.stderr] for one in done]
    os.close(asking)
    os.wait()
    print(json.dumps(answer))


main()
