"""TLS is the same for whoever connects, whether to the front, to the broker or to the database."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable

from conftest import Role

VERSIONS = ["TLSv1.2", "TLSv1.3"]
# Of TLS 1.2: forward secrecy and authenticated encryption.
GOOD = re.compile(r"ECDHE-(ECDSA|RSA)-(AES(128|256)-GCM-SHA(256|384)|CHACHA20-POLY1305)")


def setting(text: str, name: str) -> str:
    (value,) = re.findall(rf"^ *{name}(?: = | )[\"']?([^\"';\n]+)", text, re.MULTILINE)
    return value


def test_every_server_has_the_same_ciphers_and_each_is_good(role: Callable[..., Role]) -> None:
    redis = role("redis", redis_bind=["192.0.2.1"], redis_tls_certificate_file="/c", redis_tls_key_file="/k")
    postgresql = role("postgresql", postgresql_tls_certificate_file="/c", postgresql_tls_key_file="/k")
    nginx = role("nginx", {"all_ipv6_addresses": []}, nginx_site_socket="/s", nginx_site_hosts=["a.example"])
    broker, database, front = (
        redis.render("etc/redis/redis.conf.j2"),
        postgresql.render("etc/postgresql/reload.conf.j2"),
        nginx.render("etc/nginx/nginx.conf.j2"),
    )
    ciphers = {setting(broker, "tls-ciphers"), setting(database, "ssl_ciphers"), setting(front, "ssl_ciphers")}
    assert len(ciphers) == 1
    listed = subprocess.run(
        ["openssl", "ciphers", "-s", "-tls1_2", *ciphers], capture_output=True, text=True, check=True
    )
    names = listed.stdout.strip().split(":")
    assert len(names) == 6
    assert [name for name in names if not GOOD.fullmatch(name)] == []
    assert setting(broker, "tls-protocols").split() == VERSIONS
    assert setting(database, "ssl_min_protocol_version") == VERSIONS[0]
    assert setting(front, "ssl_protocols").split() == VERSIONS
