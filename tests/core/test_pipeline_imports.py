"""No two files of the package import each other, on whatever way round; imports for types alone count too."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import dualsafe

PACKAGE = Path(dualsafe.__file__).parent


def imports(root: Path) -> dict[str, set[str]]:
    """Module -> the modules under `root` that it imports when it is imported, or that it names for types.

    An import inside a function is made when it is called, and closes no circle.
    """
    files = {".".join((root.name, *path.relative_to(root).with_suffix("").parts)): path for path in root.rglob("*.py")}
    files = {name.removesuffix(".__init__"): path for name, path in files.items()}
    return {name: {at for at in _named(name, path, files) if at != name} for name, path in files.items()}


def _named(name: str, path: Path, files: dict[str, Path]) -> set[str]:
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    found = set()
    for node in _outside_functions(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found |= {f"{base}.{alias.name}" if f"{base}.{alias.name}" in files else base for alias in node.names}
    return found & files.keys()


def _outside_functions(node: ast.AST):
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield child
            yield from _outside_functions(child)


def circle(root: Path) -> list[str] | None:
    """Modules that import each other in a circle, if any do."""
    try:
        TopologicalSorter(imports(root)).prepare()
    except CycleError as error:
        return error.args[1]
    return None


def test_the_package_has_no_import_circle():
    assert circle(PACKAGE) is None


@pytest.mark.parametrize(
    ("b", "found"),
    [
        ("from .a import x\n", True),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .a import x\n", True),
        ("import made.a\n", True),
        ("from . import a\n", True),
        ("class B:\n    from .a import x\n", True),
        ("def later():\n    from .a import x\n", False),
        ("import json\n", False),
    ],
)
def test_a_circle_is_found(tmp_path, b, found):
    root = tmp_path / "made"
    root.mkdir()
    (root / "__init__.py").touch()
    (root / "a.py").write_text("from .b import y\n")
    (root / "b.py").write_text(b)
    assert (circle(root) is not None) == found
