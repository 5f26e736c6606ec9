"""Runs the steps of a build in their sandbox, and takes the result over. Root's part: it executes nothing of the project.

Each step is a command that the role systemd_unit has written (a transient unit with its sandbox). What depends on the moment is added
here: the addresses that the step may reach, and the credentials of that step alone.
"""

from __future__ import annotations

import argparse
import json
import os
import pwd
import re
import shlex
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

HERE = Path(__file__).resolve().parent
# What a host says of package indexes and proxies; nothing else of its environment gets into a build.
TAKEN = re.compile(r"(UV_(DEFAULT_)?INDEX|PIP_(EXTRA_)?INDEX_URL|SSL_CERT_(FILE|DIR)|(?i:(https?|all|no)_proxy))")
PROXIES = re.compile(r"(?i:(https?|all)_proxy)")
INDEXES = re.compile(r"UV_(DEFAULT_)?INDEX|PIP_(EXTRA_)?INDEX_URL")
# Where packages come from when nobody says otherwise: https://docs.astral.sh/uv/concepts/indexes/
DEFAULT_INDEX = ("pypi.org", "files.pythonhosted.org")


class Refused(Exception):
    """A build that ends, with what its operator can do about it."""


def read_environment(file: Path) -> dict[str, str]:
    """Return the variables of a file of assignments for the shell."""
    words = [word for line in file.read_text().splitlines() for word in shlex.split(line, comments=True)]
    return dict(word.split("=", 1) for word in words)


def index_of(file: Path, host: dict[str, str]) -> dict[str, str]:
    """Return what the deployment says of its index; what it leaves open is the host's to say."""
    return {name: value for name, value in host.items() if TAKEN.fullmatch(name)} | read_environment(file)


def host_of(address: str) -> str:
    """Return the host of a URL, or of git's short form `user@host:path`; nothing for a path of this host.

    >>> host_of("git@git.example.com:team/shop.git"), host_of("https://u:p@index.example.com:8443/simple"), host_of("/srv/shop.git")
    ('git.example.com', 'index.example.com', '')
    """
    if "://" in address:
        return urlsplit(address).hostname or ""
    short = re.fullmatch(r"(?:[^@/:]+@)?(\[[^]]+\]|[^/:]+):.*", address)
    return short.group(1).strip("[]") if short else ""


def index_hosts(index: dict[str, str]) -> tuple[list[str], list[str]]:
    """Return the names to reach for packages: those that must be found, and those that a proxy may reach in their place."""
    if index.get("UV_OFFLINE"):
        return [], []
    # In UV_INDEX an index may have a name: `name=https://…`.
    urls = [url for name, value in index.items() if INDEXES.fullmatch(name) for url in value.split()]
    named = [host for url in urls if (host := host_of(re.sub(r"^[A-Za-z0-9._-]+=", "", url)))]
    hosts = named if index.get("UV_DEFAULT_INDEX") else [*named, *DEFAULT_INDEX]
    used = [value for name, value in index.items() if PROXIES.fullmatch(name)]
    proxies = [host for value in used if (host := host_of(value if "://" in value else f"http://{value}"))]
    return (proxies, hosts) if proxies else (hosts, [])


def addresses(name: str) -> list[str]:
    """Return the addresses of a name as this host knows them; none when it doesn't."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return sorted({str(entry[4][0]).partition("%")[0] for entry in found})


def network(wanted: list[str], optional: list[str], hosts_file: Path) -> list[str]:
    """Return the directives that let a step reach these hosts and no other, by the addresses that they have now.

    The step finds the names in a file: it reaches no name server, and a name can't have got another address meanwhile.

    Raises:
        Refused: a host that the step can't do without has no address.
    """
    found = {name: addresses(name) for name in dict.fromkeys([*wanted, *optional])}
    if lost := [name for name in wanted if not found[name]]:
        raise Refused(
            f"{', '.join(lost)}: no address found. Name the index (django_project_index_url), a proxy (django_project_proxy) or a "
            "folder of wheels (django_project_wheels) that this host can reach"
        )
    lines = [f"{address} {name}\n" for name, known in found.items() for address in known]
    hosts_file.write_text("127.0.0.1 localhost\n::1 localhost\n" + "".join(lines))
    hosts_file.chmod(0o644)
    allowed = sorted({address for known in found.values() for address in known})
    return [f"BindReadOnlyPaths={hosts_file}:/etc/hosts", *(f"IPAddressAllow={address}" for address in allowed)]


def ensure_account(settings: dict[str, str]) -> int:
    """Make the account and its folders where they are missing; return its number."""
    subprocess.run(["systemd-sysusers", settings["sysusers"]], check=True)
    account = pwd.getpwnam(settings["account"])
    if account.pw_uid == 0:
        raise Refused(f"{settings['account']} is root")
    folder = Path(settings["folder"])
    folder.mkdir(mode=0o755, exist_ok=True)
    for name in ("cache", "git"):
        own = folder / name
        if not own.is_dir():
            own.mkdir(mode=0o700)
            os.chown(own, account.pw_uid, account.pw_gid)
    return account.pw_uid


def interpreter_fault(python: Path) -> str:
    """Return why services may not run on an interpreter; empty when they may. Whoever could write to it would be in each of them."""
    if not python.is_file():
        return "is not on this host"
    status = python.stat()
    return (
        "doesn't belong to root alone" if status.st_uid != 0 or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) else ""
    )


def fresh_tree(settings: dict[str, str], owner: int) -> None:
    """Make the folder of a build anew; nobody writes to it but the steps."""
    tree = Path(settings["folder"]) / "tree"
    if tree.exists():
        shutil.rmtree(tree)
    tree.mkdir(mode=0o700)
    os.chown(tree, owner, pwd.getpwuid(owner).pw_gid)


def step(name: str, command: list[str], hosts: tuple[list[str], list[str]], credentials: dict[str, str]) -> int:
    """Run a command as a step, and return its exit status.

    Args:
        name: of the step, as in the name of its command.
        command: what to run in it.
        hosts: names to reach: those that must be found, and those that need not.
        credentials: by name; handed over as files of root's.
    """
    # On /run: what is in it reaches no disk.
    with tempfile.TemporaryDirectory(dir="/run", prefix="build-") as folder:
        properties = network(*hosts, Path(folder, "hosts")) if hosts[0] else []
        for credential, value in credentials.items():
            file = Path(folder, credential)
            file.touch(mode=0o600)
            file.write_text(value)
            properties.append(f"LoadCredential={credential}:{file}")
        environment = {"PATH": os.environ["PATH"], "STACK_PROPERTIES": "\n".join(properties)}
        words = [f"{HERE}/step-{name}", *command]
        return subprocess.run(words, env=environment, check=False, stdin=subprocess.DEVNULL).returncode


def git(settings: dict[str, str], options: argparse.Namespace) -> int:
    """Fetch the project's repository and print the commit."""
    ensure_account(settings)
    index = index_of(HERE / "index.env", dict(os.environ))
    proxies = {name: value for name, value in index.items() if PROXIES.fullmatch(name) or name.lower() == "no_proxy"}
    host = host_of(options.rest[options.rest.index("--repository") + 1])
    own = [*([host] if host else []), *options.host]
    through = index_hosts(proxies | {"UV_OFFLINE": ""})[0] if proxies else []
    files = {name: HERE / name for name in ("git_key", "git_known_hosts")}
    credentials = {name: text for name, file in files.items() if file.is_file() and (text := file.read_text())}
    return step("git", options.rest, (through or own, own), {**credentials, "index": json.dumps(proxies)})


def install(settings: dict[str, str], options: argparse.Namespace) -> int:
    """Run a step that downloads packages; with --fresh as the first of a build."""
    owner = ensure_account(settings)
    if why := interpreter_fault(Path(settings["python"])):
        raise Refused(f"{settings['python']} {why}: correct stack_python")
    if options.fresh:
        fresh_tree(settings, owner)
    index = index_of(HERE / "index.env", dict(os.environ))
    wanted, optional = index_hosts(index)
    wanted += [] if index.get("UV_OFFLINE") else options.host
    return step("install", options.rest, (wanted, optional), {"index": json.dumps(index)})


def check(_settings: dict[str, str], options: argparse.Namespace) -> int:
    """Run a step that needs neither network nor credentials."""
    return step("check", options.rest, ([], []), {})


def commands(_settings: dict[str, str], options: argparse.Namespace) -> int:
    """Run a command of the project's own, which reaches the hosts that it names; of the index's variables it gets proxies alone."""
    index = index_of(HERE / "index.env", dict(os.environ))
    proxies = {name: value for name, value in index.items() if PROXIES.fullmatch(name) or name.lower() == "no_proxy"}
    through = index_hosts(proxies)[0] if options.host and any(map(PROXIES.fullmatch, proxies)) else []
    hosts = (through, options.host) if through else (options.host, [])
    return step("commands", options.rest, hosts, {"index": json.dumps(proxies)})


def finish(settings: dict[str, str], options: argparse.Namespace) -> int:
    """Take the built tree over into a release, and mark that as built."""
    tree = Path(settings["folder"]) / "tree"
    release: Path = options.release
    owner = pwd.getpwnam(settings["account"]).pw_uid
    command = [sys.executable, "-I", f"{HERE}/take_over.py", f"--owner={owner}", f"--seen-as={settings['seen_as']}"]
    done = subprocess.run(
        [*command, f"--interpreter={settings['python']}", str(tree), str(release), "src", "venv"], check=False
    )
    shutil.rmtree(tree)
    for name in ("source.tar.gz", "files.tar.gz"):
        (Path(settings["folder"]) / name).unlink(missing_ok=True)
    if done.returncode == 0:
        (release / ".built").write_text(f"{release.name}\n")
    return done.returncode


PARTS = {"git": git, "install": install, "check": check, "commands": commands, "finish": finish}


def main() -> int:
    """Run one part of a build."""
    parser = argparse.ArgumentParser(description=__doc__)
    parts = parser.add_subparsers(dest="part", required=True)
    for name in ("git", "install", "check", "commands"):
        one = parts.add_parser(name)
        if name == "install":
            one.add_argument("--fresh", action="store_true", help="make the build's folder anew")
        if name != "check":
            one.add_argument("--host", action="append", default=[], help="one more host to reach")
        one.add_argument("rest", nargs="*", help="the command of the step, behind --")
    parts.add_parser("finish").add_argument("release", type=Path)
    options = parser.parse_args()
    os.umask(0o022)
    settings: dict[str, str] = json.loads((HERE / "build.json").read_text())
    try:
        return PARTS[options.part](settings, options)
    except Refused as reason:
        sys.stderr.write(f"{reason}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
