"""Displays, in scikit-learn's style, of graphs, designs, targets, representations and effects."""

from skcausal.plotting._design_curve_display import DesignCurveDisplay
from skcausal.plotting._dose_response_display import DoseResponseDisplay
from skcausal.plotting._edge_probability_display import EdgeProbabilityDisplay
from skcausal.plotting._effect_display import EffectDisplay
from skcausal.plotting._effect_error_display import EffectErrorDisplay
from skcausal.plotting._graph_display import GraphDisplay
from skcausal.plotting._intervention_effect_display import InterventionEffectDisplay
from skcausal.plotting._reliability_display import ReliabilityDisplay
from skcausal.plotting._representation_display import RepresentationDisplay
from skcausal.plotting._target_probability_display import TargetProbabilityDisplay

__all__ = [
    "DesignCurveDisplay",
    "DoseResponseDisplay",
    "EdgeProbabilityDisplay",
    "EffectDisplay",
    "EffectErrorDisplay",
    "GraphDisplay",
    "InterventionEffectDisplay",
    "ReliabilityDisplay",
    "RepresentationDisplay",
    "TargetProbabilityDisplay",
]
