"""Intervals and probabilities mean roughly what they say.

A glance that finds gross errors; benchmarks/reproduce/reliability.py measures the figures.
"""

import numpy as np

from skcausal.structure import AmortizedGraphPosterior, ExactGraphPosterior
from tests.reliability.calibration_tasks import (
    caasl_prior,
    covered_effects,
    covered_means,
    edge_error,
)


def test_intervals_of_effects():
    small = {"representation_layers": (20,), "head_layers": (10,), "bend": 0.0}
    tasks = [covered_effects(seed, n_rows=200, n_new=100, **small) for seed in range(2)]
    assert 0.7 <= np.mean(tasks) <= 0.995


def test_intervals_of_means_under_interventions():
    assert 0.82 <= covered_means(30).mean() <= 0.97


def test_edges_are_as_frequent_as_their_probabilities():
    assert edge_error(ExactGraphPosterior.from_prior(caasl_prior()), 60) < 0.08
    assert edge_error(AmortizedGraphPosterior("caasl"), 60) < 0.08
