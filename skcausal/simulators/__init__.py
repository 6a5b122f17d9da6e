"""Task priors: distributions over causal systems, drawn and simulated in batches with torch."""

from skcausal.simulators._gene_network_prior import GeneNetworkPrior
from skcausal.simulators._gene_networks import GeneNetworks
from skcausal.simulators._linear import LinearSystems
from skcausal.simulators._linear_prior import LinearPrior
from skcausal.simulators._nonlinear import NonlinearPrior, NonlinearSystems
from skcausal.simulators._systems import Systems, TaskPrior, concatenate
from skcausal.simulators._technical_noise import TechnicalNoise, log_cpm

__all__ = [
    "GeneNetworkPrior",
    "GeneNetworks",
    "LinearPrior",
    "LinearSystems",
    "NonlinearPrior",
    "NonlinearSystems",
    "Systems",
    "TaskPrior",
    "TechnicalNoise",
    "concatenate",
    "log_cpm",
]
