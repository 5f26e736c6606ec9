"""Which releases are kept: the last ones, and one of each of the last codes, however often settings have changed since."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pruned_releases
import pytest
from conftest import Role
from hypothesis import given
from hypothesis import strategies as st
from pruned_releases import Release, kept

HOUR = 3600


def named(*names: str) -> list[Release]:
    """Return releases from the newest to the oldest; a name such as `b2` is the release 2 of the code b."""
    return [Release(name, made_current=1000.0 - age, code=name[0]) for age, name in enumerate(names)]


@pytest.mark.parametrize(
    ("names", "stay"),
    [
        pytest.param(["c1", "b1", "a1"], ["c1", "b1", "a1"], id="as many as there may be"),
        pytest.param(["d1", "c1", "b1", "a1"], ["d1", "c1", "b1"], id="codes alone"),
        # The fault: three changed settings, and the code before was gone.
        pytest.param(["b4", "b3", "b2", "b1", "a1"], ["b4", "b3", "b2", "a1"], id="changed settings"),
        pytest.param(["c2", "c1", "b2", "b1", "a2", "a1"], ["c2", "c1", "b2", "a2"], id="the newest of each code"),
        pytest.param(["d1", "c1", "d2", "b1", "a1"], ["d1", "c1", "d2", "b1"], id="back and forth"),
        pytest.param(["c5", "c4", "c3", "c2", "b1", "a1", "z1"], ["c5", "c4", "c3", "b1", "a1"], id="at most five"),
        pytest.param([], [], id="none"),
    ],
)
def test_of_three_to_keep(names: list[str], stay: list[str]) -> None:
    assert kept(named(*names), keep=3) == set(stay)


def test_a_release_of_which_no_code_is_known_counts_as_one_of_its_own() -> None:
    # As earlier versions have made them.
    old = [Release(name, made_current=float(age), code="") for age, name in enumerate(["o4", "o3", "o2", "o1"])]
    assert kept(old, keep=3) == {"o1", "o2", "o3"}


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.floats(0, 10)), max_size=12), st.integers(2, 5))
def test_what_is_kept_suffices_and_is_bounded(made: list[tuple[str, float]], keep: int) -> None:
    releases = [Release(f"{code}{number}", made_current, code) for number, (code, made_current) in enumerate(made)]
    stay = kept(releases, keep)
    codes = {release.code for release in releases}
    assert len({release.code for release in releases if release.name in stay}) >= min(keep, len(codes))
    assert len(stay) <= 2 * keep - 1
    gone = [release.made_current for release in releases if release.name not in stay]
    assert sum(
        1 for release in releases if release.name in stay and release.made_current >= max(gone, default=0)
    ) >= min(keep, len(releases))


@pytest.fixture
def host(tmp_path: Path) -> Callable[..., Path]:
    """Return a way to make a release of an age in hours; without an age it was never current."""

    def make(name: str, age: float | None = None, code: str = "") -> Path:
        release = tmp_path / "releases" / name
        (release / "src").mkdir(parents=True)
        (release / ".built").write_text(f"{name}\n")
        if code:
            (release / ".code").write_text(f"{code}\n")
        if age is not None:
            (release / ".deployed").write_text("x\n")
            then = time.time() - age * HOUR
            os.utime(release / ".deployed", (then, then))
        return release

    return make


def prune(run_module: Any, current: Path, *, keep: int = 3, check: bool = False) -> dict[str, Any]:
    arguments = {"folder": str(current.parent), "current": str(current), "keep": keep}
    return run_module("pruned_releases", arguments, check=check)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("check", [True, False])
def test_the_code_before_outlives_changed_settings(run_module: Any, host: Any, check: bool) -> None:
    host("before", 100, "a")
    for age, name in enumerate(["new", "newer", "newest"]):
        current = host(name, 10 - age, "b")
    host("oldest", 50, "b")
    host("refused")
    result = prune(run_module, current, check=check)
    assert (result["changed"], result["removed"]) == (True, ["oldest", "refused"])
    everything = ["before", "new", "newer", "newest"] + (["oldest", "refused"] if check else [])
    assert names_in(current.parent) == sorted(everything)
    again = prune(run_module, current, check=check)
    assert again["changed"] is check


def test_an_older_release_that_is_current_again_is_the_newest(run_module: Any, host: Any) -> None:
    back = host("back", 99, "a")
    for age, name in enumerate(["b", "c", "d"]):
        host(name, age + 1, name)
    assert prune(run_module, back)["removed"] == ["d"]
    assert time.time() - (back / ".deployed").stat().st_mtime < HOUR


def test_check_mode_of_a_release_that_is_not_there_yet_says_nothing(run_module: Any, host: Any) -> None:
    current = host("a", 1, "a").parent / "not-built-yet"
    result = prune(run_module, current, check=True)
    assert (result["changed"], result["removed"]) == (False, [])
    nowhere = run_module("pruned_releases", {"folder": "/nowhere", "current": "/nowhere/a", "keep": 3}, check=True)
    assert nowhere["changed"] is False


@pytest.mark.parametrize("check", [True, False])
def test_an_interpreter_stays_as_long_as_a_release_that_was_made_with_it(
    run_module: Any, host: Any, tmp_path: Path, check: bool
) -> None:
    interpreters = tmp_path / "python"
    for age, (name, python) in enumerate([("now", "b"), ("before", "a"), ("old", "z"), ("older", "b")]):
        release = host(name, age, name)
        (release / "venv").mkdir()
        (release / "venv/pyvenv.cfg").write_text(f"home = {interpreters}/{python}/bin\nversion_info = 3.12.9\n")
    for python in ("a", "b", "z", "never"):
        (interpreters / python / "bin").mkdir(parents=True)
    arguments = {"folder": str(tmp_path / "releases"), "current": str(tmp_path / "releases/now"), "keep": 2}
    result = run_module("pruned_releases", arguments | {"interpreters": str(interpreters)}, check=check)
    assert (result["removed"], result["removed_interpreters"]) == (["old", "older"], ["never", "z"])
    assert names_in(interpreters) == (["a", "b", "never", "z"] if check else ["a", "b"])


def test_links_and_files_are_no_releases(run_module: Any, host: Any, tmp_path: Path) -> None:
    current = host("a", 1, "a")
    (tmp_path / "elsewhere").mkdir()
    (current.parent / "link").symlink_to(tmp_path / "elsewhere")
    (current.parent / "file").write_text("x\n")
    assert prune(run_module, current)["removed"] == []


def test_half_of_a_removed_release_is_not_taken_for_a_built_one(host: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    release = host("a", 1, "a")

    def dies(*_: Any) -> None:
        raise OSError("no space, no power")

    monkeypatch.setattr(pruned_releases.shutil, "rmtree", dies)
    with pytest.raises(OSError, match="no power"):
        pruned_releases.remove(release)
    assert names_in(release) == [".code", "src"]


SOURCE = {"__django_project_folder": {"digest": "1" * 64}, "celery_runtime_source": {"digest": "2" * 64}}


def test_settings_make_another_release_of_the_same_code(role: Callable[..., Role]) -> None:
    def ids(**changes: Any) -> tuple[str, str]:
        project = role("django_project", django_project_app="shop", **SOURCE | changes)
        return project.evaluate("__django_project_release_id"), project.evaluate("__django_project_code_id")

    release, code = ids()
    for changes in (
        {"django_project_celery_settings": {"task_time_limit": 7}},
        {"django_project_environment": {"A": "b"}},
    ):
        assert ids(**changes)[0] != release
        assert ids(**changes)[1] == code
    for changes in (
        {"__django_project_folder": {"digest": "3" * 64}},
        {"celery_runtime_source": {"digest": "3" * 64}},
        {"django_project_requirements": ["other.lock"]},
        {"django_project_require_hashes": False},
        {"django_project_python": "/usr/bin/python3.13"},
        {"django_project_extras": ["postgres"]},
        {"django_project_package": "shop==1"},
        {"django_project_files": {"a.ini": "x"}, "__django_project_beside": {"digest": "4" * 64}},
    ):
        assert ids(**changes)[0] != release
        assert ids(**changes)[1] != code
