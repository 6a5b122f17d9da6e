"""Effects of treatments on single units."""

from skcausal.effects._average_effect import AverageEffect
from skcausal.effects._cfr import CFRRegressor
from skcausal.effects._drift import EnvironmentDrift

__all__ = ["AverageEffect", "CFRRegressor", "EnvironmentDrift"]
