"""Meta-training of the amortized network on streams of simulated tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from skcausal.nn._pair_statistics import pair_statistics
from skcausal.nn._regime_moments import RegimeMoments
from skcausal.nn._stream_training import train_on_stream
from skcausal.prediction._intervention_network import InterventionNetwork, mean_error_variance
from skcausal.prediction._shrunk_refit import refit, solve_do
from skcausal.simulators._task_designs import draw_design
from skcausal.simulators._task_stream import draw_systems

# Number of standard deviations on either side that hold 90 % of a normal distribution.
Z_90 = 1.6448536269514722

_PAIRS_PER_BATCH = 3600

# Share of the training in which the solution of the system is damped, less and less.
_DAMPED_SHARE = 0.3

# Standardised means are compared within this range: an unstable system early in training would
# drown all others.
_LARGEST_MEAN = 12.0


@dataclass(frozen=True, eq=False)
class TaskBatch:
    """Contexts and queries, standardised, with their true answers.

    Parameters
    ----------
    moments : RegimeMoments
        Moments of the contexts.
    targets, truth : tensor of shape (n_tasks, n_queries, n_variables)
        Targets (1 or 0) of the queries; true means of all variables under them, which for targets
        are the values that they are set to.
    edges : tensor of shape (n_tasks, n_variables, n_variables)
        Entry (j, i): 1 where there is an edge i -> j.
    progress : float
        Share of the training that is done.
    """

    moments: RegimeMoments
    targets: torch.Tensor
    truth: torch.Tensor
    edges: torch.Tensor
    progress: float = 1.0


def draw_tasks(
    priors: Sequence, shares: Sequence[float], seed: int, step: int, device="cpu"
) -> TaskBatch:
    """Draw the batch of a step: systems of one prior and one size, and experiments on them.

    Parameters
    ----------
    priors : sequence of TaskPrior
        Distributions over systems.
    shares : sequence of float
        How often each of them is drawn from.
    seed, step : int
        Determine the batch.
    device : str or torch.device, default="cpu"
        Where the tasks are simulated.

    Returns
    -------
    batch : TaskBatch
        The tasks.
    """
    systems, rng = draw_systems(
        priors, shares, seed, step, batch_size=lambda d: _PAIRS_PER_BATCH // d**2, device=device
    )
    n_tasks, d = systems.present.shape
    design = draw_design(n_tasks, d, rng)
    X = systems.sample(
        design.kept.shape[-1],
        design.targets[:, :, None],
        design.values,
        kind=design.kind,
        random_state=seed,
    )
    moments = RegimeMoments.from_tasks(X, design.kept.to(X.device), design.targets.to(X.device))
    moments, centre, scale = moments.standardize()
    targets = design.query_targets
    truth = systems.interventional_mean(targets, design.query_values, n_samples=256)
    truth = (truth - centre[:, None]) / scale[:, None]
    return TaskBatch(moments, targets.to(truth), truth, systems.adjacency.mT.to(truth))


def batch_loss(network, batch: TaskBatch) -> dict[str, torch.Tensor]:
    """Error of the predicted means, evidence for edges, and calibration of the errors' size.

    Parameters
    ----------
    network : module
        An :class:`InterventionNetwork`, possibly wrapped.
    batch : TaskBatch
        The tasks.

    Returns
    -------
    terms : dict of str to Tensor
        "loss" is minimised; "error" is the mean over tasks of the root mean squared error in
        standardised units, "edges" the cross-entropy, "coverage" the share of free cells whose
        true mean lies within 1.645 standard deviations.
    """
    statistics = pair_statistics(batch.moments)
    edge_logit, shrinkage, errors = network(statistics)
    fit = refit(statistics.free, shrinkage)
    damping = 0.1 * max(0.0, 1.0 - batch.progress / _DAMPED_SHARE)
    damping += 1e-4 * (batch.progress < 1.0)
    mean, response = solve_do(fit, batch.targets, batch.truth, damping)
    free = 1.0 - batch.targets
    difference = mean.clamp(-_LARGEST_MEAN, _LARGEST_MEAN) - batch.truth.clamp(
        -_LARGEST_MEAN, _LARGEST_MEAN
    )
    error = ((difference**2 * free).mean(dim=(1, 2)) + 1e-5).sqrt()
    error = torch.nan_to_num(error, nan=_LARGEST_MEAN, posinf=_LARGEST_MEAN)
    d = free.shape[-1]
    off = 1.0 - torch.eye(d, dtype=free.dtype, device=free.device)
    entropy = binary_cross_entropy_with_logits(edge_logit, batch.edges, reduction="none")
    entropy = (entropy * off).sum(dim=(1, 2)) / (d * (d - 1))
    edge_weight = 0.05 + max(0.0, 1.0 - batch.progress / 0.1)
    quantile, coverage = _calibration(
        statistics, fit, errors, batch.targets, mean, response, difference
    )
    loss = (error + 0.05 * error.log()).mean() + edge_weight * entropy.mean() + 0.1 * quantile
    return {
        "loss": loss,
        "error": error.mean(),
        "edges": entropy.mean(),
        "coverage": coverage,
    }


def _calibration(statistics, fit, errors, targets, mean, response, difference):
    """Quantile loss of the size of the errors, and the coverage of 90 % intervals.

    The half-width of the interval is fitted to the 0.9-quantile of the absolute error, on a
    logarithmic scale. Nothing but the error model has gradients.
    """
    fit = replace(
        fit,
        coef=fit.coef.detach(),
        noise_variance=fit.noise_variance.detach(),
        spread=fit.spread.detach(),
    )
    variance = mean_error_variance(
        statistics, fit, errors, targets, mean.detach(), response.detach()
    )
    floor = 1e-3
    half_width = Z_90 * (variance + 1e-10).sqrt()
    size = difference.detach().abs()
    excess = torch.log(size + floor) - torch.log(half_width + floor)
    excess = torch.nan_to_num(excess.clamp(-10.0, 10.0))
    loss = torch.where(excess > 0, 0.9 * excess, -0.1 * excess)
    free = 1.0 - targets
    inside = (size <= half_width + 1e-9).to(free)
    n_free = free.sum().clamp(min=1.0)  # none, if all queries set all variables
    return (loss * free).sum() / n_free, (inside * free).sum() / n_free


def pretrain_network(
    network: InterventionNetwork,
    priors: Sequence,
    shares: Sequence[float],
    *,
    n_steps: int,
    seed: int,
    learning_rate: float = 2e-3,
    trained_before: bool = False,
    device="cpu",
    checkpoint=None,
    fingerprint: str = "",
    verbose: bool = False,
) -> dict[str, torch.Tensor]:
    """Meta-train a network in place.

    Parameters
    ----------
    network : InterventionNetwork
        The network, on `device`.
    priors : sequence of TaskPrior
        Distributions over systems.
    shares : sequence of float
        How often each of them is drawn from.
    n_steps : int
        Number of batches.
    seed : int
        Determines the tasks.
    learning_rate : float, default=2e-3
        Largest learning rate of AdamW.
    trained_before : bool, default=False
        Whether to leave out what helps a network from initial weights over its first steps: the
        weight of the edges' cross-entropy, and damping.
    device : str or torch.device, default="cpu"
        Where to train.
    checkpoint : str or path-like, default=None
        File from which an interrupted training goes on.
    fingerprint : str, default=""
        Identifies the training in the checkpoint.
    verbose : bool, default=False
        Show progress.

    Returns
    -------
    history : dict of str to Tensor
        Means of the terms of :func:`batch_loss` over every epoch of 50 batches.
    """

    def draw_batch(position, progress):
        tasks = draw_tasks(priors, shares, seed, position, device)
        return replace(tasks, progress=max(progress, _DAMPED_SHARE * trained_before))

    return train_on_stream(
        network,
        batch_loss,
        draw_batch,
        n_steps=n_steps,
        learning_rate=learning_rate,
        weight_decay=1e-3,
        checkpoint=checkpoint,
        fingerprint=fingerprint,
        verbose=verbose,
        description="meta-training",
    )
