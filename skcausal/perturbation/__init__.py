"""Predict what perturbations of unknown targets do, and infer what they act on."""

from skcausal.perturbation._baselines import MeanTreated, NoChange
from skcausal.perturbation._feature_regression import FeatureRegression
from skcausal.perturbation._gim import GenerativeInterventionModel
from skcausal.perturbation._unknown_target_igsp import UnknownTargetIGSP

__all__ = [
    "FeatureRegression",
    "GenerativeInterventionModel",
    "MeanTreated",
    "NoChange",
    "UnknownTargetIGSP",
]
