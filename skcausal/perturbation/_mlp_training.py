"""Train perceptrons for the mechanisms of a graph on rows with latent shifts."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.utils import check_random_state

from skcausal.nn import resolve_device, resolve_dtype, train, warmup_cosine
from skcausal.perturbation._contexts import sum_by_group
from skcausal.perturbation._linear_mechanisms import odds_of_contexts
from skcausal.perturbation._mlp_mechanisms import MLPMechanisms
from skcausal.perturbation._spike_slab import fit_spike_slab

_LEARNING_RATE = 0.02
_N_BATCHES = 20
# One row in so many validates.
_N_FOLDS = 10
# Alternations between noise variances and the prior of shifts, the mechanisms being given.
_N_ALTERNATIONS = 10


def fit_mlp_mechanisms(
    X,
    contexts,
    adjacency,
    prior,
    *,
    hidden=(32, 32),
    max_epochs=60,
    learn_odds=True,
    random_state=None,
    device="cpu",
    dtype="float32",
    checkpoint=None,
    verbose=False,
):
    """Train perceptrons for the mechanisms of a graph.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_variables)
        Standardised rows.
    contexts : Contexts
        The contexts that they belong to.
    adjacency : ndarray of shape (n_variables, n_variables)
        The graph, acyclic: entry (i, j) nonzero means i -> j.
    prior : SpikeSlab
        Prior of the shifts, in units of the noise.
    hidden : sequence of int, default=(32, 32)
        Units of the hidden layers.
    max_epochs : int, default=60
        Number of epochs, of 20 steps each. Every variable keeps the weights of the epoch that was
        best on a tenth of the rows.
    learn_odds : bool, default=True
        Whether to learn the odds of a target after training, besides the variances.
    random_state : int, RandomState instance or None, default=None
        Seed of the initial weights, the batches and the choice of rows that validate.
    device : str or torch.device, default="cpu"
        Where to train; "auto" is the GPU where there is one.
    dtype : {"float32", "float64"}, default="float32"
        Precision.
    checkpoint : str or path-like, default=None
        See :func:`skcausal.nn.train`.
    verbose : bool, default=False
        Whether to show progress.

    Returns
    -------
    mechanisms : MLPMechanisms
        Trained, with variances of the noise and the prior at the maximum likelihood given the
        functions.
    """
    rng = check_random_state(random_state)
    device, dtype = resolve_device(device), resolve_dtype(dtype)
    seeds = rng.randint(2**31 - 1, size=X.shape[1] + 1).tolist()
    scale = X.std(axis=0)
    module = MLPMechanisms(
        adjacency,
        X.mean(axis=0),
        np.where(scale > 0, scale, 1.0),
        hidden=hidden,
        generators=[torch.Generator().manual_seed(seed) for seed in seeds[1:]],
        dtype=dtype,
    ).to(device)
    validates = _held_out(len(X), rng)
    rows, held_out = (
        _grouped(X[chosen], contexts.context_of_row[chosen], prior, contexts, device, dtype)
        for chosen in (~validates, validates)
    )
    batches = rows.split(seeds[0])
    n_steps = max_epochs * _N_BATCHES
    train(
        module,
        lambda module, batch: {"loss": module(batch)},
        batches,
        optimizer=torch.optim.Adam(module.parameters(), lr=_LEARNING_RATE),
        n_epochs=max_epochs,
        schedule=warmup_cosine(n_steps),
        validation_loss=(lambda module: module(held_out.all())) if len(held_out.X) else None,
        checkpoint=checkpoint,
        verbose=verbose,
        description="mechanisms",
    )
    return _settle(module, X, contexts, prior, learn_odds)


@dataclass(frozen=True, eq=False)
class _GroupedRows:
    """Rows sorted by group: a context each, or a few controls."""

    X: torch.Tensor
    n_rows: torch.Tensor
    log_odds: torch.Tensor
    shift_variance: float

    def all(self):
        """Return everything as one batch."""
        return self.batch(torch.arange(len(self.n_rows), device=self.X.device))

    def batch(self, groups):
        """Batch of some groups; see :meth:`MLPMechanisms.forward`."""
        counts = self.n_rows[groups]
        first = (self.n_rows.cumsum(0) - self.n_rows)[groups]
        local = torch.arange(len(groups), device=counts.device).repeat_interleave(counts)
        place = torch.arange(len(local), device=counts.device)
        place = place - (counts.cumsum(0) - counts)[local] + first[local]
        n_rows = counts[:, None].to(self.X)
        return self.X[place], local, n_rows, self.log_odds[groups], self.shift_variance

    def split(self, seed):
        """Return the function of epoch and process that yields batches of whole groups."""

        def epoch_batches(epoch, rank, world_size):
            n_batches = min(_N_BATCHES, len(self.n_rows))
            n_passes = math.ceil(_N_BATCHES / n_batches)
            parts = []
            for k in range(n_passes):
                generator = torch.Generator().manual_seed(seed + epoch * n_passes + k)
                order = torch.randperm(len(self.n_rows), generator=generator).to(self.X.device)
                parts += order.tensor_split(n_batches)
            n_own = max(1, len(parts) // world_size)
            for k in range(n_own):
                yield self.batch(parts[(rank + k * world_size) % len(parts)])

        return epoch_batches


def _grouped(X, context, prior, contexts, device, dtype):
    """Group rows by context, the controls by as many rows as a context has on average.

    Controls have no shift, so their likelihood is the same in groups of any size.
    """
    controls = np.flatnonzero(context == 0)
    n_others = len(np.unique(context[context > 0]))
    size = max(1, (len(X) - len(controls)) // n_others) if n_others else 50
    group = context.copy()
    group[controls] = -1 - np.arange(len(controls)) // size
    _, group = np.unique(group, return_inverse=True)
    order = np.argsort(group, kind="stable")
    first = np.unique(group[order], return_index=True)[1]
    log_odds = odds_of_contexts(prior.log_odds, *contexts.means.shape)[context[order][first]]
    return _GroupedRows(
        torch.tensor(X[order], dtype=dtype, device=device),
        torch.tensor(np.bincount(group), device=device),
        torch.tensor(log_odds, dtype=dtype, device=device),
        float(prior.variance),
    )


def _held_out(n_samples, rng):
    """Which rows (n_samples,) validate."""
    validates = np.zeros(n_samples, dtype=bool)
    validates[rng.permutation(n_samples)[: n_samples // _N_FOLDS]] = True
    return validates


def _settle(module, X, contexts, prior, learn_odds):
    """Estimate the variances of the noise, and the prior of the shifts, given the functions."""
    n_rows = contexts.n_rows[:, None].astype(float)
    residuals = X - module.expect(X)
    means = sum_by_group(residuals, contexts.context_of_row, len(n_rows)) / n_rows
    within = ((residuals - means[contexts.context_of_row]) ** 2).sum(axis=0)
    floor = 1e-9 * (X**2).mean(axis=0) + 1e-12
    variance = module.noise_variance
    for _ in range(_N_ALTERNATIONS):
        z = means / np.sqrt(variance)
        if len(z) > 1:
            prior = fit_spike_slab(z[1:], 1.0 / n_rows[1:], prior, learn_odds=learn_odds)
        q = np.zeros(z.shape)
        q[1:] = prior.posterior(z[1:], 1.0 / n_rows[1:])
        weights = n_rows * (1.0 - q + q / (1.0 + n_rows * prior.variance))
        variance = (within + (weights * means**2).sum(axis=0)) / n_rows.sum()
        variance = np.maximum(variance, floor)
    with torch.no_grad():
        module.log_variance.copy_(torch.tensor(np.log(variance)))
    module.prior = copy.copy(prior)
    return module
