"""Structure learners that predict: a graph, and a linear-Gaussian SCM refitted on it."""

from skcausal.structure._bootstrap import BootstrapEnsemble
from skcausal.structure._gies import GIES
from skcausal.structure._igsp import IGSP
from skcausal.structure._known_graph import FullGraph, KnownGraph
from skcausal.structure._linear_scm import LinearGaussianSCM
from skcausal.structure._observational import GES, PC
from skcausal.structure._shift_order import ShiftOrder

__all__ = [
    "GES",
    "GIES",
    "IGSP",
    "PC",
    "BootstrapEnsemble",
    "FullGraph",
    "KnownGraph",
    "LinearGaussianSCM",
    "ShiftOrder",
]
