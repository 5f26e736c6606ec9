"""Cleaning up, without leaving the folder that is to be cleaned."""

import os
import time

import pytest
from housekeeping.tasks import echo, remove_old_files
from pydantic import ValidationError

OLD = time.time() - 8 * 24 * 3600


@pytest.fixture
def root(tmp_path, settings):
    settings.MEDIA_ROOT = tmp_path / "media"
    folder = tmp_path / "media" / "tmp"
    folder.mkdir(parents=True)
    return folder


def aged(path, content="x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    os.utime(path, (OLD, OLD))
    return path


def test_old_files_go_and_new_ones_stay(root):
    old, deep, new = aged(root / "old", "12345"), aged(root / "a" / "b" / "old"), root / "new"
    new.write_text("x")
    other = aged(root.parent / "avatar")
    assert remove_old_files(job={"days": 7}) == {"files": 2, "bytes": 6, "failed": 0}
    assert not old.exists() and not deep.exists()
    assert new.exists() and other.exists()
    assert remove_old_files(job={"days": 7})["files"] == 0


def test_empty_old_folders_go(root):
    (root / "empty").mkdir()
    aged(root / "full" / "new").touch()
    for name in ("empty", "full"):
        os.utime(root / name, (OLD, OLD))
    remove_old_files(job={"days": 7})
    assert sorted(path.name for path in root.iterdir()) == ["full"]


def test_links_are_never_followed(root, tmp_path):
    precious = aged(tmp_path / "outside" / "precious")
    (root / "folder").symlink_to(precious.parent)
    link = root / "file"
    link.symlink_to(precious)
    os.utime(link, (OLD, OLD), follow_symlinks=False)
    os.utime(root / "folder", (OLD, OLD), follow_symlinks=False)
    assert remove_old_files(job={"days": 7})["files"] == 2
    assert precious.exists()
    assert list(root.iterdir()) == []


def test_a_root_that_is_a_link_is_not_entered(root, tmp_path):
    precious = aged(tmp_path / "outside" / "precious")
    root.rmdir()
    root.symlink_to(precious.parent)
    assert remove_old_files(job={"days": 7})["files"] == 0
    assert precious.exists()


def test_a_missing_root_is_no_error(root):
    root.rmdir()
    assert remove_old_files(job={"days": 7}) == {"files": 0, "bytes": 0, "failed": 0}


@pytest.mark.parametrize("days", [0, -1, 3651, "7", 7.5, None, True])
def test_days_are_validated(root, days):
    keep = aged(root / "old")
    with pytest.raises(ValidationError):
        remove_old_files(job={"days": days})
    assert keep.exists()


def test_echo():
    assert echo(job={"text": "hi", "numbers": [1, 2]}) == {"text": "hi", "numbers": [1, 2], "sum": 3}
    with pytest.raises(ValidationError):
        echo(job={"text": "x" * 201})
