"""The part of a build that touches the project: its source laid out, and its requirements from whichever lock it has, by the real uv."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT
from pack_source import pack_texts

INSIDE = ROOT / "roles/django_project/files/build/inside.py"
UV = Path(sys.prefix) / "bin/uv"


@pytest.fixture
def wheels(tmp_path: Path) -> dict[str, str]:
    """Make an index of three small packages, and return the hash of each."""
    found = {}
    (tmp_path / "index").mkdir()
    for name, needs in (("shop", "Requires-Dist: shelf"), ("shelf", ""), ("drawer", "")):
        path = tmp_path / f"index/{name}-1.0-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as wheel:
            folder = f"{name}-1.0.dist-info"
            wheel.writestr(f"{name}.py", "")
            wheel.writestr(f"{folder}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{needs}\n")
            wheel.writestr(
                f"{folder}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            wheel.writestr(f"{folder}/RECORD", "")
        found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def install(
    tmp_path: Path, files: dict[str, str], *options: str, hashes: bool = True
) -> subprocess.CompletedProcess[str]:
    """Build a tree of a source with these files."""
    pack_texts(files or {"empty": ""}, tmp_path / "source.tar.gz")
    (tmp_path / "tree").mkdir()
    words = [
        sys.executable,
        "-I",
        str(INSIDE),
        "install",
        f"--tree={tmp_path}/tree",
        f"--archive={tmp_path}/source.tar.gz",
        f"--uv={UV}",
    ]
    more = [
        "--no-index",
        f"--find-links={tmp_path}/index",
        "--only-binary=:all:",
        *(["--require-hashes"] if hashes else []),
    ]
    return subprocess.run(
        [*words, f"--python={sys.executable}", *(f"--option={one}" for one in more), *options],
        env={"PATH": "/usr/bin", "UV_CACHE_DIR": f"{tmp_path}/cache"},
        capture_output=True,
        text=True,
        check=False,
    )


def installed(tmp_path: Path) -> set[str]:
    return {
        path.name.partition("-")[0] for path in (tmp_path / "tree/venv").glob("lib/python*/site-packages/*.dist-info")
    }


def uv_lock(wheels: dict[str, str]) -> dict[str, str]:
    def entry(name: str, needs: str = "") -> str:
        file = f'{{ url = "https://index.invalid/{name}-1.0-py3-none-any.whl", hash = "sha256:{wheels[name]}" }}'
        source = 'source = { registry = "https://index.invalid/simple" }'
        return f'[[package]]\nname = "{name}"\nversion = "1.0"\n{source}\n{needs}wheels = [{file}]\n\n'

    project = (
        '[[package]]\nname = "site"\nversion = "1"\nsource = { virtual = "." }\ndependencies = [{ name = "shop" }]\n'
        '[package.optional-dependencies]\nmore = [{ name = "drawer" }]\n'
        '[package.metadata]\nrequires-dist = [{ name = "shop" }, { name = "drawer", marker = "extra == \'more\'" }]\n'
        'provides-extras = ["more"]\n'
    )
    text = 'version = 1\nrevision = 2\nrequires-python = ">=3.11"\n\n'
    text += entry("drawer") + entry("shelf") + entry("shop", 'dependencies = [{ name = "shelf" }]\n') + project
    pyproject = '[project]\nname = "site"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = ["shop"]\n'
    pyproject += '[project.optional-dependencies]\nmore = ["drawer"]\n'
    return {"uv.lock": text, "pyproject.toml": pyproject}


def test_a_uv_lock_is_installed_from_the_deployment_s_own_index(tmp_path: Path, wheels: dict[str, str]) -> None:
    done = install(tmp_path, uv_lock(wheels), "--requirement=uv.lock")
    assert (done.returncode, done.stderr) == (0, "")
    assert installed(tmp_path) == {"shop", "shelf"}


def test_an_extra_of_the_project_s_own_is_taken_from_its_uv_lock(tmp_path: Path, wheels: dict[str, str]) -> None:
    done = install(tmp_path, uv_lock(wheels), "--requirement=uv.lock", "--extra=more")
    assert (done.returncode, done.stderr) == (0, "")
    assert installed(tmp_path) == {"shop", "shelf", "drawer"}


def test_another_hash_in_a_uv_lock_is_refused(tmp_path: Path, wheels: dict[str, str]) -> None:
    done = install(tmp_path, uv_lock(wheels | {"shelf": "0" * 64}), "--requirement=uv.lock")
    assert done.returncode != 0
    assert "Hash mismatch for `shelf==1.0`" in done.stderr


def test_a_uv_lock_that_uv_can_t_read_is_refused(tmp_path: Path, wheels: dict[str, str]) -> None:
    done = install(tmp_path, uv_lock(wheels) | {"uv.lock": "version = 1\n[[package\n"}, "--requirement=uv.lock")
    assert done.returncode == 1
    assert "uv.lock can't be read (django_project_requirements)" in done.stderr


def pylock(wheels: dict[str, str]) -> str:
    text = 'lock-version = "1.0"\ncreated-by = "x"\n'
    for name, marker in (("shop", ""), ("shelf", ""), ("drawer", "marker = \"python_version < '3'\"\n")):
        url = f"https://index.invalid/{name}-1.0-py3-none-any.whl"
        text += f'[[packages]]\nname = "{name}"\nversion = "1.0"\n{marker}'
        text += f'wheels = [{{ url = "{url}", hashes = {{ sha256 = "{wheels[name]}" }} }}]\n'
    return text


def test_a_pylock_is_installed_from_the_deployment_s_own_index(tmp_path: Path, wheels: dict[str, str]) -> None:
    done = install(tmp_path, {"pylock.web.toml": pylock(wheels)}, "--requirement=pylock.web.toml")
    assert (done.returncode, done.stderr) == (0, "")
    assert installed(tmp_path) == {"shop", "shelf"}


def test_what_a_pylock_has_from_elsewhere_is_refused(tmp_path: Path, wheels: dict[str, str]) -> None:
    text = pylock(wheels) + '[[packages]]\nname = "other"\nvcs = { type = "git", url = "https://git.invalid/x" }\n'
    done = install(tmp_path, {"pylock.toml": text}, "--requirement=pylock.toml")
    assert done.returncode == 1
    assert "pylock.toml (django_project_requirements): other is not pinned" in done.stderr


def test_constraints_and_hashes_of_a_requirements_file_hold(tmp_path: Path, wheels: dict[str, str]) -> None:
    files = {"requirements/base.txt": "-c ../limits.txt\nshop\n", "limits.txt": "shop==2.0\n"}
    done = install(tmp_path, files, "--requirement=requirements/base.txt", hashes=False)
    assert done.returncode != 0
    assert "shop==2.0" in done.stderr
    assert wheels


def test_a_package_is_installed_without_a_source(tmp_path: Path, wheels: dict[str, str]) -> None:
    done = install(tmp_path, {}, "--package=shop==1.0", hashes=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert installed(tmp_path) == {"shop", "shelf"}
    assert wheels


def test_a_file_takes_the_place_of_the_project_s_own_and_of_a_link(tmp_path: Path, wheels: dict[str, str]) -> None:
    pack_texts({"etc/site.ini": "ours\n", "new/one.ini": "ours\n"}, tmp_path / "files.tar.gz")
    (tmp_path / "clone/etc").mkdir(parents=True)
    (tmp_path / "clone/etc/other.ini").write_text("theirs\n")
    (tmp_path / "clone/etc/site.ini").symlink_to("other.ini")
    (tmp_path / "tree").mkdir()
    words = [sys.executable, "-I", str(INSIDE), "install", f"--tree={tmp_path}/tree", f"--checkout={tmp_path}/clone"]
    words += [f"--archive={tmp_path}/files.tar.gz", f"--uv={UV}", f"--python={sys.executable}", "--package=shelf==1.0"]
    words += ["--option=--no-index", f"--option=--find-links={tmp_path}/index"]
    subprocess.run(words, env={"PATH": "/usr/bin", "UV_CACHE_DIR": f"{tmp_path}/cache"}, check=True)
    src = tmp_path / "tree/src"
    texts = {str(path.relative_to(src)): path.read_text() for path in src.rglob("*.ini")}
    assert texts == {"etc/site.ini": "ours\n", "etc/other.ini": "theirs\n", "new/one.ini": "ours\n"}
    assert not (src / "etc/site.ini").is_symlink()
    assert wheels
