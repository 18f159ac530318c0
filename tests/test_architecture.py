"""The house of the package's page: what imports what, and how large a file may be."""

import ast
import graphlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "pride_jax"
ORDER = [
    "errors",
    "types",
    "validated",
    "files",
    "progress",
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

MOST_LINES = 450
FILES = {
    str(file.relative_to(PACKAGE)): file
    for file in sorted(PACKAGE.rglob("*.py"))
    if file != PACKAGE / "__init__.py"
}


def module_of(path: str) -> str:
    """A file of the package -> the name that it is imported by."""
    return ".".join(("pride_jax", *Path(path).with_suffix("").parts)).removesuffix(".__init__")


MODULES = {module_of(path): path for path in FILES}


def imported(source: str) -> set[str]:
    """The modules that a file imports, anywhere in it; `from a import b` may mean `a.b`."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the whole module"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in MODULES else str(node.module))
    return found


def imported_parts(source: str) -> set[str]:
    """The parts of the package that a file imports from."""
    return {name.split(".")[1] for name in imported(source) if name.startswith("pride_jax.")}


each_file = pytest.mark.parametrize("path", FILES)


def test_imports_inside_functions_and_of_modules_count():
    source = """
def late():
    import pride_jax.deploy.server
    from pride_jax import errors
    from pride_jax.settings import own
    from pride_jax.task import Task
"""
    assert imported(source) == {
        "pride_jax.deploy.server",
        "pride_jax.errors",
        "pride_jax.settings.own",
        "pride_jax.task",
    }


@each_file
def test_imports_go_down(path):
    here = Path(path).parts[0].removesuffix(".py")
    for there in imported_parts(FILES[path].read_text()):
        assert LEVEL[there] <= LEVEL[here], f"{here} must not import {there}"


def test_no_files_import_one_another_in_a_circle():
    graph = {
        module: (imported(FILES[path].read_text()) & MODULES.keys()) - {module}
        for module, path in MODULES.items()
    }
    graphlib.TopologicalSorter(graph).prepare()


@each_file
def test_the_package_needs_neither_results_nor_scripts_nor_tests(path):
    others = {name.split(".")[0] for name in imported(FILES[path].read_text())}
    assert not others & {"results", "scripts", "bench", "tests", "configs"}


@each_file
def test_a_file_says_in_a_sentence_what_it_holds(path):
    docstring = ast.get_docstring(ast.parse(FILES[path].read_text())) or ""
    assert docstring.split("\n")[0].endswith(".")


@pytest.mark.parametrize("path", FILES)
def test_a_file_holds_one_idea(path):
    assert len(FILES[path].read_text().splitlines()) <= MOST_LINES


def test_the_page_lists_the_parts_in_the_order_of_imports():
    text = (PACKAGE / "README.md").read_text().partition("\n## Architecture\n")[2]
    architecture = text.partition("\n## ")[0]
    rows = re.findall(r"^\| (\[.*?) \|", architecture, flags=re.MULTILINE)
    listed = [name for row in rows for name in re.findall(r"\]\((\w+)(?:\.py)?\)", row)]
    assert listed == ORDER


def test_every_part_is_there():
    parts = {Path(path).parts[0].removesuffix(".py") for path in FILES}
    assert parts == set(ORDER)
