"""What a release gets beside what its project brings: the runtime's wheel, the packages that are missing, and nothing in place of others."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import build_wheel
import install
import pytest
import supported
import unsupported_versions
from conftest import ROOT, Role

ROLE = ROOT / "roles/celery_runtime/files"

VERSIONS = ("5.5", "5.6", "5.7")


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


def brings(venv: Path, name: str, version: str, *needs: str) -> None:
    [packages] = venv.glob("lib/python*/site-packages")
    folder = packages / f"{name.lower().replace('-', '_')}-{version}.dist-info"
    folder.mkdir()
    lines = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}", *(f"Requires-Dist: {one}" for one in needs)]
    (folder / "METADATA").write_text("\n".join(lines) + "\n")
    (folder / "WHEEL").write_text("Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    (folder / "RECORD").write_text("")
    (folder / "INSTALLER").write_text("uv")


def run(folder: Path, wheel: Path, venv: Path, *parts: str) -> subprocess.CompletedProcess[str]:
    """Install as a release does, by locks that are empty: nothing is fetched."""
    for path in ROLE.iterdir():
        (folder / path.name).write_text("" if path.suffix == ".lock" else path.read_text())
    on = [f"--part={part}" for part in parts]
    return subprocess.run(
        [sys.executable, "-I", str(folder / "install.py"), f"--environment={venv}", "--uv=uv", f"--wheel={wheel}", *on],
        env={
            "PATH": f"{Path(sys.executable).parent}:/usr/bin",
            "UV_OFFLINE": "1",
            "UV_CACHE_DIR": str(folder / "cache"),
        },
        capture_output=True,
        text=True,
        check=False,
    )


def checked(folder: Path, wheel: Path, venv: Path, *parts: str) -> subprocess.CompletedProcess[str]:
    """Install, then ask whether all fits together, as a release does."""
    done = run(folder, wheel, venv, *parts)
    assert done.returncode == 0, done.stderr
    command = [sys.executable, "-I", str(folder / "install.py"), f"--environment={venv}", "--uv=uv", f"--wheel={wheel}"]
    path = f"{Path(sys.executable).parent}:/usr/bin"
    return subprocess.run(
        [*command, "--check"], env={"PATH": path, "UV_OFFLINE": "1"}, capture_output=True, text=True, check=False
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
    done = run(tmp_path, wheel, environment, "transport", "results")
    assert done.returncode == 1
    for name in ("celery 5.4.0", "django-celery-results 2.5.1", "gunicorn 19.0"):
        assert name in done.stderr
    assert imported(environment) == ""


def test_what_is_out_of_range_is_warned_of_where_no_part_hangs_on_it(
    tmp_path: Path, wheel: Path, environment: Path
) -> None:
    brings(environment, "celery", "5.4.0")
    done = run(tmp_path, wheel, environment, "guard", "memory")
    assert done.returncode == 0, done.stderr
    assert "warning: celery 5.4.0 comes from the project's requirements; supported is celery" in done.stdout
    assert "added: celery-runtime" in done.stdout


def test_what_was_only_warned_of_fits_together(tmp_path: Path, wheel: Path, environment: Path) -> None:
    """The runtime's own ranges are those of all its parts: which of them count was judged before."""
    for name, version in (("celery", "5.4.0"), ("kombu", "5.5.4"), ("redis", "5.2.1")):
        brings(environment, name, version)
    done = checked(tmp_path, wheel, environment, "guard", "memory")
    assert done.returncode == 0, done.stderr


def test_what_another_package_needs_is_refused_beside_it(tmp_path: Path, wheel: Path, environment: Path) -> None:
    for name, version in (("celery", "5.4.0"), ("kombu", "5.5.4"), ("redis", "5.2.1")):
        brings(environment, name, version)
    brings(environment, "shop", "1.0", "celery>=5.5")
    done = checked(tmp_path, wheel, environment, "guard", "memory")
    assert done.returncode == 1
    assert "`shop` requires `celery>=5.5`" in done.stderr
    assert "`celery-runtime`" not in done.stderr


def test_what_the_runtime_lacks_is_refused(tmp_path: Path, wheel: Path, environment: Path) -> None:
    for name, version in (("celery", "5.4.0"), ("redis", "5.2.1")):
        brings(environment, name, version)
    done = checked(tmp_path, wheel, environment, "guard", "memory")
    assert done.returncode == 1
    assert "`celery-runtime` requires `kombu" in done.stderr
    assert "not installed" in done.stderr


def pinned(version: str) -> dict[str, list[str]]:
    return supported.pinned((ROLE / f"runtime-{version}.lock").read_text())


@pytest.mark.parametrize("version", VERSIONS)
def test_each_lock_satisfies_the_supported_ranges_and_its_own(wheel: Path, version: str) -> None:
    pins = pinned(version)
    ranges = install.supported((ROLE / "requirements.in").read_text(), wheel)
    assert {"celery", "kombu", "redis", "flower", "django-celery-beat", "gunicorn"} <= {one.name for one in ranges}
    for wanted in [*ranges, *supported.requirements((ROLE / f"runtime-{version}.in").read_text())]:
        assert all(supported.fits(wanted, one) for one in pins[wanted.name]), wanted
    assert pins["celery"][0].startswith(version)


def test_the_role_brings_a_lock_for_each_version_that_is_tested() -> None:
    (line,) = re.findall(r"^VERSIONS := (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert sorted(path.stem for path in ROLE.glob("runtime-*.lock")) == [f"runtime-{one}" for one in line.split()]
    assert tuple(line.split()) == VERSIONS
    assert all((ROOT / f"celery_runtime/requirements-test-{one}.lock").is_file() for one in VERSIONS)


@pytest.mark.parametrize(
    ("present", "version"),
    [
        ({}, "5.7"),
        ({"celery": "5.7.0"}, "5.7"),
        ({"celery": "5.6.3", "kombu": "5.6.2", "redis": "5.2.1"}, "5.6"),
        ({"celery": "5.6.3", "kombu": "5.7.0"}, "5.6"),
        ({"celery": "5.5.3", "kombu": "5.5.4"}, "5.5"),
        ({"kombu": "5.5.4"}, "5.5"),
        # For its cache alone; Celery is added, and must go with it.
        ({"redis": "5.2.1"}, "5.6"),
        ({"redis": "7.1.0"}, "5.7"),
    ],
)
def test_what_is_added_fits_what_the_project_brings(present: dict[str, str], version: str) -> None:
    text = supported.lock_for({"django": "5.2", **present}, ROLE)
    assert supported.pinned(text) == pinned(version)


def test_what_the_project_pins_is_refused_with_what_lets_it_run() -> None:
    lock = (
        "celery[redis]==5.4.0 \\\n    --hash=sha256:aa\nkombu==5.6.2 ; python_version > '3' \\\n    --hash=sha256:bb\n"
    )
    ranges = supported.requirements("celery>=5.5.2,<5.8\nkombu>=5.5.2,<5.8")
    (fault,), [] = supported.judge(supported.pinned(lock), ranges, ["watchdog", "guard", "transport"])
    for part in (
        "celery 5.4.0",
        "celery<5.8,>=5.5.2",
        "django_project_requirements",
        "leave transport, watchdog out of stack_runtime_parts",
    ):
        assert part in fault
    [], (warning,) = supported.judge(supported.pinned(lock), ranges, ["guard", "memory"])
    assert "celery 5.4.0" in warning
    # What nobody says is taken to be on.
    assert supported.judge(supported.pinned(lock), ranges, None)[1] == []


def test_a_package_that_single_parts_hang_on_keeps_those_alone_from_being_used() -> None:
    ranges = supported.requirements("django-celery-results>=2.6,<3")
    present = {"django-celery-results": ["2.5.1"]}
    assert supported.judge(present, ranges, ["transport", "beat"])[0] == []
    assert "leave results out" in supported.judge(present, ranges, ["transport", "results"])[0][0]


@pytest.mark.parametrize(
    ("kombu", "redis", "well"),
    [
        ("5.7.0", "8.1.0", True),
        ("5.7.0", "5.2.1", False),
        ("5.6.2", "6.4.0", True),
        ("5.6.2", "8.1.0", False),
        ("5.5.4", "5.2.1", True),
    ],
)
def test_a_redis_py_that_doesn_t_go_with_the_kombu_is_refused(
    tmp_path: Path, kombu: str, redis: str, well: bool
) -> None:
    """Each is in range for itself."""
    (tmp_path / "a.lock").write_text(f"celery==5.6.3\nkombu=={kombu}\nredis=={redis}\n")
    refused = unsupported_versions.unsupported_versions([str(tmp_path / "a.lock")], ["transport"])["refused"]
    assert (refused == []) is well, refused


def test_what_is_too_old_is_refused_with_no_part_on() -> None:
    ranges = supported.requirements("celery>=5.5.2,<5.8")
    assert supported.judge({"celery": ["5.3.6"]}, ranges, [])[0] == []
    assert "celery 5.2.7" in supported.judge({"celery": ["5.2.7"]}, ranges, [])[0][0]


def test_a_version_before_the_first_of_a_range_is_of_it() -> None:
    """A preview has what the version has."""
    ranges = supported.requirements("celery>=5.5.2,<5.8")
    assert supported.judge({"celery": ["5.7.0rc1"]}, ranges, ["transport"]) == ([], [])
    assert supported.judge({"celery": ["5.8.0rc1"]}, ranges, ["transport"])[0] != []


def test_the_controller_reads_the_project_s_locks(tmp_path: Path) -> None:
    (tmp_path / "a.lock").write_text("celery==5.4.0 \\\n    --hash=sha256:aa\n")
    (tmp_path / "b.lock").write_text("redis==4.6.0\nDjango_Celery.Results==2.6.0\n")
    locks = [str(tmp_path / name) for name in ("a.lock", "b.lock", "none.lock")]
    found = unsupported_versions.unsupported_versions(locks, ["transport"])
    assert [one.split(" comes")[0] for one in found["refused"]] == ["celery 5.4.0", "redis 4.6.0"]
    assert found["warned"] == []
    assert unsupported_versions.unsupported_versions(locks, [])["refused"] == []
    (tmp_path / "a.lock").write_text("celery==5.6.3\nkombu==5.7.0\n")
    assert unsupported_versions.unsupported_versions(locks[:1], ["transport"]) == {"refused": [], "warned": []}


def test_parts_that_hang_on_nobody_are_those_without_a_line_in_the_runtime_s_table() -> None:
    spec = importlib.util.spec_from_file_location("internals", ROOT / "celery_runtime/src/celery_runtime/internals.py")
    assert spec and spec.loader
    internals = importlib.util.module_from_spec(spec)
    sys.modules["internals"] = internals
    spec.loader.exec_module(internals)
    text = (ROOT / "celery_runtime/src/celery_runtime/parts.py").read_text()
    (line,) = re.findall(r"^PARTS = \((.+)\)$", text, re.MULTILINE)
    dependent = set().union(*(group.parts for group in internals.INTERNALS))
    assert set(re.findall(r'"(\w+)"', line)) - dependent == supported.INDEPENDENT
    assert (
        f"INDEPENDENT = frozenset({{{', '.join(repr(one) for one in sorted(supported.INDEPENDENT))}}})".replace(
            "'", '"'
        )
        in text
    )


@pytest.mark.parametrize(
    ("parts", "refused", "warned"), [(["transport", "memory"], 1, 0), (["memory"], 0, 1), ([], 0, 1)]
)
def test_preflight_judges_what_lies_on_the_controller(
    role: Callable[..., Role], tmp_path: Path, parts: list[str], refused: int, warned: int
) -> None:
    (tmp_path / "requirements.lock").write_text("celery==5.4.0 \\\n    --hash=sha256:aa\n")
    inputs = {"django_project_source": str(tmp_path), "django_project_requirements": ["requirements.lock"]}
    found = role("django_project", **inputs, django_project_runtime={"parts": parts}).evaluate(
        "__django_project_versions"
    )
    assert (len(found["refused"]), len(found["warned"])) == (refused, warned)
    # Of a repository nothing is known before it is fetched.
    inputs["django_project_source"] = ""
    found = role("django_project", **inputs, django_project_runtime={"parts": parts}).evaluate(
        "__django_project_versions"
    )
    assert found == {"refused": [], "warned": []}
