"""The tasks, one for each queue, and what beat sends."""

import hashlib
from typing import Any

from celery import Task
from django.conf import settings
from django.core.cache import cache

from .arithmetic import factors
from .jobs import minions
from .models import Event, Relic

# Asked for while the tasks are loaded, by whoever loads them: workers, beat, the web, and Flower.
SEASON = cache.get("season", "autumn")


@minions.task(bind=True, name="orchard.pick")
def pick(self: Task, fruit: str) -> dict[str, Any]:
    """Say what was picked, and which token the market would see."""
    cache.set(f"picked-{fruit}", fruit, 600)
    token = hashlib.sha256(settings.MARKET_TOKEN.encode()).hexdigest()
    return {"fruit": fruit, "token": token, "worker": self.request.hostname}


@minions.task(bind=True, name="orchard.press")
def press(self: Task, number: int) -> dict[str, Any]:
    """Take a number apart."""
    return {"factors": factors(number), "worker": self.request.hostname}


@minions.task(bind=True, name="orchard.post")
def post(self: Task, label: str) -> dict[str, Any]:
    """Put something into the attic."""
    return {"relic": Relic.objects.create(label=label).pk, "worker": self.request.hostname}


@minions.task(name="orchard.take_stock")
def take_stock() -> None:
    """Note that stock was taken."""
    Event.objects.create(kind="stock", detail=SEASON)
