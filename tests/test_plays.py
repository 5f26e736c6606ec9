"""What the playbooks' own filters give."""

from __future__ import annotations

from typing import Any

import plays
import pytest

PAGES: dict[str, Any] = {"health_path": "/healthz", "serves_site": True, "flower_path": "/view/", "by_acme": False}


def test_only_what_is_wanted_is_left_without_the_mark() -> None:
    assert plays.only_wanted([{"name": "a", "wanted": True}, {"name": "b", "wanted": False}]) == [{"name": "a"}]


@pytest.mark.parametrize(
    ("hosts", "changes", "asked"),
    [
        (["www.example.com"], {}, [("www.example.com", "/healthz"), ("www.example.com", "/view/")]),
        ([".example.com"], {"flower_path": ""}, [("example.com", "/healthz")]),
        (["192.0.2.1", "shop", "www.example.com"], {"flower_path": ""}, [("192.0.2.1", "/healthz")]),
        # Its certificate is for a name that DNS knows.
        (
            ["192.0.2.1", "shop", "www.example.com"],
            {"flower_path": "", "by_acme": True},
            [("www.example.com", "/healthz")],
        ),
        (["www.example.com"], {"serves_site": False}, [("flower1", "/view/")]),
        (["www.example.com"], {"serves_site": False, "by_acme": True}, [("flower1", "/view/")]),
        (["www.example.com"], {"serves_site": False, "flower_path": ""}, []),
    ],
)
def test_the_front_is_asked_for_what_it_serves(
    hosts: list[str], changes: dict[str, Any], asked: list[tuple[str, str]]
) -> None:
    pages = plays.front_pages(hosts, ["flower1"], **(PAGES | changes))
    assert [(page["host"], page["path"]) for page in pages] == asked
    # Without a login Flower answers nobody.
    assert [page["status"] for page in pages if page["path"] == "/view/"] in ([], [[401]])
