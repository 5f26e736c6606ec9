"""Runs on a host as root, behind `administrator.py`, and looks for the deployment's secrets in what its services keep and show.

Prints JSON. Secrets are called by the file that root keeps them in, and their place in it; their values never leave the host.
Arguments: the application's name, and places where Flower may be met (`host:port`, or the path of a unix socket).
"""

from __future__ import annotations

import base64
import http.client
import json
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from administrator import Results, broker

# The generated ones have 40 letters and digits or more; a word that long stands there for no other reason.
SECRET = re.compile(r"[A-Za-z0-9]{32,}")
INSPECTIONS = ("conf", "registered", "stats", "active_queues")
PAGES = ["/", "/workers", "/tasks", "/broker", "/api/workers?refresh=1", "/api/tasks", "/api/queues/length", "/metrics"]


def secrets(app: str) -> dict[str, str]:
    """Return the secrets; those of one file are numbered."""
    files = [
        *Path(f"/etc/{app}/credentials").iterdir(),
        Path(f"/etc/{app}/flower.conf"),
        Path(f"/etc/{app}/environment.secret"),
        Path("/etc/redis/access.conf"),
    ]
    found: dict[str, str] = {}
    for path in filter(Path.is_file, files):
        words = dict.fromkeys(SECRET.findall(path.read_text(errors="replace")))
        found |= {f"{path.name} {number}": word for number, word in enumerate(words, 1)}
    return found


def dump(client: Any) -> str:
    """Return everything that lies in Redis, and what it says of its clients and its past."""
    parts = [repr(client.execute_command("CLIENT", "LIST")), repr(client.slowlog_get(128)), repr(client.info("all"))]
    readers = {
        b"string": client.get,
        b"list": lambda key: client.lrange(key, 0, -1),
        b"set": client.smembers,
        b"zset": lambda key: client.zrange(key, 0, -1),
        b"hash": client.hgetall,
    }
    for key in client.scan_iter(count=1000):
        kind = client.type(key)
        parts.append(f"{key!r} {readers[kind](key)!r}" if kind in readers else repr(key))
    return "\n".join(parts)


def rows_with(results: Any, word: str) -> list[str]:
    """Return the tables with a row that holds a word in any column."""
    tables = results.connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    query = 'SELECT count(*) FROM "{}" AS row WHERE position(%s IN row::text) > 0'
    return [name for (name,) in tables if results.connection.execute(query.format(name), [word]).fetchone()[0]]


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def connect(self) -> None:
        """Connect to the path that stands for the host."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.host)


def ask(place: str, path: str, login: str) -> tuple[int, str]:
    """Get a page of Flower's, which lie below one path."""
    host, _, port = place.rpartition(":")
    connection = (
        UnixConnection(place) if place.startswith("/") else http.client.HTTPConnection(host, int(port), timeout=10)
    )
    authorization = "Basic " + base64.b64encode(login.encode()).decode()
    connection.request("GET", f"/flower{path}", headers={"Authorization": authorization, "Host": "localhost"})
    answer = connection.getresponse()
    return answer.status, answer.read().decode(errors="replace")


def flower(app: str, places: list[str]) -> dict[str, Any]:
    """Return Flower's pages; none where this host has none."""
    configuration = Path(f"/etc/{app}/flower.conf")
    if not configuration.exists():
        return {}
    login = re.search(r"[\"']([^\"':\s]+:[A-Za-z0-9]{20,})[\"']", configuration.read_text())
    for place in places if login else ():
        try:
            names = json.loads(ask(place, "/api/workers?refresh=1", login[1])[1])
        except (OSError, ValueError):
            continue
        pages = PAGES + [f"/worker/{quote(name)}" for name in names]
        return {path: ask(place, path, login[1]) for path in pages}
    raise SystemExit("Flower is configured here and can't be met")


def main(app: str, places: list[str]) -> None:
    """Print which secret was seen where."""
    wanted = secrets(app)
    texts = {
        f"inspect {what}": subprocess.run(
            [f"/usr/local/sbin/{app}-celery", "inspect", what, "--json"], capture_output=True, text=True, check=False
        ).stdout
        for what in INSPECTIONS
    }
    texts["report"] = subprocess.run(
        [f"/usr/local/sbin/{app}-celery", "report"], capture_output=True, text=True, check=False
    ).stdout
    pages = flower(app, places)
    texts |= {f"flower {path}": text for path, (_, text) in pages.items()}
    hits = []
    if Path("/etc/redis/redis.conf").exists():
        texts["redis"] = dump(broker())
    if Path("/etc/postgresql").exists():
        results = Results(app.replace("-", "_"))
        hits = [f"{name} in the table {table}" for name, word in wanted.items() for table in rows_with(results, word)]
    hits += [f"{name} in {place}" for place, text in texts.items() for name, word in wanted.items() if word in text]
    found = {
        "hits": hits,
        "secrets": sorted(wanted),
        "sizes": {place: len(text) for place, text in texts.items()},
        "pages": {path: status for path, (status, _) in pages.items()},
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
