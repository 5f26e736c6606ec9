"""What a case of the wrong inventories needs: runs of site.yml, and a look at the host before and after."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from testbench import playbooks

HERE = Path(__file__).resolve().parent
OS_RELEASE = "/etc/os-release"


@pytest.fixture(scope="session")
def play() -> Any:
    """Run playbooks against the scenario's host, with what a case adds."""

    def run(playbook: str, variables: dict[str, Any] | None = None, inventory: str = "") -> playbooks.Run:
        more = [HERE / inventory] if inventory else []
        return playbooks.run([playbook], [HERE.parent / "inventory", *more], variables)

    return run


@pytest.fixture
def fingerprint(host: Any) -> Any:
    """Look at everything on the host that site.yml could change."""
    code = (HERE / "on_host/fingerprint.sh").read_text()
    return lambda: host.check_output(f"sh -c {shlex.quote(code)}").splitlines()


@pytest.fixture
def system(host: Any, request: pytest.FixtureRequest) -> Iterator[None]:
    """Let the host say that it is another distribution, for the length of one case."""
    wanted = request.param
    if not wanted:
        yield
        return
    lines = "".join(f'{name}="{value}"\n' for name, value in wanted.items())
    host.check_output(f"mv {OS_RELEASE} {OS_RELEASE}.kept; printf %s {shlex.quote(lines)} > {OS_RELEASE}")
    yield
    host.check_output(f"mv {OS_RELEASE}.kept {OS_RELEASE}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put last what changes the host; the order within a file is left as it comes."""
    items.sort(key=lambda item: item.path.name == "test_roles_alone.py")
