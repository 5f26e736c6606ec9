"""The scale: what is put onto it lies in a list of the cache's Redis until it has been read."""

import redis
from django.conf import settings

LIST = "orchard-scale"


def client() -> redis.Redis:
    """Return a client of the Redis that the scale's list is in."""
    return redis.Redis.from_url(settings.CACHES["default"]["LOCATION"], decode_responses=True)
