"""Refuses to start on packages whose insides aren't those that the runtime was written for.

Much of what the runtime promises hangs on methods that it overrides, and on names that kombu, Celery and the others don't promise
to keep. After an upgrade that renames one, nothing fails: the override is just never called, and what it saw to is lost in silence.
So every such name stands in `internals`, and is compared with what is installed: at the start of a worker and of beat, and before a
release becomes current (see `probe`). A part that is off isn't looked at.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Collection, Iterator
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from importlib.util import find_spec
from types import CodeType
from typing import Any

from celery import signals

from .configuration import ConfigurationError
from .internals import INTERNALS, Group, Override, Process, Use
from .versions import holds

OPTIONAL = frozenset({"django_celery_beat", "django_celery_results", "flower"})
# Those of them whose models can't be imported unless Django knows the app. What needs it in spite of that can't be loaded, and says so.
APPS = frozenset({"django_celery_beat", "django_celery_results"})
_STARS: dict[Any, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}


def faults(parts: Collection[str], process: Process | None = None) -> list[str]:
    """Return a line for each name that isn't as the parts need it.

    Args:
        parts: the parts that are on.
        process: look at what this process uses alone; None for all.
    """
    found = []
    for group in INTERNALS:
        if process not in (None, group.process) or not group.parts & {*parts, "all"}:
            continue
        needed = ", ".join(sorted(group.parts & set(parts)))
        for name in applicable(group):
            if fault := (_override(name) if isinstance(name, Override) else _use(name)):
                advice = (
                    f"or leave '{needed}' out of stack_runtime_parts" if needed else "which this version isn't made for"
                )
                found.append(f"{fault}, in {_distribution(name.name)}: use a version that the runtime knows, {advice}")
    return found


def applicable(group: Group) -> list[Override | Use]:
    """Return the names of a group that are looked at with what is installed."""
    return [name for name in group.names if _is_there(name.name) and (not name.only or holds(name.only))]


def _is_there(name: str) -> bool:
    """Tell whether somebody can use a name: a package that only some projects have need not be installed, nor be an app of Django's."""
    package = name.partition(":")[0].partition(".")[0]
    # Where nobody has loaded Django, nobody has apps of it.
    apps = getattr(sys.modules.get("django.apps"), "apps", None)
    if package in APPS and apps is not None and apps.ready and not apps.is_installed(package):
        return False
    return package not in OPTIONAL or _is_installed(package)


@cache
def _is_installed(package: str) -> bool:
    return find_spec(package) is not None


def require(parts: Collection[str], process: Process) -> None:
    """Refuse to go on where a name isn't as the parts need it.

    Raises:
        ConfigurationError: with every such name.
    """
    if found := faults(parts, process):
        raise ConfigurationError("\n".join(found))


def install(parts: Collection[str]) -> None:
    """Look at the names before a worker begins."""

    def look(**_: Any) -> None:
        # Celery logs an exception of a signal's receiver, and goes on; this it doesn't catch.
        try:
            require(parts, "worker")
        except ConfigurationError as error:
            sys.exit(f"the worker is not started:\n{error}")

    signals.worker_init.connect(look, weak=False, dispatch_uid="celery_runtime.compatibility")


def _override(name: Override) -> str:
    """Say what is wrong with something that is overridden or replaced: it must be there as it was, and still be called."""
    if gone := _gone(name.name):
        return gone
    if name.signature and name.signature != (present := signature(resolve(name.name))):
        return f"{name.name} takes ({present}), not ({name.signature})"
    looked_up = _owner(name.name)[1]
    for caller in name.callers:
        try:
            names = mentioned(resolve(caller))
        except (ImportError, AttributeError):
            return f"{caller}, which uses {name.name}, is gone"
        if looked_up not in names:
            return f"{caller} doesn't use {name.name} any more"
    return ""


def _use(name: Use) -> str:
    """Say what is wrong with something that is called or read."""
    if gone := _gone(name.name):
        return gone
    taken = inspect.signature(resolve(name.name)).parameters if name.parameters else {}
    missing = [one for one in name.parameters if one not in taken]
    return f"{name.name} has no parameter {', '.join(missing)}" if missing else ""


def _gone(name: str) -> str:
    """Say that there is no such thing, neither in its module or class nor in what the class gives to each object."""
    owner, last = _owner(name)
    try:
        place = resolve(owner) if ":" in owner else import_module(owner)
    except (ImportError, AttributeError):
        return f"{name} is gone"
    if not inspect.isclass(place):
        return "" if hasattr(place, last) else f"{name} is gone"
    # Not of its metaclass.
    line = inspect.getmro(place)
    # Python's own, such as UserDict's, make what they need themselves.
    makers = [
        vars(one).get("__init__") for one in line if one.__module__.partition(".")[0] not in sys.stdlib_module_names
    ]
    there = any(last in vars(one) for one in line)
    made = any(inspect.isfunction(maker) and last in mentioned(maker) for maker in makers)
    return "" if there or made else f"{name} is gone"


def _owner(name: str) -> tuple[str, str]:
    """Split a name into its module or class, and what it is called there."""
    module, _, path = name.partition(":")
    inside, _, last = path.rpartition(".")
    return f"{module}:{inside}" if inside else module, last


def resolve(name: str) -> Any:
    """Return what stands under `module:name` or `module:Class.name`; a property or the like as its function.

    Raises:
        ImportError, AttributeError: there is no such thing.
    """
    module, _, path = name.partition(":")
    found: Any = import_module(module)
    for step in path.split("."):
        # As it stands there, since a property would give itself away.
        found = inspect.getattr_static(found, step) if inspect.isclass(found) else getattr(found, step)
    return function_of(found)


def function_of(found: Any) -> Any:
    """Return the function in a property, a cached one, or a method of the class."""
    for holder in ("__func__", "fget", "func"):
        inner = getattr(found, holder, None)
        if inner is not None and not inspect.isfunction(found):
            found = inner
    return found


def signature(found: Callable[..., Any]) -> str:
    """Return names and kinds of parameters: `name`, `[name]` for one with a default, `*name`, `**name`, and `*` before keywords."""
    words, keywords = [], False
    for one in inspect.signature(found).parameters.values():
        if one.kind is one.KEYWORD_ONLY and not keywords:
            words.append("*")
        keywords |= one.kind in (one.KEYWORD_ONLY, one.VAR_POSITIONAL)
        plain = one.default is one.empty
        words.append(f"{_STARS.get(one.kind, '')}{one.name}" if plain else f"[{one.name}]")
    return ", ".join(words)


@cache
def mentioned(function: Callable[..., Any]) -> frozenset[str]:
    """Return the names that a function, or one within it, looks up; for a class those of its methods."""
    if inspect.isclass(function):
        own = (function_of(one) for one in vars(function).values())
        return frozenset[str]().union(*(mentioned(one) for one in own if inspect.isfunction(one)))
    code = getattr(inspect.unwrap(function), "__code__", None)
    return frozenset(word for one in _codes(code) for word in one.co_names) if code else frozenset()


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for one in code.co_consts:
        if isinstance(one, CodeType):
            yield from _codes(one)


@cache
def _distribution(name: str) -> str:
    """Return the package that a name belongs to, with its version."""
    top = name.partition(":")[0].partition(".")[0]
    try:
        package = packages_distributions().get(top, [top])[0]
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return top
