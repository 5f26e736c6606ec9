"""Fixtures of the scenario; on failure, the journals of the host's units."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import stack

from testbench import playbooks
from testbench.console import Problem
from testbench.demo import find_mail
from testbench.front import Front

JOURNALS = "celery-* django-web* nginx* redis-server* postgresql@*"


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        "after_all(turn=1): runs behind all other tests, in whichever order those come, and behind earlier turns",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Add the journal since the test began to the report of a failure."""
    report = yield
    host = getattr(item, "funcargs", {}).get("host")
    if report.failed and host is not None:
        since = f"--since=@{int(call.start) - 30}"
        units = " ".join(f"--unit={unit}" for unit in JOURNALS.split())
        shown = host.run(f"journalctl --no-pager --output=short-iso --lines=80 {since} {units}")
        report.sections.append(("Journal of the host's units", shown.stdout or shown.stderr))
    return report


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what asks for the traces of all other tests behind them; those come in any order (pytest-randomly)."""

    def turn(item: pytest.Item) -> int:
        marker = item.get_closest_marker("after_all")
        return int(marker.kwargs.get("turn", 1)) if marker else 0

    items.sort(key=turn)


@pytest.fixture(scope="module")
def variables(host: Any) -> dict[str, Any]:
    """Return what the inventory says of the host."""
    found: dict[str, Any] = host.ansible.get_variables()
    return found


@pytest.fixture(scope="module")
def address(variables: dict[str, Any]) -> str:
    """Return where the host is met from here."""
    return str(variables["ansible_host"])


@pytest.fixture(scope="session")
def answers() -> dict[Any, Any]:
    """Keep what hosts have answered to a script that several tests look at."""
    return {}


@pytest.fixture
def once(host: Any, answers: dict[Any, Any]) -> Any:
    """Run a script on the host unless it has run there in this session, and return its answer."""

    def ask(run: Any, *arguments: str) -> Any:
        key = (host.backend.host, run.__name__, arguments)
        if key not in answers:
            answers[key] = run(host, *arguments)
        return answers[key]

    return ask


@pytest.fixture(scope="session")
def play() -> Any:
    """Run playbooks against the scenario's hosts."""

    def run(*names: str, limit: str = "", **extra: Any) -> playbooks.Run:
        paths = [f"playbooks/{name}.yml" for name in names]
        return playbooks.run(paths, [stack.INVENTORY], extra, limit)

    return run


@pytest.fixture(scope="module")
def front(address: str, variables: dict[str, Any]) -> Front:
    """Return a client of the host's front that trusts the authority which site.yml made."""
    return Front(address, Path(variables["testbench_mail_folder"]).parent / "secrets/ca/ca.pem")


@pytest.fixture
def http(front: Front) -> Any:
    """Ask the host over HTTPS: status, body, milliseconds."""
    return front.request


@pytest.fixture
def mail_to(variables: dict[str, Any]) -> Any:
    """Wait for the mail to somebody."""
    folder = Path(variables["testbench_mail_folder"])
    return lambda recipient: stack.wait_for(lambda: find_mail(folder, recipient), f"mail to {recipient}")


@pytest.fixture
def somebody(host: Any) -> dict[str, str]:
    """Make up somebody who isn't registered yet."""
    return {"email": f"{host.backend.host}.{time.time_ns()}@example.com", "name": "Ada Example"}


@pytest.fixture
def secret(variables: dict[str, Any], host: Any) -> Any:
    """Read a secret that was generated for the host."""
    folder = Path(variables["testbench_mail_folder"]).parent / "secrets" / host.backend.host
    return lambda name: (folder / name).read_text().split()[0]


@pytest.fixture
def wait_until_up(host: Any, front: Front) -> Any:
    """Wait until all services are active, and those that people talk to answer."""

    def answers(path: str, status: int) -> bool:
        try:
            return front.request("GET", path)[0] == status
        except Problem:
            return False

    def look() -> bool:
        # Flower is active before it listens.
        return stack.active(host) and answers("/healthz", 200) and answers("/flower/", 401)

    return lambda: stack.wait_for(look, "all services")
