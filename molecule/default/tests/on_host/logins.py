"""Runs on a host as root: a role logs in to PostgreSQL until it is refused, and meanwhile others try. Prints JSON."""

from __future__ import annotations

import json
import os
import pwd
import sys
from pathlib import Path
from typing import Any

import psycopg2


def login(role: str) -> Any:
    """Log in over the socket: with the role's password, or as the administrator, whom the kernel vouches for."""
    if role == "postgres":
        os.seteuid(pwd.getpwnam("postgres").pw_uid)
        try:
            return psycopg2.connect(host="/run/postgresql", user=role, dbname="postgres")
        finally:
            os.seteuid(0)
    suffix = role.removeprefix("sample")
    password = Path(f"/etc/sample/credentials/database_password{suffix}").read_text().strip()
    return psycopg2.connect(host="/run/postgresql", user=role, dbname="sample", password=password)


def attempt(role: str) -> str:
    """Log in and out; return how that went."""
    try:
        login(role).close()
    except psycopg2.OperationalError as error:
        return str(error)
    return "in"


def main() -> None:
    """Fill up, let the others try, tell."""
    role, *others = sys.argv[1:]
    held: list[Any] = []
    refused = ""
    # A server without any limit isn't filled.
    while not refused and len(held) < 1000:
        try:
            held.append(login(role))
        except psycopg2.OperationalError as error:
            refused = str(error)
    print(json.dumps({"held": len(held), "refused": refused, "others": {one: attempt(one) for one in others}}))


main()
