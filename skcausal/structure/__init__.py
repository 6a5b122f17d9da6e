"""Structure learners that predict: a graph, and a linear-Gaussian SCM refitted on it."""

from typing import TYPE_CHECKING

from skcausal.structure._bootstrap import BootstrapEnsemble
from skcausal.structure._gies import GIES
from skcausal.structure._igsp import IGSP
from skcausal.structure._known_graph import FullGraph, KnownGraph
from skcausal.structure._linear_scm import LinearGaussianSCM
from skcausal.structure._observational import GES, PC
from skcausal.structure._shift_order import ShiftOrder

if TYPE_CHECKING:
    from skcausal.structure._amortized_posterior import AmortizedGraphPosterior
    from skcausal.structure._exact_posterior import ExactGraphPosterior

__all__ = [
    "GES",
    "GIES",
    "IGSP",
    "PC",
    "AmortizedGraphPosterior",
    "BootstrapEnsemble",
    "ExactGraphPosterior",
    "FullGraph",
    "KnownGraph",
    "LinearGaussianSCM",
    "ShiftOrder",
]


def __getattr__(name):
    # Imported on first use: they need torch, which the searches do without.
    if name == "AmortizedGraphPosterior":
        from skcausal.structure._amortized_posterior import AmortizedGraphPosterior

        return AmortizedGraphPosterior
    if name == "ExactGraphPosterior":
        from skcausal.structure._exact_posterior import ExactGraphPosterior

        return ExactGraphPosterior
    raise AttributeError(f"module 'skcausal.structure' has no attribute {name!r}")


def __dir__():
    return __all__
