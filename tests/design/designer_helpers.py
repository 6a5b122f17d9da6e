"""What the tests of ActiveDesigner share: small settings, rows, and designers made of them."""

import numpy as np
import pytest

from skcausal.design import (
    ActiveDesigner,
)
from skcausal.design._designer import ALGORITHMS
from skcausal.simulators import LinearPrior

D = 4
PRIOR = LinearPrior.preset("caasl", n_variables=3, edges_per_variable=0.5)
QUICK = {"n_candidates": 4, "n_draws": 8, "n_outcomes": 3, "random_state": 0}
DISTILLED = {
    "n_edge_steps": 2, "n_batches": 2, "n_candidates": 3, "n_epochs": 1,
    "width": 4, "n_layers": 1, "n_messages": 2, "n_hidden": 2,
}  # fmt: skip
REDQ = {
    "n_iterations": 1, "n_envs": 2, "batch_size": 2, "n_critics": 2, "n_updates": 2,
    "width": 4, "n_layers": 1, "n_heads": 2, "n_hidden": 4,
}  # fmt: skip
TRAINED = ("distilled", "redq")
SEARCHES = ("diffcbed", "ss_finite")
QUICK_ONES = [name for name in ALGORITHMS if name not in (*TRAINED, *SEARCHES)]
ORDERS = [[1, 0, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]]


def rows(seed=0, n=24, d=D):
    """Rows of a simulated experiment: observational ones, then single rows of interventions."""
    rng = np.random.default_rng(seed)
    mask = rng.random((n, d)) < 0.5
    mask[: n // 2] = False
    mask[n // 2 :, 0] |= ~mask[n // 2 :].any(axis=1)
    X = rng.normal(size=(n, d)) @ (np.eye(d) + np.triu(rng.normal(size=(d, d)), 1)) + 1.0
    return np.where(mask, rng.choice([-1.0, 2.0], X.shape), X), mask


def untrained(name, params, **parameters):
    settings = {"pretrained": None, "prior": PRIOR, "training_params": params, "device": "cpu"}
    episode = {"budget": 2, "n_initial": 5}
    return ActiveDesigner(algorithm=name, **QUICK | settings | episode | parameters)


def make(name, weights=None, **parameters):
    settings = dict(QUICK)
    if name in TRAINED:
        settings["pretrained"] = weights / name
    return ActiveDesigner(algorithm=name, **settings | parameters)


def fit(designer, X, mask, **arguments):
    return designer.fit(X, interventions=mask, **arguments)


every_algorithm = pytest.mark.parametrize("name", ALGORITHMS)
quick_algorithms = pytest.mark.parametrize("name", QUICK_ONES)
without_searches = pytest.mark.parametrize("name", [n for n in ALGORITHMS if n not in SEARCHES])


def ranges(X, mask):
    free = np.where(mask, np.nan, X)
    centre, reach = np.nanmean(free, axis=0), 2.0 * np.nanstd(free, axis=0)
    return centre - reach, centre + reach
