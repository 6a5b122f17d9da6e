"""scikit-learn estimators that predict, design and explain causal interventions.

Subpackages and the names below are imported on first use, so ``import skcausal`` stays fast and
brings in neither torch, causal-learn nor matplotlib.
"""

from importlib import import_module

__version__ = "0.1.0"

_SUBMODULES = (
    "base",
    "compose",
    "datasets",
    "design",
    "effects",
    "graphs",
    "interventions",
    "metrics",
    "model_selection",
    "nn",
    "perturbation",
    "plotting",
    "prediction",
    "simulators",
    "structure",
    "weights",
)
_NAMES = {
    "ActiveDesigner": "design",
    "AdditiveShift": "prediction",
    "AmortizedGraphPosterior": "structure",
    "BootstrapEnsemble": "structure",
    "CFRRegressor": "effects",
    "ConditionalRidge": "prediction",
    "DoseResponsePrior": "simulators",
    "ExactGraphPosterior": "structure",
    "FeatureRegression": "perturbation",
    "FullGraph": "structure",
    "GES": "structure",
    "GIES": "structure",
    "GeneNetworkPrior": "simulators",
    "GenerativeInterventionModel": "perturbation",
    "IGSP": "structure",
    "IgnoreInterventions": "compose",
    "InterventionDesignEnv": "design",
    "InterventionRidge": "prediction",
    "KnownGraph": "structure",
    "LeaveInterventionsOut": "model_selection",
    "LeaveOneEnvironmentOut": "model_selection",
    "LeakyHumPrior": "simulators",
    "LinearPrior": "simulators",
    "MeanTreated": "perturbation",
    "MetaInterventionPredictor": "prediction",
    "NoChange": "perturbation",
    "NoEffect": "prediction",
    "NonlinearPrior": "simulators",
    "PC": "structure",
    "SensorNoisePrior": "simulators",
    "ShiftOrder": "structure",
    "TransformedVariables": "compose",
    "UnknownTargetIGSP": "perturbation",
    "do": "interventions",
    "intervention_mask": "interventions",
    "regime_labels": "interventions",
}

__all__ = ["__version__", *_SUBMODULES, *_NAMES]


def __getattr__(name):
    if name in _SUBMODULES:
        return import_module(f"skcausal.{name}")
    if name in _NAMES:
        return getattr(import_module(f"skcausal.{_NAMES[name]}"), name)
    raise AttributeError(f"module 'skcausal' has no attribute {name!r}")


def __dir__():
    return __all__
