"""The module managed_files, run as a process on a temporary folder."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ME = {"owner": pwd.getpwuid(os.getuid()).pw_name, "group": grp.getgrgid(os.getgid()).gr_name}


@pytest.fixture
def files(run_module: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Return a way to call the module with our own account as the owner of everything."""

    def call(*, check: bool = False, journal: Path | None = None, **arguments: Any) -> dict[str, Any]:
        owned = ("files", "sensitive_files", "directories")
        for item in (item for kind in owned for item in arguments.get(kind, [])):
            for key, value in ME.items():
                item.setdefault(key, value)
        return run_module("managed_files", arguments, check=check, diff=True, journal=journal)

    return call


def mode_of(path: Path) -> str:
    return f"{stat.S_IMODE(path.lstat().st_mode):04o}"


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def prepared(result: dict[str, Any]) -> str:
    return "".join(one["prepared"] for one in result["diff"])


def test_a_file_is_made_with_its_mode_and_then_left_alone(files: Any, tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.conf"
    wanted = {
        "directories": [{"path": str(path.parent), "mode": "0750"}],
        "files": [{"dest": str(path), "content": "a\n", "mode": "0640"}],
    }
    first = files(**wanted)
    assert first["changed_paths"] == [str(path.parent), str(path)]
    assert (path.read_text(), mode_of(path), mode_of(path.parent)) == ("a\n", "0640", "0750")
    inode = path.stat().st_ino
    assert files(**wanted)["changed"] is False
    assert path.stat().st_ino == inode


def test_a_changed_file_is_a_new_one_so_that_no_reader_sees_half_of_it(files: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.conf"
    path.write_text("old\n")
    with path.open() as reader:
        result = files(files=[{"dest": str(path), "content": "new\n"}])
        assert reader.read() == "old\n"
    assert path.read_text() == "new\n"
    assert "-old" in prepared(result)
    assert "+new" in prepared(result)
    assert names_in(tmp_path) == ["a.conf"]


def test_a_wrong_mode_is_put_right_without_a_new_file(files: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.conf"
    path.write_text("a\n")
    path.chmod(0o666)
    inode = path.stat().st_ino
    result = files(files=[{"dest": str(path), "content": "a\n", "mode": "0600"}])
    assert result["changed_paths"] == [str(path)]
    assert (mode_of(path), path.stat().st_ino) == ("0600", inode)


def test_check_mode_says_the_same_and_does_nothing(files: Any, tmp_path: Path) -> None:
    kept, surplus = tmp_path / "kept", tmp_path / "surplus.conf"
    kept.write_text("old\n")
    surplus.write_text("x\n")
    wanted = {
        "directories": [{"path": str(tmp_path / "folder")}],
        "files": [{"dest": str(kept), "content": "new\n"}, {"dest": str(tmp_path / "folder" / "b"), "content": "b\n"}],
        "links": [{"path": str(tmp_path / "link"), "target": "kept"}],
        "purge": [{"directory": str(tmp_path), "patterns": ["*.conf"]}],
    }
    checked = files(check=True, **wanted)
    assert names_in(tmp_path) == ["kept", "surplus.conf"]
    assert kept.read_text() == "old\n"
    assert files(**wanted)["changed_paths"] == checked["changed_paths"]
    assert names_in(tmp_path) == ["folder", "kept", "link"]


@pytest.mark.parametrize("before", [None, "old-secret\n"])
def test_a_sensitive_file_is_not_shown_but_its_change_is(files: Any, tmp_path: Path, before: str | None) -> None:
    path = tmp_path / "secret"
    if before:
        path.write_text(before)
    result = files(sensitive_files=[{"dest": str(path), "content": "new-secret\n"}])
    assert result["changed_paths"] == [str(path)]
    assert "secret\n" not in prepared(result).replace(str(path), "")
    assert "not shown" in prepared(result)
    assert (path.read_text(), mode_of(path)) == ("new-secret\n", "0600")


def test_a_refusal_changes_nothing_and_says_why(files: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.conf"
    path.write_text("good\n")
    result = files(
        files=[{"dest": str(path), "content": "bad\n"}, {"dest": str(tmp_path / "b.conf"), "content": "b\n"}],
        validate=f"if grep -q bad {{staging}}{path}; then echo it says bad; exit 3; fi",
    )
    assert result["failed"] is True
    assert "it says bad" in result["msg"]
    assert "{" not in result["msg"]
    assert (names_in(tmp_path), path.read_text()) == (["a.conf"], "good\n")


def test_what_validates_sees_all_files_and_runs_for_a_change_only(files: Any, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    same, new = tmp_path / "same", tmp_path / "new"
    same.write_text("same\n")
    wanted = {
        "files": [{"dest": str(same), "content": "same\n"}, {"dest": str(new), "content": "new\n"}],
        "validate": f"cat {{staging}}{same} {{staging}}{new} >> {ran}",
    }
    files(**wanted)
    files(**wanted)
    assert ran.read_text() == "same\nnew\n"


def test_an_account_that_does_not_exist_refuses_the_whole_call(files: Any, tmp_path: Path) -> None:
    wanted = [
        {"dest": str(tmp_path / "a"), "content": "a\n"},
        {"dest": str(tmp_path / "b"), "content": "b\n", "owner": "no-such-account"},
    ]
    assert "no-such-account" in files(files=wanted)["msg"]
    assert names_in(tmp_path) == []
    assert files(check=True, files=wanted)["changed"] is True


def test_a_link_is_turned_and_no_file_is_written_through_one(files: Any, tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("untouched\n")
    link.symlink_to("elsewhere")
    assert files(links=[{"path": str(link), "target": "target"}])["changed"] is True
    assert str(link.readlink()) == "target"
    # The same content behind a link is no file of ours either.
    assert files(files=[{"dest": str(link), "content": "untouched\n"}])["changed"] is True
    assert link.is_symlink() is False
    link.unlink()
    link.symlink_to("target")
    files(files=[{"dest": str(link), "content": "mine\n"}])
    assert (link.is_symlink(), link.read_text(), target.read_text()) == (False, "mine\n", "untouched\n")


def test_purge_spares_what_is_wanted_and_what_does_not_match(files: Any, tmp_path: Path) -> None:
    for name in ("wanted.conf", "surplus.conf", "other.txt"):
        (tmp_path / name).write_text("x\n")
    (tmp_path / "linked.conf").symlink_to("other.txt")
    files(
        files=[{"dest": str(tmp_path / "wanted.conf"), "content": "x\n"}],
        links=[{"path": str(tmp_path / "linked.conf"), "target": "other.txt"}],
        purge=[{"directory": str(tmp_path), "patterns": ["*.conf"]}],
        absent=[str(tmp_path / "not-there")],
    )
    assert names_in(tmp_path) == ["linked.conf", "other.txt", "wanted.conf"]


def test_a_file_is_copied_from_another_of_the_host_and_never_shown(files: Any, tmp_path: Path) -> None:
    source, dest = tmp_path / "a.key", tmp_path / "copy.key"
    source.write_text("the key\n")
    wanted = {"sensitive_files": [{"dest": str(dest), "source": str(source), "mode": "0400"}]}
    first = files(**wanted)
    assert (dest.read_text(), mode_of(dest)) == ("the key\n", "0400")
    assert "the key" not in str(first)
    assert first["changed_paths"] == [str(dest)]
    assert files(**wanted)["changed"] is False
    source.write_text("another key\n")
    assert files(**wanted)["changed_paths"] == [str(dest)]
    assert dest.read_text() == "another key\n"


def test_a_source_may_be_missing_in_check_mode_alone(files: Any, tmp_path: Path) -> None:
    wanted = {"files": [{"dest": str(tmp_path / "copy"), "source": str(tmp_path / "missing")}]}
    assert files(check=True, **wanted)["changed_paths"] == [str(tmp_path / "copy")]
    result = files(**wanted)
    assert result["failed"] is True
    assert str(tmp_path / "missing") in result["msg"]
    assert names_in(tmp_path) == []


# Of more than one line, as keys are: the representation of such a text, which is what Ansible logs, is not the text.
KEY = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0IG9mIHRoaXMgdGVzdA\n-----END PRIVATE KEY-----\n"
SECRET = "c2VjcmV0IG9mIHRoaXMgdGVzdA"


@pytest.mark.parametrize("check", [False, True])
def test_what_is_sensitive_is_neither_logged_nor_told_but_its_path_is(files: Any, tmp_path: Path, check: bool) -> None:
    journal, plain, key = tmp_path / "journal", tmp_path / "plain", tmp_path / "key.pem"
    result = files(
        check=check,
        journal=journal,
        files=[{"dest": str(plain), "content": "not secret\n"}],
        sensitive_files=[{"dest": str(key), "content": KEY, "mode": "0640"}],
    )
    assert SECRET not in journal.read_text()
    assert SECRET not in str(result)
    assert result["changed_paths"] == [str(plain), str(key)]
    # The journal did get this call, and whoever looks into it with -vvv finds all else.
    assert str(key) in journal.read_text()
    assert result["invocation"]["module_args"]["sensitive_files"][0]["dest"] == str(key)
    assert result["invocation"]["module_args"]["sensitive_files"][0]["mode"] == "0640"
    assert check or key.read_text() == KEY


def test_a_validation_that_quotes_a_secret_is_told_without_it(files: Any, tmp_path: Path) -> None:
    journal, key = tmp_path / "journal", tmp_path / "key.pem"
    result = files(
        journal=journal,
        sensitive_files=[{"dest": str(key), "content": KEY}],
        validate=f"echo line 2 of {key} is bad; cat {{staging}}{key}; exit 1",
    )
    assert result["failed"] is True
    assert f"line 2 of {key} is bad" in result["msg"]
    assert SECRET not in str(result) + journal.read_text()


def test_a_secret_that_is_also_part_of_a_path_leaves_paths_readable(files: Any, tmp_path: Path) -> None:
    path = tmp_path / "bookshop_user" / "user"
    wanted = {
        "directories": [{"path": str(path.parent)}],
        "sensitive_files": [{"dest": str(path), "content": "bookshop_user"}],
    }
    assert files(**wanted)["changed_paths"] == [str(path.parent), str(path)]
    assert files(**wanted)["changed"] is False


@pytest.mark.parametrize(
    "wrong", [{"mod": "0600"}, {"dest": None}, {"source": "/etc/hostname"}], ids=["unknown", "missing", "both"]
)
def test_arguments_that_are_refused_are_not_told_either(files: Any, tmp_path: Path, wrong: dict[str, Any]) -> None:
    journal = tmp_path / "journal"
    entry = {name: value for name, value in ({"dest": str(tmp_path / "a"), "content": KEY} | wrong).items() if value}
    result = files(journal=journal, sensitive_files=[entry])
    assert result["failed"] is True
    assert SECRET not in str(result)
    assert not journal.exists() or SECRET not in journal.read_text()


def test_a_sensitive_file_is_spared_by_purge(files: Any, tmp_path: Path) -> None:
    (tmp_path / "surplus").write_text("x\n")
    files(
        sensitive_files=[{"dest": str(tmp_path / "wanted"), "content": "x\n"}],
        purge=[{"directory": str(tmp_path), "patterns": ["*"]}],
    )
    assert names_in(tmp_path) == ["wanted"]


def test_what_is_removed_first_is_made_anew_though_it_is_the_same(files: Any, tmp_path: Path) -> None:
    folder = tmp_path / "release"
    wanted = {
        "absent": [str(folder)],
        "directories": [{"path": str(folder)}],
        "files": [{"dest": str(folder / "a"), "content": "a\n"}],
        "links": [{"path": str(folder / "b"), "target": "a"}],
    }
    files(**wanted)
    (folder / "half").touch()
    checked = files(check=True, **wanted)
    assert names_in(folder) == ["a", "b", "half"]
    result = files(**wanted)
    assert names_in(folder) == ["a", "b"]
    assert (
        result["changed_paths"]
        == checked["changed_paths"]
        == [str(path) for path in (folder, folder / "a", folder / "b")]
    )
    assert "+a" in prepared(checked)
