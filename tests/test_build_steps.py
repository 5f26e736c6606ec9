"""The part of a build that is the account's: what is installed of a project's requirements, by uv itself and without a network."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import build
import pytest
import take_over
import unpack_python
from conftest import ROOT, Role

INSIDE = ROOT / "roles/django_project/files/build/inside.py"
# Builds a wheel with what Python has, or fails as a compiler does that isn't there.
BACKEND = """
import pathlib, zipfile
name = pathlib.Path("PKG-INFO").read_text().split("Name: ")[1].split()[0]
def build_wheel(folder, config_settings=None, metadata_directory=None):
    if name == "needs-compiler":
        raise SystemExit("error: command 'gcc' failed: No such file or directory")
    module = name.replace("-", "_")
    info = f"{module}-1.0.dist-info"
    files = {
        f"{module}.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\\nName: {name}\\nVersion: 1.0\\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{file},,\\n" for file in [*files, f"{info}/RECORD"])
    path = pathlib.Path(folder, f"{module}-1.0-py3-none-any.whl")
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
    return path.name
"""


def packed(path: Path, files: dict[str, str]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    return path


def sdist(folder: Path, name: str) -> str:
    """Write a source distribution and return its line of a lock."""
    pyproject = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    files = {
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        "pyproject.toml": f'{pyproject}[project]\nname = "{name}"\nversion = "1.0"\n',
        "backend.py": BACKEND,
    }
    root = f"{name.replace('-', '_')}-1.0"
    path = packed(folder / f"{root}.tar.gz", {f"{root}/{file}": text for file, text in files.items()})
    return f"{name}==1.0 --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


def wheel(folder: Path, name: str, python: str) -> str:
    """Write a wheel that asks for some Python, and return its line of a lock."""
    path = folder / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nRequires-Python: {python}\n"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return f"{name}==1.0 --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


@pytest.fixture
def folder(tmp_path: Path, role: Callable[..., Role]) -> Path:
    """Return a folder with a project that pins three packages, none of which has a wheel, and no index but a folder."""
    for name in ("index", "credentials", "tree"):
        (tmp_path / name).mkdir()
    lock = "".join(sdist(tmp_path / "index", name) for name in ("sealed", "other", "needs-compiler"))
    one, two, three = lock.splitlines()
    four = wheel(tmp_path / "index", "later", ">=3.99")
    packed(
        tmp_path / "source.tar.gz",
        {"one.lock": one, "two.lock": f"{one}\n{two}", "three.lock": three, "four.lock": four},
    )
    (tmp_path / "index.env").write_text(
        role("django_project", django_project_wheels="/wheels").render("tools/index.env.j2")
    )
    # Whoever asked the network would get an error.
    index = build.index_of(tmp_path / "index.env", {"https_proxy": "http://127.0.0.1:9"})
    index |= {"UV_FIND_LINKS": str(tmp_path / "index")}
    (tmp_path / "credentials/index").write_text(json.dumps(index))
    return tmp_path


def install(folder: Path, lock: str, *options: str, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", str(INSIDE), "install", f"--tree={folder}/tree", "--uv=uv"]
    command += [f"--archive={folder}/source.tar.gz", f"--python={python}", f"--requirement={lock}"]
    return subprocess.run(
        [*command, "--option=--require-hashes", *(f"--option={one}" for one in options)],
        env={
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "CREDENTIALS_DIRECTORY": str(folder / "credentials"),
            "UV_CACHE_DIR": str(folder / "cache"),
        },
        capture_output=True,
        text=True,
        check=False,
    )


def installed(folder: Path) -> list[str]:
    return sorted(
        path.stem for path in folder.glob("tree/venv/lib/python*/site-packages/*.py") if path.stem != "_virtualenv"
    )


def test_a_package_without_a_wheel_is_named_with_the_variable(folder: Path) -> None:
    done = install(folder, "one.lock", "--only-binary=:all:")
    assert done.returncode == 1
    assert "sealed has no wheel for this Python" in done.stderr
    assert "django_project_build: [sealed]" in done.stderr
    assert "django_project_wheels" in done.stderr


def test_a_project_or_a_package_that_asks_for_another_python_is_refused_with_the_variable(folder: Path) -> None:
    done = install(folder, "four.lock", "--only-binary=:all:")
    assert done.returncode == 1
    assert "later==1.0 asks for Python >=3.99: name another one in stack_python" in done.stderr
    packed(folder / "source.tar.gz", {"one.lock": "", "pyproject.toml": '[project]\nrequires-python = "<3.9"\n'})
    shutil.rmtree(folder / "tree")
    (folder / "tree").mkdir()
    done = install(folder, "one.lock")
    assert done.returncode == 1
    assert "pyproject.toml asks for Python <3.9" in done.stderr
    assert "stack_python_archive" in done.stderr
    assert not (folder / "tree/venv").exists()


def test_an_interpreter_that_does_not_run_is_named_with_its_variable(folder: Path) -> None:
    for python, text in (
        ("/nowhere/python3", ""),
        (str(folder / "python3"), "#!/bin/sh\necho wrong architecture >&2\nexit 1\n"),
    ):
        if text:
            Path(python).write_text(text)
            Path(python).chmod(0o755)
        done = install(folder, "one.lock", python=python)
        assert done.returncode == 1
        assert f"{python} can't be run on this host (stack_python, stack_python_archive)" in done.stderr
        shutil.rmtree(folder / "tree/src")


def test_a_release_is_made_with_a_python_that_an_archive_brought(folder: Path) -> None:
    # A copy of the one that runs the tests, which finds its library where it lies.
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    own = Path(sys.base_prefix)
    shutil.copytree(
        own / "lib" / name,
        folder / "python/lib" / name,
        ignore=shutil.ignore_patterns("*-packages", "test", "__pycache__", "config-*"),
    )
    (folder / "python/bin").mkdir()
    shutil.copy(Path(sys.executable).resolve(), folder / "python/bin" / name)
    (folder / "python/bin/python3").symlink_to(name)
    # Debian's library has links to /etc.
    for path in [
        path
        for path in folder.joinpath("python").rglob("*")
        if path.is_symlink() and str(path.readlink()).startswith("/")
    ]:
        path.unlink()
    with tarfile.open(folder / "python.tar", "w") as tar:
        tar.add(folder / "python", "python")
    brought = folder / "brought"
    unpack_python.install(
        folder / "python.tar", hashlib.sha256((folder / "python.tar").read_bytes()).hexdigest(), brought
    )
    done = install(folder, "one.lock", "--only-binary=:all:", "--no-binary=sealed", python=str(brought / "bin/python3"))
    assert done.returncode == 0, done.stderr
    said = subprocess.run(
        [folder / "tree/venv/bin/python", "-c", "import sys, sealed; print(sys.base_prefix)"],
        capture_output=True,
        text=True,
    )
    assert said.stdout.strip() == str(brought), said.stderr
    # Root takes such an environment over: its links to the interpreter lead where they may.
    into = folder / "release"
    into.mkdir()
    interpreters = frozenset({str(brought / "bin/python3"), str((brought / "bin/python3").resolve())})
    assert (
        take_over.take_over(
            take_over.Tree(folder / "tree", os.getuid(), str(folder / "tree"), interpreters), ["venv"], into
        )
        == []
    )


def test_all_packages_without_a_wheel_are_named_at_once(folder: Path) -> None:
    done = install(folder, "two.lock", "--only-binary=:all:")
    assert done.returncode == 1
    assert "other, sealed have no wheel for this Python" in done.stderr
    assert "django_project_build: [other, sealed]" in done.stderr
    # What uv says of the first stays, and nothing was built to know of the second.
    assert done.stderr.count("Wheels are required for") == 1
    assert installed(folder) == []


def test_only_what_is_named_is_built_from_source(folder: Path) -> None:
    done = install(folder, "two.lock", "--only-binary=:all:", "--no-binary=sealed")
    assert done.returncode == 1
    assert "django_project_build: [other]" in done.stderr
    assert "sealed has no wheel" not in done.stderr
    assert installed(folder) == []


def test_what_is_named_is_built(folder: Path) -> None:
    done = install(folder, "one.lock", "--only-binary=:all:", "--no-binary=sealed")
    assert (done.returncode, installed(folder)) == (0, ["sealed"]), done.stderr


def test_a_package_that_cannot_be_built_is_named_with_the_variable_for_compilers(folder: Path) -> None:
    done = install(folder, "three.lock", "--only-binary=:all:", "--no-binary=needs-compiler")
    assert done.returncode == 1
    assert "command 'gcc' failed" in done.stderr
    assert "needs-compiler could not be built" in done.stderr
    assert "django_project_build_packages" in done.stderr
