"""Linear-Gaussian SCMs on many graphs at once, from sums over rows."""

from __future__ import annotations

import numpy as np

from skcausal.structure._free_sums import FreeSums
from skcausal.structure._linear_scm import (
    RELATIVE_NOISE_FLOOR,
    LinearGaussianSCM,
    stabilised,
    target_moments,
    warn_of_lost_mechanism,
)

# Added to the variances of parents, relative to them, so that collinear ones share their weight.
_SLACK = 1e-9
# Variance, of standardised variables, that rounding may leave of a constant one.
_NEGLIGIBLE = 1e-12


def refit_on_graphs(
    sums: FreeSums, Z: np.ndarray, mask: np.ndarray, graphs: np.ndarray, names
) -> list[LinearGaussianSCM]:
    """Fit the SCM of each of several graphs by maximum likelihood.

    What :func:`fit_linear_gaussian` does for one graph from rows is done here for all of them from
    the sums, so that the cost hardly depends on the number of rows.

    Parameters
    ----------
    sums : FreeSums
        Sums over the rows, of one data set, in float64 on the CPU.
    Z : ndarray of shape (n_samples, n_variables)
        The rows, standardised.
    mask : ndarray of bool of shape (n_samples, n_variables)
        The intervention mask.
    graphs : ndarray of shape (n_graphs, n_variables, n_variables)
        The graphs; entry (i, j) is nonzero for i -> j. They may have cycles: weights are then
        shrunk to a stable system.
    names : callable
        ``names(j)`` names variable j in warnings.

    Returns
    -------
    scms : list of LinearGaussianSCM
        The systems, in standardised units.
    """
    n_graphs, d, _ = graphs.shape
    covariance = sums.centred()[0].numpy()
    n_rows, total = sums.n_rows[0].numpy(), sums.total[0].numpy()
    moments = target_moments(Z, mask)
    coef = np.zeros((n_graphs, d, d))
    intercept, noise = np.zeros((2, n_graphs, d))
    for j in range(d):
        if n_rows[j] == 0:
            warn_of_lost_mechanism(names(j), stacklevel=5)
            intercept[:, j], noise[:, j] = moments[0][j], moments[1][j]
            continue
        # What is constant over these rows, up to rounding, explains nothing.
        varies = np.diag(covariance[j]) > _NEGLIGIBLE * n_rows[j]
        is_parent = (graphs[:, :, j] != 0) & varies
        coef[:, :, j], explained = _regress(covariance[j], is_parent, j)
        mean = total[j] / n_rows[j]
        intercept[:, j] = mean[j] - coef[:, :, j] @ mean
        own = covariance[j, j, j] if varies[j] else 0.0
        has_residual = n_rows[j] - is_parent.sum(axis=1) - 1 > 0
        residual = np.where(has_residual, own - explained, own)
        noise[:, j] = np.maximum(residual, RELATIVE_NOISE_FLOOR * own) / n_rows[j]
        if n_rows[j] == 1:
            noise[:, j] = Z[:, j].var()
    noise = np.where(noise > 0, noise, RELATIVE_NOISE_FLOOR)
    return [
        LinearGaussianSCM(stabilised(W), b, s, *moments) for W, b, s in zip(coef, intercept, noise)
    ]


def _regress(covariance, is_parent, j):
    """Weights (n_graphs, n_variables) of the parents of j, and what they explain of it."""
    n_most = int(is_parent.sum(axis=1).max())
    weights = np.zeros(is_parent.shape)
    if n_most == 0:
        return weights, np.zeros(len(weights))
    parents = np.argsort(~is_parent, axis=1, kind="stable")[:, :n_most]
    used = np.take_along_axis(is_parent, parents, axis=1)
    system = covariance[parents[:, :, None], parents[:, None, :]]
    system = system * (used[:, :, None] & used[:, None, :])
    diagonal = np.einsum("gkk->gk", system)
    slack = np.where(used & (diagonal > 0), _SLACK * diagonal, 1.0)
    system = system + slack[:, :, None] * np.eye(n_most)
    moment = covariance[parents, j] * used
    solved = np.linalg.solve(system, moment[..., None])[..., 0] * used
    np.put_along_axis(weights, parents, solved, axis=1)
    return weights, (solved * moment).sum(axis=1)
