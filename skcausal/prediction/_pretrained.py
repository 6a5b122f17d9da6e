"""Weights of the meta-learned predictor: files, and the shipped ones."""

from __future__ import annotations

import functools
from typing import TypeAlias

from skcausal.nn._network_files import NetworkFiles
from skcausal.prediction._intervention_network import InterventionNetwork
from skcausal.prediction._paper_network import PaperNetwork
from skcausal.weights import shipped_weights

SHIPPED = "intervention-predictor"

Network: TypeAlias = InterventionNetwork | PaperNetwork

NETWORK_FILES = NetworkFiles(
    {
        "amortized": (InterventionNetwork, ("width", "n_layers")),
        "paper": (PaperNetwork, ("n_variables", "width", "n_layers")),
    }
)


@functools.cache
def load_shipped() -> tuple[Network, dict]:
    """Read the shipped network, once per process; callers must not change it."""
    return NETWORK_FILES.load(shipped_weights(SHIPPED), "amortized")
