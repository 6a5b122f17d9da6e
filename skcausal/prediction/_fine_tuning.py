"""Gradient steps on the penalties of the inner loop, kept only if they predict left-out regimes."""

from __future__ import annotations

from dataclasses import replace

import torch

from skcausal.nn._pair_statistics import PairStatistics, pair_statistics
from skcausal.nn._regime_moments import RegimeMoments
from skcausal.prediction._intervention_network import InterventionNetwork
from skcausal.prediction._shrunk_refit import PENALTY_BOUNDS, Shrinkage, refit, solve_do

_N_FOLDS = 10


def fine_tune(
    network: InterventionNetwork,
    moments: RegimeMoments,
    statistics: PairStatistics,
    shrinkage: Shrinkage,
    *,
    n_steps: int,
    learning_rate: float,
) -> tuple[Shrinkage, dict[str, float]]:
    """Take gradient steps on the penalties if that lowers the error in regimes left out.

    Parameters
    ----------
    network : InterventionNetwork
        The network, which stays as it is.
    moments : RegimeMoments
        Moments of one data set, standardised.
    statistics : PairStatistics
        Its statistics.
    shrinkage : Shrinkage
        What the network decided.
    n_steps : int
        Number of steps of Adam.
    learning_rate : float
        Their size.

    Returns
    -------
    shrinkage : Shrinkage
        The tuned one if it was accepted, else the one that was passed.
    errors : dict of str to float
        Mean squared error of the means of regimes left out, "before" and "after" the steps.
    """
    folds = _folds(moments)
    kept = torch.stack([folds != k for k in range(int(folds.max()) + 1)])
    contexts = _without(moments, kept)
    with torch.no_grad():
        fold_statistics = pair_statistics(contexts)
        _, before, _ = network(fold_statistics)
    after = descend(contexts, fold_statistics, before, n_steps, learning_rate)
    weights = ((~kept) * moments.n_rows)[..., None] * (1.0 - moments.targets)
    errors = {}
    for name, candidate in (("before", before), ("after", after)):
        misfit = _misfit(moments, fold_statistics, candidate)
        errors[name] = float((weights * misfit).sum() / weights.sum().clamp(min=1.0))
    if not errors["after"] < errors["before"]:
        return shrinkage, errors
    return descend(moments, statistics, shrinkage, n_steps, learning_rate), errors


def _folds(moments):
    """Fold (n_regimes,) of every regime; it depends on neither their order nor the variables'."""
    n_regimes = moments.n_rows.shape[1]
    size = (moments.mean[0] ** 2).sum(dim=-1)
    rank = size.argsort().argsort()
    return rank % min(_N_FOLDS, n_regimes)


def descend(
    moments: RegimeMoments,
    statistics: PairStatistics,
    shrinkage: Shrinkage,
    n_steps: int,
    learning_rate: float,
) -> Shrinkage:
    """Take steps of Adam on the logarithms of the penalties, each data set on its own.

    The loss is the squared misfit of the regimes' means, in units of their standard errors. The
    centres of the weights stay: stepping on them puts weight on every pair.

    Parameters
    ----------
    moments : RegimeMoments
        Moments of the data sets, standardised.
    statistics : PairStatistics
        Their statistics.
    shrinkage : Shrinkage
        Where to start.
    n_steps : int
        Number of steps.
    learning_rate : float
        Their size.

    Returns
    -------
    shrinkage : Shrinkage
        Where the steps lead.
    """
    penalty = shrinkage.log_penalty.detach().clamp(*PENALTY_BOUNDS).clone().requires_grad_()
    optimizer = torch.optim.Adam([penalty], lr=learning_rate)
    rows = moments.n_rows[..., None]
    precision = rows / (statistics.noise[:, None] + 0.02 * rows)
    for _ in range(n_steps):
        with torch.enable_grad():
            misfit = _misfit(moments, statistics, replace(shrinkage, log_penalty=penalty))
            loss = (precision * misfit).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return replace(shrinkage, log_penalty=penalty.detach())


def _misfit(moments, statistics, shrinkage):
    """Squared misfit of every regime's mean (n_tasks, n_regimes, n_variables), 0 for targets."""
    shrinkage = Shrinkage(
        shrinkage.log_penalty,
        shrinkage.centre.detach(),
        shrinkage.drop_within.detach(),
        shrinkage.drop_explained.detach(),
    )
    fit = refit(statistics.free, shrinkage)
    n_tasks = len(fit.coef)
    targets, mean = (t.expand(n_tasks, -1, -1) for t in (moments.targets, moments.mean))
    predicted, _ = solve_do(fit, targets, mean)
    return (1.0 - targets) * (predicted - mean) ** 2


def _without(moments, kept):
    """Turn regimes that are not kept into padding, one data set for each fold."""
    return RegimeMoments(
        kept * moments.n_rows,
        kept[..., None] * moments.mean,
        kept[..., None, None] * moments.scatter,
        moments.targets.expand(len(kept), -1, -1),
    )
