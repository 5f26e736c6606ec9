"""Whoever has no rights on a host keeps nobody away from what it runs, however many connections he opens."""

import json
import shlex

import pytest
import stack

# More than each would take: connections of PostgreSQL and Redis, what waits before gunicorn and Flower.
CROWDS = {
    "PostgreSQL": ("postgresql", 150, "/run/postgresql/.s.PGSQL.5432"),
    "Redis": ("nothing", 4050, stack.REDIS_SOCKET),
    "gunicorn": ("nothing", 2100, "/run/sample-web/http.sock"),
    "Flower": ("nothing", 500, "/run/celery-flower/http.sock"),
}
# Some page over a unix socket, as the front would ask for it.
PAGE = """python3 -c 'if True:
    import socket
    link = socket.socket(socket.AF_UNIX)
    link.connect("{socket}")
    link.sendall(b"GET {page} HTTP/1.0\\r\\nHost: localhost\\r\\nX-Forwarded-Proto: https\\r\\n\\r\\n")
    status = link.recv(100).split()[1]
    raise SystemExit(status not in (b"200", b"401"))'"""
# The administrator, by the way that the distribution's tools take, and a service.
ENTRANCES = {
    "PostgreSQL": ["runuser -u postgres -- psql -tAc 'select 1'", "sample-manage migrate --check"],
    "Redis": [stack.redis_command("ping"), "sample-celery inspect ping"],
    "gunicorn": [PAGE.format(socket=CROWDS["gunicorn"][2], page="/healthz")],
    "Flower": [PAGE.format(socket=CROWDS["Flower"][2], page="/flower/")],
}


@pytest.mark.parametrize("server", CROWDS)
def test_a_crowd_without_rights_keeps_nobody_out(host, server):
    speaks, count, target = CROWDS[server]
    answer = stack.script(
        host, "crowd.py", *map(shlex.quote, ["nobody", speaks, str(count), target, *ENTRANCES[server]])
    )
    assert [code for code, _ in answer["commands"]] == [0] * len(answer["commands"]), json.dumps(answer, indent=1)
    assert (answer["held"], "Permission denied" in answer["refused"]) == (0, True)
