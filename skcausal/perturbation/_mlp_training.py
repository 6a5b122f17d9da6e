"""Train perceptrons for the mechanisms of a graph on rows with latent shifts."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.utils import check_random_state

from skcausal.nn import local_device, resolve_device, resolve_dtype, train, warmup_cosine
from skcausal.perturbation._linear_mechanisms import odds_of_contexts
from skcausal.perturbation._mlp_mechanisms import MLPMechanisms
from skcausal.perturbation._shifted_ridge import fit_shifted_ridge, moments_of_rows
from skcausal.perturbation._spike_slab import fit_spike_slab

_LEARNING_RATE = 0.02
_N_BATCHES = 20
# One row in so many validates.
_N_FOLDS = 10
# Alternations between the outputs and the prior of the shifts, after training.
_N_ALTERNATIONS = 2


def fit_mlp_mechanisms(
    X,
    contexts,
    adjacency,
    prior,
    *,
    hidden=(32, 32),
    max_epochs=100,
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
    max_epochs : int, default=100
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
        Trained, and then brought to the highest evidence given the hidden units.
    """
    rng = check_random_state(random_state)
    device, dtype = local_device(resolve_device(device)), resolve_dtype(dtype)
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
        fingerprint=_fingerprint(X, contexts, adjacency, prior, hidden, max_epochs, seeds, dtype),
        verbose=verbose,
        description="mechanisms",
    )
    return _settle(module, X, contexts, prior, learn_odds)


def _fingerprint(X, contexts, adjacency, prior, *settings):
    """Hash of all that determines the result of a training."""
    digest = hashlib.sha256(f"{settings} {prior.variance}".encode())
    for array in (X, contexts.context_of_row, adjacency, prior.log_odds):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


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


def solve_outputs(module, X, contexts, prior):
    """Fit what mechanisms are linear in, and the variances of the noise, at the highest evidence.

    Given the units of the hidden layers, these are Bayesian regressions with latent shifts.

    Parameters
    ----------
    module : MLPMechanisms
        Changed in place.
    X : ndarray of shape (n_samples, n_variables)
        Standardised rows.
    contexts : Contexts
        The contexts that they belong to.
    prior : SpikeSlab
        Prior of the shifts, in units of the noise.
    """
    n_rows = contexts.n_rows.astype(float)
    log_odds = odds_of_contexts(prior.log_odds, *contexts.means.shape)
    n_flat = 1 + module.parents.shape[1]
    order = np.argsort(contexts.context_of_row, kind="stable")
    context = contexts.context_of_row[order]
    with torch.no_grad():
        rows = torch.as_tensor(X[order]).to(module.linear)
        for j in range(X.shape[1]):
            regressors = module.regressors(rows, [j])[0].cpu().double().numpy()
            unit, offset = float(module.unit[j]), float(module.offset[j])
            columns = np.column_stack([regressors, (X[order, j] - offset) / unit])
            coef, _, variance, *_ = fit_shifted_ridge(
                *moments_of_rows(columns, context, n_rows),
                n_rows,
                log_odds[:, j],
                prior.variance,
                n_flat,
                np.ones(len(n_rows)),
            )
            module.linear[j, :, 0] = torch.tensor(coef)
            module.log_variance[j] = math.log(variance * unit**2)


def _settle(module, X, contexts, prior, learn_odds):
    """Fit the outputs, the variances of the noise and the prior of the shifts to each other."""
    for _ in range(_N_ALTERNATIONS):
        solve_outputs(module, X, contexts, prior)
        measured = module.measure(X, contexts).without_control()
        if measured.values.size:
            prior = fit_spike_slab(measured.values, measured.noise, prior, learn_odds=learn_odds)
    module.prior = prior
    return module
