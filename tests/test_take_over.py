"""Taking a built tree over: what has no place in a release is refused by name, and what is copied has lost all of its maker's holds."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from take_over import Tree, take_over

INTERPRETERS = frozenset({"/usr/bin/python3", "/usr/bin/python3.11"})
SEEN_AS = "/opt/shop/live"


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """Return a tree as a build leaves it."""
    tree = tmp_path / "tree"
    (tree / "src/app").mkdir(parents=True)
    (tree / "venv/bin").mkdir(parents=True)
    (tree / "src/app/models.py").write_text("x = 1\n")
    (tree / "venv/bin/python").symlink_to("/usr/bin/python3")
    (tree / "venv/bin/python3").symlink_to("python")
    (tree / "venv/lib").mkdir()
    (tree / "venv/lib64").symlink_to("lib")
    return tree


def taken(tree: Path, owner: int | None = None) -> tuple[list[str], Path]:
    """Take a tree over; return the faults and where it went."""
    into = tree.parent / "release"
    into.mkdir(exist_ok=True)
    wanted = Tree(tree, os.getuid() if owner is None else owner, SEEN_AS, INTERPRETERS)
    return take_over(wanted, ["src", "venv"], into), into


def test_a_good_tree_is_taken_over_as_it_is(made: Path) -> None:
    os.utime(made / "src/app/models.py", ns=(1_000_000_007, 1_000_000_007))
    faults, into = taken(made)
    assert faults == []
    assert (into / "src/app/models.py").read_text() == "x = 1\n"
    # Bytecode names the time of its source.
    assert (into / "src/app/models.py").stat().st_mtime_ns == 1_000_000_007
    assert (into / "venv/bin/python3").readlink() == Path("python")
    assert sorted(path.name for path in into.iterdir()) == ["src", "venv"]


def test_modes_and_other_names_are_not_taken_over(made: Path) -> None:
    file = made / "src/app/models.py"
    file.chmod(0o677)
    (made / "src/app").chmod(0o777)
    other = made / "src/other.py"
    os.link(file, other)
    held = file.open("a")
    faults, into = taken(made)
    held.write("import evil\n")
    held.close()
    assert faults == []
    assert [(into / name).stat().st_mode & 0o7777 for name in ("src/app", "src/app/models.py")] == [0o755, 0o644]
    assert (into / "src/app/models.py").read_text() == "x = 1\n"
    assert (into / "src/app/models.py").stat().st_nlink == 1


@pytest.mark.parametrize(
    ("target", "fits"),
    [
        ("other.css", True),
        ("../css/other.css", True),
        (f"{SEEN_AS}/static/css/other.css", True),
        ("../../src/app/models.py", False),
        (f"{SEEN_AS}/src/app/models.py", False),
        (f"{SEEN_AS}/static", True),
        ("/usr/bin/python3", False),
    ],
)
@pytest.mark.parametrize("folder", ["css", "bin"])
def test_what_a_front_serves_has_no_link_to_the_rest_of_the_release(
    made: Path, folder: str, target: str, fits: bool
) -> None:
    (made / "static" / folder).mkdir(parents=True)
    (made / "static" / folder / "link").symlink_to(target)
    into = made.parent / "release"
    into.mkdir()
    faults = take_over(Tree(made, os.getuid(), SEEN_AS, INTERPRETERS, apart=True), ["static"], into)
    assert (faults == []) is fits
    assert (into / "static").exists() is fits


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("/etc/shop/credentials/secret_key", "out of the release"),
        ("/usr/bin/python3", "out of the release"),
        ("../../../etc/passwd", "out of the release"),
        ("app/../../../x", "by a detour"),
        (f"{SEEN_AS}/../../x", "out of the release"),
        (f"{SEEN_AS}other/x", "out of the release"),
    ],
)
def test_a_link_that_leads_out_is_refused_by_name(made: Path, target: str, why: str) -> None:
    (made / "src/more.txt").symlink_to(target)
    faults, into = taken(made)
    assert len(faults) == 1
    assert faults[0].startswith("src/more.txt is a link that leads")
    assert why in faults[0]
    assert list(into.iterdir()) == []


@pytest.mark.parametrize("target", ["app/models.py", "../venv/lib", f"{SEEN_AS}/src/app", ".", "missing"])
def test_a_link_that_stays_inside_is_kept(made: Path, target: str) -> None:
    (made / "src/link").symlink_to(target)
    assert taken(made)[0] == []


@pytest.mark.parametrize("mode", [0o4755, 0o2755])
def test_a_file_with_rights_of_its_owner_is_refused(made: Path, mode: int) -> None:
    (made / "src/app/models.py").chmod(mode)
    (fault,) = taken(made)[0]
    assert fault.startswith("src/app/models.py would run with rights")


@pytest.mark.parametrize("kind", ["fifo", "socket", "device"])
def test_what_is_no_file_is_refused_and_not_opened(made: Path, kind: str) -> None:
    path = made / "src/odd"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        here = Path.cwd()
        os.chdir(path.parent)
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(path.name)
        os.chdir(here)
    else:
        if os.getuid() != 0:
            pytest.skip("only root makes devices")
        try:
            os.mknod(path, 0o600 | 0o020000, os.makedev(1, 3))
        except PermissionError:
            pytest.skip("no devices can be made here")
    (fault,) = taken(made)[0]
    assert fault == "src/odd is neither a file, a directory nor a link"


def test_what_another_account_owns_is_refused(made: Path) -> None:
    faults, into = taken(made, os.getuid() + 1)
    assert faults[0] == "src isn't of the account that made the release"
    assert list(into.iterdir()) == []


def test_an_interpreter_of_a_wheel_s_own_is_refused(made: Path) -> None:
    (made / "venv/bin/python").unlink()
    (made / "venv/bin/python").write_text("#!/bin/sh\n")
    (fault,) = taken(made)[0]
    assert fault == "venv/bin/python is not the interpreter that the environment was made with"


def test_a_name_is_shown_so_that_it_forges_no_output(made: Path) -> None:
    (made / "src/a\nok: [host] \x1b[2J").symlink_to("/etc/passwd")
    (fault,) = taken(made)[0]
    assert "\n" not in fault
    assert "\x1b" not in fault


def test_a_refused_tree_leaves_what_was_there(made: Path) -> None:
    taken(made)
    (made / "src/app/models.py").write_text("x = 2\n")
    (made / "venv/bad").symlink_to("/etc")
    faults, into = taken(made)
    assert faults
    assert (into / "src/app/models.py").read_text() == "x = 1\n"
    (made / "venv/bad").unlink()
    faults, into = taken(made)
    assert (faults, (into / "src/app/models.py").read_text()) == ([], "x = 2\n")


def test_half_a_tree_is_refused(made: Path) -> None:
    (made / "venv").rename(made / "other")
    faults, into = taken(made)
    assert faults == ["venv is missing, or went away"]
    assert list(into.iterdir()) == []
