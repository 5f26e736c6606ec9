"""Masks secrets where Celery shows its configuration: `inspect conf`, `report`, and with them Flower's page of a worker.

Celery goes by a setting's name, and knows the broker's address by its own name only; in Django's settings it has a prefix. Here
the values count, too: a URL loses its password wherever it stands, and so does whatever a credential of this unit holds.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from celery.app import utils

MASK = "*" * 8
# Names of settings beside those that Celery masks. A DSN carries its key where a URL has the user.
NAMES = re.compile(f"{utils.HIDDEN_SETTINGS.pattern}|DSN|CREDENTIAL|PRIVATE", re.IGNORECASE)
URL_PASSWORD = re.compile(r"(://[^\s/:@]*):[^\s@]+@")
# A shorter text would be masked where it stands by chance.
SHORTEST = 8
# A credential that is no secret: the name of a role, which may be the application's own, and so stand in the name of a module.
ROLE = "database_user"


def own_secrets() -> list[str]:
    """Return what this unit's credentials hold, the longest first, since one may contain another."""
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    found = []
    for path in Path(directory).iterdir() if directory else ():
        if path.name == ROLE:
            continue
        try:
            found.append(path.read_text().rstrip("\n"))
        except (OSError, UnicodeDecodeError):
            continue
    return sorted((text for text in found if len(text) >= SHORTEST), key=len, reverse=True)


def masked(value: Any, secrets: Iterable[str]) -> Any:
    """Return a value without passwords in URLs and without these secrets."""
    if isinstance(value, str):
        text = URL_PASSWORD.sub(rf"\1:{MASK}@", value)
        for secret in secrets:
            text = text.replace(secret, MASK)
        return text
    if isinstance(value, Mapping):
        return {key: MASK if is_hidden(key, one) else masked(one, secrets) for key, one in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [masked(one, secrets) for one in value]
    if isinstance(value, (bool, int, float, type(None))):
        return value
    text = str(value)
    # Anything else, such as a queue, stays what it is unless it would tell something.
    return value if masked(text, secrets) == text else MASK


def is_hidden(name: Any, value: Any) -> bool:
    """Tell whether a setting is masked as a whole because of its name."""
    return isinstance(name, str) and not isinstance(value, Mapping) and NAMES.search(name) is not None


def filter_hidden_settings(conf: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return the settings as they may be shown, in place of Celery's function of this name."""
    secrets = own_secrets()
    shown: dict[Any, Any] = masked(conf, secrets)
    return shown


def install() -> None:
    """Let Celery show its settings this way."""
    utils.filter_hidden_settings = filter_hidden_settings
