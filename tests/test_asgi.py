"""The site as an ASGI application: which server runs it, and what the front passes on."""

from __future__ import annotations

import re
from typing import Any

from conftest import Role

NGINX: dict[str, Any] = {
    "nginx_site_socket": "/run/shop-web/http.sock",
    "nginx_site_hosts": ["www.example.com"],
    "nginx_certificate": "/etc/shop/tls/front.pem",
    "nginx_certificate_key": "/etc/shop/tls/front.key",
}


def web(**variables: Any) -> Role:
    return Role("django_web", **variables)


def words(**variables: Any) -> list[str]:
    return web(**variables).evaluate("__django_web_service.exec_start").split()


def test_an_asgi_application_runs_in_workers_that_speak_asgi() -> None:
    asgi = words(django_web_asgi_app="shop.asgi:application")
    assert "--worker-class=asgi" in asgi
    assert asgi[-1] == "shop.asgi:application"
    # Threads are what a WSGI worker has.
    assert not any(word.startswith("--threads") for word in asgi)
    wsgi = words(django_web_wsgi_app="shop.wsgi:application")
    assert "--threads=2" in wsgi and wsgi[-1] == "shop.wsgi:application"
    assert not any(word.startswith("--worker-class") for word in wsgi)


def test_it_is_still_behind_the_socket_and_says_when_it_is_ready() -> None:
    service = web(django_web_asgi_app="shop.asgi:application").evaluate("__django_web_service")
    assert service["requires"] == ["django-web.socket"]
    assert service["directives"]["Type"] == "notify"


def front(**variables: Any) -> str:
    return Role("nginx", facts={"all_ipv6_addresses": []}, **NGINX | variables).render("etc/nginx/nginx.conf.j2")


def test_the_front_passes_an_upgrade_on_for_the_paths_of_websockets_alone() -> None:
    text = front(nginx_websocket_paths=["/ws/", "/live.v1/"], nginx_websocket_timeout=600)
    (pattern, value) = re.search(r'"(~\S+ \S+)" (\S+);', text.partition("$upgrade_asked {")[2]).groups()
    location = text.partition("location /ws/ {")[2].partition("}")[0]
    assert "proxy_pass http://site/ws/;" in location
    assert "proxy_read_timeout 600s;" in location
    # A header that is set in a location would drop those that are set for all.
    assert "proxy_set_header" not in location
    rule = re.compile(pattern.removeprefix("~*"), re.IGNORECASE)
    assert rule.search("websocket /ws/chat") and rule.search("WebSocket /live.v1/x")
    assert (
        not rule.search("websocket /liveXv1/")
        and not rule.search("h2c /ws/")
        and not rule.search("websocket /other/ws/")
    )
    assert value == "websocket"


def test_without_such_paths_nothing_is_upgraded() -> None:
    assert "Upgrade" not in front()


def test_connections_to_the_database_are_not_kept_by_threads_that_end() -> None:
    """Under ASGI each request has a thread of its own, and with it what that keeps."""
    stack = {"inventory_hostname": "a", "inventory_dir": "/i"}
    assert Role("stack", stack_wsgi_app="a:b", **stack).evaluate("stack_database_defaults.CONN_MAX_AGE") == 600
    assert Role("stack", stack_asgi_app="a:b", **stack).evaluate("stack_database_defaults.CONN_MAX_AGE") == 0
