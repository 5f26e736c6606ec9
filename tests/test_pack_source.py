"""The archive of a project's source: the same folder is the same digest, and what must stay behind stays behind."""

from __future__ import annotations

import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from pack_source import digest, digest_of_texts, listed, outside, pack, pack_texts, strays


def project(folder: Path) -> Path:
    (folder / "app").mkdir(parents=True)
    (folder / "manage.py").write_text("print()\n")
    (folder / "app/models.py").write_text("x = 1\n")
    (folder / "app/models.pyc").write_text("compiled")
    (folder / ".env").write_text("SECRET=1\n")
    return folder


def test_excluded_names_stay_behind(tmp_path: Path) -> None:
    names = listed(project(tmp_path), [".env", "*.pyc"])
    assert names == ["app/models.py", "manage.py"]


def test_ignored_files_of_a_work_tree_stay_behind(tmp_path: Path) -> None:
    project(tmp_path)
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    (tmp_path / ".gitignore").write_text(".env\n*.pyc\n")
    assert listed(tmp_path, [".gitignore"]) == ["app/models.py", "manage.py"]


def test_a_folder_that_is_ignored_as_a_whole_can_be_packed(tmp_path: Path) -> None:
    project(tmp_path / "ignored")
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    (tmp_path / ".gitignore").write_text("*\n")
    assert listed(tmp_path / "ignored", [".env", "*.pyc"]) == []
    assert listed(tmp_path / "ignored", [".env", "*.pyc"], gitignore=False) == ["app/models.py", "manage.py"]


def test_digest_says_what_is_in_it_and_nothing_else(tmp_path: Path) -> None:
    one, other = project(tmp_path / "one"), project(tmp_path / "other")
    os.utime(other / "manage.py", (1, 1))
    first = digest(one, listed(one, []))
    assert digest(other, listed(other, [])) == first
    (other / "manage.py").write_text("print(1)\n")
    assert digest(other, listed(other, [])) != first


def test_digest_sees_names_modes_and_links(tmp_path: Path) -> None:
    project(tmp_path)
    seen = {digest(tmp_path, listed(tmp_path, []))}
    (tmp_path / "manage.py").chmod(0o755)
    seen.add(digest(tmp_path, listed(tmp_path, [])))
    (tmp_path / "manage.py").rename(tmp_path / "other.py")
    seen.add(digest(tmp_path, listed(tmp_path, [])))
    (tmp_path / "link").symlink_to("other.py")
    seen.add(digest(tmp_path, listed(tmp_path, [])))
    assert len(seen) == 4


def test_archive_is_reproducible_and_root_s(tmp_path: Path) -> None:
    source = project(tmp_path / "source")
    pack(source, listed(source, []), tmp_path / "a.tar.gz")
    os.utime(source / "manage.py", (1, 1))
    pack(source, listed(source, []), tmp_path / "b.tar.gz")
    assert (tmp_path / "a.tar.gz").read_bytes() == (tmp_path / "b.tar.gz").read_bytes()
    with tarfile.open(tmp_path / "a.tar.gz") as tar:
        assert {(item.uid, item.gid, item.mode) for item in tar} == {(0, 0, 0o644)}


@pytest.mark.parametrize("target", ["/etc/shop/credentials/secret_key", "../../etc/passwd", "app/../../x"])
def test_a_link_that_leads_out_is_named(tmp_path: Path, target: str) -> None:
    src = project(tmp_path / "src")
    (src / "more.txt").symlink_to(target)
    assert strays(src, listed(src, [])) == [f"more.txt -> {target}"]


@pytest.mark.parametrize("target", ["models.py", "../manage.py", "..", "missing"])
def test_a_link_that_stays_inside_is_packed(tmp_path: Path, target: str) -> None:
    src = project(tmp_path / "src")
    (src / "app/link").symlink_to(target)
    assert strays(src, listed(src, [])) == []


def test_texts_are_packed_as_a_folder_with_them_is(tmp_path: Path) -> None:
    folder, files = project(tmp_path / "folder"), {"manage.py": "print()\n", "app/models.py": "x = 1\n"}
    assert digest_of_texts(files) == digest(folder, sorted(files))
    pack(folder, sorted(files), tmp_path / "one.tar.gz")
    pack_texts(files, tmp_path / "two.tar.gz")
    assert (tmp_path / "one.tar.gz").read_bytes() == (tmp_path / "two.tar.gz").read_bytes()
    assert digest_of_texts(files | {"manage.py": "print(1)\n"}) != digest_of_texts(files)


def test_a_text_s_path_stays_below_the_folder() -> None:
    assert outside(["a.ini", "a/b.ini", ".env"]) == []
    wrong = ["", ".", "/a", "../a", "a/../b", "a//b", "./a", "a/"]
    assert outside(wrong) == wrong
