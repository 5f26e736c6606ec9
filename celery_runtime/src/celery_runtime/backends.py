"""Makes a result backend of the class that is configured and of what the part `results` adds to it."""

from __future__ import annotations

from functools import cache
from typing import Any

from celery.backends.base import Backend, DisabledBackend, unpickle_backend

from .result_backend import Patient

OF_DATABASE = "django_celery_results.backends.database"
OF_REDIS = "celery.backends.redis"


def _derives_from(stock: type, module: str, name: str) -> bool:
    """Tell whether a class is, or derives from, one of a package that need not be installed."""
    return any((one.__module__, one.__name__) == (module, name) for one in stock.__mro__)


@cache
def patient(stock: type[Backend]) -> type[Backend]:
    """Return a backend class with what the part `results` adds; one that keeps nothing, or is none of Celery's kind, as it is."""
    if not issubclass(stock, Backend) or issubclass(stock, (DisabledBackend, Patient)):
        return stock
    layer: type[Patient] = Patient
    own: dict[str, Any] = {
        "__module__": __name__,
        "__doc__": stock.__doc__,
        "stock": stock,
        "restored": staticmethod(restored),
    }
    if _derives_from(stock, OF_DATABASE, "DatabaseBackend"):
        # It needs Django's models.
        from .database_results import InDatabase

        layer = InDatabase
    elif _derives_from(stock, OF_REDIS, "RedisBackend"):
        # It keeps the parts in a set, where one that is counted twice stands once; its option result_chord_ordered makes a list of that.
        own["counts_again"] = property(lambda self: bool(self._chord_zset))
    return type(stock.__name__, (layer, stock), own)


def restored(stock: Any, args: Any, kwargs: Any) -> Any:
    """Return a backend that was pickled."""
    return unpickle_backend(patient(stock), args, kwargs)
