"""Comparison of designers on the same simulated systems with the same noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator

from skcausal.design._designer import ActiveDesigner
from skcausal.design._designer_parameters import design_space
from skcausal.design._env import fixed_size
from skcausal.design._episodes import run_episodes
from skcausal.design._judges import Judge, judge_of
from skcausal.design._laboratory import Laboratory
from skcausal.design._rewards import SCORES
from skcausal.simulators import GeneNetworkPrior, LinearPrior
from skcausal.simulators._parameters import check_count
from skcausal.simulators._random import check_random_state

if TYPE_CHECKING:
    from skcausal.simulators import TaskPrior

# Systems that are simulated and judged together.
_SYSTEMS_AT_ONCE = 200
_QUANTILE = 1.959964  # of the normal distribution, for intervals of 95 %


@dataclass(frozen=True, eq=False)
class DesignEvaluation:
    """Scores of several designers over the experiments they did, on the same systems.

    Made by :func:`evaluate`.

    Parameters
    ----------
    scores : dict of str to ndarray of shape (n_designers, n_environments, n_checkpoints)
        Every score of every episode.
    designers : list of str
        Names of the designers.
    n_designs : ndarray of int of shape (n_checkpoints,)
        Numbers of experiments after which the posterior was computed.
    """

    scores: dict[str, np.ndarray]
    designers: list[str]
    n_designs: np.ndarray

    def curves(self) -> pd.DataFrame:
        """Return means over the systems with intervals.

        Returns
        -------
        curves : DataFrame
            Columns designer, n_designs, score (its name), mean, low and high: the mean and its
            interval of 95 %.
        """
        rows = []
        for score, values in self.scores.items():
            for k, designer in enumerate(self.designers):
                rows += self._summaries(designer, score, values[k])
        return pd.DataFrame(rows)

    def differences(self, reference: str) -> pd.DataFrame:
        """Return mean differences from one of the designers, paired by system.

        Parameters
        ----------
        reference : str
            Name of the designer that is subtracted.

        Returns
        -------
        differences : DataFrame
            As of :meth:`curves`, without the reference.

        Raises
        ------
        ValueError
            If there is no such designer.
        """
        if reference not in self.designers:
            raise ValueError(f"reference must be one of {self.designers}, found {reference!r}.")
        base = self.designers.index(reference)
        rows = []
        for score, values in self.scores.items():
            for k, designer in enumerate(self.designers):
                if k != base:
                    rows += self._summaries(designer, score, values[k] - values[base])
        return pd.DataFrame(rows)

    def _summaries(self, designer, score, values):
        """Rows of a table from scores (n_environments, n_checkpoints) of one designer."""
        mean = values.mean(axis=0)
        half = _QUANTILE * values.std(axis=0, ddof=1) / np.sqrt(len(values))
        return [
            {
                "designer": designer,
                "n_designs": int(n),
                "score": score,
                "mean": float(m),
                "low": float(m - h),
                "high": float(m + h),
            }
            for n, m, h in zip(self.n_designs, mean, half)
        ]


def evaluate(
    designers: Mapping[str, ActiveDesigner] | Sequence[str],
    prior: TaskPrior,
    n_environments: int = 100,
    *,
    budget: int = 10,
    n_initial: int = 50,
    rows_per_design: int = 1,
    posterior: BaseEstimator | None = None,
    every: int = 1,
    random_state: int | np.random.RandomState | np.random.Generator | None = None,
    verbose: bool = False,
) -> DesignEvaluation:
    """Compare designers on simulated systems.

    All designers do experiments on the same systems, and those of a step have the same noise, so
    that differences between designers are paired.

    Parameters
    ----------
    designers : mapping of str to ActiveDesigner, or list of str
        The designers by name; a list has names of algorithms, see :class:`ActiveDesigner`. Their
        restrictions are kept, with variables by their positions; values are from -1 to 1 otherwise.
    prior : LinearPrior or GeneNetworkPrior
        Distribution of the systems, which all have the same number of variables.
    n_environments : int, default=100
        Number of systems.
    budget : int, default=10
        Number of experiments of an episode.
    n_initial : int, default=50
        Number of observational rows that an episode begins with.
    rows_per_design : int, default=1
        Number of rows of an experiment.
    posterior : estimator of a posterior or None, default=None
        What judges the experiments of all designers: an ExactGraphPosterior, an
        AmortizedGraphPosterior or a BootstrapEnsemble of GIES. Default: the exact posterior of the
        prior, if there is one and there are no more than 12 variables; a shipped network otherwise.
        A bootstrap of searches judges without any prior of systems.
    every : int, default=1
        The posterior is computed after every so many experiments, and after the last.
    random_state : int, RandomState instance, Generator instance or None, default=None
        Determines systems, noise and random choices.
    verbose : bool, default=False
        Show progress.

    Returns
    -------
    evaluation : DesignEvaluation
        Scores "edges" (expected number of correct entries of the adjacency matrix, the return of
        Annadani et al. 2024), "log_score", "auprc", "f1" and "shd" (expected structural Hamming
        distance, a reversed edge counting once) after each experiment.

    Raises
    ------
    TypeError, ValueError
        If an argument cannot be used.

    Notes
    -----
    "edges" is linear in the probabilities and so not a proper score: an overconfident posterior
    gains by it. "log_score" is proper.

    Examples
    --------
    >>> from skcausal.design import evaluate
    >>> from skcausal.simulators import LinearPrior
    >>> prior = LinearPrior.preset("caasl", n_variables=4, edges_per_variable=1.0)
    >>> result = evaluate(["random", "balanced_half"], prior, 20, budget=3, random_state=0)
    >>> list(result.differences("random").columns)
    ['designer', 'n_designs', 'score', 'mean', 'low', 'high']
    """
    for name, value in {"n_environments": n_environments, "budget": budget, "every": every}.items():
        check_count(name, value)
    check_count("n_environments", n_environments, 2)
    check_count("n_initial", n_initial, 2)
    check_count("rows_per_design", rows_per_design)
    if not isinstance(prior, (LinearPrior, GeneNetworkPrior)):
        raise TypeError(f"prior must be a LinearPrior or a GeneNetworkPrior, found {prior!r}.")
    fixed_size(prior)
    designers = _named(designers, prior)
    seed = check_random_state(random_state)
    systems = prior.sample(n_environments, random_state=seed)
    laboratory = Laboratory(systems, n_initial, rows_per_design, seed=seed % 2**31)
    judge = judge_of(posterior, prior, laboratory.n_variables)
    checkpoints = np.unique([*range(0, budget + 1, every), budget])
    scores: dict[str, list] = {name: [] for name in SCORES if name != "expected_edges"}
    for name, designer in designers.items():
        values = _scores_of(
            designer, laboratory, judge, budget, checkpoints, seed, name if verbose else ""
        )
        for score, result in values.items():
            scores[score].append(result)
    stacked = {score: np.stack(result) for score, result in scores.items()}
    return DesignEvaluation(stacked, list(designers), checkpoints)


def _named(designers, prior) -> dict[str, ActiveDesigner]:
    """Validate designers; make those that are given by the name of their algorithm."""
    if not isinstance(designers, (Mapping, list, tuple)):
        raise TypeError(
            "designers must be a mapping of names to ActiveDesigner, or a list of algorithms; "
            f"found {designers!r}."
        )
    if not designers:
        raise ValueError("designers must not be empty.")
    if not isinstance(designers, Mapping):
        return {name: ActiveDesigner(algorithm=name, prior=prior) for name in designers}
    for name, designer in designers.items():
        if not isinstance(designer, ActiveDesigner):
            raise TypeError(f"designers[{name!r}] must be an ActiveDesigner, found {designer!r}.")
    return dict(designers)


def _scores_of(designer, laboratory, judge: Judge, budget, checkpoints, seed, description):
    """Scores (n_environments, n_checkpoints) of the episodes of one designer, by name."""
    strategy = designer._strategy_for(laboratory.n_variables)
    unrestricted = laboratory.space()
    space = design_space(
        designer.feasible, [], *(x.numpy() for x in (unrestricted.low, unrestricted.high))
    )
    parts = range(0, len(laboratory), _SYSTEMS_AT_ONCE)
    if description:
        from tqdm.auto import tqdm

        parts = tqdm(parts, desc=description)
    results: dict[str, list] = {name: [] for name in SCORES if name != "expected_edges"}
    for first in parts:
        some = laboratory[first : first + _SYSTEMS_AT_ONCE]
        generator = torch.Generator().manual_seed((seed + first) % 2**63)
        histories, _ = run_episodes(strategy, some, budget, generator, space)
        adjacency = some.systems.adjacency
        n_rows = [some.n_initial + some.rows_per_design * int(n) for n in checkpoints]
        probabilities = [judge.edge_probabilities(histories.until(n)) for n in n_rows]
        for name in results:
            sign = -1.0 if name == "shd" else 1.0
            values = [sign * SCORES[name](p.double(), adjacency) for p in probabilities]
            results[name].append(torch.stack(values, dim=1).cpu().numpy())
    return {name: np.concatenate(values) for name, values in results.items()}
