"""Which errors of a database pass by themselves."""

from __future__ import annotations

from django.db import InterfaceError, OperationalError, connections

ERRORS = (OperationalError, InterfaceError)

# Classes of SQLSTATE (PostgreSQL's manual, appendix A) that pass: connection, read-only standby, rollback and deadlock, no disk or memory
# or connections left, object in use, stopped by the operator, input and output. Others, such as a row that is too long, are wrong for good.
_PASSING = {"08", "25", "40", "53", "55", "57", "58"}


def passes(error: BaseException) -> bool:
    """Return whether it is worth to try again later: the database is away, full, locked, or refuses for now."""
    if not isinstance(error, ERRORS):
        return False
    state = getattr(error.__cause__, "sqlstate", None) or getattr(error.__cause__, "pgcode", None)
    return not state or state[:2] in _PASSING


def close(alias: str) -> bool:
    """Close this thread's connection, so that the next use makes a new one; inside a transaction don't, and return False."""
    connection = connections[alias]
    if connection.in_atomic_block:
        return False
    try:
        connection.close()
    except ERRORS:
        # It was broken, and is given up.
        connection.connection = None
    return True


def close_all() -> bool:
    """Close all connections of this thread, which doesn't use them again soon; return whether none is inside a transaction."""
    closed = [close(connection.alias) for connection in connections.all(initialized_only=True)]
    return all(closed)
