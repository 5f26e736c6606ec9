"""Runs with a release's Python as root: what each service's login to the broker may not do. Prints JSON; no password leaves the host."""

from __future__ import annotations

import json
from pathlib import Path

from kombu import Connection
from redis.exceptions import NoPermissionError, ResponseError

CREDENTIALS = Path("/etc/sample/credentials")
# Whoever may do one of these is an administrator, or another application.
FORBIDDEN = [
    "FLUSHALL",
    "FLUSHDB",
    "CONFIG GET requirepass",
    "CONFIG SET maxmemory 0",
    "CONFIG REWRITE",
    "KEYS *",
    "SCAN 0",
    "SCRIPT FLUSH",
    "SCRIPT KILL",
    "EVAL return 0",
    "FUNCTION LIST",
    "ACL LIST",
    "ACL SETUSER web allcommands allkeys",
    "CLIENT LIST",
    "CLIENT KILL TYPE normal",
    "MONITOR",
    "SHUTDOWN NOSAVE",
    "REPLICAOF 192.0.2.1 6379",
    "MODULE LIST",
    "SAVE",
    "SWAPDB 0 1",
    "SELECT 1",
    "GET another-application",
    "SET another-application 1",
    "LPUSH another-application 1",
    "LRANGE default 0 -1",
    "RENAME default mine",
    "COPY default mine",
    "SUBSCRIBE another-application",
    "PUBLISH another-application 1",
]
CONTROL = ["PUBLISH /0.celery.pidbox {}"]
ASK = ["PUBLISH /0.flower.celery.pidbox {}"]
SENDER = ["RPOP default", "DEL default", "HGETALL unacked", "LPUSH x.reply.celery.pidbox forged", "EVALSHA 0 0"]
OF = {
    "web": [*CONTROL, *ASK, *SENDER],
    "beat": [*CONTROL, *ASK, *SENDER],
    "worker": [*CONTROL, *ASK],
    # It writes nothing, runs no script, and gives no order.
    "flower": [
        *CONTROL,
        *SENDER,
        "LPUSH default {}",
        "HSET celery_runtime:holders x x",
        "HSET celery_runtime:leases x x",
        "SET celery_runtime:suspects:default x",
        "SADD _kombu.binding.default x",
        "SCRIPT LOAD return",
        "FUNCTION LIST",
        "PUBLISH /0.celeryev/worker.online {}",
    ],
    "operator": [],
}


def tried(service: str) -> dict[str, str]:
    """Return the answer to each command that the service must not give."""
    answers = {}
    url = (CREDENTIALS / f"broker_url_{service}").read_text().strip()
    with Connection(url) as connection:
        client = connection.default_channel.client
        client.ping()
        for command in (*FORBIDDEN, *OF[service]):
            try:
                answers[command] = str(client.execute_command(*command.split()))
            except NoPermissionError:
                answers[command] = "NOPERM"
            except ResponseError as error:
                answers[command] = f"another error: {error}"
    return answers


print(json.dumps({service: tried(service) for service in OF}))
