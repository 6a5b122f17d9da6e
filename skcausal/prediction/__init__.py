"""Predict what an intervention does to all variables."""

from skcausal.prediction._meta_predictor import MetaInterventionPredictor
from skcausal.prediction._ridge import ConditionalRidge, InterventionRidge
from skcausal.prediction._shifts import AdditiveShift, NoEffect

__all__ = [
    "AdditiveShift",
    "ConditionalRidge",
    "InterventionRidge",
    "MetaInterventionPredictor",
    "NoEffect",
]
