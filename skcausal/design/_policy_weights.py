"""Weights of policies: files, and the shipped ones."""

from __future__ import annotations

import functools

from skcausal.design._policy_networks import BernoulliPolicy, GaussianPolicy
from skcausal.design._scorer_network import DesignScorer
from skcausal.nn._network_files import NetworkFiles
from skcausal.weights import shipped_weights

# Names of the shipped weights, all of the variant "distilled".
SHIPPED = ("caasl", "gene-network")

_POLICY_SIZES = ("n_choices", "width", "n_layers", "n_heads", "n_hidden")
POLICY_FILES = NetworkFiles(
    {
        "distilled": (DesignScorer, ("width", "n_layers", "n_features", "n_messages", "n_hidden")),
        "gaussian": (GaussianPolicy, _POLICY_SIZES),
        "bernoulli": (BernoulliPolicy, _POLICY_SIZES),
    }
)


def shipped_file(name: str) -> str:
    """Name of the file of shipped weights, without its ending."""
    return f"active-designer-{name}"


@functools.cache
def load_shipped(name: str) -> tuple[DesignScorer, dict]:
    """Read a shipped network, once per process; callers must not change it."""
    return POLICY_FILES.load(shipped_weights(shipped_file(name)), "distilled")
