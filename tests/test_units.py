"""The sandbox's directives as units, drop-ins and commands get them."""

from __future__ import annotations

import pytest
import units
import yaml
from ansible.errors import AnsibleFilterError
from conftest import ROOT


def values(lines: list[str], name: str) -> list[str]:
    return [line.partition("=")[2] for line in lines if line.startswith(f"{name}=")]


def test_defaults_are_what_the_role_documents() -> None:
    specs = yaml.safe_load((ROOT / "roles/systemd_unit/meta/argument_specs.yml").read_text())["argument_specs"]
    options = specs["main"]["options"]["systemd_unit_units"]["options"]
    # Of text there is none, where the specs have no default.
    documented = {
        name: option.get("default", "")
        for name, option in options.items()
        if not option.get("required") and name not in ("enabled", "state", "restart_on")
    }
    assert documented == units.DEFAULTS


def test_a_unit_without_peers_has_no_network_and_one_with_peers_has_them_alone() -> None:
    alone = units.sandbox_directives({})
    assert "PrivateNetwork=yes" in alone
    assert values(alone, "RestrictAddressFamilies") == ["AF_UNIX"]
    peers = units.sandbox_directives({"egress": ["localhost", "resolved", "192.0.2.0/24"]})
    assert "PrivateNetwork=yes" not in peers
    assert values(peers, "IPAddressDeny") == ["any"]
    assert values(peers, "IPAddressAllow") == ["localhost", "192.0.2.0/24"]
    assert values(units.sandbox_directives({"egress": ["any"]}), "IPAddressDeny") == []


def test_only_named_programs_may_be_executed() -> None:
    lines = units.sandbox_directives({"python": False, "exec_paths": ["/usr/sbin/nginx"], "read_write_paths": ["/srv"]})
    assert values(lines, "ExecPaths") == ["/usr/lib /usr/sbin/nginx"]
    assert values(lines, "NoExecPaths") == ["/ /run -/run/lock /tmp /var/tmp /srv"]
    assert "/usr/bin/python3" in values(units.sandbox_directives({}), "ExecPaths")[0].split()


def test_folders_that_systemd_makes_for_a_unit_hold_no_program() -> None:
    unit = {
        "directives": {"RuntimeDirectory": "nginx nginx/more", "CacheDirectory": ["nginx"], "StateDirectory": "shop"}
    }
    closed = values(units.sandbox_directives(unit), "NoExecPaths")[0].split()
    assert closed[-4:] == ["/run/nginx", "/run/nginx/more", "/var/cache/nginx", "/var/lib/shop"]


def test_a_command_has_none_of_the_folders_of_the_unit_that_it_runs_like() -> None:
    unit = {"directives": {"RuntimeDirectory": "shop"}}
    seen = units.command_file({"path": "/usr/local/sbin/shop", "exec": "true"}, unit)["vars"]["__unit"]
    assert "/run/shop" not in values(units.sandbox_directives(seen), "NoExecPaths")[0].split()
    own = units.command_file({"path": "/usr/local/sbin/shop", "exec": "true", "unit": unit}, {})["vars"]["__unit"]
    assert "/run/shop" in values(units.sandbox_directives(own), "NoExecPaths")[0].split()


def test_whoever_needs_no_new_connections_takes_none() -> None:
    assert units.DEAF in units.sandbox_directives({})
    assert units.DEAF not in units.sandbox_directives({"listens": True})


def test_a_drop_in_takes_back_every_list_before_its_own_begins() -> None:
    lines = units.sandbox_directives({"egress": ["192.0.2.1"], "read_write_paths": ["/srv"]}, True)
    for name in units.LISTS:
        assert values(lines, name)[0] == ""
    assert lines[len(units.LISTS) :] == units.sandbox_directives(
        {"egress": ["192.0.2.1"], "read_write_paths": ["/srv"]}
    )


def test_a_directive_that_is_named_is_left_out_and_no_other() -> None:
    everything = units.sandbox_directives({})
    assert set(everything) - set(units.sandbox_directives({"sandbox_without": ["RemoveIPC"]})) == {"RemoveIPC=yes"}


def test_a_misspelt_directive_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="RemoveIpc"):
        units.sandbox_directives({"sandbox_without": ["RemoveIpc"]})


def test_what_is_staged_is_taken_from_there_and_nothing_else_changes() -> None:
    unit = {
        "user": "shop",
        "environment_files": ["/opt/shop/current/environment", "/etc/shop/environment.secret", "/etc/shopping/x"],
        "credentials": {"key": "/etc/shop/credentials/key", "other": "/srv/etc/shop/credentials/other"},
    }
    assert units.staged_unit(unit, "/etc/shop", "/etc/shop/staged") == {
        "user": "shop",
        "environment_files": [
            "/opt/shop/current/environment",
            "/etc/shop/staged/environment.secret",
            "/etc/shopping/x",
        ],
        "credentials": {"key": "/etc/shop/staged/credentials/key", "other": "/srv/etc/shop/credentials/other"},
    }
    assert units.staged_unit({}, "/etc/shop", "/etc/shop/staged") == {"environment_files": [], "credentials": {}}
