"""The front's configuration, rendered without a host."""

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


def test_flower_is_where_it_was_told_to_be(front: Callable[..., Role]) -> None:
    text = conf(front(nginx_flower_prefix="view"))
    # The name of what stands behind it is no path.
    assert "/flower" not in text.replace("http://flower", "")
    assert text.replace("/view", "/flower") == conf(front())


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
    text = conf(front(nginx_content_security_policy="", nginx_hsts_seconds=0, nginx_hsts_of_project=False))
    assert "Content-Security-Policy" not in text
    assert "max-age" not in text


def test_the_projects_word_on_https_holds_and_an_hour_where_it_has_none(front: Callable[..., Role]) -> None:
    text = conf(front())
    assert "default $upstream_http_strict_transport_security;" in text
    assert '"" "max-age=3600";' in text
    text = conf(front(nginx_hsts_seconds=60, nginx_hsts_of_project=False))
    assert "$upstream_http_strict" not in text
    assert '"~^https " "max-age=60";' in text


@pytest.mark.parametrize(("release", "words"), [("12", "ssl http2"), ("13", "http2 on;")])
def test_http_2_is_written_as_the_release_wants_it(front: Callable[..., Role], release: str, words: str) -> None:
    assert words in conf(front({"distribution_major_version": release}))


def test_an_authority_is_asked_for_names_that_dns_knows(front: Callable[..., Role]) -> None:
    acme = {"email": "ops@example.com", "directory": "https://acme.example/dir"}
    role = front(nginx_acme=acme, nginx_site_hosts=["www.example.com", "localhost", "192.0.2.10", ".example.com"])
    words = role.evaluate("__nginx_certbot")
    assert [words[place + 1] for place, word in enumerate(words) if word == "--domain"] == ["www.example.com"]
    assert role.evaluate("__nginx_service_unit")["credentials"]["front.key"] == "/etc/letsencrypt/front/front.key"


FILES: dict[str, Any] = {
    "nginx_static_path": "/static/",
    "nginx_static_folder": "/opt/shop/current/static",
    "nginx_static_earlier_folder": "/opt/shop/previous/static",
    "nginx_media_path": "/media/",
    "nginx_media_internal_path": "/_media/",
    "nginx_media_folder": "/var/lib/shop/media",
}


def test_files_are_the_site_s_alone(front: Callable[..., Role]) -> None:
    text = conf(front(**FILES))
    (_, flower) = named(text, "192.0.2.10")
    assert "/static/ {" not in flower.replace("/flower/static/", "")
    assert "media" not in flower
    without = front(**FILES, nginx_site_socket="")
    assert "plainhost-front" not in conf(without)
    assert "brotli" not in conf(without)
    assert without.evaluate("__nginx_packages") == ["nginx"]
    assert "BindReadOnlyPaths" not in without.evaluate("__nginx_service_unit.directives")


def test_uploads_are_seen_at_a_place_where_nothing_runs(front: Callable[..., Role]) -> None:
    directives = front(**FILES).evaluate("__nginx_service_unit.directives")
    source, place = directives["BindReadOnlyPaths"].split(":")
    assert source == "/var/lib/shop/media"
    assert directives["NoExecPaths"] == place
    assert f"root {place};" in conf(front(**FILES))


@pytest.mark.parametrize(("path", "ignored"), [("", True), ("/_media/", False)])
def test_the_application_leads_to_uploads_only_where_it_may_and_flower_never(
    front: Callable[..., Role], path: str, ignored: bool
) -> None:
    text = conf(front(**FILES | {"nginx_media_internal_path": path}))
    for block in re.findall(r"location [^{]*\{([^{}]*proxy_pass[^{}]*)\}", text):
        expected = ignored or "http://flower" in block
        assert ("proxy_ignore_headers X-Accel-Redirect;" in block) is expected
    assert ("internal;" in text) is not ignored


def test_no_type_that_a_browser_is_shown_can_hold_a_script(front: Callable[..., Role]) -> None:
    types = front(**FILES).evaluate("__nginx_media_types")
    assert {name.split("/")[0] for name in types} == {"image", "audio", "video", "text"}
    assert [name for name in types if name.startswith("text/") or "xml" in name] == ["text/plain"]


# --- A further application on the host ---
FURTHER: dict[str, Any] = {
    "nginx_application": "blog",
    "nginx_flower_local_port": 0,
    "nginx_flower_hosts": [],
    "nginx_site_hosts": ["blog.example.com"],
    "nginx_rate_limits": [{"path": "/login/", "per_minute": 10, "burst": 5}],
    "nginx_websocket_paths": ["/ws/"],
    "nginx_static_path": "/static/",
    "nginx_static_folder": "/opt/blog/current/static",
    "nginx_media_path": "/media/",
    "nginx_media_folder": "/var/lib/blog/media",
}


def further(role: Role) -> str:
    return role.render("etc/nginx/applications/application.conf.j2")


def test_the_names_of_a_further_application_s_configuration_are_its_own(front: Callable[..., Role]) -> None:
    first, second = conf(front(**FURTHER | {"nginx_application": ""})), further(front(**FURTHER))
    made = re.compile(
        r"^ *(?:map (?:\"[^\"]*\"|\S+) (\$\w+) \{|upstream (\w+)|limit_\w+_zone \S+ zone=(\w+):)", re.MULTILINE
    )
    names = [{name for found in made.findall(text) for name in found if name} for text in (first, second)]
    assert names[0] & names[1] == set()
    # Each that it asks for is one that it makes, or the front makes for all.
    asked = set(re.findall(r"(?:zone=|http://)(\w+)", second)) | set(re.findall(r"(\$\w+_blog(?:_\d)?)\b", second))
    assert asked - names[1] == set()
    assert "default_server" not in second


def test_a_further_application_says_in_its_servers_what_the_first_one_says_for_all(front: Callable[..., Role]) -> None:
    text = further(front(**FURTHER))
    _, site = named(text, "blog.example.com")
    for words in (
        "client_max_body_size",
        "limit_conn connections_blog",
        "add_header Strict-Transport-Security $said_hsts_blog",
        "proxy_set_header X-Forwarded-For $remote_addr",
        "proxy_set_header Upgrade $upgrade_asked_blog",
        "ssl_certificate /run/credentials/nginx.service/blog.pem",
        "include /etc/nginx/mime.types",
    ):
        assert words in site
    # Before the servers stands nothing that would hold for another's.
    before = text.split("    server {")[0]
    assert not re.search(r"^    (proxy_|add_header|client_|limit_conn |ssl_)", before, re.MULTILINE)


def test_a_further_application_gives_the_front_its_certificate_and_its_uploads(front: Callable[..., Role]) -> None:
    text = front(**FURTHER).render("etc/systemd/system/nginx.service.d/application.conf.j2")
    assert "LoadCredential=blog.key:/etc/shop/tls/front.key" in text
    assert "BindReadOnlyPaths=/var/lib/blog/media:/var/lib/plainhost-front/media-blog" in text
    assert "root /var/lib/plainhost-front/media-blog;" in further(front(**FURTHER))


def test_its_own_inputs_are_good(front: Callable[..., Role]) -> None:
    assert front(**FURTHER).evaluate("__nginx_faults") == []
