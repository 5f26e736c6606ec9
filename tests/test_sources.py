"""What a release is made of beside a project's folder: a package of the index, its locks, files of the inventory's."""

from __future__ import annotations

from pathlib import Path

import pytest
from sources import file_faults, lock_faults, package_faults, source_files
from unsupported_versions import pinned_versions

PIN = "shop-shelf[pg]==1.2 --hash=sha256:0\n"


@pytest.fixture(name="lock")
def _lock(tmp_path: Path) -> str:
    path = tmp_path / "shop.lock"
    path.write_text(PIN)
    return str(path)


@pytest.mark.parametrize("package", ["shop-shelf==1.2", "Shop_Shelf[pg,more]==1.2"])
def test_a_package_that_its_lock_pins_is_right(package: str, lock: str) -> None:
    assert package_faults(package, [lock], pinned_versions([lock]), True) == []


@pytest.mark.parametrize(
    ("package", "fault"),
    [
        ("shop-shelf", "write name==version"),
        ("shop-shelf>=1.2", "write name==version"),
        ("shop-shelf==1.2 --index-url=https://x", "write name==version"),
        ("shop-shelf==1.3", "pins 1.2: make the lock anew, or name that version"),
        ("other==1", "pins no version of it"),
    ],
)
def test_a_package_that_is_wrong(package: str, fault: str, lock: str) -> None:
    [found] = package_faults(package, [lock], pinned_versions([lock]), True)
    assert found.startswith(f"django_project_package is '{package}'")
    assert fault in found


def test_a_package_without_a_lock_asks_for_one_with_the_command_unless_hashes_are_not_required() -> None:
    [found] = package_faults("shop==1", [], {}, True)
    assert "echo 'shop==1' | uv pip compile" in found
    assert package_faults("shop==1", [], {}, False) == []
    assert package_faults("", [], {}, True) == []


def test_a_package_s_lock_and_the_inventory_s_files_are_its_source(lock: str) -> None:
    found = source_files({"settings.py": "from shop.settings import *\n"}, "shop-shelf==1.2", [lock])
    assert found == {"shop.lock": PIN, "settings.py": "from shop.settings import *\n"}
    # A folder's own locks lie in it.
    assert source_files({}, "", [lock]) == {}


@pytest.mark.parametrize("name", ["poetry.lock", "sub/pdm.lock", "Pipfile.lock"])
def test_a_lock_that_uv_does_not_read_is_refused_with_the_command(name: str) -> None:
    [found] = lock_faults(["requirements.lock", name, "uv.lock", "pylock.toml"])
    assert f"has {name}, which uv doesn't read: run `" in found


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        ({"/etc/x": ""}, "has '/etc/x': name files below the source"),
        ({"a/../b": ""}, "has 'a/../b'"),
        ({"a.json": {"a": 1}}, "a.json is no text"),
        ({"a.ini": "password = 12345678"}, "a.ini holds the secret database_password"),
    ],
)
def test_a_file_that_is_wrong(files: dict[str, object], fault: str) -> None:
    [found] = file_faults(files, {"database_password": "12345678", "short": "a"})
    assert fault in found
    # It tells which, and not what.
    assert "12345678" not in found


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("uv.lock", '[[package]]\nname = "Django"\nversion = "5.2"\n[[package]]\nname = "site"\n'),
        ("pylock.toml", '[[packages]]\nname = "django"\nversion = "5.2"\n'),
        ("requirements.lock", "Django==5.2 \\\n    --hash=sha256:0\n"),
    ],
)
def test_the_controller_reads_what_each_kind_of_lock_pins(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    assert pinned_versions([str(tmp_path / name)]) == {"django": ["5.2"]}


def test_a_broken_lock_is_for_the_build_to_tell(tmp_path: Path) -> None:
    (tmp_path / "uv.lock").write_text("[[")
    assert pinned_versions([str(tmp_path / "uv.lock"), str(tmp_path / "none")]) == {}
