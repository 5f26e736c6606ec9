"""The part of a build that is root's: which hosts a step may reach, and what of the host's environment it gets."""

from __future__ import annotations

from pathlib import Path

import build
import compilers
import pytest


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("https://git.example.com/team/shop.git", "git.example.com"),
        ("https://user:pass@index.example.com:8443/simple", "index.example.com"),
        ("ssh://git@git.example.com:2222/team/shop.git", "git.example.com"),
        ("git@git.example.com:team/shop.git", "git.example.com"),
        ("git@[2001:db8::1]:shop.git", "2001:db8::1"),
        ("/srv/git/shop.git", ""),
        ("./shop:1.git", ""),
        ("file:///srv/git/shop.git", ""),
    ],
)
def test_the_host_of_an_address_is_found(address: str, host: str) -> None:
    assert build.host_of(address) == host


def test_without_an_index_the_default_one_is_reached() -> None:
    assert build.index_hosts({}) == (["pypi.org", "files.pythonhosted.org"], [])
    more = {"UV_INDEX": "https://a.example.com/s name=https://b.example.com/s"}
    assert build.index_hosts(more)[0] == ["a.example.com", "b.example.com", "pypi.org", "files.pythonhosted.org"]


def test_an_index_of_one_s_own_is_reached_in_place_of_the_default_one() -> None:
    assert build.index_hosts({"UV_DEFAULT_INDEX": "https://u:p@index.example.com/simple"}) == (
        ["index.example.com"],
        [],
    )


def test_behind_a_proxy_only_that_must_be_found() -> None:
    assert build.index_hosts({"HTTPS_PROXY": "proxy.example.com:3128"}) == (
        ["proxy.example.com"],
        ["pypi.org", "files.pythonhosted.org"],
    )


def test_with_wheels_alone_nothing_is_reached() -> None:
    assert build.index_hosts({"UV_OFFLINE": "1", "HTTPS_PROXY": "http://proxy.example.com"}) == ([], [])


def test_a_step_finds_names_in_a_file_and_reaches_their_addresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {"index.example.com": ["192.0.2.1", "2001:db8::1"]}
    monkeypatch.setattr(build, "addresses", lambda name: known.get(name, []))
    directives = build.network(["index.example.com"], ["unknown.example.com"], tmp_path / "hosts")
    assert directives == [
        f"BindReadOnlyPaths={tmp_path}/hosts:/etc/hosts",
        "IPAddressAllow=192.0.2.1",
        "IPAddressAllow=2001:db8::1",
    ]
    assert (tmp_path / "hosts").read_text().splitlines()[2:] == [
        "192.0.2.1 index.example.com",
        "2001:db8::1 index.example.com",
    ]
    with pytest.raises(build.Refused, match="no address found"):
        build.network(["unknown.example.com"], [], tmp_path / "hosts")


def test_only_indexes_and_proxies_come_from_the_host(tmp_path: Path) -> None:
    file = tmp_path / "index.env"
    file.write_text("# ours\nUV_DEFAULT_INDEX='https://u:p w@index.example.com/simple'\nUV_NO_CONFIG=1\n")
    host = {
        "https_proxy": "http://proxy",
        "LD_PRELOAD": "x.so",
        "UV_PYTHON": "/tmp/x",
        "UV_DEFAULT_INDEX": "https://other",
        "PIP_INDEX_URL": "https://o",
    }
    assert build.index_of(file, host) == {
        "https_proxy": "http://proxy",
        "PIP_INDEX_URL": "https://o",
        "UV_DEFAULT_INDEX": "https://u:p w@index.example.com/simple",
        "UV_NO_CONFIG": "1",
    }


def test_a_library_that_goes_with_the_compilers_is_named_where_something_was_built_with_it(tmp_path: Path) -> None:
    folder = tmp_path / "lib/python3.13/site-packages"
    folder.mkdir(parents=True)
    # As the loader finds it, https://refspecs.linuxfoundation.org/elf/gabi4+/ch5.dynamic.html: a name between zeros.
    (folder / "_psycopg.cpython-313-x86_64-linux-gnu.so").write_bytes(b"\x7fELF...\0libpq.so.5\0libc.so.6\0")
    (folder / "plain.so").write_bytes(b"\x7fELF...\0libc.so.6\0")
    libraries = {"libpq5": ["libpq.so.5", "libpq.so.5.17"], "libisl23": ["libisl.so.23"]}
    assert compilers.needed(tmp_path, libraries) == {"libpq5": "_psycopg.cpython-313-x86_64-linux-gnu.so"}
    assert compilers.needed(tmp_path, {}) == {}


def test_an_interpreter_that_others_may_write_to_or_that_is_not_there_is_refused(tmp_path: Path) -> None:
    python = tmp_path / "python3"
    assert build.interpreter_fault(python) == "is not on this host"
    python.touch()
    python.chmod(0o777)
    assert build.interpreter_fault(python) == "doesn't belong to root alone"
    # Through a link, whoever owns that.
    (tmp_path / "link").symlink_to("/usr/bin/python3")
    assert build.interpreter_fault(tmp_path / "link") == ""
