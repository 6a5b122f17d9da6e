"""Task priors: distributions over causal systems, drawn and simulated in batches with torch."""

from skcausal.simulators._batches import Batch, concatenate
from skcausal.simulators._dose_response import DoseResponses
from skcausal.simulators._dose_response_prior import DoseResponsePrior
from skcausal.simulators._gene_network_prior import GeneNetworkPrior
from skcausal.simulators._gene_networks import GeneNetworks
from skcausal.simulators._linear import LinearSystems
from skcausal.simulators._linear_prior import LinearPrior
from skcausal.simulators._nonlinear import NonlinearPrior, NonlinearSystems
from skcausal.simulators._systems import Systems
from skcausal.simulators._task_prior import TaskPrior
from skcausal.simulators._technical_noise import TechnicalNoise, log_cpm
from skcausal.simulators._treatment import TreatmentData, TreatmentPrior, TreatmentProblems
from skcausal.simulators._treatment_priors import LeakyHumPrior, SensorNoisePrior

__all__ = [
    "Batch",
    "DoseResponsePrior",
    "DoseResponses",
    "GeneNetworkPrior",
    "GeneNetworks",
    "LeakyHumPrior",
    "LinearPrior",
    "LinearSystems",
    "NonlinearPrior",
    "NonlinearSystems",
    "SensorNoisePrior",
    "Systems",
    "TaskPrior",
    "TechnicalNoise",
    "TreatmentData",
    "TreatmentPrior",
    "TreatmentProblems",
    "concatenate",
    "log_cpm",
]
