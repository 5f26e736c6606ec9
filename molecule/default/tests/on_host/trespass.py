"""Runs on a host as root: tries to reach what is another application's.

Argument: JSON with `application` and `other`, the names of both; `accounts` of the first; `servers`, for `broker_url` and `cache_url` the name
of each application's Redis; and `port` of the other's PostgreSQL.

Prints JSON. `accounts`: what each account gets of the other's Redis, database and files, and whether it reads its own uploads. `logins`: what
the one's logins get at both servers, tried as root, whom no right on a socket stops.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


def said(*command: str, password: str = "") -> str:
    """Return what a command says; the password stands in its environment alone."""
    environment = {**os.environ, "REDISCLI_AUTH": password} if password else None
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip()


def socket(server: str) -> str:
    """Return the socket of a Redis."""
    return f"/run/{server}/redis-server.sock"


def trespass(account: str, told: dict[str, Any]) -> dict[str, str | bool]:
    """Return what an account gets."""
    application, other = told["application"], told["other"]
    begin = ("runuser", "-u", account, "--")
    files = (
        f"/etc/{other}/credentials",
        f"/etc/{other}/environment.secret",
        f"/etc/{other}/flower.conf",
        f"/opt/{other}/current/config/environment",
        f"/var/lib/{other}/media",
        f"/run/{other}-web/http.sock",
    )
    missing = [path for path in files if not Path(path).exists()]
    if missing:
        raise SystemExit(f"not there, so this would show nothing: {missing}")
    found: dict[str, str | bool] = {
        kind: said(*begin, "redis-cli", "-s", socket(servers[other]), "ping")
        for kind, servers in told["servers"].items()
    }
    found["database"] = said(*begin, "psql", "-p", str(told["port"]), "-d", other, "-U", other, "-c", "select 1")
    script = 'for path; do if test -r "$path"; then echo "$path"; fi; done'
    found["files"] = said(*begin, "sh", "-c", script, "sh", *files)
    found["own"] = said(*begin, "sh", "-c", script, "sh", f"/var/lib/{application}/media") != ""
    return found


def logins(told: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Return what each login gets, at its own application's server and at the other's."""
    found = {}
    for kind, servers in told["servers"].items():
        for path in Path(f"/etc/{told['application']}/credentials").glob(f"{kind}_*"):
            login = urlsplit(path.read_text().strip())
            ask = ("redis-cli", "--user", login.username or "", "-s")
            found[path.name] = {
                whose: said(*ask, socket(servers[told[whose]]), "ping", password=login.password or "")
                for whose in ("application", "other")
            }
    return found


def main() -> None:
    """Try, and tell."""
    told = json.loads(sys.argv[1])
    print(json.dumps({"accounts": {one: trespass(one, told) for one in told["accounts"]}, "logins": logins(told)}))


main()
