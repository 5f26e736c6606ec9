"""How the modules of the runtime hang together."""

from __future__ import annotations

import ast
from pathlib import Path

from conftest import SOURCES

PACKAGE = SOURCES / "celery_runtime"


def test_no_module_imports_in_a_circle() -> None:
    """Not at its end, either, nor within a function; what is for types alone doesn't count."""
    graph = {path.stem: imports(path) for path in PACKAGE.glob("*.py")}

    def circle(name: str, way: tuple[str, ...]) -> tuple[str, ...]:
        if name in way:
            return (*way[way.index(name) :], name)
        return next((found for one in sorted(graph.get(name, ())) if (found := circle(one, (*way, name)))), ())

    assert [found for name in sorted(graph) if (found := circle(name, ()))] == []


def imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 1 and id(node) not in for_types:
            found |= {node.module} if node.module else {alias.name for alias in node.names}
    return found
