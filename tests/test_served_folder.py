"""A folder that another account may read: what is in it is opened once, and nothing outside of it ever."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def arguments(tmp_path: Path) -> dict[str, Any]:
    return {
        "path": str(tmp_path / "state" / "media"),
        "owner": pwd.getpwuid(os.getuid()).pw_name,
        "group": grp.getgrgid(os.getgid()).gr_name,
    }


@pytest.fixture
def media(arguments: dict[str, Any]) -> Path:
    folder = Path(arguments["path"])
    folder.mkdir(parents=True, mode=0o770)
    return folder


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def test_what_lies_in_it_is_opened_and_a_second_run_changes_nothing(
    run_module: Run, arguments: dict[str, Any], media: Path
) -> None:
    inner = media / "2026" / "01"
    inner.mkdir(parents=True)
    (media / "2026").chmod(0o2770)
    inner.chmod(0o2770)
    (inner / "a.png").write_text("x")
    (inner / "a.png").chmod(0o660)
    assert run_module("served_folder", arguments, check=True)["changed"]
    assert mode(inner / "a.png") == 0o660
    assert run_module("served_folder", arguments) | {"invocation": 0} == {"changed": True, "left": 0, "invocation": 0}
    assert [mode(path) for path in (media, media / "2026", inner, inner / "a.png")] == [0o2775, 0o2775, 0o2775, 0o664]
    (inner / "b.png").write_text("x")
    (inner / "b.png").chmod(0o600)
    assert not run_module("served_folder", arguments)["changed"]
    assert mode(inner / "b.png") == 0o600


def test_it_is_made_where_there_is_none(run_module: Run, arguments: dict[str, Any]) -> None:
    Path(arguments["path"]).parent.mkdir()
    assert run_module("served_folder", arguments, check=True)["changed"]
    assert not Path(arguments["path"]).exists()
    assert run_module("served_folder", arguments)["changed"]
    assert mode(Path(arguments["path"])) == 0o2775


def test_nothing_outside_is_opened(run_module: Run, arguments: dict[str, Any], media: Path, tmp_path: Path) -> None:
    secret, folder = tmp_path / "secret", tmp_path / "secrets"
    folder.mkdir(mode=0o700)
    for file in (secret, folder / "key", tmp_path / "twice"):
        file.write_text("x")
        file.chmod(0o600)
    (media / "link").symlink_to(secret)
    (media / "folder").symlink_to(folder)
    os.link(tmp_path / "twice", media / "twice")
    os.mkfifo(media / "pipe", 0o600)
    assert run_module("served_folder", arguments)["left"] == 1
    assert [mode(path) for path in (secret, folder, folder / "key", tmp_path / "twice")] == [0o600, 0o700, 0o600, 0o600]


def test_a_link_in_its_place_is_refused(run_module: Run, arguments: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    Path(arguments["path"]).symlink_to(tmp_path / "elsewhere")
    assert "is a link" in run_module("served_folder", arguments)["msg"]
    assert mode(tmp_path / "elsewhere") == 0o700
