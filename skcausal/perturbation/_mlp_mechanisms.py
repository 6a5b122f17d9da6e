"""Perceptrons for the mechanisms of a graph, and the marginal likelihood of latent shifts."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn
from torch.func import functional_call

from skcausal._row_blocks import in_row_blocks
from skcausal.nn import MemberMLP
from skcausal.perturbation._contexts import sum_by_group
from skcausal.perturbation._linear_mechanisms import Measurement, odds_of_contexts
from skcausal.perturbation._spike_slab import SpikeSlab, log_normal

_ROWS_AT_ONCE = 20_000


class MLPMechanisms(nn.Module):
    """Structural equations ``x_j = f_j(parents) + e_j`` of standardised variables.

    Each ``f_j`` is a linear function plus a perceptron. All variables are evaluated as one; every
    parameter has the variable as its leading axis. Before training, all f are constant.

    Parameters
    ----------
    adjacency : ndarray of shape (n_variables, n_variables)
        The graph, acyclic: entry (i, j) nonzero means i -> j.
    centre, scale : ndarray of shape (n_variables,)
        Typical value and deviation of the variables, for the scale of inputs and outputs.
    hidden : sequence of int
        Units of the hidden layers.
    generators : sequence of torch.Generator
        One per variable, for its initial weights.
    dtype : torch.dtype, default=torch.float32
        Precision.

    Attributes
    ----------
    prior : SpikeSlab or None
        Prior of the shifts after training, in units of the noise.
    """

    def __init__(self, adjacency, centre, scale, *, hidden, generators, dtype=torch.float32):
        super().__init__()
        adjacency = np.asarray(adjacency) != 0
        n_inputs = max(1, int(adjacency.sum(axis=0).max()))
        # The parents of each variable come first; what follows is masked.
        parents = np.argsort(~adjacency, axis=0, kind="stable")[:n_inputs].T
        present = np.take_along_axis(adjacency.T, parents, axis=1)
        self.register_buffer("parents", torch.tensor(parents))
        self.register_buffer("centre", torch.tensor(centre[parents], dtype=dtype))
        self.register_buffer("factor", torch.tensor(present / scale[parents], dtype=dtype))
        self.register_buffer("offset", torch.tensor(centre[:, None, None], dtype=dtype))
        self.register_buffer("unit", torch.tensor(scale[:, None, None], dtype=dtype))
        self.generations = generations_of(adjacency)
        self.prior = None
        n_variables = len(adjacency)
        self.units = MemberMLP(
            (n_inputs, *hidden), generators, activation="tanh", activate_last=True, dtype=dtype
        )
        n_regressors = 1 + n_inputs + hidden[-1]
        self.linear = nn.Parameter(torch.zeros(n_variables, n_regressors, 1, dtype=dtype))
        self.log_variance = nn.Parameter(torch.zeros(n_variables, dtype=dtype))

    @property
    def noise_variance(self):
        """Variances of the noise (n_variables,), in float64."""
        return self.log_variance.detach().cpu().double().exp().numpy()

    def values(self, X, variables=slice(None)):
        """Evaluate the mechanisms.

        Parameters
        ----------
        X : Tensor of shape (n_samples, n_variables)
            Standardised rows.
        variables : Tensor of int of shape (n,) or slice, default=slice(None)
            Which mechanisms; by default all.

        Returns
        -------
        f : Tensor of shape (n_samples, n)
            Expectations of the variables given their parents.
        """
        f = self.regressors(X, variables) @ self.linear[variables]
        return (self.offset[variables] + self.unit[variables] * f)[..., 0].T

    def regressors(self, X, variables=slice(None)):
        """Evaluate what mechanisms are linear in: 1, the parents, the units of the last layer.

        Parameters
        ----------
        X, variables : object
            As for :meth:`values`.

        Returns
        -------
        regressors : Tensor of shape (n, n_samples, 1 + n_inputs + n_units)
            The regressors of each variable.
        """
        Z = (X[:, self.parents[variables]] - self.centre[variables]) * self.factor[variables]
        Z = Z.transpose(0, 1)
        parameters = {name: p[variables] for name, p in self.units.named_parameters()}
        H = functional_call(self.units, parameters, (Z,))
        return torch.cat([torch.ones_like(Z[..., :1]), Z, H], dim=-1)

    def forward(self, batch):
        """Minus the log marginal likelihood of the rows of contexts; see :func:`log_marginal`.

        Parameters
        ----------
        batch : tuple
            Rows (n_samples, n_variables), the group of each row, and of each group the number of
            rows, the log odds of targets and the variance of shifts.

        Returns
        -------
        loss : Tensor of shape (n_variables,)
            In nats per row.
        """
        X, group, n_rows, log_odds, shift_variance = batch
        residuals = X - self.values(X)
        variance = self.log_variance.exp()
        density = log_marginal(residuals, group, n_rows, variance, log_odds, shift_variance)
        return -density.sum(dim=0) / len(X)

    def expect(self, X):
        """Evaluate all mechanisms at rows X (n_samples, n_variables): float64, of that shape."""

        def values(rows):
            return self.values(torch.as_tensor(rows).to(self.linear)).cpu().double().numpy()

        with torch.no_grad():
            return in_row_blocks(values, X, rows_at_once=_ROWS_AT_ONCE)

    def propagate(self, source, targets=None, values=None):
        """Solve the equations of rows, in causal order.

        Parameters
        ----------
        source : ndarray of shape (n_samples, n_variables)
            What is added to the mechanisms: noise times its deviation, which "scale" interventions
            multiply, and shifts.
        targets : ndarray of bool of the same shape, default=None
            Variables that are set. None: none.
        values : ndarray of the same shape, default=None
            What they are set to.

        Returns
        -------
        X : ndarray of shape (n_samples, n_variables)
            The rows, in float64.
        """
        device, dtype = self.linear.device, self.linear.dtype
        X = torch.as_tensor(source, dtype=dtype, device=device).clone()
        with torch.no_grad():
            for variables in self.generations:
                index = torch.as_tensor(variables, device=device)
                solved = self.values(X, index) + X[:, index]
                if targets is not None:
                    hit = torch.as_tensor(targets[:, variables], device=device)
                    given = torch.as_tensor(values[:, variables], dtype=dtype, device=device)
                    solved = torch.where(hit, given, solved)
                X[:, index] = solved
        return X.cpu().double().numpy()

    def measure(self, X, contexts):
        """Measure the shift that each variable has if it is a target.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_variables)
            Standardised rows.
        contexts : Contexts
            The contexts that they belong to.

        Returns
        -------
        measurement : Measurement
            Shifts (n_contexts, n_variables) in units of the noise's deviation.
        """
        n_rows = contexts.n_rows[:, None].astype(float)
        means = sum_by_group(X - self.expect(X), contexts.context_of_row, len(n_rows)) / n_rows
        values = means / np.sqrt(self.noise_variance)
        noise = np.broadcast_to(1.0 / n_rows, values.shape)
        return Measurement(values, noise, -log_normal(values, noise))

    def target_probability(self, X, contexts):
        """Posterior probabilities of targets (n_contexts, n_variables); see :meth:`measure`."""
        odds = odds_of_contexts(self.prior.log_odds, *contexts.means.shape)
        measured = self.measure(X, contexts)
        return SpikeSlab(odds, self.prior.variance).posterior(measured.values, measured.noise)


def log_marginal(residuals, group, n_rows, variance, log_odds, shift_variance):
    """Log density of the residuals of contexts, with latent shifts integrated out.

    Parameters
    ----------
    residuals : Tensor of shape (n_samples, n_variables)
        Residuals of the rows.
    group : Tensor of int of shape (n_samples,)
        Context of each row.
    n_rows : Tensor of shape (n_contexts, 1)
        Number of rows.
    variance : Tensor of shape (n_variables,)
        Variances of the noise.
    log_odds : Tensor of shape (n_contexts, n_variables)
        Prior log odds of a target.
    shift_variance : float
        Prior variance of shifts, in units of the noise's.

    Returns
    -------
    log_density : Tensor of shape (n_contexts, n_variables)
        In nats; see :class:`ShiftLikelihood` for the formula.
    """
    sums = residuals.new_zeros(len(n_rows), residuals.shape[1])
    means = sums.index_add(0, group, residuals) / n_rows
    within = sums.index_add(0, group, (residuals - means[group]) ** 2)
    spike, slab = (
        -0.5 * (means**2 / spread + (2.0 * math.pi * spread).log())
        for spread in (variance / n_rows, variance * (1.0 / n_rows + shift_variance))
    )
    spike = spike + nn.functional.logsigmoid(-log_odds)
    slab = slab + nn.functional.logsigmoid(log_odds)
    # Of the rows given their mean, whose density has the variance of a mean.
    logs = (n_rows - 1.0) * (2.0 * math.pi * variance).log() + n_rows.log()
    return torch.logaddexp(spike, slab) - 0.5 * (logs + within / variance)


def generations_of(adjacency):
    """Split the variables of a DAG into generations: lists of int, parents before children."""
    remaining = np.asarray(adjacency) != 0
    left = np.arange(len(remaining))
    generations = []
    while len(left):
        orphan = ~remaining[np.ix_(left, left)].any(axis=0)
        generations.append(left[orphan].tolist())
        left = left[~orphan]
    return generations
