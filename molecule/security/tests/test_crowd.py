"""Who opens connections to broker and database from another host and doesn't log in loses them, and the services get in again."""

import json
import shlex
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "default/tests/on_host/crowd.py"
# Port and more connections than the server takes, and how the administrator gets in.
SERVERS = {
    "redis": (
        6379,
        4050,
        r"""REDISCLI_AUTH=$(sed -n 's,^requirepass "\(.*\)"$,\1,p' /etc/redis/access.conf) redis-cli -s /run/redis/redis-server.sock ping""",
    ),
    "postgresql": (5432, 600, "runuser -u postgres -- psql -tAc 'select 1'"),
}
SERVICES = ["sample-manage migrate --check", "sample-celery inspect ping"]


@pytest.mark.parametrize("host", ["site"], indirect=True)
@pytest.mark.parametrize("server", SERVERS)
def test_who_doesnt_log_in_is_left(host, vault, addresses, server):
    port, count, entrance = SERVERS[server]
    # An account without any rights, of a host that may talk to the server.
    arguments = ["nobody", "nothing", str(count), f"{addresses['vault']}:{port}", "wait"]
    answer = json.loads(host.check_output(shlex.join(["python3", "-c", SCRIPT.read_text(), *arguments])))
    # It was a crowd, and the server has ended each connection, whoever opened it.
    assert answer["held"] > count / 2
    assert answer["left"] is True
    assert vault.run(entrance).rc == 0
    assert [command for command in SERVICES if host.run(command).rc] == []
