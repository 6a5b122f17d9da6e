"""Linear mechanisms that interventions replace or make noisier: exact marginal likelihood."""

import numpy as np

from skcausal.perturbation._linear_mechanisms import (
    Measurement,
    Mechanism,
    correlation_of,
    eliminate_backwards,
    odds_of_contexts,
    responsibilities,
)
from skcausal.perturbation._spike_slab import log_normal, log_sigmoid, sigmoid

# Least variance of a target's value inside a context, in units of the squared deviation: do-values
# are often constants, of which the density would be infinite.
_LEAST_VARIANCE = 1e-6
# Squared residual of a row that is added to those seen.
_PRIOR_SQUARE = 0.1
# Variance of errors of measurement, in units of the mean squares of variables.
_LEAST_ERROR = 1e-8
# Log factors of the noise's deviation, over which "scale" integrates.
_LOG_FACTORS = np.linspace(-4.0, 4.0, 81)


def log_factor_weights(mean, variance):
    """Log of normal weights of the grid of log factors (..., n_grid), which sum to 1."""
    mean, variance = np.asarray(mean)[..., None], np.asarray(variance)[..., None]
    weights = log_normal(_LOG_FACTORS - mean, variance)
    top = weights.max(axis=-1, keepdims=True)
    return weights - top - np.log(np.exp(weights - top).sum(axis=-1, keepdims=True))


class ChangeLikelihood:
    """Marginal likelihood of single linear mechanisms under latent "do" or "scale" interventions.

    Parameters
    ----------
    contexts : Contexts
        Statistics of standardised variables, with the scatter of each context.
    kind : {"do", "scale"}
        What an intervention does to its targets.
    prior : SpikeSlab
        Prior of do-values in units of the variables, or of the log factor of the noise's deviation.
    edge_log_odds : float
        Prior log odds of an edge.

    Notes
    -----
    Without an intervention, the n rows of a context have the residual sum of squares R and the log
    density ``-n/2 log(2 pi s2) - R / (2 s2)``. With "do", x_j is drawn around a value v common to
    the rows, and v from N(0, variance); with "scale", s2 is multiplied by exp(2 u), u from
    N(0, variance). Both are integrated over: the first in closed form, the second on a grid.

    With "do", the variance of the rows about v is estimated from their deviations alone, and that
    of the noise from rows that are no targets. Both are estimated as if a few more rows had been
    seen, so expectation-maximisation can end slightly below the maximum.
    """

    def __init__(self, contexts, kind, prior, edge_log_odds):
        self.kind = kind
        self.prior = prior
        self.n_rows = contexts.n_rows.astype(float)
        self.means = contexts.means
        # Second moments of the variables and of the constant 1, the last column.
        augmented = np.column_stack([contexts.means, np.ones(len(contexts.means))])
        self.moments = augmented[:, :, None] * augmented[:, None, :]
        self.moments *= self.n_rows[:, None, None]
        self.moments[:, :-1, :-1] += contexts.scatters
        # As if measured with a little noise: the rounding errors of variables that are constant, or
        # copies of others, are no change of scale.
        squares = np.einsum("kjj->j", self.moments) / self.n_rows.sum()
        error = _LEAST_ERROR * np.maximum(squares, 1.0) * self.n_rows[:, None]
        np.einsum("kjj->kj", self.moments)[:, :-1] += error[:, :-1]
        self.scatter = contexts.scatter
        self.within = np.diagonal(contexts.scatters, axis1=1, axis2=2)
        self.penalty = 0.5 * np.log(self.n_rows.sum()) - edge_log_odds
        self.log_odds = odds_of_contexts(prior.log_odds, *contexts.means.shape)

    def fit(self, j, candidates, start=None, *, select=True, n_iter=30):
        """Fit the equation of variable j, dropping parents that do not pay for themselves.

        Parameters
        ----------
        j : int
            The variable.
        candidates : array-like of int
            Its candidate parents.
        start : ndarray of shape (n_contexts,), default=None
            Probability that j is a target, to begin with. None: that of the prior.
        select : bool, default=True
            Whether to eliminate parents backwards.
        n_iter : int, default=30
            Most iterations of expectation-maximisation.

        Returns
        -------
        mechanism : Mechanism
            The fitted equation.
        """
        parents = np.asarray(candidates, dtype=int)
        q = sigmoid(self.log_odds[:, j]) if start is None else start
        weights, target_variance, last = 1.0 - q, None, -np.inf
        for _ in range(n_iter):
            used = np.concatenate([parents, [self.moments.shape[-1] - 1, j]])
            pooled = np.tensordot(weights, self.moments[:, used][:, :, used], axes=1)
            effective = self.n_rows.sum()
            if self.kind == "do":
                # Few rows may be left that are no targets: as prior data, one row of small noise.
                effective = self.n_rows @ weights + 1.0
                pooled[-1, -1] += _PRIOR_SQUARE
            penalty = self.penalty if select else -np.inf
            kept, coef, variance, gains = eliminate_backwards(pooled, effective, penalty)
            parents = parents[kept]
            if self.kind == "do":
                target_variance = self.target_variance(j, q)
            spike, slab, precision = self._log_terms(j, parents, coef, variance, target_variance)
            evidence = float(np.logaddexp(spike, slab).sum() - self.penalty * len(parents))
            q = responsibilities(spike, slab)
            if np.isfinite(last) and evidence - last < 1e-6 * (1.0 + abs(evidence)):
                break
            last = evidence
            weights = 1.0 - q if self.kind == "do" else 1.0 - q + q * precision
        gains = gains - self.penalty
        return Mechanism(parents, coef[:-1], float(coef[-1]), variance, evidence, gains, q)

    def correlation(self):
        """Correlations (n_variables, n_variables) inside contexts; 0 for constants."""
        return correlation_of(self.scatter)

    def measure(self, mechanisms):
        """Measure the do-value, or the log factor, that each variable has if it is a target.

        Parameters
        ----------
        mechanisms : list of Mechanism
            Fitted equations.

        Returns
        -------
        measurement : Measurement
            Do-values in units of the variables; or log factors, with the normal approximation of
            their likelihood at its maximum.
        """
        shape = len(self.n_rows), len(mechanisms)
        values, noise, log_ratio = np.empty(shape), np.empty(shape), np.empty(shape)
        n = self.n_rows
        for j, m in enumerate(mechanisms):
            coef = np.append(m.coef, m.intercept)
            squares = self._residual_squares(j, m.parents, coef)
            spike = -0.5 * (n * np.log(2.0 * np.pi * m.noise_variance) + squares / m.noise_variance)
            if self.kind == "do":
                target_variance = self.target_variance(j, m.target_probability)
                values[:, j], noise[:, j] = self.means[:, j], target_variance / n
                log_ratio[:, j] = self._log_within(j, target_variance) - spike
            else:
                factor = np.maximum(squares / (n * m.noise_variance), np.exp(2 * _LOG_FACTORS[0]))
                values[:, j], noise[:, j] = 0.5 * np.log(factor), 0.5 / n
                peak = -0.5 * n * (np.log(2.0 * np.pi * m.noise_variance * factor) + 1.0)
                log_ratio[:, j] = peak + 0.5 * np.log(2.0 * np.pi * noise[:, j]) - spike
        return Measurement(values, noise, log_ratio)

    def target_variance(self, j, q):
        """Variance of a target's value inside a context."""
        n_free = np.maximum(self.n_rows - 1.0, 0.0)
        total, count = q @ self.within[:, j], q @ n_free
        # A few rows of deviation 0.1, as prior data.
        return max((total + 0.01) / (count + 1.0), _LEAST_VARIANCE)

    def _log_terms(self, j, parents, coef, variance, target_variance):
        """Log joint densities without and with a target, and E[1 / factor^2] (n_contexts,)."""
        n = self.n_rows
        squares = self._residual_squares(j, parents, coef)
        spike = -0.5 * (n * np.log(2.0 * np.pi * variance) + squares / variance)
        precision = np.ones_like(n)
        if self.kind == "do":
            spread = self.prior.variance + target_variance / n
            slab = self._log_within(j, target_variance) + log_normal(self.means[:, j], spread)
        else:
            u = _LOG_FACTORS
            grid = -0.5 * (
                n[:, None] * (np.log(2.0 * np.pi * variance) + 2.0 * u)
                + squares[:, None] / variance * np.exp(-2.0 * u)
            )
            grid = grid + log_factor_weights(0.0, self.prior.variance)
            top = grid.max(axis=1, keepdims=True)
            mass = np.exp(grid - top)
            slab = top[:, 0] + np.log(mass.sum(axis=1))
            precision = mass @ np.exp(-2.0 * u) / mass.sum(axis=1)
        log_odds = self.log_odds[:, j]
        return spike + log_sigmoid(-log_odds), slab + log_sigmoid(log_odds), precision

    def _log_within(self, j, target_variance):
        """Log density of the rows of x_j about their mean, for a target (n_contexts,).

        Together with the density of the mean, of variance ``target_variance / n``, it is that of
        the rows.
        """
        n = self.n_rows
        logs = (n - 1.0) * np.log(2.0 * np.pi * target_variance) + np.log(n)
        return -0.5 * (logs + self.within[:, j] / target_variance)

    def _residual_squares(self, j, parents, coef):
        """Residual sums of squares of one equation (n_contexts,)."""
        used = np.concatenate([parents, [self.moments.shape[-1] - 1, j]])
        direction = np.append(-coef, 1.0)
        moments = self.moments[:, used][:, :, used]
        squares = np.einsum("i,kij,j->k", direction, moments, direction)
        return np.maximum(squares, 0.0)
