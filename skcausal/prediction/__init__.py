"""Predict what an intervention does to all variables."""

from typing import TYPE_CHECKING

from skcausal.prediction._ridge import ConditionalRidge, InterventionRidge
from skcausal.prediction._shifts import AdditiveShift, NoEffect

if TYPE_CHECKING:
    from skcausal.prediction._meta_predictor import MetaInterventionPredictor

__all__ = [
    "AdditiveShift",
    "ConditionalRidge",
    "InterventionRidge",
    "MetaInterventionPredictor",
    "NoEffect",
]


def __getattr__(name):
    # Imported on first use: it needs torch, which the baselines do without.
    if name == "MetaInterventionPredictor":
        from skcausal.prediction._meta_predictor import MetaInterventionPredictor

        return MetaInterventionPredictor
    raise AttributeError(f"module 'skcausal.prediction' has no attribute {name!r}")


def __dir__():
    return __all__
