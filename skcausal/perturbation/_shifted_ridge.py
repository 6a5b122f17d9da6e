"""Bayesian regression on random features, with latent shifts of contexts."""

import numpy as np
from scipy.linalg import cho_solve

from skcausal.perturbation._contexts import sum_by_group
from skcausal.perturbation._linear_mechanisms import responsibilities
from skcausal.perturbation._spike_slab import log_normal, log_sigmoid

# Precision of the weights of parents that enter linearly, and of the intercept.
_FLAT = 1e-2
# Iterations end when the log evidence changes by less, in nats.
_TOLERANCE = 0.01


def fit_shifted_ridge(scatter, means, n_rows, log_odds, shift_variance, n_flat, q, *, n_iter=30):
    """Bayesian regression of the last column on the others, with latent shifts of contexts.

    Parameters
    ----------
    scatter : ndarray of shape (n_columns, n_columns)
        Sums of products of the columns' deviations from the means of their contexts.
    means : ndarray of shape (n_contexts, n_columns)
        Those means.
    n_rows : ndarray of shape (n_contexts,)
        Number of rows.
    log_odds : ndarray of shape (n_contexts,)
        Prior log odds of a shift.
    shift_variance : float
        Prior variance of a shift, in units of the noise's.
    n_flat : int
        How many columns, the first, have weights of the fixed precision.
    q : ndarray of shape (n_contexts,)
        Probabilities of a shift, to begin with.
    n_iter : int, default=30
        Most iterations of expectation-maximisation.

    Returns
    -------
    coef : ndarray of shape (n_columns - 1,)
        Posterior means of the weights.
    residuals : ndarray of shape (n_contexts,)
        Mean residuals.
    variance : float
        Variance of the noise.
    log_evidence : float
        Log marginal likelihood.
    q : ndarray of shape (n_contexts,)
        Posterior probabilities of a shift.
    """
    n_total = n_rows.sum()
    n_within = n_total - len(n_rows)
    n_random = means.shape[1] - 1 - n_flat
    tau, last = 0.1, -np.inf
    for _ in range(n_iter):
        weights = n_rows * (1.0 - q + q / (1.0 + n_rows * shift_variance))
        moments = scatter + (means.T * weights) @ means
        precision = np.concatenate([np.full(n_flat, _FLAT), np.full(n_random, 1.0 / tau)])
        factor = np.linalg.cholesky(moments[:-1, :-1] + np.diag(precision))
        coef = cho_solve((factor, True), moments[:-1, -1])
        # The residual sum of squares and the penalty of the weights, together.
        total = moments[-1, -1] - coef @ moments[:-1, -1]
        floor = max(1e-9 * moments[-1, -1] / n_total, 1e-12)
        variance = max(float(total / n_total), floor)
        residuals = means[:, -1] - means[:, :-1] @ coef
        direction = np.append(-coef, 1.0)
        within = direction @ scatter @ direction
        spike = log_normal(residuals, variance / n_rows) + log_sigmoid(-log_odds)
        slab = log_normal(residuals, variance * (1.0 / n_rows + shift_variance))
        slab = slab + log_sigmoid(log_odds)
        # The density of the rows given the means of their contexts, and that of the means.
        logs = n_within * np.log(2.0 * np.pi * variance) + np.log(n_rows).sum()
        log_evidence = -0.5 * (logs + within / variance)
        log_evidence += np.logaddexp(spike, slab).sum()
        log_evidence -= 0.5 * (precision @ coef**2) / variance
        log_evidence -= np.log(np.diag(factor)).sum() - 0.5 * np.log(precision).sum()
        q = responsibilities(spike, slab)
        if abs(log_evidence - last) < _TOLERANCE:
            break
        last = log_evidence
        if n_random:
            # MacKay's fixed point: well-determined weights share the sum of squares.
            spread = (np.linalg.inv(factor)[:, n_flat:] ** 2).sum()
            determined = max(n_random - spread / tau, 1e-3)
            tau = float(np.clip((coef[n_flat:] ** 2).sum() / (variance * determined), 1e-4, 1e4))
    return coef, residuals, variance, float(log_evidence), q


def moments_of_rows(rows, context, n_rows):
    """Scatter inside contexts, and means of contexts, of rows sorted by context."""
    means = sum_by_group(rows, context, len(n_rows)) / n_rows[:, None]
    return rows.T @ rows - (means.T * n_rows) @ means, means


def algebraic_sigmoid(H):
    """Algebraic sigmoid; several times faster than the hyperbolic tangent."""
    return H / np.sqrt(1.0 + H * H)
