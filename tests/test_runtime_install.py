"""What a release gets beside what its project brings: the runtime's wheel, the packages that are missing, and nothing in place of others."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import build_wheel
import install
import pytest
from conftest import ROOT
from packaging.requirements import Requirement

ROLE = ROOT / "roles/celery_runtime/files"

RANGES = [Requirement("celery[redis]>=5.7,<5.8"), Requirement("kombu>=5.7,<5.8")]


def test_an_unsupported_version_is_named_with_the_range() -> None:
    assert install.unsupported({"celery": "5.7.1", "django": "5.2"}, RANGES) == []
    (fault,) = install.unsupported({"celery": "5.4.0"}, RANGES)
    assert "celery 5.4.0" in fault
    assert ">=5.7" in fault
    assert "django_project_requirements" in fault


def test_only_what_is_missing_is_taken_from_the_lock() -> None:
    lock = "a==1.0 \\\n    --hash=sha256:aa\nB_c[x]==2.0 ; python_version > '3' \\\n    --hash=sha256:bb \\\n    --hash=sha256:cc\n    # via a\n"
    assert install.missing(lock, {"b-c": "1.9"}) == "a==1.0 \\\n    --hash=sha256:aa\n"
    assert "--hash=sha256:cc" in install.missing(lock, {"a": "1.0"})


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel.build(ROOT / "celery_runtime", [], tmp_path_factory.mktemp("wheels"))


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """Return a virtual environment in which a project has Django and nothing else; to read its metadata is enough."""
    venv = tmp_path / "venv"
    subprocess.run(["uv", "venv", "--quiet", "--no-project", f"--python={sys.executable}", str(venv)], check=True)
    brings(venv, "Django", "5.2")
    return venv


def brings(venv: Path, name: str, version: str) -> None:
    [packages] = venv.glob("lib/python*/site-packages")
    folder = packages / f"{name.lower().replace('-', '_')}-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (folder / "RECORD").write_text("")
    (folder / "INSTALLER").write_text("uv")


def run(folder: Path, wheel: Path, venv: Path) -> subprocess.CompletedProcess[str]:
    """Install as a release does, by a lock that is empty: nothing is fetched."""
    for name in ("install.py", "requirements.in"):
        (folder / name).write_text((ROLE / name).read_text())
    (folder / "runtime.lock").write_text("")
    return subprocess.run(
        [sys.executable, "-I", str(folder / "install.py"), f"--environment={venv}", "--uv=uv", f"--wheel={wheel}"],
        env={
            "PATH": f"{Path(sys.executable).parent}:/usr/bin",
            "UV_OFFLINE": "1",
            "UV_CACHE_DIR": str(folder / "cache"),
        },
        capture_output=True,
        text=True,
        check=False,
    )


def imported(venv: Path) -> str:
    code = "import celery_runtime, importlib.metadata; print(importlib.metadata.version('celery-runtime'), celery_runtime.__file__)"
    return subprocess.run([venv / "bin/python", "-c", code], capture_output=True, text=True, check=False).stdout


def test_the_wheel_is_installed_without_a_network(tmp_path: Path, wheel: Path, environment: Path) -> None:
    done = run(tmp_path, wheel, environment)
    assert (done.returncode, done.stdout) == (0, "added: celery-runtime\n"), done.stderr
    assert f" {environment}/" in imported(environment)


def test_it_takes_the_place_of_one_that_the_project_brings(tmp_path: Path, wheel: Path, environment: Path) -> None:
    """The name may be another's on an index; the settings are the deployment's, so the runtime is."""
    version = re.search(r"-([\d.]+)-py3", wheel.name)
    assert version is not None
    brings(environment, "celery-runtime", version[1])
    done = run(tmp_path, wheel, environment)
    assert done.returncode == 0, done.stderr
    assert f" {environment}/" in imported(environment)


def test_what_is_out_of_the_runtime_s_ranges_is_refused(tmp_path: Path, wheel: Path, environment: Path) -> None:
    brings(environment, "celery", "5.4.0")
    brings(environment, "django-celery-results", "2.5.1")
    brings(environment, "gunicorn", "19.0")
    done = run(tmp_path, wheel, environment)
    assert done.returncode == 1
    for name in ("celery 5.4.0", "django-celery-results 2.5.1", "gunicorn 19.0"):
        assert name in done.stderr
    assert imported(environment) == ""


def test_the_lock_satisfies_the_supported_ranges(wheel: Path) -> None:
    pinned = dict(
        line.split()[0].split("==")
        for line in (ROLE / "runtime.lock").read_text().splitlines()
        if "==" in line.split(" ")[0]
    )
    ranges = install.supported((ROLE / "requirements.in").read_text(), wheel)
    assert {"celery", "kombu", "redis", "flower", "django-celery-beat", "gunicorn"} <= {one.name for one in ranges}
    for wanted in ranges:
        assert wanted.specifier.contains(pinned[wanted.name]), wanted
