"""The Python of a release: which one is meant, what is refused, what comes out of an archive, and whether a project asks for another."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import python_wanted
from conftest import ROOT, Role
from interpreter import interpreter, interpreter_faults, python_faults

INSTALL = ROOT / "roles/django_project/files/build/unpack_python.py"
SHA = "0123456789abcdef" * 4
FOLDER = "/opt/shop/python"


@pytest.mark.parametrize(
    ("python", "sha256", "path", "packages", "exec_paths"),
    [
        ("", "", "/usr/bin/python3", [], []),
        ("3.13", "", "/usr/bin/python3.13", ["python3.13"], ["/usr/bin/python3.13"]),
        ("/opt/py/bin/python3.12", "", "/opt/py/bin/python3.12", [], ["/opt/py/bin/python3.12", "-/opt/py/lib"]),
        ("", SHA, f"{FOLDER}/0123456789ab/bin/python3", [], [FOLDER]),
    ],
)
def test_the_interpreter_that_is_meant(
    python: str, sha256: str, path: str, packages: list[str], exec_paths: list[str]
) -> None:
    assert interpreter(python, sha256, FOLDER) == {"path": path, "packages": packages, "exec_paths": exec_paths}


@pytest.mark.parametrize(
    ("python", "archive", "sha256", "words"),
    [
        ("3.12", "", "", "stack_python is '3.12', and Debian 13 has 3.13"),
        ("python3", "", "", "stack_python is 'python3': write a version"),
        ("", "https://x.example/p.tar.gz", "", "stack_python_sha256 is '': set the SHA-256"),
        ("", "https://x.example/p.tar.gz", SHA[1:], "set the SHA-256"),
        ("", "http://x.example/p.tar.gz", SHA, "use https://"),
        ("", "/nowhere/p.tar.gz", SHA, "the file '/nowhere/p.tar.gz' does not exist"),
        ("", __file__, SHA, "stack_python_sha256 is another"),
        ("", "", SHA, "stack_python_archive is not: set both"),
        ("3.13", "https://x.example/p.tar.gz", SHA, "both are set: leave stack_python empty"),
    ],
)
def test_an_input_that_cannot_work_is_named(python: str, archive: str, sha256: str, words: str) -> None:
    (fault,) = interpreter_faults(python, archive, sha256, "13")
    assert words in fault


def test_good_inputs_have_no_fault() -> None:
    own = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    inputs = [
        ("", "", ""),
        ("3.13", "", ""),
        ("/opt/py/bin/python3.12", "", ""),
        ("", "https://x.example/p", SHA),
        ("", __file__, own),
    ]
    assert [interpreter_faults(*one, "13") for one in inputs] == [[]] * len(inputs)
    # Of another release of a relative nothing is known.
    assert interpreter_faults("3.12", "", "", "") == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pyproject.toml", '[project]\nrequires-python = ">=3.12"\n'),
        ("pyproject.toml", '[tool.poetry.dependencies]\npython = "^3.12"\n'),
        ("uv.lock", 'requires-python = ">=3.12"\n'),
        ("pylock.toml", 'requires-python = ">=3.12"\n'),
        ("pdm.lock", '[metadata]\nrequires_python = ">=3.12"\n'),
        ("poetry.lock", '[metadata]\npython-versions = "^3.12"\n'),
    ],
)
def test_a_project_that_asks_for_another_python_is_refused_with_the_way_out(
    tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / name).write_text(text)
    locks = [name] if name != "pyproject.toml" else ["requirements.lock"]
    (fault,) = python_faults("/usr/bin/python3", "12", str(tmp_path), locks)
    assert fault.startswith(f"{name} asks for Python ")
    for word in ("3.11", "stack_python", "stack_python_archive", "stack_python_sha256"):
        assert word in fault
    assert python_faults("/usr/bin/python3", "13", str(tmp_path), locks) == []
    assert python_faults("/usr/bin/python3.12", "12", str(tmp_path), locks) == []
    # Of these the version isn't known before the host is asked.
    assert python_faults(f"{FOLDER}/0123456789ab/bin/python3", "12", str(tmp_path), locks) == []
    assert python_faults("/usr/bin/python3", "", str(tmp_path), locks) == []


def test_a_project_that_says_nothing_asks_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\n[tool.poetry.dependencies]\npython = "*"\n')
    (tmp_path / "requirements.lock").write_text("django==5.2 \\\n    --hash=sha256:00\n")
    assert python_wanted.faults(tmp_path, ["requirements.lock", "missing.lock"], "3.11") == []
    (tmp_path / "pyproject.toml").write_text('[project]\nrequires-python = ">=3.11.4"\n')
    # The controller knows the minor version alone, the host all of it.
    assert python_wanted.faults(tmp_path, [], "3.11") == []
    assert len(python_wanted.faults(tmp_path, [], "3.11.2")) == 1


def archive(path: Path, entries: list[dict[str, Any]]) -> str:
    with tarfile.open(path, "w:gz") as tar:
        for entry in entries:
            info = tarfile.TarInfo(entry["name"])
            text = entry.pop("text", "").encode()
            info.size = len(text)
            for key, value in entry.items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(text))
    return hashlib.sha256(path.read_bytes()).hexdigest()


PYTHON: list[dict[str, Any]] = [
    {"name": "python/bin/python3.12", "mode": 0o755, "text": "#!/bin/sh\necho 3.12\n"},
    {"name": "python/bin/python3", "type": tarfile.SYMTYPE, "linkname": "python3.12"},
    {"name": "python/lib/os.py", "mode": 0o664, "text": "x = 1\n"},
    {"name": "python/share/other", "type": tarfile.LNKTYPE, "linkname": "python/lib/os.py"},
]


def install(path: Path, sha256: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", str(INSTALL), str(path), sha256, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_an_archive_is_unpacked_as_it_is_named_and_belongs_to_root(tmp_path: Path) -> None:
    sha256 = archive(tmp_path / "python.tar", [dict(one) for one in PYTHON])
    folder = tmp_path / "python" / sha256[:12]
    done = install(tmp_path / "python.tar", sha256, folder)
    assert done.returncode == 0, done.stderr
    assert subprocess.run([folder / "bin/python3"], capture_output=True, text=True, check=True).stdout == "3.12\n"
    assert (folder / "share/other").read_text() == "x = 1\n"
    assert [oct((folder / name).stat().st_mode & 0o7777) for name in ("bin/python3.12", "lib/os.py")] == [
        "0o755",
        "0o644",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["python"]
    assert sorted(path.name for path in folder.parent.iterdir()) == [folder.name]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"name": "python/../../out", "text": "x"}, "leads out of it"),
        ({"name": "/etc/out", "text": "x"}, "leads out of it"),
        ({"name": "python/out", "type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, "a link that leads out of it"),
        ({"name": "python/out", "type": tarfile.SYMTYPE, "linkname": "../../out"}, "a link that leads out of it"),
        ({"name": "python/out", "type": tarfile.LNKTYPE, "linkname": "/etc/passwd"}, "a link that leads out of it"),
        ({"name": "python/device", "type": tarfile.CHRTYPE}, "neither a file, a folder nor a link"),
        ({"name": "other/file", "text": "x"}, "it has several folders"),
    ],
)
def test_what_has_no_place_in_an_archive_is_refused_and_nothing_stays(
    tmp_path: Path, more: dict[str, Any], words: str
) -> None:
    sha256 = archive(tmp_path / "python.tar", [*(dict(one) for one in PYTHON), dict(more)])
    done = install(tmp_path / "python.tar", sha256, tmp_path / "python" / "new")
    assert done.returncode == 1
    assert "stack_python_archive is refused" in done.stderr
    assert words in done.stderr
    assert list((tmp_path / "python").iterdir()) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [(b"not an archive", "no tar archive"), (b"", "no tar archive")],
)
def test_a_file_that_is_no_archive_is_refused(tmp_path: Path, text: bytes, words: str) -> None:
    (tmp_path / "python.tar").write_bytes(text)
    done = install(tmp_path / "python.tar", hashlib.sha256(text).hexdigest(), tmp_path / "python" / "new")
    assert (done.returncode, words in done.stderr) == (1, True), done.stderr


def test_another_archive_is_not_opened(tmp_path: Path) -> None:
    archive(tmp_path / "python.tar", [dict(one) for one in PYTHON])
    done = install(tmp_path / "python.tar", SHA, tmp_path / "python" / "new")
    assert done.returncode == 1
    assert f"stack_python_sha256 is {SHA}" in done.stderr
    assert not (tmp_path / "python").exists()


def test_services_may_execute_the_interpreter_that_is_meant(role: Callable[..., Role]) -> None:
    stack = role("stack", stack_python="/opt/py/bin/python3.12")
    lines = role("systemd_unit", unit=stack.evaluate("stack_worker_unit")).evaluate(
        "unit | plainhost.stack.sandbox_directives"
    )
    (paths,) = (line for line in lines if line.startswith("ExecPaths="))
    assert "/opt/py/bin/python3.12 -/opt/py/lib" in paths
