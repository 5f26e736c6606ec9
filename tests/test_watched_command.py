"""A long command of a deployment: what is said while it runs, what is shown of what it printed, and what is kept of that on the host."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

Module = Callable[..., dict[str, Any]]
SLOW = """
import sys, time
print("Running migrations:")
print("  Applying shop.0002_prices...", end="", flush=True)
time.sleep(4)
print(" OK")
"""


def call(run_module: Module, folder: Path, code: str, **arguments: Any) -> dict[str, Any]:
    return run_module("watched_command", {"argv": [sys.executable, "-c", code], "folder": str(folder), **arguments})


def test_a_short_one_is_one_call_and_keeps_what_it_printed_for_root(run_module: Module, tmp_path: Path) -> None:
    code = "import sys; print('one'); sys.stderr.write('two\\n'); sys.exit(3)"
    done = call(run_module, tmp_path / "output/probe", code)
    assert (done["running"], done["rc"], done["stdout"], done["stderr"]) == (False, 3, "one\n", "two\n")
    assert (tmp_path / "output/probe/stdout").read_text() == "one\n"
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "output", tmp_path / "output/probe")} == {0o700}
    assert {path.stat().st_mode & 0o077 for path in (tmp_path / "output/probe").iterdir()} == {0}


def test_a_long_one_is_told_of_and_waited_for(run_module: Module, tmp_path: Path) -> None:
    now = call(run_module, tmp_path / "x", SLOW, wait=1)
    assert now["running"] is True
    assert now["last"] == "Applying shop.0002_prices..."
    # A second of its kind is refused meanwhile.
    other = call(run_module, tmp_path / "x", "print('other')")
    assert other["failed"]
    assert "still running" in other["msg"]
    done = call(run_module, tmp_path / "x", "", attach=True, wait=60)
    assert (done["running"], done["rc"]) == (False, 0)
    assert done["stdout"].endswith("Applying shop.0002_prices... OK\n")
    assert done["seconds"] >= 3
    assert call(run_module, tmp_path / "x", "print('other')")["stdout"] == "other\n"


def test_one_that_was_killed_is_not_waited_for(run_module: Module, tmp_path: Path) -> None:
    call(run_module, tmp_path / "x", "import os, time; print(os.getppid(), flush=True); time.sleep(100)", wait=1)
    os.killpg(int((tmp_path / "x/stdout").read_text()), 9)
    done = call(run_module, tmp_path / "x", "", attach=True, wait=60)
    assert (done["running"], done["rc"]) == (False, -1)


def test_secrets_are_masked_also_in_what_is_kept(run_module: Module, tmp_path: Path) -> None:
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials/broker_url").write_text("redis://worker:first-hidden@host/0\n")
    (tmp_path / "credentials/short").write_text("o\n")
    (tmp_path / "environment").write_text('API_KEY="second \\"hidden"\n# comment\nKEY=third-hidden\n')
    code = "print('redis://worker:first-hidden@host/0 first-hidden second \"hidden third-hidden http://a:b-hidden@c')"
    secrets = [str(tmp_path / name) for name in ("credentials", "environment", "missing")]
    done = call(run_module, tmp_path / "x", code, secrets=secrets)
    assert "hidden" not in done["stdout"] + (tmp_path / "x/stdout").read_text()
    assert "http://a:********@c" in done["stdout"]


def test_a_name_that_is_no_secret_is_shown_though_it_lies_beside_secrets(run_module: Module, tmp_path: Path) -> None:
    (tmp_path / "credentials").mkdir()
    for name, content in {
        "database_user": "orchard-db",
        "database_user_web": "orchard-db_web",
        "key": "a-hidden-key",
    }.items():
        (tmp_path / "credentials" / name).write_text(f"{content}\n")
    arguments = {"secrets": [str(tmp_path / "credentials")], "not_secret": ["database_user", "database_user_*"]}
    done = call(run_module, tmp_path / "x", "print('orchard-db.checks orchard-db_web a-hidden-key')", **arguments)
    assert done["stdout"].strip() == "orchard-db.checks orchard-db_web ********"


def test_check_mode_runs_nothing(run_module: Module, tmp_path: Path) -> None:
    arguments = {"argv": ["touch", str(tmp_path / "made")], "folder": str(tmp_path / "x")}
    assert run_module("watched_command", arguments, check=True)["skipped"] is True
    assert list(tmp_path.iterdir()) == []


def play(folder: Path, code: str, **arguments: Any) -> tuple[int, list[tuple[float, str]]]:
    """Run a playbook with the action on this machine; return its status, and each line with its time."""
    task = {
        "name": "Migrate",
        "plainhost.stack.watched_command": {
            "argv": [sys.executable, "-c", code],
            "folder": str(folder / "output"),
            "title": "Migration",
            **arguments,
        },
        "register": "done",
        "changed_when": "'No migrations' not in done.stdout",
        "environment": {"WORD": "from the task"},
    }
    plays = [{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": [task]}]
    (folder / "play.yml").write_text(json.dumps(plays))
    process = subprocess.Popen(
        [Path(sys.executable).parent / "ansible-playbook", "--inventory=localhost,", folder / "play.yml"],
        cwd=ROOT,
        env=os.environ | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
        | {"ANSIBLE_PYTHON_INTERPRETER": sys.executable},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip
    assert process.stdout is not None
    lines = [(time.monotonic(), line.rstrip()) for line in process.stdout]
    return process.wait(), lines


def test_a_run_says_what_it_is_at_while_it_waits_and_shows_the_end(tmp_path: Path) -> None:
    status, lines = play(tmp_path, f"{SLOW}\nfor n in range(100): print('line', n)", every=1, show=True, lines=10)
    text = "\n".join(line for _, line in lines)
    assert status == 0, text
    told = [(moment, line) for moment, line in lines if "Applying shop.0002_prices..." in line and " s" in line]
    assert len(told) >= 2, text
    # As it happens, and not at the end.
    assert told[-1][0] - told[0][0] > 0.8
    assert told[0][1].startswith("[localhost] Migration")
    assert "line 99" in text
    assert "line 50" not in text
    assert str(tmp_path / "output") in text


def test_a_failure_shows_the_end_of_its_errors_and_where_all_of_it_is(tmp_path: Path) -> None:
    code = "import os, sys; print('x' * 99); sys.stderr.write('\\n'.join(map(str, range(1000, 2000))) + os.environ['WORD']); sys.exit(2)"
    status, lines = play(tmp_path, code, lines=5)
    text = "\n".join(line for _, line in lines)
    assert status == 2
    assert "1999from the task" in text
    assert "1000" not in text
    assert "xxx" not in text
    assert f"{tmp_path}/output" in text


@pytest.mark.parametrize("limit", [1])
def test_one_that_took_its_time_limit_is_told_so(tmp_path: Path, limit: int) -> None:
    status, lines = play(tmp_path, "import sys, time; time.sleep(1.2); sys.exit(1)", time_limit=limit)
    assert status == 2
    assert "time_limit of 1 s" in "\n".join(line for _, line in lines)
