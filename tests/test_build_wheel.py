"""The wheel of a project on the controller: named by its content, the same bytes wherever it is built, without a network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from importlib.metadata import distributions
from pathlib import Path

import build_wheel
import pytest
from conftest import ROOT

RUNTIME = ROOT / "celery_runtime"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a copy of the runtime's sources as a clone of the project has them."""
    shutil.copytree(RUNTIME, tmp_path / "celery_runtime", ignore=shutil.ignore_patterns("__pycache__", ".*_cache"))
    return tmp_path / "celery_runtime"


@pytest.fixture
def wheel(project: Path, tmp_path: Path) -> Path:
    """Return the built wheel."""
    return build_wheel.build(project, [], tmp_path / "wheels")


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_the_wheel_holds_all_that_the_package_has_and_nothing_else(project: Path, tmp_path: Path) -> None:
    package = project / "src/celery_runtime"
    wanted = {str(path.relative_to(project / "src")) for path in package.rglob("*") if path.is_file()}
    (package / "__pycache__").mkdir(exist_ok=True)
    (package / "__pycache__/parts.cpython-311.pyc").write_bytes(b"")
    (package / "parts.pyc").write_bytes(b"")
    names = zipfile.ZipFile(build_wheel.build(project, [], tmp_path / "wheels")).namelist()
    # The line by which Python sets a deployment's variables as it starts.
    assert {name for name in names if ".dist-info/" not in name} == {*wanted, "celery_runtime_start.pth"}
    assert {"celery_runtime/lua/fetch.lua", "celery_runtime/py.typed"} <= wanted


def test_the_wheel_says_what_it_needs_and_brings_the_command(wheel: Path) -> None:
    [found] = distributions(path=[str(wheel)])
    assert found.name == "celery-runtime"
    assert "celery[redis]<5.8,>=5.5.2" in (found.requires or [])
    assert [(entry.group, entry.value) for entry in found.entry_points] == [
        ("celery.commands", "celery_runtime.dead_letters:dead_letters")
    ]


def test_the_same_source_is_the_same_wheel(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = build_wheel.build(project, [], tmp_path / "first")
    other = tmp_path / "elsewhere/ansible_collections/some/thing/celery_runtime"
    shutil.copytree(project, other)
    # A team's own repository, with files of its own to ignore.
    (tmp_path / "elsewhere/.gitignore").write_text("*.lua\n")
    subprocess.run(["git", "init", "--quiet", str(tmp_path / "elsewhere")], check=True)
    for path in other.rglob("*"):
        os.utime(path, (2e9, 2e9))
        path.chmod(0o700 if path.is_dir() else 0o600)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1999999999")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    mask = os.umask(0o077)
    try:
        second = build_wheel.build(other, [], tmp_path / "second")
    finally:
        os.umask(mask)
    assert second.name == first.name
    assert second.read_bytes() == first.read_bytes()
    assert build_wheel.digest(other, []) == build_wheel.digest(project, [])


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        (lambda folder: (folder / "src/celery_runtime/parts.py").write_text("PARTS = ()\n"), True),
        (lambda folder: (folder / "src/celery_runtime/lua/bind.lua").unlink(), True),
        (lambda folder: (folder / "src/celery_runtime/parts.py").rename(folder / "src/celery_runtime/part.py"), True),
        (lambda folder: edit(folder / "pyproject.toml", 'version = "', 'version = "1'), True),
        (lambda folder: edit(folder / "pyproject.toml", "ignore-vcs = true", "ignore-vcs = false"), True),
        (lambda folder: edit(folder / "pyproject.toml", "strict = true", "strict = false"), False),
        (lambda folder: (folder / "LICENSE").write_text("Another.\n"), True),
        (lambda folder: (folder / "README.md").write_text("Another word.\n"), False),
        (lambda folder: (folder / "tests/conftest.py").write_text(""), False),
        (lambda folder: (folder / "src/celery_runtime/parts.pyc").write_bytes(b"compiled"), False),
    ],
)
def test_what_becomes_a_part_of_the_wheel_names_it(
    project: Path, change: Callable[[Path], object], counts: bool
) -> None:
    before = build_wheel.digest(project, [])
    change(project)
    assert (build_wheel.digest(project, []) != before) is counts


def test_what_goes_along_names_it_too_and_is_packed_with_it(project: Path, tmp_path: Path) -> None:
    lock = tmp_path / "runtime.lock"
    lock.write_text("one==1\n")
    before = build_wheel.digest(project, [lock])
    first = build_wheel.build(project, [lock], tmp_path / "wheels")
    lock.write_text("one==2\n")
    lock.chmod(0o600)
    assert before not in (build_wheel.digest(project, [lock]), build_wheel.digest(project, []))
    second = build_wheel.build(project, [lock], tmp_path / "wheels")
    assert (second.read_bytes(), second == first) == (first.read_bytes(), False)
    with tarfile.open(second.with_name("archive.tar")) as archive:
        assert {(entry.name, entry.mode, entry.uid) for entry in archive} == {
            (second.name, 0o644, 0),
            (lock.name, 0o644, 0),
        }
        packed = archive.extractfile(lock.name)
        assert packed is not None
        assert packed.read() == b"one==2\n"


def test_it_is_built_once_in_a_run(project: Path, tmp_path: Path) -> None:
    first = build_wheel.build(project, [], tmp_path / "wheels")
    made = first.stat().st_mtime_ns
    assert build_wheel.build(project, [], tmp_path / "wheels") == first
    assert first.stat().st_mtime_ns == made
    assert list((tmp_path / "wheels").iterdir()) == [first.parent]


def test_nothing_is_written_into_the_sources(project: Path, tmp_path: Path) -> None:
    before = sorted(project.rglob("*"))
    build_wheel.build(project, [], tmp_path / "wheels")
    assert sorted(project.rglob("*")) == before


def test_a_controller_without_the_backend_learns_what_to_install(project: Path, tmp_path: Path) -> None:
    edit(project / "pyproject.toml", "hatchling", "nonesuch")
    with pytest.raises(build_wheel.NotBuilt, match=rf"{sys.executable}.*lacks nonesuch.*nonesuch>="):
        build_wheel.build(project, [], tmp_path / "wheels")


def test_what_the_backend_says_is_passed_on(project: Path, tmp_path: Path) -> None:
    edit(project / "pyproject.toml", 'name = "celery-runtime"', "")
    with pytest.raises(build_wheel.NotBuilt, match=r"project\.name"):
        build_wheel.build(project, [], tmp_path / "wheels")
    assert list((tmp_path / "wheels").iterdir()) == []


def test_the_licence_is_the_project_s() -> None:
    assert (RUNTIME / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
