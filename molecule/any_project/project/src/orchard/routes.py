"""Which queue a task goes to, by its name."""

from typing import Any

QUEUES = {"orchard.press": "press", "orchard.post": "post"}


def by_name(name: str, _args: Any, _kwargs: Any, _options: Any, **_: Any) -> dict[str, str] | None:
    """Return the route of the heavy tasks; the next router knows the others."""
    return {"queue": QUEUES[name]} if name in QUEUES else None
