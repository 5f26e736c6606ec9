"""What the deployment's settings take the place of in the project's own: nothing is replaced in silence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass
from typing import Any

from . import reasons
from .configuration import Configuration
from .masking import MASK, NAMES, URL_PASSWORD
from .overlay import CACHE, LOGIN
from .reasons import Reason

HEADINGS = ("setting", "the project's", "in place of it", "variable that decides", "why")
# A value that is longer is cut: who wants to know more looks into the project (characters).
LONGEST = 44
NOTHING = "(nothing)"
# A setting that is only added to.
ADDED = ("INSTALLED_APPS",)
# Names that hide nothing, whatever their letters.
OPEN_NAMES = ("DATABASES", "global_keyprefix")


@dataclass(frozen=True)
class Row:
    """A setting whose value isn't the project's own.

    Attributes:
        setting: its name, as Django's settings have it; entries of dictionaries in brackets.
        project: the project's value, as it is shown.
        ours: what is there in its place, as it is shown.
        variable: the variable of an inventory that decides.
        why: why it isn't the project's.
    """

    setting: str
    project: str
    ours: str
    variable: str
    why: str


def rows(project: Mapping[str, Any], result: Mapping[str, Any], configuration: Configuration) -> list[Row]:
    """Return a row for each value of the project's own that was replaced.

    Args:
        project: the names of the project's own settings module.
        result: the settings that are used.
        configuration: what the deployment says.
    """
    found = []
    for name, own in sorted(project.items()):
        if not name.isupper() or name in ADDED:
            continue
        for path, before, after in _changes(name, own, result.get(name, NOTHING), _depth(name, configuration)):
            reason = _reason(path, configuration)
            shown = _given(path, configuration) or _shown(path, after)
            found.append(Row(_title(path), _shown(path, before), shown, reason.variable, reason.why))
    return found


def table(found: Iterable[Row]) -> list[str]:
    """Return rows as lines of a table, with its headings; none where there are no rows."""
    texts = [astuple(row) for row in found]
    if not texts:
        return []
    texts.insert(0, HEADINGS)
    widths = [max(len(text[column]) for text in texts) for column in range(len(HEADINGS))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(text, widths, strict=True)).rstrip() for text in texts]


def _depth(name: str, configuration: Configuration) -> int:
    """Return how many levels of a dictionary are merged, and so compared entry by entry."""
    if name == "CACHES" and not configuration.cache:
        return 0
    return {"DATABASES": 3, "CACHES": 2, configuration.setting("broker_transport_options"): 1}.get(name, 0)


def _changes(name: str, own: Any, other: Any, depth: int) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """Find values that differ; a text for a path, a tuple for a list and the like are the same to Django."""
    if depth and isinstance(own, Mapping) and isinstance(other, Mapping):
        for key, value in own.items():
            for path, before, after in _changes(str(key), value, other.get(key, NOTHING), depth - 1):
                yield (name, *path), before, after
    elif _plain(own) != _plain(other):
        yield (name,), own, other


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, (set, frozenset)):
        return sorted(map(str, value))
    return value if isinstance(value, (bool, int, float, type(None))) else str(value)


def _title(path: tuple[str, ...]) -> str:
    return path[0] + "".join(f"[{key}]" for key in path[1:])


def _shown(path: tuple[str, ...], value: Any) -> str:
    """Return a value as it may be shown: without secrets, on one line, and not too long."""
    if _is_secret(path[-1]) and value != NOTHING and value not in (None, ""):
        return MASK
    text = value if value == NOTHING else repr(_masked(_plain(value)))
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _is_secret(name: str) -> bool:
    return NAMES.search(name) is not None and name not in OPEN_NAMES


def _masked(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: MASK if _is_secret(key) and one else _masked(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_masked(one) for one in value]
    return URL_PASSWORD.sub(rf"\1:{MASK}@", value) if isinstance(value, str) else value


def _given(path: tuple[str, ...], configuration: Configuration) -> str:
    """Return which credential a setting's value comes from; nothing where it comes from none."""
    name = path[0]
    if path[:2] == ("DATABASES", "default"):
        name = next((name for name, entry in LOGIN.items() if path[2:] == (entry,)), "")
    if len(path) == 3 and (path[0], path[2]) == ("CACHES", "LOCATION"):
        name = CACHE
    source = configuration.credentials.get(name, "")
    return f"(credential {source})" if source else ""


def _reason(path: tuple[str, ...], configuration: Configuration) -> Reason:
    name = path[0]
    if path[:2] == ("DATABASES", "default"):
        return reasons.of_database(path[2])
    if path[:2] == ("CACHES", "default"):
        return reasons.of_cache(path[2])
    if name == "CACHES" and configuration.cache:
        return reasons.OTHER_CACHE
    known = configuration.celery_name(name) or name
    if known in configuration.said:
        return reasons.SAID_OF_DJANGO if known == name else reasons.SAID_OF_CELERY
    if known == name and name in configuration.credentials and name not in reasons.DJANGO:
        return Reason("a credential of the inventory's", "stack_credential_settings_extra")
    if known == name:
        return reasons.of_django(name)
    signed = "signing" in configuration.runtime.parts and known in (
        "task_serializer",
        "event_serializer",
        "accept_content",
    )
    return reasons.SIGNED if signed else reasons.of_celery(known)
