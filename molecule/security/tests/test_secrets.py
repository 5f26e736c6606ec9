"""No secret in what services keep and show, in what a run prints, or on the controller outside its one folder.

What the accounts of a host can see is asked by the scenario default, of both releases.
"""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import attack
import pytest

from testbench.podman import ROOT

SECRET = re.compile(r"[A-Za-z0-9]{32,}")
# Where the folder of secrets isn't: environments that are built from locks, and git's own files.
SKIPPED = {".venv", ".git", ".cache", ".ansible"}
ROTATED = "secret_key"


@pytest.fixture(scope="module")
def folder(vault: Any) -> Path:
    """Return the controller's folder of secrets of this scenario."""
    return Path(vault.ansible.get_variables()["testbench_mail_folder"]).parent / "secrets"


def values(folder: Path) -> dict[str, str]:
    """Return the secrets that are in the folder now, by their file."""
    return {
        str(path.relative_to(folder)): word
        for path in folder.rglob("*")
        if path.is_file() and path.suffix not in (".crt", ".pem", ".csr")
        for word in SECRET.findall(path.read_text(errors="replace"))[:1]
    }


@pytest.fixture(scope="module", params=["vault", "site"])
def seen(request: pytest.FixtureRequest, hosts: dict[str, Any]) -> Any:
    """Look around on each host."""
    host = hosts[request.param]
    address = host.ansible.get_variables()["ansible_host"]
    return attack.run(host, "secret_places.py", attack.APP, "127.0.0.1:5555", f"{address}:5555")


def test_services_keep_and_show_no_secret(seen: Any) -> None:
    assert seen["hits"] == []


def test_the_search_had_something_to_look_at(seen: Any) -> None:
    files = {name.partition(" ")[0] for name in seen["secrets"]}
    assert {"broker_url_worker", "database_password_worker", "secret_key"} <= files
    assert "redis" not in seen["sizes"] or "access.conf" in files
    assert {
        place: size
        for place, size in seen["sizes"].items()
        if size < 100 and place.startswith(("inspect", "report", "redis"))
    } == {}
    for path in ("/workers", "/broker", "/api/workers?refresh=1"):
        assert seen["pages"].get(path, 200) == 200, seen["pages"]


@dataclass(frozen=True)
class Rotation:
    """What a run printed that changed a secret, and all secrets: neither is to stand in the report of a failure."""

    printed: str = field(repr=False)
    known: dict[str, str] = field(repr=False)
    status: int


@pytest.fixture(scope="module")
def rotation(folder: Path, vault: Any) -> Rotation:
    """Change a secret and run everything, as talkatively as possible."""
    before = values(folder)
    changed = [path for path in folder.rglob(ROTATED) if path.is_file()]
    assert changed, "there is no such secret to change"
    for path in changed:
        path.write_text(f"{secrets.token_hex(32)}\n")
    after = {f"new {name}": word for name, word in values(folder).items()}
    command = [
        str(Path(sys.executable).parent / "ansible-playbook"),
        f"--inventory={vault.backend.ansible_inventory}",
        "-vvv",
        "--diff",
        "site.yml",
    ]
    # What a user may have in the environment while looking for a fault.
    environment = os.environ | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=1500)
    return Rotation(done.stdout + done.stderr, before | after, done.returncode)


def test_a_run_that_changes_a_secret_prints_none(rotation: Rotation) -> None:
    hits = [name for name, word in rotation.known.items() if word in rotation.printed]
    assert hits == []
    assert rotation.status == 0, rotation.printed[-3000:]
    assert rotation.printed.count("\n") > 1000


def test_the_rotated_secret_has_arrived(rotation: Any, folder: Path, hosts: dict[str, Any]) -> None:
    known = set(values(folder).values())
    for host in hosts.values():
        word = host.check_output(f"cat /etc/{attack.APP}/credentials/{ROTATED}").strip()
        # Compared here, so that no report of a failure shows it.
        assert (word in known) is True


def test_the_controller_holds_secrets_in_one_folder_only(rotation: Rotation, folder: Path) -> None:
    known = rotation.known
    hits, looked = [], 0
    for top, below, files in os.walk(ROOT):
        below[:] = [name for name in below if name not in SKIPPED and Path(top, name) != folder]
        for name in files:
            path = Path(top, name)
            if not path.is_file():
                continue
            looked += 1
            text = path.read_bytes()
            hits += [f"{path}: {what}" for what, word in known.items() if word.encode() in text]
    # The scenario's own state lies beside the folder.
    for path in folder.parent.rglob("*"):
        if path.is_file() and folder not in path.parents:
            hits += [f"{path}: {what}" for what, word in known.items() if word.encode() in path.read_bytes()]
    assert hits == []
    assert looked > 200


def test_nobody_else_can_open_the_folder_of_secrets(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    assert {str(path): oct(path.stat().st_mode & 0o777) for path in files if path.stat().st_mode & 0o077} == {}
    assert {str(path.parent) for path in files if path.parent.stat().st_mode & 0o077} == set()
    ignored = subprocess.run(["git", "check-ignore", "-q", str(folder)], cwd=ROOT, check=False)
    assert ignored.returncode == 0 or not folder.resolve().is_relative_to(ROOT)
