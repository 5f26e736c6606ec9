"""What a power cut costs: how many tasks that Redis had acknowledged are gone after one, by `appendfsync`.

A container can't show it: killing one keeps the kernel's page cache, so that everything written is still there. Here Redis
runs in a virtual machine with a kernel of its own, with Debian's packages and an ext4 disk. Tasks are pushed from outside and
counted as they are acknowledged; then the machine's process is killed, and with it all of its memory; then it is booted again
and asked what it still has. The emulation is slow (no KVM is needed), so the rates are no measure of Redis.
What it does not show: disks that lie about a flush, and a disk that is lost as a whole.
"""

from __future__ import annotations

import argparse
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from testbench.console import Problem, heartbeat, say
from testbench.podman import CACHE, as_root, run

WORK = CACHE / "power-loss"
QEMU, GUEST, DISK = WORK / "qemu", WORK / "guest", WORK / "disk.img"
# Where the running machine's files lie in the tree of QEMU, which is started in a chroot there.
RUN = QEMU / "srv"
RELEASE = "trixie"
GUEST_PACKAGES = "linux-image-amd64,initramfs-tools,redis-server,iproute2,kmod,udev"
BOOT_PATIENCE = 180
QUEUE = "queue"
# Started by the kernel in place of systemd: what is measured is Redis, the file system and the disk.
INIT = """#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
modprobe virtio_net
ip link set lo up
ip link set eth0 up
ip address add 10.0.2.15/24 dev eth0
fsync=$(sed -n 's/.*fsync=\\([a-z]*\\).*/\\1/p' /proc/cmdline)
mkdir -p /var/lib/redis
redis-server --bind 0.0.0.0 --protected-mode no --dir /var/lib/redis --save '' --appendonly yes --appendfsync "$fsync"
echo "redis-server ended"
sleep 1000
"""


@dataclass(frozen=True)
class Round:
    """One power cut.

    Attributes:
        fsync: the value of `appendfsync`.
        acknowledged: tasks whose LPUSH Redis had answered before the cut.
        lost: how many of them were gone after it.
        window: seconds between the acknowledgement of the oldest lost one and the cut; 0 where none was lost.
        rate: acknowledged tasks a second.
    """

    fsync: str
    acknowledged: int
    lost: int
    window: float
    rate: float


def build() -> None:
    """Make QEMU's tree and the guest's disk, from Debian's archive, unless they are there."""
    WORK.mkdir(parents=True, exist_ok=True)
    bootstrap = ["mmdebstrap", "--quiet", "--variant=minbase", "--aptopt=APT::Install-Recommends false"]
    if not (QEMU / "srv").exists():
        with heartbeat("fetching QEMU"):
            run(as_root([*bootstrap, "--include=qemu-system-x86", RELEASE, str(QEMU)]))
    if not DISK.exists():
        with heartbeat("building the guest"):
            run(as_root([*bootstrap, f"--include={GUEST_PACKAGES}", RELEASE, str(GUEST)]))
            run(as_root(["tee", str(GUEST / "power-loss")]), data=INIT.encode())
            run(as_root(["chmod", "755", str(GUEST / "power-loss")]))
            # The machine gets them from outside, so that it needs no boot loader.
            for name in ("vmlinuz", "initrd.img"):
                run(as_root(["cp", str(next(GUEST.glob(f"boot/{name}-*"))), str(RUN / name)]))
            run(as_root(["mke2fs", "-q", "-t", "ext4", "-d", str(GUEST), str(DISK), "2G"]))


def free_port() -> int:
    """Return a port of the loopback address on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def machine(fsync: str, port: int) -> Iterator[None]:
    """Boot the machine with the disk as it is, until Redis answers; cut its power at the end of the block."""
    # A number of an earlier run may be somebody else's process by now.
    run(as_root(["rm", "-f", str(RUN / "pid")]))
    options = {
        "accel": "tcg,thread=multi",
        "cpu": "max",
        "smp": "2",
        "m": "512",
        "display": "none",
        "serial": "file:/srv/console",
        "pidfile": "/srv/pid",
        "kernel": "/srv/vmlinuz",
        "initrd": "/srv/initrd.img",
        "append": f"root=/dev/vda rw console=ttyS0 net.ifnames=0 init=/power-loss fsync={fsync}",
        # What the guest has not flushed is in its own memory, which dies with it; what it wrote, this machine keeps.
        "drive": "file=/srv/disk.img,format=raw,if=virtio,cache=writeback",
        "netdev": f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{port}-10.0.2.15:6379",
        "device": "virtio-net-pci,netdev=net",
    }
    words = [word for name, value in options.items() for word in (f"-{name}", value)]
    command = as_root(["chroot", str(QEMU), "qemu-system-x86_64", *words])
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + BOOT_PATIENCE
        while not answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise Problem(f"the machine did not come up; its console is {RUN / 'console'}")
            time.sleep(0.2)
        yield
    finally:
        # The pid from the file: under sudo, the process that we started is not QEMU's.
        pid = run(as_root(["cat", str(RUN / "pid")]), check=False).stdout.decode().strip()
        if process.poll() is None and pid:
            run(as_root(["kill", "-KILL", pid]))
        process.wait()


class Client:
    """As much of a Redis client as is needed, so that a reply is counted where it arrives and nowhere else."""

    def __init__(self, port: int, patience: float = 30) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=patience)
        self.stream = self.socket.makefile("rb")

    def command(self, *words: str) -> bytes:
        """Send a command; return the first line of the reply.

        Raises:
            OSError: the connection is gone.
        """
        lines = [f"*{len(words)}\r\n", *[f"${len(word)}\r\n{word}\r\n" for word in words]]
        self.socket.sendall("".join(lines).encode())
        if not (line := self.stream.readline()).endswith(b"\r\n"):
            raise ConnectionError("the connection is closed")
        return line.rstrip()

    def members(self) -> set[int]:
        """Return the numbers in the queue."""
        found = set()
        for _ in range(int(self.command("LRANGE", QUEUE, "0", "-1")[1:])):
            self.stream.readline()
            found.add(int(self.stream.readline().split(b"-")[0]))
        return found


def answers(port: int) -> bool:
    """Tell whether Redis serves, and no longer loads."""
    try:
        return Client(port, 2).command("PING") == b"+PONG"
    except OSError:
        return False


def one(fsync: str, seconds: float) -> Round:
    """Push tasks for so many seconds, cut the power, boot, and count."""
    port = free_port()
    run(as_root(["cp", "--sparse=always", str(DISK), str(RUN / "disk.img")]))
    acknowledged: list[float] = []
    began = 0.0

    def push(client: Client) -> None:
        # As long as a message of Celery's.
        filling = "x" * 1000
        try:
            while client.command("LPUSH", QUEUE, f"{len(acknowledged)}-{filling}").startswith(b":"):
                acknowledged.append(time.monotonic())
        except OSError:
            return

    with machine(fsync, port):
        thread = threading.Thread(target=push, args=[Client(port)])
        began = time.monotonic()
        thread.start()
        time.sleep(seconds)
    cut = time.monotonic()
    thread.join()
    # An answer that was on its way when the power went counts too: Redis had given it.
    with machine(fsync, port):
        left = Client(port).members()
    lost = [number for number in range(len(acknowledged)) if number not in left]
    window = cut - acknowledged[lost[0]] if lost else 0.0
    return Round(fsync, len(acknowledged), len(lost), window, len(acknowledged) / (cut - began))


def main(arguments: list[str] | None = None) -> int:
    """Cut the power several times for each policy and print what was lost."""
    parser = argparse.ArgumentParser(prog="python -m testbench.power_loss", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="power cuts for each policy")
    options = parser.parse_args(arguments)
    try:
        build()
        version = run(as_root(["chroot", str(GUEST), "redis-server", "--version"])).stdout.decode().split(" sha")[0]
        say(f"{version}, {next(GUEST.glob('boot/vmlinuz-*')).name}, ext4")
        say(f"  {'appendfsync':12} {'acknowledged':>12} {'a second':>9} {'lost':>6} {'of the last':>12}")
        for _ in range(options.rounds):
            for fsync in ("everysec", "always"):
                # No multiple of a second, so that the cut meets the rhythm of the flushes anywhere.
                seen = one(fsync, 8 + random.random() * 2)  # noqa: S311 - spreads cuts, guards nothing
                window = f"{seen.window:.2f} s" if seen.lost else ""
                say(f"  {seen.fsync:12} {seen.acknowledged:>12} {seen.rate:>9.0f} {seen.lost:>6} {window:>12}")
    except Problem as problem:
        say(str(problem))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
