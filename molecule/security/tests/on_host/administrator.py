"""Lets a script on a host speak to broker and database as their administrators: it stands before other scripts."""

from __future__ import annotations

import os
import pwd
import re
from pathlib import Path
from typing import Any


def broker() -> Any:
    """Return a client of the administrator, by what this host's own Redis is configured with."""
    from redis import Redis

    text = "\n".join(file.read_text() for file in Path("/etc/redis").glob("*.conf"))
    said = dict(
        re.findall(r"^(requirepass|unixsocket|tls-port|port|tls-ca-cert-file)\s+\"?([^\"\n]+)\"?\s*$", text, re.M)
    )
    options: dict[str, Any] = {"password": said["requirepass"], "socket_timeout": 5}
    if "unixsocket" in said:
        return Redis(unix_socket_path=said["unixsocket"], **options)
    if said.get("port", "0") != "0":
        return Redis(port=int(said["port"]), **options)
    return Redis(
        host=os.uname().nodename, port=int(said["tls-port"]), ssl=True, ssl_ca_certs=said["tls-ca-cert-file"], **options
    )


class Results:
    """The table of results, read as the database's administrator over its socket."""

    def __init__(self, database: str) -> None:
        import psycopg

        # The socket asks the kernel who is there.
        os.seteuid(pwd.getpwnam("postgres").pw_uid)
        self.connection = psycopg.connect(host="/var/run/postgresql", user="postgres", dbname=database, autocommit=True)
        os.seteuid(0)

    def of(self, ids: list[str]) -> dict[str, dict[str, str]]:
        """Return state, result and traceback by id."""
        found = self.connection.execute(
            "SELECT task_id, status, result, traceback FROM django_celery_results_taskresult WHERE task_id = ANY(%s)",
            [ids],
        )
        return {row[0]: {"state": row[1], "text": f"{row[2]}\n{row[3]}"} for row in found}
