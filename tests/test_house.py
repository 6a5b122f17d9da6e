"""How the project is kept: short files, short functions, imports that run downward."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "skcausal"
FOLDERS = ("skcausal", "tests", "benchmarks", "examples", "docs/_ext")
FILES = sorted(file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py"))
LONGEST_FILE = 600
LONGEST_BODY = 60  # lines of a function below its signature and docstring

# A module may import those of the levels before its own, and itself.
LEVELS = (
    {"_typing"},
    {"_adjacency", "_array_storage", "_labels", "_row_blocks"},
    {"_anndata", "_equivalence", "_graph_conversion"},
    {"interventions", "graphs", "weights"},
    {"base"},
    {"nn", "simulators", "metrics"},
    {"structure", "datasets", "model_selection", "compose"},
    {"prediction", "perturbation", "effects", "design", "plotting"},
)
LEVEL_OF = {name: level for level, names in enumerate(LEVELS) for name in names}
# Within a function, for a graph of networkx that is given where a matrix is expected.
EXCEPTIONS = {("_adjacency", "_graph_conversion")}


def subpackage(file):
    """First part of a file's path within the package."""
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_subpackages(file):
    """Subpackages that a file imports, anywhere in it, but not for annotations alone."""
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            node.body = []
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "skcausal":
            names |= {f"skcausal.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return {name.split(".")[1] for name in names if name.startswith("skcausal.")}


def body_length(function):
    """Number of lines of a function's body without its docstring."""
    first = function.body[1:] if ast.get_docstring(function) else function.body
    return function.end_lineno - first[0].lineno + 1 if first else 0


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_files_and_functions_are_short(file):
    source = file.read_text()
    assert source.count("\n") <= LONGEST_FILE
    functions = (
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    )
    assert {f.name: body_length(f) for f in functions if body_length(f) > LONGEST_BODY} == {}


@pytest.mark.parametrize(
    "file",
    [file for file in FILES if PACKAGE in file.parents and file != PACKAGE / "__init__.py"],
    ids=lambda file: str(file.relative_to(PACKAGE)),
)
def test_imports_run_downward(file):
    own = subpackage(file)
    imported = imported_subpackages(file) - {own, "__version__"}
    assert imported <= set(LEVEL_OF)
    upward = {
        name
        for name in imported
        if LEVEL_OF[name] >= LEVEL_OF[own] and (own, name) not in EXCEPTIONS
    }
    assert upward == set()
