"""Designers of experiments: which intervention next, to learn the causal graph."""

from skcausal.design._designer import ActiveDesigner
from skcausal.design._env import InterventionDesignEnv
from skcausal.design._evaluation import DesignEvaluation, evaluate

__all__ = ["ActiveDesigner", "DesignEvaluation", "InterventionDesignEnv", "evaluate"]
