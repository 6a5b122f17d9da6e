"""Importing skcausal is quick: the slow libraries are imported by what uses them."""

import subprocess
import sys

import pytest

HEAVY = {"torch", "causallearn", "matplotlib"}
LIGHT_SUBPACKAGES = [
    "skcausal.compose",
    "skcausal.datasets",
    "skcausal.metrics",
    "skcausal.model_selection",
    "skcausal.plotting",
    "skcausal.prediction",
    "skcausal.structure",
]


def modules_after(statement):
    """Names of the modules that a fresh interpreter holds after running ``statement``."""
    script = f"{statement}\nimport sys\nprint(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return set(result.stdout.split())


@pytest.mark.parametrize("statement", ["import skcausal", f"import {', '.join(LIGHT_SUBPACKAGES)}"])
def test_import_leaves_slow_libraries_alone(statement):
    """Neither the package nor the subpackages of classical methods need torch to be loaded."""
    loaded = modules_after(statement)
    assert "skcausal" in loaded
    assert not loaded & HEAVY


def test_designs_leave_what_they_do_not_use_alone():
    """Designers compute with torch, but neither draw nor call causal-learn."""
    loaded = modules_after("import skcausal.design")
    assert "torch" in loaded
    assert not loaded & {"causallearn", "matplotlib"}


def test_public_names_of_designs_are_found_without_torch():
    """The package knows its names before it imports what they need."""
    loaded = modules_after("import skcausal; assert 'design' in dir(skcausal)")
    assert "torch" not in loaded


def test_heavy_modules_are_seen():
    """The check above does notice an import that it is meant to catch."""
    assert "matplotlib" in modules_after("import matplotlib")
