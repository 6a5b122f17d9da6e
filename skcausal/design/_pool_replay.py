"""Replay of real experiments: a designer chooses among those that a pool holds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from skcausal.design._experiments import Experiment
from skcausal.design._histories import Designs
from skcausal.design._judges import Judge
from skcausal.design._strategies import Strategy
from skcausal.interventions import unique_regimes

_SMALLEST_PROBABILITY = 1e-3


class Pool:
    """Rows of real experiments.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_variables)
        Rows.
    mask : ndarray of bool of the same shape
        Which values were set.
    weight : ndarray of shape (n_samples,)
        Rows are drawn in proportion to it.

    Raises
    ------
    ValueError
        If there are fewer than two observational rows, or no others.
    """

    def __init__(self, X: np.ndarray, mask: np.ndarray, weight: np.ndarray):
        used = weight > 0
        self.X, self.mask, self.weight = X[used], mask[used], weight[used]
        self.targets, self.regime = unique_regimes(self.mask)
        n_observational = int((~self.mask.any(axis=1)).sum())
        if n_observational < 2 or len(self.targets) < 2:
            raise ValueError(
                "score needs a pool of two or more observational rows and some rows under "
                f"interventions, found {n_observational} and {len(self.X) - n_observational}."
            )

    def queues(self, rng: np.random.Generator) -> list[list[int]]:
        """Return for each set of targets its rows in random order; the observational ones first."""
        position = rng.random(len(self.X)) ** (1.0 / self.weight)  # Efraimidis & Spirakis (2006)
        order = np.argsort(-position, kind="stable")
        return [order[self.regime[order] == k].tolist() for k in range(len(self.targets))]

    def design_of(self, regimes: list[int]) -> Designs:
        """Return the mean designs (n_regimes, n_variables) of sets of targets."""
        means = np.stack([self.X[self.regime == k].mean(axis=0) for k in regimes])
        targets = torch.from_numpy(self.targets[regimes])
        return Designs(targets, torch.where(targets, torch.from_numpy(means), 0.0))


def replay(
    pool: Pool,
    strategy: Strategy,
    judge: Judge,
    space_of: Callable,
    *,
    standardize: bool = False,
    budget: int,
    n_initial: int,
    rows_per_design: int,
    seed: int,
) -> float:
    """Run an episode on a pool.

    Parameters
    ----------
    pool : Pool
        The experiments.
    strategy : Strategy
        What chooses.
    judge : Judge
        The posterior.
    space_of : callable
        ``space_of(X, mask)`` returns the space of designs after some rows.
    standardize : bool, default=False
        Whether the strategy is to see standardised rows.
    budget, n_initial, rows_per_design : int
        Numbers of experiments, observational rows before them, and rows of an experiment.
    seed : int
        Determines the rows.

    Returns
    -------
    score : float
        Minus the cross-entropy of edges between the posterior of the whole pool and that of the
        episode, in nats per ordered pair.
    """
    rng = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    queues = pool.queues(rng)
    rows, queues[0] = queues[0][:n_initial], []

    def experiment(rows) -> Experiment:
        return Experiment.from_rows(
            pool.X[rows],
            pool.mask[rows],
            None,
            rows_per_design=rows_per_design,
            separates_values=judge.separates_values,
            standardize=standardize,
        )

    for _ in range(budget):
        left = [k for k, queue in enumerate(queues) if queue]
        if not left:
            break
        now = experiment(rows)
        candidates = now.convert_designs(pool.design_of(left))[None]
        space = now.convert_space(space_of(pool.X[rows], pool.mask[rows]))
        chosen = left[int(strategy.choose(now.histories, candidates, space, generator)[0])]
        rows = rows + queues[chosen][:rows_per_design]
        queues[chosen] = queues[chosen][rows_per_design:]
    everything = experiment(np.arange(len(pool.X)))
    whole = everything.from_matrix(judge.edge_probabilities(everything.histories)[0])
    end = experiment(rows)
    found = end.from_matrix(judge.edge_probabilities(end.histories)[0])
    return -_cross_entropy(whole, found)


def _cross_entropy(whole, found):
    """Cross-entropy of edges, in nats per ordered pair."""
    off = ~np.eye(len(whole), dtype=bool)
    p, q = whole[off], found[off].clip(_SMALLEST_PROBABILITY, 1 - _SMALLEST_PROBABILITY)
    return float(-(p * np.log(q) + (1 - p) * np.log1p(-q)).mean()) if len(p) else 0.0
