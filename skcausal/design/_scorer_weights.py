"""Weights of design scorers: files, and the shipped ones."""

from __future__ import annotations

import functools

from skcausal.design._scorer_network import DesignScorer
from skcausal.nn._network_files import NetworkFiles
from skcausal.weights import shipped_weights

# Names of the shipped weights.
SHIPPED = ("caasl", "gene-network")

SCORER_FILES = NetworkFiles(
    {"scorer": (DesignScorer, ("width", "n_layers", "n_features", "n_messages", "n_hidden"))}
)


def shipped_file(name: str) -> str:
    """Name of the file of shipped weights, without its ending."""
    return f"active-designer-{name}"


@functools.cache
def load_shipped(name: str) -> tuple[DesignScorer, dict]:
    """Read a shipped network, once per process; callers must not change it."""
    return SCORER_FILES.load(shipped_weights(shipped_file(name)), "scorer")
