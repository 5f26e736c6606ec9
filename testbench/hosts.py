"""Test hosts up and down: `python -m testbench.hosts up --scope local --inventory inventories/local`."""

from __future__ import annotations

import argparse
import fcntl
import ipaddress
import json
import os
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from testbench import image, inventory, kernel, sink_process
from testbench.console import Problem, duration, say
from testbench.inventory import Host
from testbench.podman import CACHE, NAMED, PREFIX, ROOT, inspect, podman, run, text, v1_controllers
from testbench.seed import keys, known_hosts, prepare, seed

PATIENCE = 60
# The first ten addresses of a network are Podman's; a fixed address survives a restart.
FIRST_ADDRESS = 10
MAIL_PORT = 2525


@contextmanager
def locked() -> Iterator[None]:
    """Let one process at a time make or remove hosts: they share kernel settings and networks."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def state_of(scope: str) -> Path:
    """Return the folder with a scope's keys, mail and notes."""
    return CACHE / scope


def network_of(scope: str) -> str:
    """Return the name of a scope's network."""
    return f"{NAMED}-{scope}".replace("_", "-")


def labels(scope: str) -> list[str]:
    """Return the labels by which the test bench knows again what it made, and from which clone."""
    return ["--label", f"{PREFIX}.scope={scope}", "--label", f"{PREFIX}.clone={ROOT}"]


def belonging(listed: list[dict[str, Any]], scope: str | None) -> list[dict[str, Any]]:
    """Return what this clone made, in one scope or in all; nothing else is ours to remove."""
    wanted = {f"{PREFIX}.clone": str(ROOT), **({f"{PREFIX}.scope": scope} if scope is not None else {})}
    return [row for row in listed if wanted.items() <= (row.get("Labels") or {}).items()]


def our_containers(scope: str | None = None) -> list[str]:
    """Return the names of our containers."""
    # Matched here, not by --filter: of two labels Podman wants both for containers, but for volumes either.
    return [row["Names"][0] for row in belonging(json.loads(text("ps", "--all", "--format", "json")), scope)]


def our_volumes(scope: str | None) -> list[str]:
    """Return the names of the volumes of a scope, or of all."""
    return [row["Name"] for row in belonging(json.loads(text("volume", "ls", "--format", "json")), scope)]


def our_networks(scope: str | None) -> list[str]:
    """Return the names of the networks of a scope, or of all."""
    listed = json.loads(text("network", "ls", "--format", "json"))
    return [row["name"] for row in belonging([{**row, "Labels": row.get("labels")} for row in listed], scope)]


def orphans(listed: list[dict[str, Any]]) -> list[str]:
    """Return the containers of clones that are gone: nobody else would ever remove them."""
    label = f"{PREFIX}.clone"
    clones = [(row["Names"][0], (row.get("Labels") or {}).get(label)) for row in listed]
    return [name for name, clone in clones if clone and not Path(clone).exists()]


def remove_orphans() -> None:
    """Remove the hosts of clones that are gone."""
    for name in orphans(json.loads(text("ps", "--all", "--format", "json"))):
        remove(name)
        say(f"  {name} removed: the clone that made it is gone")


def ensure_network(scope: str) -> tuple[str, str]:
    """Make the scope's network if it is missing; return its subnet and the address of this machine in it."""
    found = inspect("network", network_of(scope))
    if found is None:
        podman("network", "create", *labels(scope), network_of(scope))
        found = inspect("network", network_of(scope))
    if found is None:
        raise Problem(f"Podman made the network {network_of(scope)} but does not know it.")
    subnet = found["subnets"][0]
    return subnet["subnet"], subnet["gateway"]


def address_of(container: dict[str, Any], network: str) -> str:
    """Return the fixed address that a container was created with."""
    create = container["Config"]["CreateCommand"]
    if "--ip" not in create:
        return str(container["NetworkSettings"]["Networks"][network]["IPAddress"])
    return str(create[create.index("--ip") + 1])


def check_owner(container: dict[str, Any]) -> None:
    """Refuse to touch a container of the same name that another clone of the project made."""
    clone = container["Config"]["Labels"].get(f"{PREFIX}.clone")
    if clone != str(ROOT):
        raise Problem(
            f"The container {container['Name']} belongs to {clone or 'somebody else'}: "
            "run `make demo-down` there first."
        )


def create(host: Host, address: str) -> None:
    """Create one container with its keys in place; it is not started yet."""
    limits = [
        *(["--memory", host.memory] if host.memory else []),
        *(["--cpus", host.cpus] if host.cpus else []),
    ]
    cgroups = [word for path in v1_controllers() for word in ("--volume", f"{path}:{path}:rw")]
    podman("volume", "create", *labels(host.scope), host.journal)
    podman(
        "create",
        "--name",
        host.container,
        "--hostname",
        host.name.replace("_", "-"),
        *labels(host.scope),
        "--label",
        f"{PREFIX}.spec={host.spec}",
        "--privileged",
        "--systemd=always",
        "--network",
        network_of(host.scope),
        "--network-alias",
        host.name,
        "--ip",
        address,
        # Podman puts a tmpfs there, and a journal would not survive a restart.
        "--volume",
        f"{host.journal}:/var/log/journal",
        *cgroups,
        *limits,
        image.name(host.release),
    )


def remove(host_container: str) -> None:
    """Remove one container and its journal."""
    podman("rm", "--force", "--time", "0", host_container)
    if inspect("volume", f"{host_container}-journal"):
        podman("volume", "rm", f"{host_container}-journal")


def wait(host: Host, address: str, *, fresh: bool) -> None:
    """Wait until systemd has started everything and SSH answers."""
    deadline = time.monotonic() + PATIENCE
    state = ""
    while time.monotonic() < deadline:
        answer = podman("exec", host.container, "systemctl", "is-system-running", "--wait", check=False)
        state = answer.stdout.decode().strip()
        if state in ("running", "degraded"):
            break
        time.sleep(0.2)
    if state == "degraded":
        failed = text("exec", host.container, "systemctl", "--failed", "--plain", "--no-legend")
        if fresh:
            raise Problem(f"{host.name}: systemd is up, but some of it failed:\n{failed}")
        say(f"  {host.name}: some units failed: {' '.join(line.split()[0] for line in failed.splitlines())}")
    elif state != "running":
        log = podman("logs", "--tail", "20", host.container, check=False).stdout.decode()
        raise Problem(f"{host.name}: systemd is {state or 'silent'} after {PATIENCE} s:\n{log}")
    while time.monotonic() < deadline:
        try:
            with socket.create_connection((address, 22), timeout=2) as connection:
                if connection.recv(4) == b"SSH-":
                    return
        except OSError:
            time.sleep(0.1)
    raise Problem(
        f"{host.name}: SSH at {address} does not answer after {PATIENCE} s "
        f"(podman exec {host.container} journalctl -u ssh)."
    )


def close_connections(state: Path, address: str) -> None:
    """Close a shared SSH connection that a restart has cut, so that the next task need not find out."""
    ssh = [
        "ssh",
        *inventory.ssh_arguments(state / "known_hosts"),
        "-o",
        f"ControlPath={inventory.control_path()}",
    ]
    run([*ssh, "-O", "exit", f"ops@{address}"], check=False)


def bring_up(host: Host, address: str, state: Path) -> None:
    """Create or start one host as needed and wait for it."""
    started = time.monotonic()
    container = inspect("container", host.container)
    running = container is not None and container["State"]["Running"]
    if container is None:
        create(host, address)
    if container is None or not keys(state, host.name).noted(host.container):
        seed(host, state)
        if running:
            podman("exec", host.container, "systemctl", "reload", "ssh")
    if not running:
        close_connections(state, address)
        podman("start", host.container)
    wait(host, address, fresh=container is None)
    how = "was up" if running else "created" if container is None else "started again"
    say(f"  {host.name}: {host.release} at {address}, {how} ({duration(time.monotonic() - started)})")


def plan_addresses(hosts: list[Host], taken: dict[str, str], subnet: str) -> dict[str, str]:
    """Give every host an address: the one that it has, or the next one that is free."""
    pool = list(ipaddress.ip_network(subnet).hosts())[FIRST_ADDRESS - 1 :]
    used = set(taken.values())
    free = (str(address) for address in pool if str(address) not in used)
    return {host.name: taken.get(host.name) or next(free) for host in hosts}


def up(scope: str, inventory_path: Path, mail_port: int | None = None) -> dict[str, str]:
    """Bring up every host of an inventory and write where they are; return their addresses.

    With a port, a mail sink is started too, at this machine's address in the hosts' network.
    """
    started = time.monotonic()
    hosts = inventory.read(inventory_path, scope)
    state = state_of(scope)
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    with locked():
        image.ensure({host.release for host in hosts})
        remove_orphans()
        kernel.note()
        subnet, gateway = ensure_network(scope)
        taken: dict[str, str] = {}
        for host in hosts:
            container = inspect("container", host.container)
            if container is None:
                continue
            check_owner(container)
            if container["Config"]["Labels"].get(f"{PREFIX}.spec") != host.spec:
                say(f"  {host.name}: the inventory asks for {host.spec}: made anew")
                remove(host.container)
                continue
            taken[host.name] = address_of(container, network_of(scope))
        addresses = plan_addresses(hosts, taken, subnet)
        for host in hosts:
            keys(state, host.name).ensure()
        inventory.write(state / "known_hosts", known_hosts(state, addresses))
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda host: bring_up(host, addresses[host.name], state), hosts))
    target = inventory.generated_path(inventory_path)
    inventory.write(target, inventory.generated(addresses, gateway, state))
    took = duration(time.monotonic() - started)
    say(f"  {len(hosts)} host(s) up in {took}; {inventory.shown(target)} says where")
    if mail_port is not None:
        # The address exists only now that a host is attached to the network.
        sink_process.start(state, gateway, mail_port)
    return addresses


def down(scope: str | None, inventory_path: Path) -> None:
    """Remove what `up` made in this scope, or in all (None), and put the kernel's settings back when no host is left."""
    with locked():
        scopes = [scope] if scope else scopes_in_use()
        for one in scopes:
            sink_process.stop(state_of(one))
        containers = our_containers(scope)
        with ThreadPoolExecutor() as pool:
            list(pool.map(remove, containers))
        # Never by force: that would remove a container with its volume or network, whoever it belongs to.
        for volume in our_volumes(scope):
            podman("volume", "rm", volume)
        for network in our_networks(scope):
            podman("network", "rm", network)
        if scope:
            inventory.generated_path(inventory_path).unlink(missing_ok=True)
        for one in scopes:
            shutil.rmtree(state_of(one), ignore_errors=True)
        remove_orphans()
        if json.loads(text("ps", "--format", "json")):
            # Also another clone's, or somebody else's: without forwarding, they would lose the network.
            say("  kernel settings stay as they are, since other containers run")
        elif not our_containers():
            kernel.restore()
    say(f"  {len(containers)} host(s){f' of {scope}' if scope else ''} removed")


def scopes_in_use() -> list[str]:
    """Return the scopes of which something is left, be it of a run that was killed."""
    label = f"{PREFIX}.scope"
    listed = json.loads(text("ps", "--all", "--format", "json"))
    ours = {row["Labels"][label] for row in belonging(listed, None)}
    return sorted(ours | {path.parent.name for path in CACHE.glob("*/known_hosts")})


def status() -> None:
    """List the hosts of this clone."""
    say(
        text(
            "ps",
            "--all",
            "--filter",
            f"label={PREFIX}.clone={ROOT}",
            "--format",
            "table {{.Names}}\t{{.Status}}\t{{.Networks}}",
        )
    )


def main(arguments: list[str] | None = None) -> int:
    """Run one command of the test bench."""
    parser = argparse.ArgumentParser(prog="python -m testbench.hosts", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for command, what in (
        ("up", "bring up every host of an inventory that has the variable testbench_release"),
        ("prepare", "give them this machine's certificate authorities and proxies"),
        ("down", "remove them and what belongs to them"),
    ):
        one = commands.add_parser(command, help=what, description=what)
        one.add_argument("--scope", default="local", help="names containers, network and state (default: local)")
        one.add_argument(
            "--inventory",
            type=Path,
            default=ROOT / "inventories/local",
            help="a folder with hosts.yml, or a file (default: inventories/local)",
        )
        if command == "down":
            one.add_argument(
                "--all", dest="everything", action="store_true", help="in all scopes, also what a killed run left"
            )
        if command == "up":
            one.add_argument(
                "--mail-sink",
                type=int,
                nargs="?",
                const=MAIL_PORT,
                metavar="PORT",
                help=f"start a mail sink for them too (default port: {MAIL_PORT})",
            )
    commands.add_parser("status", help="list the hosts of this clone")
    commands.add_parser("remove-images", help="remove the images that hosts are made from")
    options = parser.parse_args(arguments)
    try:
        if options.command == "up":
            up(options.scope, options.inventory, options.mail_sink)
        elif options.command == "prepare":
            prepare(inventory.read(options.inventory, options.scope), state_of(options.scope))
        elif options.command == "down":
            down(None if options.everything else options.scope, options.inventory)
        elif options.command == "status":
            status()
        else:
            if left := our_containers():
                raise Problem(f"Hosts are still there, so the images stay: {', '.join(left)}")
            image.remove_all()
    except Problem as problem:
        print(f"ERROR: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())
