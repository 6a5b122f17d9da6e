"""Weights of graph posteriors: files, and the shipped ones."""

from __future__ import annotations

import functools

from skcausal.nn._network_files import NetworkFiles
from skcausal.structure._graph_network import GraphNetwork, PairGraphNetwork, RowGraphNetwork
from skcausal.weights import shipped_weights

# Names of the shipped weights, all of the architecture "pairs".
SHIPPED = ("linear", "caasl", "gene-network")

NETWORK_FILES = NetworkFiles(
    {
        "pairs": (PairGraphNetwork, ("width", "n_layers", "n_features", "n_messages")),
        "rows": (RowGraphNetwork, ("width", "n_layers", "n_heads")),
    }
)


def shipped_file(name: str) -> str:
    """Name of the file of shipped weights, without its ending."""
    return f"graph-posterior-{name}"


@functools.cache
def load_shipped(name: str) -> tuple[GraphNetwork, dict]:
    """Read a shipped network, once per process; callers must not change it."""
    return NETWORK_FILES.load(shipped_weights(shipped_file(name)), "pairs")
