"""What a service may talk to, and which peers systemd can't be told of."""

from __future__ import annotations

import connections
import pytest


@pytest.mark.parametrize(
    ("peers", "reached"),
    [
        (["", "/run/postgresql"], []),
        (["127.0.0.1", "::1", "localhost"], ["localhost"]),
        (["192.0.2.11", "192.0.2.12", "192.0.2.11"], ["192.0.2.11", "192.0.2.12"]),
        (["2001:db8::1", "", "127.0.0.1"], ["2001:db8::1", "localhost"]),
    ],
)
def test_peers_are_named_once_and_sockets_need_no_network(peers: list[str], reached: list[str]) -> None:
    assert connections.network_peers(peers) == reached


def test_a_name_is_no_peer_and_what_is_allowed_besides_is_added() -> None:
    assert connections.network_peers(["db.example.com", "192.0.2.11"], ["198.51.100.0/24", "192.0.2.11"]) == [
        "192.0.2.11",
        "198.51.100.0/24",
    ]
    assert connections.network_peers(["192.0.2.11"], ["198.51.100.0/24", "any"]) == ["any"]


@pytest.mark.parametrize(
    "address", ["", "localhost", "192.0.2.11", "2001:db8::1", "10.0.0.0/8", "any", "/run/postgresql"]
)
def test_an_address_or_a_network_is_no_name(address: str) -> None:
    assert connections.named_peers([address]) == []


# The last three are names of hexadecimal digits, and numbers that are no address.
@pytest.mark.parametrize("name", ["db.example.com", "db1", "cafe", "dead.beef", "300.1.1.1"])
def test_a_name_is_named_also_one_that_looks_like_an_address(name: str) -> None:
    assert connections.named_peers(["192.0.2.1", name]) == [name]
