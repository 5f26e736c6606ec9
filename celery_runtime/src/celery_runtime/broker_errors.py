"""Which errors of publishing pass by themselves."""

from __future__ import annotations

from kombu.exceptions import OperationalError
from redis import exceptions as redis

# What Redis answers when it is there and takes nothing for now: a replica, without its primary, disk full, without replicas, in a script.
_REFUSALS = {redis.ReadOnlyError: "READONLY ", redis.MasterDownError: "MASTERDOWN "}
_REFUSAL_WORDS = ("MISCONF ", "NOREPLICAS ", "BUSY ")


def refused_for_now(error: BaseException) -> str:
    """Return why Redis takes nothing for now, beginning with its own word for it; an empty text for any other error.

    A full memory is another matter: Redis then takes what empties it.
    """
    said = str(error)
    if said.startswith(_REFUSAL_WORDS):
        return said
    # redis-py takes the word away where it has a class for it.
    return next((word + said for kind, word in _REFUSALS.items() if isinstance(error, kind)), "")


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
        return isinstance(answer, (redis.OutOfMemoryError, redis.TryAgainError)) or bool(refused_for_now(answer))
    passing = (OperationalError, redis.ConnectionError, redis.TimeoutError, ConnectionError, TimeoutError)
    return any(isinstance(one, passing) for one in chain)
