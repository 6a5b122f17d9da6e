"""Linear mechanisms that interventions replace or make noisier: exact marginal likelihood."""

import numpy as np

from skcausal.perturbation._linear_mechanisms import Mechanism, eliminate_backwards
from skcausal.perturbation._spike_slab import log_normal, sigmoid

# Least variance of a target's value inside a context, in units of the squared deviation: do-values
# are often constants, of which the density would be infinite.
_LEAST_VARIANCE = 1e-6
# Log factors of the noise's deviation, over which "scale" integrates.
_LOG_FACTORS = np.linspace(-4.0, 4.0, 81)


class ChangeLikelihood:
    """Marginal likelihood of single linear mechanisms under latent "do" or "scale" interventions.

    Parameters
    ----------
    contexts : Contexts
        Statistics of standardised variables, with the scatter of each context.
    kind : {"do", "scale"}
        What an intervention does to its targets.
    probability : float
        Prior probability of a target.
    variance : float
        Prior variance of do-values, or of the log factor of the noise's deviation.
    edge_log_odds : float
        Prior log odds of an edge.

    Notes
    -----
    Without an intervention, the n rows of a context have the residual sum of squares R and the log
    density ``-n/2 log(2 pi s2) - R / (2 s2)``. With "do", x_j is drawn around a value v common to
    the rows, and v from N(0, variance); with "scale", s2 is multiplied by exp(2 u), u from
    N(0, variance). Both are integrated over: the first in closed form, the second on a grid.
    """

    def __init__(self, contexts, kind, probability, variance, edge_log_odds):
        self.kind = kind
        self.probability = probability
        self.variance = variance
        self.n_rows = contexts.n_rows.astype(float)
        self.means = contexts.means
        # Second moments of the variables and of the constant 1, the last column.
        augmented = np.column_stack([contexts.means, np.ones(len(contexts.means))])
        self.moments = augmented[:, :, None] * augmented[:, None, :]
        self.moments *= self.n_rows[:, None, None]
        self.moments[:, :-1, :-1] += contexts.scatters
        self.within = np.diagonal(contexts.scatters, axis1=1, axis2=2)
        self.penalty = 0.5 * np.log(self.n_rows.sum()) - edge_log_odds
        self.edge_log_odds = edge_log_odds
        weights = np.exp(-0.5 * _LOG_FACTORS**2 / variance)
        self._log_factor_weights = np.log(weights / weights.sum())

    def fit(self, j, candidates, start=None, *, select=True, n_iter=30):
        """Fit the equation of variable j, dropping parents that do not pay for themselves.

        Parameters
        ----------
        j : int
            The variable.
        candidates : array-like of int
            Its candidate parents.
        start : ndarray of shape (n_contexts,), default=None
            Probability that j is a target, to begin with; 0 for the control. None: prior.
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
        q = np.full(len(self.n_rows), self.probability) if start is None else start.copy()
        q[0] = 0.0
        weights, target_variance, last = 1.0 - q, None, -np.inf
        for _ in range(n_iter):
            used = np.concatenate([parents, [self.moments.shape[-1] - 1, j]])
            pooled = np.tensordot(weights, self.moments[:, used][:, :, used], axes=1)
            effective = self.n_rows @ (weights if self.kind == "do" else np.ones_like(weights))
            penalty = self.penalty if select else -np.inf
            kept, coef, variance, gains = eliminate_backwards(pooled, effective, penalty)
            parents = parents[kept]
            if self.kind == "do":
                target_variance = self._target_variance(j, q)
            spike, slab, precision = self._log_terms(j, parents, coef, variance, target_variance)
            evidence = float(np.logaddexp(spike, slab).sum() - self.penalty * len(parents))
            if np.isfinite(last) and evidence - last < 1e-6 * (1.0 + abs(evidence)):
                break
            last = evidence
            q = sigmoid(slab - spike)
            weights = 1.0 - q if self.kind == "do" else 1.0 - q + q * precision
        return Mechanism(parents, coef[:-1], float(coef[-1]), variance, evidence, gains, q)

    def _target_variance(self, j, q):
        """Variance of a target's value inside a context."""
        n_free = np.maximum(self.n_rows - 1.0, 0.0)
        total, count = q @ self.within[:, j], q @ n_free
        # A few rows of deviation 0.1, as prior data.
        return max((total + 0.01) / (count + 1.0), _LEAST_VARIANCE)

    def _log_terms(self, j, parents, coef, variance, target_variance):
        """Log joint densities without and with a target, and E[1 / factor^2] (n_contexts,)."""
        n = self.n_rows
        direction = np.zeros(self.moments.shape[-1])
        direction[parents], direction[-1], direction[j] = -coef[:-1], -coef[-1], 1.0
        used = np.flatnonzero(direction)
        d = direction[used]
        squares = np.einsum("i,kij,j->k", d, self.moments[:, used][:, :, used], d)
        squares = np.maximum(squares, 0.0)
        spike = -0.5 * (n * np.log(2.0 * np.pi * variance) + squares / variance)
        precision = np.ones_like(n)
        if self.kind == "do":
            scatter = self.within[:, j]
            slab = -0.5 * ((n - 1.0) * np.log(2.0 * np.pi * target_variance) + np.log(n))
            slab = slab - 0.5 * scatter / target_variance
            slab = slab + log_normal(self.means[:, j], self.variance + target_variance / n)
        else:
            u = _LOG_FACTORS
            grid = -0.5 * (
                n[:, None] * (np.log(2.0 * np.pi * variance) + 2.0 * u)
                + squares[:, None] / variance * np.exp(-2.0 * u)
            )
            grid = grid + self._log_factor_weights
            top = grid.max(axis=1, keepdims=True)
            mass = np.exp(grid - top)
            slab = top[:, 0] + np.log(mass.sum(axis=1))
            precision = mass @ np.exp(-2.0 * u) / mass.sum(axis=1)
        spike = spike + np.log1p(-self.probability)
        slab = slab + np.log(self.probability)
        spike[0] -= np.log1p(-self.probability)
        slab[0] = -np.inf
        return spike, slab, precision
