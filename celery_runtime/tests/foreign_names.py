"""Finds in the runtime's sources what they override, replace or use of other packages' private names."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

from celery_runtime.compatibility import mentioned
from celery_runtime.versions import holds
from conftest import SOURCES

PACKAGES = ("kombu", "celery", "redis", "django_celery_beat", "django_celery_results", "flower")
OURS = "celery_runtime"


@dataclass
class Source:
    """A module of the runtime, as text."""

    path: Path

    @cached_property
    def tree(self) -> ast.Module:
        """Return its syntax."""
        return ast.parse(self.path.read_text())

    @cached_property
    def imports(self) -> dict[str, str]:
        """Return what each imported name stands for: `module`, or `module:name`."""
        found = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom):
                module = ".".join(filter(None, (OURS if node.level else "", node.module)))
                for alias in node.names:
                    found[alias.asname or alias.name] = _module_or_name(module, alias.name)
            elif isinstance(node, ast.Import):
                found |= {alias.asname or alias.name: alias.name for alias in node.names}
        return found

    @cached_property
    def only(self) -> str:
        """Return the versions that it is made for; nothing for all."""
        found = re.search(r'^ONLY = "(.+)"$', self.path.read_text(), re.MULTILINE)
        return found[1] if found else ""

    def foreign(self, node: ast.expr) -> str:
        """Return what an expression such as `base.Channel` stands for, where it is of another package; else an empty text."""
        if isinstance(node, ast.Name):
            found = self.imports.get(node.id, "")
        elif isinstance(node, ast.Attribute) and (owner := self.foreign(node.value)):
            found = f"{owner}.{node.attr}" if ":" in owner else _module_or_name(owner, node.attr)
        else:
            return ""
        if found.startswith(f"{OURS}.stock:"):
            found = origin(thing(found))
        return found if found.partition(":")[0].partition(".")[0] in PACKAGES else ""

    def classes(self) -> Iterator[ast.ClassDef]:
        """Return its classes, also those within functions."""
        return (node for node in ast.walk(self.tree) if isinstance(node, ast.ClassDef))


def _module_or_name(module: str, name: str) -> str:
    try:
        import_module(f"{module}.{name}")
    except ImportError:
        return f"{module}:{name}"
    return f"{module}.{name}"


def origin(place: type) -> str:
    """Return the class of another package that a class is or derives from."""
    (found, *_) = (one for one in inspect.getmro(place) if one.__module__.partition(".")[0] in PACKAGES)
    return f"{found.__module__}:{found.__qualname__}"


def sources() -> list[Source]:
    """Return the modules of the runtime, without those that are made for other versions than these."""
    return [one for one in map(Source, sorted((SOURCES / OURS).rglob("*.py"))) if not one.only or holds(one.only)]


def bases(source: Source, node: ast.ClassDef) -> list[str]:
    """Return the classes of other packages that a class derives from, also by way of others of its module."""
    local = {one.name: one for one in source.classes()}
    found = []
    for base in node.bases:
        if name := source.foreign(base):
            found.append(name)
        elif isinstance(base, ast.Name) and base.id in local and local[base.id] is not node:
            found += bases(source, local[base.id])
    return found


def given(node: ast.ClassDef) -> set[str]:
    """Return the names that a class defines, for itself or for its objects; of special methods `__init__` alone."""
    names = set()
    for one in node.body:
        if isinstance(one, (ast.FunctionDef, ast.ClassDef)):
            names.add(one.name)
        elif isinstance(one, (ast.Assign, ast.AnnAssign)):
            names |= {target.id for target in _targets(one) if isinstance(target, ast.Name)}
    for one in ast.walk(node):
        for target in _targets(one):
            if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == "self":
                names.add(target.attr)
    return {name for name in names if not name.startswith("__") or name == "__init__"}


def _targets(node: ast.AST) -> list[ast.expr]:
    """Return what a statement assigns to or deletes, without subscripts."""
    match node:
        case ast.Assign() | ast.Delete():
            targets = list(node.targets)
        case ast.AnnAssign() | ast.AugAssign():
            targets = [node.target]
        case _:
            return []
    flat = [part for target in targets for part in (target.elts if isinstance(target, ast.Tuple) else [target])]
    return [part.value if isinstance(part, ast.Subscript) else part for part in flat]


def overridden(source: Source) -> Iterator[tuple[type, str]]:
    """Return each class of another package of which something is overridden, and what."""
    for node in source.classes():
        for base in bases(source, node):
            place = thing(base)
            for name in sorted(given(node)):
                if hasattr(place, name) or _is_given_to_objects(place, name):
                    yield place, name


def _is_given_to_objects(place: type, name: str) -> bool:
    makers = [vars(one).get("__init__") for one in inspect.getmro(place)]
    return any(inspect.isfunction(maker) and name in mentioned(maker) for maker in makers)


def mixed_in(source: Source) -> Iterator[str]:
    """Return the methods of classes without a base that call the same of a base: they are mixed into a class of another's."""
    for node in source.classes():
        for method in node.body if not node.bases else ():
            calls = f"super().{method.name}(" if isinstance(method, ast.FunctionDef) else None
            if calls and calls in ast.unparse(method):
                yield method.name


def replaced(source: Source) -> Iterator[str]:
    """Return what of other packages' modules and classes is assigned to."""
    for node in ast.walk(source.tree):
        for target in _targets(node):
            # Names of the module's own are no foreign ones, unless it changes what they hold.
            subscript = isinstance(target, ast.Name) and target.id in source.imports
            if (isinstance(target, ast.Attribute) or subscript) and (name := source.foreign(target)):
                yield name


def private(source: Source) -> Iterator[str]:
    """Return the private names that are used or imported."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            yield node.attr
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in PACKAGES:
            path = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
            if any(part.startswith("_") for part in path):
                yield from (alias.name for alias in node.names)


def own() -> set[str]:
    """Return the names that the runtime itself gives to something."""
    names: set[str] = set()
    for source in sources():
        for node in ast.walk(source.tree):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                names.add(node.name)
            if isinstance(node, ast.ClassDef):
                names |= given(node)
            names |= {target.id for target in _targets(node) if isinstance(target, ast.Name)}
    return names


def thing(name: str) -> Any:
    """Return what `module:Class` or `module:Class.Inner` names."""
    module, _, path = name.partition(":")
    found: Any = import_module(module)
    for step in path.split("."):
        found = getattr(found, step)
    return found
