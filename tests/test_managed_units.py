"""The module managed_units against a systemctl that says what a test wants, and notes what it is asked to do."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# Reads and changes the units in a JSON file beside it; a line in `log` for each verb that changes something.
SYSTEMCTL = """#!{python}
import json, pathlib, sys, time
here = pathlib.Path(__file__).parent
units = json.loads((here / "units.json").read_text())
verb, *rest = [word for word in sys.argv[1:] if word not in ("--no-ask-password", "--no-block")]
refusal = units.get(rest[-1], {{}}).get("refuses", {{}}).get(verb) if rest else None
if refusal:
    # From now on, what a test says for later.
    units[rest[-1]]["refuses"] |= units[rest[-1]].get("refuses_next", {{}})
    (here / "units.json").write_text(json.dumps(units))
    sys.exit(refusal)
if verb == "show":
    asked = rest[0].removeprefix("--property=").split(",")
    print("\\n".join(f"{{key}}={{value}}" for key, value in units[rest[-1]].items() if key in asked))
    sys.exit()
if verb == "cat":
    sys.exit(print(units[rest[-1]].get("text", "")))
with (here / "log").open("a") as log:
    log.write(" ".join([verb, *rest]) + "\\n")
for name in rest:
    if verb in ("start", "restart"):
        units[name]["ActiveState"] = units[name].pop("then", "active")
        units[name]["InactiveExitTimestampMonotonic"] = int(time.monotonic() * 1e6)
    if verb == "reload":
        units[name]["StateChangeTimestampMonotonic"] = int(time.monotonic() * 1e6)
    if verb == "stop":
        units[name]["ActiveState"] = "inactive"
    if verb in ("enable", "disable"):
        units[name]["UnitFileState"] = verb + "d"
(here / "units.json").write_text(json.dumps(units))
"""


class Systemd:
    """The made-up systemd of a test."""

    def __init__(self, folder: Path, run_module: Callable[..., dict[str, Any]]) -> None:
        self.folder, self.run_module = folder, run_module
        for name, text in (
            ("systemctl", SYSTEMCTL.format(python=sys.executable)),
            ("journalctl", f"#!/bin/sh\ncat {folder}/journal\n"),
        ):
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        self.says("the last words")

    def has(self, **units: dict[str, Any]) -> None:
        """Set the units; a key is a unit's name without `.service`."""
        an_hour_ago = int((time.monotonic() - 3600) * 1e6)
        usual = {
            "LoadState": "loaded", "ActiveState": "active", "UnitFileState": "enabled", "NeedDaemonReload": "no", "DropInPaths": "",
            "Job": "", "Result": "success", "Type": "notify",
            "InactiveExitTimestampMonotonic": an_hour_ago, "StateChangeTimestampMonotonic": an_hour_ago,
            "ExecMainStartTimestampMonotonic": an_hour_ago, "SubState": "running", "NRestarts": 0, "ExecMainStatus": 0,
        }  # fmt: skip
        text = json.dumps({f"{name}.service": usual | unit for name, unit in units.items()})
        (self.folder / "units.json").write_text(text)

    def says(self, text: str) -> None:
        """Set what the journal says of each unit."""
        (self.folder / "journal").write_text(text + "\n")

    def apply(
        self, *units: dict[str, Any], check: bool = False, diff: bool = False, **options: Any
    ) -> tuple[dict[str, Any], list[str]]:
        """Run the module; return its result and what it asked systemctl to do."""
        (self.folder / "log").write_text("")
        result = self.run_module(
            "managed_units",
            {"units": list(units), "ready_timeout": 1} | options,
            check=check,
            diff=diff,
            path=self.folder,
        )
        return result, (self.folder / "log").read_text().splitlines()


@pytest.fixture
def systemd(tmp_path: Path, run_module: Callable[..., dict[str, Any]]) -> Systemd:
    return Systemd(tmp_path, run_module)


def written(path: Path, seconds_ago: float = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x\n")
    then = time.time() - seconds_ago
    os.utime(path, (then, then))
    return path


def test_what_is_as_wanted_is_left_alone(systemd: Systemd) -> None:
    systemd.has(a={})
    result, asked = systemd.apply({"name": "a.service", "enabled": True, "state": "started"})
    assert (result["changed"], asked) == (False, [])


@pytest.mark.parametrize("check", [False, True])
def test_a_stopped_unit_is_enabled_then_started(systemd: Systemd, check: bool) -> None:
    systemd.has(a={"ActiveState": "inactive", "UnitFileState": "disabled"})
    result, asked = systemd.apply({"name": "a.service", "enabled": True, "state": "started"}, check=check)
    assert (result["enabled"], result["started"]) == (["a.service"], ["a.service"])
    assert asked == ([] if check else ["enable a.service", "start a.service"])


@pytest.mark.parametrize(("age", "restarts"), [(0, True), (7200, False)])
def test_a_file_that_is_newer_than_the_start_restarts_once(
    systemd: Systemd, tmp_path: Path, age: float, restarts: bool
) -> None:
    systemd.has(a={})
    unit = {"name": "a.service", "state": "started", "restart_on": [str(written(tmp_path / "a.conf", age))]}
    assert systemd.apply(unit)[1] == (["restart a.service"] if restarts else [])
    assert systemd.apply(unit)[1] == []


def test_a_unit_that_is_reloaded_is_not_reloaded_for_ever(systemd: Systemd, tmp_path: Path) -> None:
    systemd.has(a={})
    unit = {"name": "a.service", "reload": True, "restart_on": [str(written(tmp_path / "a.conf"))]}
    assert systemd.apply(unit)[1] == ["reload a.service"]
    assert systemd.apply(unit)[1] == []


def test_a_first_drop_in_that_systemd_has_not_seen_is_read(systemd: Systemd, tmp_path: Path) -> None:
    dropin = written(tmp_path / "a.service.d" / "50-x.conf")
    unit = {"name": "a.service", "state": "started", "restart_on": [str(dropin)]}
    systemd.has(a={})
    assert systemd.apply(unit)[1] == ["daemon-reload", "restart a.service"]
    systemd.has(a={"DropInPaths": str(dropin)})
    assert systemd.apply(unit)[1] == ["restart a.service"]


@pytest.mark.parametrize("state", [{"NeedDaemonReload": "yes"}, {"LoadState": "not-found"}])
def test_systemd_is_reloaded_for_what_changed_on_disk(systemd: Systemd, state: dict[str, str]) -> None:
    systemd.has(a=state)
    assert systemd.apply({"name": "a.service"})[1] == ["daemon-reload"]
    assert systemd.apply({"name": "a.service"}, check=True)[1] == []


def test_what_goes_is_stopped_before_what_stays_starts(systemd: Systemd) -> None:
    systemd.has(old={}, new={"ActiveState": "failed"})
    _, asked = systemd.apply(
        {"name": "new.service", "state": "started"}, {"name": "old.service", "enabled": False, "state": "stopped"}
    )
    assert asked == ["disable old.service", "stop old.service", "start new.service"]


def test_a_unit_that_does_not_come_up_fails_with_its_last_words(systemd: Systemd) -> None:
    systemd.has(a={"ActiveState": "inactive", "then": "failed", "Result": "exit-code"})
    result, _ = systemd.apply({"name": "a.service", "state": "started"})
    assert result["failed"] is True
    assert result["msg"].startswith("a.service did not start: failed (exit-code). The last lines of its journal")
    assert result["msg"].endswith("the last words")


# What systemctl says where it reaches no systemd, and what it says of a unit that it can't start.
NO_BUS = "Failed to connect to bus: No such file or directory"
NO_START = "Job for a.service failed."


@pytest.mark.parametrize("check", [False, True])
def test_a_systemd_that_answers_nothing_is_said_once(systemd: Systemd, check: bool) -> None:
    systemd.has(a={"refuses": {"show": NO_BUS}})
    result, asked = systemd.apply({"name": "a.service", "enabled": True, "state": "started"}, check=check)
    assert result["failed"] is True
    assert result["msg"] == f"systemctl show a.service: {NO_BUS}"
    assert asked == []


def test_a_refused_start_fails_with_the_last_words_of_the_unit(systemd: Systemd) -> None:
    systemd.has(a={"ActiveState": "failed", "refuses": {"start": NO_START}})
    result, _ = systemd.apply({"name": "a.service", "state": "started"})
    assert result["msg"].startswith(f"systemctl start --no-block a.service: {NO_START}")
    assert result["msg"].endswith("the last words")


def test_a_refused_start_is_what_is_said_when_systemd_then_answers_nothing(systemd: Systemd) -> None:
    systemd.has(a={"ActiveState": "failed", "refuses": {"start": NO_START}, "refuses_next": {"show": NO_BUS}})
    result, _ = systemd.apply({"name": "a.service", "state": "started"})
    assert result["msg"].startswith(f"systemctl start --no-block a.service: {NO_START}")


SECRET = "vX8-3kd.92!lq"


def test_the_last_words_are_shown_without_the_secrets_of_their_unit(systemd: Systemd, tmp_path: Path) -> None:
    for name, text in {
        "broker_url": f"rediss://web:{SECRET}@192.0.2.1/0",
        "database_user": "orchard_flower",
        "environment.secret": 'SENTRY_DSN="https://0123456789@sentry.example"\n',
    }.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    written(tmp_path / "environment").write_text("PYTHONPATH=/opt/orchard/live/src\n")
    unit = f"""[Service]
EnvironmentFile={tmp_path}/environment
LoadCredential=broker_url:{tmp_path}/broker_url
LoadCredential=database_user:{tmp_path}/database_user
EnvironmentFile=-{tmp_path}/nothing
EnvironmentFile={tmp_path}/environment.secret
"""
    systemd.has(a={"ActiveState": "failed", "Result": "exit-code", "then": "failed", "text": unit})
    systemd.says(
        f"no login {SECRET}\nat rediss://web:{SECRET}@192.0.2.1/0\nnor https://0123456789@sentry.example\nor redis://u:other@h\n"
        "as orchard_flower in /opt/orchard/live/src/orchard/tasks.py"
    )
    message = systemd.apply({"name": "a.service", "state": "started"})[0]["msg"]
    assert "no login ****" in message
    assert "as orchard_flower in /opt/orchard/live/src/orchard/tasks.py" in message
    assert [text for text in (SECRET, "0123456789", "other@h") if text in message] == []


def test_what_the_last_words_mean_is_said_where_it_is_known(systemd: Systemd) -> None:
    advice = [
        {"pattern": r"NOAUTH|Authentication req\w+", "say": "set this"},
        {"pattern": "no space", "say": "make room"},
    ]
    systemd.has(a={"ActiveState": "inactive", "then": "failed", "Result": "exit-code"})
    systemd.says("redis: Authentication required.")
    message = systemd.apply({"name": "a.service", "state": "started"}, advice=advice)[0]["msg"]
    assert message.endswith("\nset this")
    assert "make room" not in message


AGAIN = {
    "ActiveState": "activating",
    "SubState": "auto-restart",
    "Result": "exit-code",
    "NRestarts": 3,
    "ExecMainStatus": 2,
}
MEMBER = {"name": "a.service"}


def just_now() -> dict[str, int]:
    return {"ExecMainStartTimestampMonotonic": int(time.monotonic() * 1e6)}


def test_a_unit_that_ends_again_and_again_fails_though_systemd_found_it_active(systemd: Systemd) -> None:
    # Without a word to systemd, a service counts as started when its program does.
    systemd.has(a={"Type": "exec"} | AGAIN)
    result, asked = systemd.apply(MEMBER, settle=1)
    assert result["failed"] is True
    assert "a.service ends again and again: exit-code, exit status 2, started anew 3 times" in result["msg"]
    assert result["msg"].endswith("the last words")
    assert asked == []
    # Who doesn't ask for it isn't told.
    assert "failed" not in systemd.apply(MEMBER)[0]
    assert "failed" not in systemd.apply(MEMBER, settle=1, check=True)[0]


@pytest.mark.parametrize(
    ("state", "waits"),
    [
        # It has told when it was ready, and never ended since.
        ({"Type": "notify"}, False),
        # Nobody has heard of it, but it runs for long enough.
        ({"Type": "exec", "ExecMainStartTimestampMonotonic": 1}, False),
        ({"Type": "exec"}, True),
        ({"Type": "notify", "NRestarts": 1}, True),
    ],
)
def test_a_unit_is_waited_for_while_nothing_is_known_of_it(
    systemd: Systemd, state: dict[str, Any], waits: bool
) -> None:
    systemd.has(a=just_now() | state)
    before = time.monotonic()
    result, _ = systemd.apply(MEMBER, settle=5)
    assert "failed" not in result
    assert (time.monotonic() - before > 4) is waits


@pytest.mark.parametrize(
    "state", [{"ActiveState": "inactive"}, AGAIN | {"Result": "success"}, AGAIN | {"Type": "oneshot"}]
)
def test_what_has_ended_as_it_should_is_no_fault(systemd: Systemd, state: dict[str, Any]) -> None:
    systemd.has(a={"Type": "exec"} | state)
    assert "failed" not in systemd.apply(MEMBER, settle=1)[0]


def test_those_of_a_target_are_looked_at_and_left_alone(systemd: Systemd) -> None:
    systemd.has(a={"Type": "exec", "ActiveState": "inactive"}, b={"Type": "exec"} | AGAIN)
    units = json.loads((systemd.folder / "units.json").read_text())
    (systemd.folder / "units.json").write_text(json.dumps(units | {"shop.target": {"Wants": "b.service a.service"}}))
    result, asked = systemd.apply(settle=1, target="shop.target")
    assert "b.service ends again and again" in result["msg"]
    assert asked == []


@pytest.mark.parametrize("check", [False, True])
def test_a_diff_names_what_becomes_of_each_unit(systemd: Systemd, check: bool) -> None:
    systemd.has(new={"ActiveState": "inactive"}, old={}, same={})
    units = [
        {"name": "new.service", "state": "started"},
        {"name": "old.service", "enabled": False, "state": "stopped"},
        {"name": "same.service", "state": "started"},
    ]
    quiet, _ = systemd.apply(*units, check=True)
    assert "diff" not in quiet
    result, _ = systemd.apply(*units, check=check, diff=True)
    assert result["diff"] == {"prepared": "disabled: old.service\nstopped: old.service\nstarted: new.service\n"}


def test_a_diff_of_nothing_is_empty(systemd: Systemd) -> None:
    systemd.has(same={})
    assert systemd.apply({"name": "same.service", "state": "started"}, diff=True)[0]["diff"] == {"prepared": ""}
