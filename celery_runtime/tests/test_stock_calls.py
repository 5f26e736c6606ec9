"""What stock Celery runs, runs: each call is sent to a stock worker and to one under the runtime, and comes to the same."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from conftest import Celery, Server, wait_for
from redis import Redis

# Not the calls' own, or another at each run.
EXPECTED = {
    "id-expired": "REVOKED",
    "id-expires-at-once": "REVOKED",
    "id-time-limit-negative": "FAILURE",
    "id-failing": "FAILURE",
}
LAST = ("ran-countdown", "ran-eta-aware", "ran-chord-end", "ran-linked-4", "ran-protocol-1", "ran-chained-2")
INCLUDE = "--include=jobs_messages"


def deployment(server: Server, folder: Path, number: int, parts: list[str]) -> Celery:
    """Return a deployment with these parts and databases of its own in one Redis."""
    folder.mkdir()
    url = server.url.removesuffix("/0")
    runtime = {"parts": parts, "delivery_limit": 3, "lease_seconds": 6}
    return Celery(folder, f"{url}/{number}", runtime, {"result_backend": f"{url}/{number + 1}"})


def results(server: Server, number: int) -> dict[str, Any]:
    """Return state and result of each task whose id a call decides."""
    client = Redis(port=server.port, db=number)
    found = {}
    for key in client.keys("celery-task-meta-*"):
        name = key.decode().removeprefix("celery-task-meta-")
        meta = json.loads(client.get(key))
        if meta["status"] in ("SUCCESS", "FAILURE", "REVOKED"):
            found[name] = (meta["status"], meta["result"])
    return found


def differences(server: Server, stock: Celery, ours: Celery) -> dict[str, Any]:
    """Return what came to something else under the runtime: by id the two results, by trace how often each left it."""
    expected, found = results(server, 1), results(server, 3)
    names = {name for name in (*expected, *found) if not _is_random(name)}
    wrong: dict[str, Any] = {
        name: (expected.get(name), found.get(name)) for name in names if expected.get(name) != found.get(name)
    }
    before, after = Counter(stock.effects()), Counter(ours.effects())
    wrong |= {line: (before[line], after[line]) for line in before | after if before[line] != after[line]}
    # It is ended at once, which may be before it began.
    wrong.pop("begin-limit", None)
    return wrong


def _is_random(name: str) -> bool:
    return len(name) == 36 and not name.startswith(("id-", "6f6d2c1e"))


@pytest.fixture
def both(server: Server, tmp_path: Path) -> Iterator[tuple[Celery, Celery]]:
    """Return a deployment of stock Celery, and one with the runtime."""
    stock = deployment(server, tmp_path / "stock", 0, [])
    ours = deployment(server, tmp_path / "ours", 2, ["watchdog", "transport", "limits"])
    yield stock, ours
    stock.end()
    ours.end()


def test_what_stock_celery_runs_runs_with_the_same_result(server: Server, both: tuple[Celery, Celery]) -> None:
    stock, ours = both
    workers = [celery.worker(options=INCLUDE) for celery in (stock, ours)]
    for celery in (stock, ours):
        code = [sys.executable, "-c", "import jobs_messages; jobs_messages.send_all()"]
        subprocess.run(code, env=celery.environment, check=True, timeout=180)
    # Workers take tasks in order, but for those that wait for their time, and for what follows tasks.
    wait_for(lambda: set(LAST) <= set(stock.effects()), "calls")
    wait_for(lambda: stock.effects().count("ran-errback") == 2, "errbacks")
    wait_for(lambda: set(EXPECTED) <= set(results(server, 1)), "results")
    with suppress(AssertionError):
        wait_for(lambda: differences(server, stock, ours) == {}, "the same")
    assert differences(server, stock, ours) == {}
    expected = results(server, 1)
    assert {name: expected[name][0] for name in EXPECTED} == EXPECTED
    assert [worker.poll() for worker in workers] == [None, None]
    assert Redis(port=server.port, db=2).hlen("celery_runtime:dead_letters") == 0


@pytest.mark.parametrize("text", ["one\nCRITICAL forged", "x" * 20000])
def test_a_text_of_the_sender_fills_no_line_of_the_log_but_its_own(celery: Celery, server: Server, text: str) -> None:
    worker = celery.worker(options=INCLUDE)
    celery.send("note", "good", shadow=text, task_id=text[:900])
    wait_for(lambda: "good" in celery.effects(), "good")
    celery.stop(worker)
    lines = celery.log().splitlines()
    assert not [line for line in lines if line.startswith("CRITICAL forged") or len(line) > 10000]
    assert server.client.hlen("unacked") == 0
