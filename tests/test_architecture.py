"""Imports go down the list of the README's architecture section, never up or sideways."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "pride_jax"
ORDER = [
    "errors",
    "types",
    "validated",
    "files",
    "data",
    "models",
    "task",
    "methods",
    "privacy",
    "aggregation",
    "engine",
    "federated",
    "settings",
    "reporting",
    "runs",
    "sweeps",
    "attacks",
    "deploy",
]
LEVEL = {name: level for level, name in enumerate(ORDER)}


def part_of(module: str) -> str:
    return module.split(".")[1]


def imported_parts(file: Path) -> set[str]:
    modules = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "pride_jax":
            modules.update(f"pride_jax.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules.add(node.module)
    return {part_of(name) for name in modules if name.startswith("pride_jax.")}


FILES = [file for file in PACKAGE.rglob("*.py") if file != PACKAGE / "__init__.py"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_go_down(file):
    here = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for there in imported_parts(file):
        assert LEVEL[there] <= LEVEL[here], f"{here} must not import {there}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_a_file_says_what_it_holds(file):
    first_line = (ast.get_docstring(ast.parse(file.read_text())) or "").split("\n")[0]
    assert first_line.endswith((".", "?"))
