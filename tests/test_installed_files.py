"""Files of credentials and certificates, and templates that are rendered once a file."""

from __future__ import annotations

from collections.abc import Callable

import installed_files
from conftest import Role


def test_a_secret_is_root_s_alone() -> None:
    files = installed_files.secret_files({"b": "two", "A": "one"}, {"KEY": "x"}, "/etc/shop")
    assert [(file["dest"], file["content"]) for file in files] == [
        ("/etc/shop/credentials/A", "one"),
        ("/etc/shop/credentials/b", "two"),
        ("/etc/shop/environment.secret", 'KEY="x"\n'),
    ]
    assert {file["mode"] for file in files} == {"0600"}


def test_keys_of_given_certificates_are_apart_from_what_may_be_shown() -> None:
    signed = [{"item": {"item": "redis"}, "certificate": "\nsigned\n"}]
    own = {"front": {"certificate": " cert\n", "key": "key"}}
    files = installed_files.certificate_files(signed, ["front"], own, "authorities", "/tls")
    assert [(file["dest"], file["content"]) for file in files["files"]] == [
        ("/tls/ca.pem", "authorities\n"),
        ("/tls/redis.pem", "signed\n"),
        ("/tls/front.pem", "cert\n"),
    ]
    assert files["sensitive_files"] == [{"dest": "/tls/front.key", "content": "key\n", "mode": "0600"}]
    assert installed_files.certificate_files([], [], {}, "", "/tls") == {"files": [], "sensitive_files": []}


def test_each_file_is_rendered_with_its_own_variables(role: Callable[..., Role]) -> None:
    wanted = [{"name": f"{name}.target", "description": "x {{ y }}"} for name in ("a", "b")]
    found = role("systemd_unit", systemd_unit_units=wanted).evaluate(
        "lookup('plainhost.stack.rendered_files', 'unit.j2', systemd_unit_units | map('plainhost.stack.unit_file') | list)"
    )
    assert [file["dest"] for file in found] == ["/etc/systemd/system/a.target", "/etc/systemd/system/b.target"]
    # What is rendered is text, and isn't taken for a template again.
    assert all("Description=x {{ y }}" in file["content"] for file in found)
