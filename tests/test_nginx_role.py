"""The front's configuration, rendered without a host, and what is refused of its inputs."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from conftest import Role

Roles = Callable[..., Role]
FACTS = {"all_ipv6_addresses": ["2001:db8::10"]}
GOOD: dict[str, Any] = {
    "nginx_site_socket": "/run/shop-web/http.sock",
    "nginx_site_hosts": ["www.example.com", ".Shop.example"],
    "nginx_flower_socket": "/run/celery-flower/http.sock",
    "nginx_flower_hosts": ["192.0.2.10"],
    "nginx_certificate": "/etc/shop/tls/front.pem",
    "nginx_certificate_key": "/etc/shop/tls/front.key",
}


@pytest.fixture
def front(role: Roles) -> Callable[..., Role]:
    return lambda facts=None, **variables: role("nginx", facts=FACTS | (facts or {}), **GOOD | variables)


def conf(front: Role) -> str:
    return front.render("etc/nginx/nginx.conf.j2")


def servers(text: str) -> list[str]:
    """Return the blocks of the servers, each with what it listens on and answers to."""
    return re.findall(r"^    server \{\n(.*?)^    \}", text, re.MULTILINE | re.DOTALL)


def named(text: str, name: str) -> list[str]:
    return [block for block in servers(text) if re.search(rf"server_name [^;]*(?<![\w.]){re.escape(name)}[ ;]", block)]


def test_systemd_hands_over_what_nginx_listens_on(front: Callable[..., Role]) -> None:
    role = front()
    sockets = role.evaluate("__nginx_socket_unit")["directives"]["ListenStream"]
    listens = {re.sub(r" .*", "", words) for words in re.findall(r"listen ([^;]+);", conf(role))}
    assert listens == set(sockets)
    assert sockets[-1] == "127.0.0.1:5555"
    directives = role.evaluate("__nginx_service_unit")["directives"]
    assert directives["Environment"] == "NGINX=3;4;5;6;7;"
    # Else a worker that comes second to accept waits there, with all its connections.
    assert directives["NonBlocking"] is True


def test_a_host_without_ipv6_has_no_socket_of_it(front: Callable[..., Role]) -> None:
    role = front({"all_ipv6_addresses": []})
    assert role.evaluate("__nginx_listen") == ["0.0.0.0:80", "0.0.0.0:443", "127.0.0.1:5555"]
    assert "[::]" not in conf(role)


def test_braces_close(front: Callable[..., Role]) -> None:
    text = conf(front(nginx_acme={"email": "ops@example.com", "directory": "https://acme.example/dir"}))
    assert text.count("{") == text.count("}")
    assert "acme-challenge" in text


def test_names_of_the_site_lead_to_both_and_flowers_own_to_flower_alone(front: Callable[..., Role]) -> None:
    text = conf(front())
    redirect, site = named(text, "www.example.com")
    assert ".shop.example" in site
    assert "return 301 https://$host$request_uri;" in redirect
    assert "proxy_pass http://site/;" in site
    assert "proxy_pass http://flower/flower/;" in site
    (_, flower) = named(text, "192.0.2.10")
    assert "proxy_pass http://site/;" not in flower
    assert "proxy_pass http://flower/flower/;" in flower


def test_a_host_of_flower_alone_answers_to_the_sites_names_too(front: Callable[..., Role]) -> None:
    text = conf(front(nginx_site_socket=""))
    assert "http://site" not in text
    assert len(named(text, "192.0.2.10")) == len(named(text, "www.example.com")) == 2


def test_a_host_of_the_site_alone_knows_no_flower(front: Callable[..., Role]) -> None:
    role = front(nginx_flower_socket="")
    assert "upstream flower" not in conf(role)
    assert "5555" not in conf(role)
    assert "192.0.2.10" not in conf(role)
    assert role.evaluate("__nginx_listen") == ["0.0.0.0:80", "0.0.0.0:443", "[::]:80", "[::]:443"]


@pytest.mark.parametrize(("hosts", "rejected"), [([], 2), (["192.0.2.10"], 1), (["[2001:db8::10]"], 1)])
def test_who_names_nobody_in_the_handshake_is_let_in_only_where_people_ask_for_an_address(
    front: Callable[..., Role], hosts: list[str], rejected: int
) -> None:
    assert conf(front(nginx_flower_hosts=hosts)).count("ssl_reject_handshake on;") == rejected


def test_flowers_open_pages_stay_on_loopback(front: Callable[..., Role]) -> None:
    text = conf(front())
    for block in servers(text):
        if "proxy_pass http://flower/flower/;" in block:
            local = "127.0.0.1:5555" in block
            assert ("location /flower/metrics" in block) is not local


@pytest.mark.parametrize(
    "header",
    [
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Forwarded-Host",
        "X-Forwarded-Ssl",
        "X-Forwarded-Protocol",
        "Forwarded",
        "X-Real-IP",
    ],
)
def test_a_client_can_t_say_where_it_comes_from(front: Callable[..., Role], header: str) -> None:
    (value,) = re.findall(rf"proxy_set_header {header} (\S+);", conf(front()))
    assert value in ('""', "$remote_addr", "$scheme", "$host$asked_port")


def test_a_balancer_s_word_counts_where_it_is_named(front: Callable[..., Role]) -> None:
    assert "real_ip" not in conf(front())
    assert "set_real_ip_from 192.0.2.0/28;" in conf(front(nginx_trusted_proxies=["192.0.2.0/28"]))


def test_each_limit_has_a_zone_and_is_used(front: Callable[..., Role]) -> None:
    limits = [{"path": "/a.b/", "per_minute": 6, "burst": 3}, {"path": "/c/", "per_minute": 60, "burst": 9}]
    text = conf(front(nginx_rate_limits=limits))
    assert '"~*^(POST|PUT|PATCH|DELETE) /+a[.]b(/|$)" $client;' in text
    assert "zone=limited_1:5m rate=6r/m;" in text
    assert "limit_req zone=limited_2 burst=9 nodelay;" in text


def test_headers_can_be_left_to_the_project(front: Callable[..., Role]) -> None:
    text = conf(front(nginx_content_security_policy="", nginx_hsts_seconds=0))
    assert "Content-Security-Policy" not in text
    assert "max-age" not in text


@pytest.mark.parametrize(("release", "words"), [("12", "ssl http2"), ("13", "http2 on;")])
def test_http_2_is_written_as_the_release_wants_it(front: Callable[..., Role], release: str, words: str) -> None:
    assert words in conf(front({"distribution_major_version": release}))


def test_an_authority_is_asked_for_names_that_dns_knows(front: Callable[..., Role]) -> None:
    acme = {"email": "ops@example.com", "directory": "https://acme.example/dir"}
    role = front(nginx_acme=acme, nginx_site_hosts=["www.example.com", "localhost", "192.0.2.10", ".example.com"])
    words = role.evaluate("__nginx_certbot")
    assert [words[place + 1] for place, word in enumerate(words) if word == "--domain"] == ["www.example.com"]
    assert role.evaluate("__nginx_service_unit")["credentials"]["front.key"] == "/etc/letsencrypt/front/front.key"


def faults(role: Role) -> list[str]:
    return role.evaluate("__nginx_rules | rejectattr('ok') | map(attribute='fix') | list")


def test_good_inputs_are_let_through(front: Callable[..., Role]) -> None:
    assert faults(front()) == []
    assert faults(front(nginx_site_hosts=["[2001:db8::1]", "localhost"], nginx_flower_socket="")) == []


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        pytest.param(
            {"nginx_site_socket": "127.0.0.1:8000"}, "must be paths of unix sockets", id="a TCP port behind it"
        ),
        pytest.param({"nginx_site_hosts": ["*"]}, "stack_web_hosts (or stack_flower_hosts) has *", id="any name"),
        pytest.param(
            {"nginx_site_hosts": ["a.example; return 200"]}, "has a.example; return 200", id="more than a name"
        ),
        pytest.param({"nginx_site_hosts": []}, "is empty", id="no name"),
        pytest.param({"nginx_certificate_key": ""}, "nginx_certificate_key ('')", id="no key"),
        pytest.param({"nginx_acme": {"email": "ops", "directory": "https://a.example"}}, "set email", id="no address"),
        pytest.param(
            {"nginx_acme": {"email": "o@a.example", "directory": "http://a.example"}}, "https:// URL", id="plain ACME"
        ),
        pytest.param(
            {
                "nginx_acme": {"email": "o@a.example", "directory": "https://a.example"},
                "nginx_site_hosts": ["localhost"],
            },
            "no name that an authority could ask for",
            id="no name in DNS",
        ),
        pytest.param({"nginx_max_body_mib": 0}, "nginx_max_body_mib: set a number of at least 1", id="no body"),
        pytest.param({"nginx_content_security_policy": 'a"; b'}, "double quote", id="a quote in a header"),
        pytest.param({"nginx_referrer_policy": "a\nb"}, "line break", id="a line break in a header"),
        pytest.param(
            {"nginx_rate_limits": [{"path": "register", "per_minute": 1, "burst": 1}]}, "begins with /", id="no path"
        ),
        pytest.param(
            {"nginx_rate_limits": [{"path": "/", "per_minute": 0, "burst": 1}]},
            "per_minute is at least 1",
            id="no rate",
        ),
    ],
)
def test_bad_inputs_are_refused(front: Callable[..., Role], variables: dict[str, Any], words: str) -> None:
    assert words in "; ".join(faults(front(**variables)))
