"""The second database: relics are there, and nothing else."""

from typing import Any


class Router:
    """Sends relics to the attic."""

    def db_for_read(self, model: Any, **_: Any) -> str:
        """Return where a model's rows are."""
        return "attic" if model._meta.label == "orchard.Relic" else "default"

    db_for_write = db_for_read

    def allow_migrate(self, db: str, app_label: str, model_name: str | None = None, **_: Any) -> bool:
        """Tell whether a model's table belongs into a database."""
        return (db == "attic") == (app_label == "orchard" and model_name == "relic")
