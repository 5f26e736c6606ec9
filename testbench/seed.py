"""What a test host gets from this machine: keys to be reached with, and a way to the package indexes."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from testbench.console import say
from testbench.image import add_file
from testbench.inventory import Host
from testbench.podman import podman, run, text

AUTHORITIES = Path("/usr/local/share/ca-certificates")
PROXY_NAMES = ("http_proxy", "https_proxy", "no_proxy")
INDEX_NAMES = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_DEFAULT_INDEX")


@dataclass(frozen=True)
class Keys:
    """The key that a host shows, made here so that it is known from the start, and the operator's."""

    host: Path
    operator: Path

    def ensure(self) -> None:
        """Make the keys that are missing."""
        for path, comment in ((self.host, "test host"), (self.operator, "test bench")):
            if not path.exists():
                run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)])

    def noted(self, container: str) -> bool:
        """Tell whether these very keys were put into the container."""
        note = self.host.with_suffix(".seeded")
        return note.exists() and note.read_text() == self.fingerprint(container)

    def fingerprint(self, container: str) -> str:
        """Return what tells that a container has these keys."""
        return f"{container_id(container)}\n{public(self.host)}\n{public(self.operator)}\n"


def container_id(container: str) -> str:
    """Return what tells a container from an earlier one of the same name."""
    return text("container", "inspect", "--format", "{{.Id}}", container)


def keys(state: Path, name: str) -> Keys:
    """Return the keys of a host."""
    return Keys(state / f"{name}.hostkey", state / "id_ed25519")


def public(path: Path) -> str:
    """Return the public half of a key."""
    return " ".join(path.with_name(f"{path.name}.pub").read_text().split()[:2])


def known_hosts(state: Path, addresses: dict[str, str]) -> str:
    """Return the known_hosts file of a scope."""
    return "".join(f"{address} {public(keys(state, name).host)}\n" for name, address in sorted(addresses.items()))


def copy_in(container: str, files: dict[str, tuple[bytes, int]]) -> None:
    """Put files of root into a container, running or not, in one go."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, (content, mode) in files.items():
            add_file(archive, path, content, mode)
    podman("cp", "-", f"{container}:/", data=buffer.getvalue())


def seed(host: Host, state: Path) -> None:
    """Put the host's own key and the operator's public key into its container."""
    pair = keys(state, host.name)
    copy_in(
        host.container,
        {
            "/etc/ssh/testbench_host_key": (pair.host.read_bytes(), 0o600),
            "/etc/ssh/testbench_authorized_keys": (f"{public(pair.operator)}\n".encode(), 0o644),
        },
    )
    pair.host.with_suffix(".seeded").write_text(pair.fingerprint(host.container))


def apt_proxies(dump: str) -> str:
    """Return the proxy lines of an `apt-config dump`, as a file for apt.conf.d."""
    lines = [line for line in dump.splitlines() if "::proxy" in line.lower() and '""' not in line]
    return "".join(f"{line}\n" for line in lines)


def environment(variables: dict[str, str]) -> str:
    """Return the proxies and package indexes of this machine's environment, as lines for /etc/environment."""
    found = {name: variables.get(name) or variables.get(name.upper()) for name in PROXY_NAMES}
    # An index that is a folder here is none in the host.
    found |= {name: value for name in INDEX_NAMES if (value := variables.get(name)) and "file:" not in value}
    return "".join(f'{name}="{value}"\n' for name, value in found.items() if value)


def outside() -> dict[str, tuple[bytes, int]]:
    """Return the files that let a host reach what this machine reaches."""
    files = {f"{AUTHORITIES}/{path.name}": (path.read_bytes(), 0o644) for path in sorted(AUTHORITIES.glob("*.crt"))}
    if proxies := apt_proxies(run(["apt-config", "dump"], check=False).stdout.decode()):
        files["/etc/apt/apt.conf.d/90testbench-proxy"] = (proxies.encode(), 0o644)
    if lines := environment(dict(os.environ)):
        files["/etc/environment"] = (lines.encode(), 0o644)
    return files


def prepare(hosts: list[Host], state: Path) -> None:
    """Give the hosts this machine's certificate authorities, proxies and package indexes, if it has any."""
    files = outside()

    def one(host: Host) -> bool:
        wanted = f"{container_id(host.container)} {hashlib.sha256(repr(files).encode()).hexdigest()}\n"
        note = state / f"{host.name}.prepared"
        if note.exists() and note.read_text() == wanted:
            return False
        copy_in(host.container, files)
        podman("exec", host.container, "update-ca-certificates")
        note.write_text(wanted)
        return True

    if not files:
        return
    with ThreadPoolExecutor() as pool:
        prepared = list(pool.map(one, hosts))
    if not any(prepared):
        return
    say(f"  prepared: {len(files)} file(s) of this machine (certificate authorities, proxies, indexes)")
