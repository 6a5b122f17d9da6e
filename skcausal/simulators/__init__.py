"""Task priors: distributions over causal systems, drawn and simulated in batches with torch."""

from skcausal.simulators._linear import LinearSystems
from skcausal.simulators._linear_prior import LinearPrior
from skcausal.simulators._nonlinear import NonlinearPrior, NonlinearSystems
from skcausal.simulators._systems import Systems, TaskPrior, concatenate

__all__ = [
    "LinearPrior",
    "LinearSystems",
    "NonlinearPrior",
    "NonlinearSystems",
    "Systems",
    "TaskPrior",
    "concatenate",
]
