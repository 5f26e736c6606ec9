"""Which errors of publishing pass by themselves."""

from __future__ import annotations

from kombu.exceptions import OperationalError
from redis import exceptions as redis

# What Redis answers when it is there and takes nothing for now: full, its disk full, a replica, without replicas.
_REFUSALS = (redis.OutOfMemoryError, redis.ReadOnlyError, redis.MasterDownError, redis.TryAgainError)
_REFUSAL_WORDS = ("MISCONF ", "NOREPLICAS ", "BUSY ")


def broker_error_passes(error: BaseException | None) -> bool:
    """Return whether it is worth to publish again after this error of publishing: the broker is away or full.

    What it was raised from counts, and not what it was raised beside: a task retries from within an except block, and what it
    caught there, such as a service that is away, is no error of the broker's.
    """
    chain = []
    while error is not None:
        chain.append(error)
        error = error.__cause__
    for answer in (one for one in chain if isinstance(one, redis.ResponseError)):
        return isinstance(answer, _REFUSALS) or str(answer).startswith(_REFUSAL_WORDS)
    passing = (OperationalError, redis.ConnectionError, redis.TimeoutError, ConnectionError, TimeoutError)
    return any(isinstance(one, passing) for one in chain)
