"""Nonlinear mechanisms on random features: the evidence of sets of parents under latent shifts."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import numpy as np

from skcausal.perturbation._linear_mechanisms import Measurement, odds_of_contexts
from skcausal.perturbation._shifted_ridge import (
    algebraic_sigmoid,
    fit_shifted_ridge,
    moments_of_rows,
)
from skcausal.perturbation._spike_slab import log_normal

# Slopes of the random features, in units of a variable's deviation over all rows.
_SLOPES = np.geomspace(0.5, 2.0, 7)
_OFFSETS = np.array([-1.0, 0.0, 1.0])


@dataclass(frozen=True, eq=False)
class NonlinearMechanism:
    """Nonlinear equation of one variable with latent shifts, fitted by maximum evidence.

    Attributes
    ----------
    parents : ndarray of int of shape (n_parents,)
        The parents, ascending.
    coef : ndarray of shape (n_coef,)
        Weights of the constant 1, the parents, and their features.
    mean_residuals : ndarray of shape (n_contexts,)
        Means of the residuals of each context.
    noise_variance : float
        Variance of the noise.
    log_evidence : float
        Log marginal likelihood plus the prior log odds of the parents.
    edge_log_odds : ndarray of shape (n_parents,)
        By how much each parent raises it; empty where it was not asked for.
    target_probability : ndarray of shape (n_contexts,)
        Posterior probability that the variable is a target; 0 for the control.
    """

    parents: np.ndarray
    coef: np.ndarray
    mean_residuals: np.ndarray
    noise_variance: float
    log_evidence: float
    edge_log_odds: np.ndarray
    target_probability: np.ndarray


class NonlinearLikelihood:
    """Evidence of single nonlinear mechanisms under latent shifts.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_variables)
        Standardised rows.
    contexts : Contexts
        Their statistics.
    prior : SpikeSlab
        Prior of the shifts, in units of the noise.
    edge_log_odds : float
        Prior log odds of an edge.
    rng : RandomState
        Source of the random features.
    n_features : int, default=50
        Number of features of a function of no parent; there are as many more for each parent.
    max_features : int, default=400
        Most features of a function.

    Notes
    -----
    Given its parents, the mechanism of variable j is ``f(x) = a + <b, x> + <w, h(x)>`` with
    features ``h_m(x) = s(<u_m, x> + c_m)`` of random u and c, the sigmoid
    ``s(z) = z / sqrt(1 + z^2)``, and weights w of variance ``tau s2`` around 0: a Gaussian process
    [1]_ with a kernel that saturates far from the data. The shifts have the marginal likelihood of
    :class:`ShiftLikelihood`; the weights are integrated out, given the responsibilities, as in
    Bayesian linear regression, with s2 and tau at the maximum [2]_. A parent that is not one costs
    evidence, as it makes the function harder to fit.

    References
    ----------
    .. [1] Rahimi & Recht (2008). Weighted sums of random kitchen sinks. NeurIPS.
    .. [2] MacKay (1992). Bayesian interpolation. Neural Computation 4(3), equations 2.15 and 4.6.
    """

    def __init__(self, X, contexts, prior, edge_log_odds, *, rng, n_features=50, max_features=400):
        order = np.argsort(contexts.context_of_row, kind="stable")
        self.context = contexts.context_of_row[order]
        self.X = X[order]
        scale = X.std(axis=0)
        self.Z = (self.X - X.mean(axis=0)) / np.where(scale > 0, scale, 1.0)
        self.n_rows = contexts.n_rows.astype(float)
        self.edge_log_odds = edge_log_odds
        self.n_features, self.max_features = n_features, max_features
        self.slopes = rng.standard_normal((X.shape[1], max_features))
        self.slopes *= np.resize(_SLOPES, max_features)
        self.offsets = 1.5 * rng.standard_normal(max_features)
        self._set_prior(prior)

    def with_prior(self, prior):
        """Return the likelihood under another prior of the shifts."""
        other = copy.copy(self)
        other._set_prior(prior)
        return other

    def _set_prior(self, prior):
        self.prior = prior
        self.log_odds = odds_of_contexts(prior.log_odds, len(self.n_rows), self.X.shape[1])
        self._fitted = {}

    def fit(self, j, candidates, start=None, *, select=True):
        """Fit the equation of variable j, dropping parents that do not pay for themselves.

        Parameters
        ----------
        j : int
            The variable.
        candidates : array-like of int
            Its candidate parents.
        start : ndarray of shape (n_contexts,), default=None
            Probability that j is a target, to begin with. None: certain, so that the start rests
            on what happens inside contexts.
        select : bool, default=True
            Whether to eliminate parents backwards.

        Returns
        -------
        mechanism : NonlinearMechanism
            The fitted equation, with the log odds of its edges.
        """
        mechanism = self.evaluate(j, candidates, start)
        while True:
            parents, q = mechanism.parents, mechanism.target_probability
            without = [self.evaluate(j, parents[parents != i], q) for i in parents]
            gains = mechanism.log_evidence - np.array([m.log_evidence for m in without])
            if not select or not len(gains) or gains.min() > 0:
                return replace(mechanism, edge_log_odds=gains)
            mechanism = without[int(gains.argmin())]

    def evaluate(self, j, parents, start=None):
        """Fit the equation of variable j on all the given parents; see :meth:`fit`."""
        parents = np.unique(np.asarray(parents, dtype=int))
        key = (int(j), *parents.tolist())
        if key not in self._fitted:
            rows = np.column_stack([self.design(parents), self.X[:, j]])
            q = np.ones(len(self.n_rows)) if start is None else start
            fitted = fit_shifted_ridge(
                *moments_of_rows(rows, self.context, self.n_rows),
                self.n_rows,
                self.log_odds[:, j],
                self.prior.variance,
                1 + len(parents),
                q,
            )
            evidence = fitted[-2] + self.edge_log_odds * len(parents)
            self._fitted[key] = NonlinearMechanism(
                parents, *fitted[:-2], evidence, np.empty(0), fitted[-1]
            )
        return self._fitted[key]

    def design(self, parents):
        """Regressors (n_samples, 1 + n_parents + n_features): 1, the parents, their features."""
        Z = self.Z[:, parents]
        constant = np.ones((len(Z), 1))
        if not len(parents):
            return constant
        m = min(self.n_features * (1 + len(parents)), self.max_features)
        H = Z @ self.slopes[parents, :m]
        H += self.offsets[:m]
        return np.column_stack([constant, Z, algebraic_sigmoid(H)])

    def rank_candidates(self, mechanism, j, candidates):
        """Sort candidate parents by how much a function of each alone explains of the residuals.

        Parameters
        ----------
        mechanism : NonlinearMechanism
            Equation of variable j.
        j : int
            The variable.
        candidates : ndarray of int of shape (n_candidates,)
            Variables that are not among its parents.

        Returns
        -------
        ranked : ndarray of int of shape (n_candidates,)
            The most promising first.
        """
        q = mechanism.target_probability
        residuals = self.X[:, j] - self.design(mechanism.parents) @ mechanism.coef
        # The weight of a mean in the regression is less than one where there may be a shift.
        share = q * (1.0 - 1.0 / (1.0 + self.n_rows * self.prior.variance))
        residuals = residuals - (share * mechanism.mean_residuals)[self.context]
        explained = np.empty(len(candidates))
        for c, i in enumerate(candidates):
            z = self.Z[:, i, None]
            basis = np.column_stack([z, algebraic_sigmoid(2.0 * (z + _OFFSETS))])
            basis -= basis.mean(axis=0)
            cross = basis.T @ residuals
            gram = basis.T @ basis
            gram[np.diag_indices_from(gram)] += 1e-6 * np.trace(gram) + 1e-12
            explained[c] = cross @ np.linalg.solve(gram, cross)
        return candidates[np.argsort(-explained, kind="stable")]

    def measure(self, mechanisms):
        """Measure the shift that each variable has if it is a target.

        Parameters
        ----------
        mechanisms : list of NonlinearMechanism
            Fitted equations.

        Returns
        -------
        measurement : Measurement
            Shifts in units of the noise's deviation.
        """
        values = np.column_stack([m.mean_residuals / np.sqrt(m.noise_variance) for m in mechanisms])
        noise = np.broadcast_to(1.0 / self.n_rows[:, None], values.shape)
        return Measurement(values, noise, -log_normal(values, noise))
