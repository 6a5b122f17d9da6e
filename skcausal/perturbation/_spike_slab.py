"""The exact marginal likelihood of latent targets: mixtures of a spike and a slab.

With targets that are independent given the features, the sum over all 2^d sets of targets is a
product over variables: one ``logaddexp`` for each context and variable.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit


@dataclass(frozen=True, eq=False)
class SpikeSlab:
    """Prior of what interventions do to variables: nothing, or something normal around 0.

    Parameters
    ----------
    log_odds : float or ndarray of shape (n_contexts, n_variables)
        Log odds that a variable is a target; infinite where that is known.
    variance : float
        Variance of a target's shift, in units of its squared noise scale.
    """

    log_odds: float | np.ndarray
    variance: float

    def log_marginal(self, z, noise_variance, variables):
        """Log density of shifts measured with noise.

        Parameters
        ----------
        z : ndarray of shape (n_contexts, n)
            Standardised shifts.
        noise_variance : ndarray of shape (n_contexts, 1)
            Variance of their noise.
        variables : ndarray of int of shape (n,)
            Which variable each column belongs to.

        Returns
        -------
        log_density : ndarray of shape (n_contexts, n)
            The densities.
        """
        log_odds = self.odds_of(variables)
        spike = log_normal(z, noise_variance)
        slab = log_normal(z, noise_variance + self.variance)
        return np.logaddexp(spike + log_sigmoid(-log_odds), slab + log_sigmoid(log_odds))

    def posterior(self, z, noise_variance):
        """Probability of a target given the shifts z (n_contexts, n_variables); same shape."""
        ratio = log_normal(z, noise_variance + self.variance) - log_normal(z, noise_variance)
        return sigmoid(ratio + self.log_odds)

    def odds_of(self, variables):
        """Log odds of the columns of some variables."""
        return self.log_odds if np.ndim(self.log_odds) == 0 else self.log_odds[:, variables]


def fit_spike_slab(z, noise_variance, start, *, learn_odds=True, n_iter=50, tol=1e-6):
    """Estimate the prior's parameters by expectation-maximisation.

    Parameters
    ----------
    z : ndarray of shape (n_contexts, n_variables)
        Standardised shifts, measured with noise.
    noise_variance : ndarray of shape (n_contexts, 1)
        Variance of that noise.
    start : SpikeSlab
        Where to begin.
    learn_odds : bool, default=True
        Whether to learn the odds, too; the probability stays between 1 / (2 n), with n entries of
        z, and one half.
    n_iter : int, default=50
        Most iterations.
    tol : float, default=1e-6
        Change of the parameters, on a log scale, at which to stop.

    Returns
    -------
    prior : SpikeSlab
        The estimate.
    """
    prior = start
    for _ in range(n_iter):
        q = prior.posterior(z, noise_variance)
        # Moments of the shift of a target given z.
        shrinkage = prior.variance / (prior.variance + noise_variance)
        second = (shrinkage * z) ** 2 + shrinkage * noise_variance
        variance = max(float((q * second).sum() / max(q.sum(), 1e-12)), 1e-8)
        change = abs(np.log(variance / prior.variance))
        last, prior = prior, replace(prior, variance=variance)
        if learn_odds:
            probability = float(np.clip(q.mean(), 0.5 / z.size, 0.5))
            prior = replace(prior, log_odds=float(np.log(probability / (1.0 - probability))))
            change = max(change, abs(prior.log_odds - last.log_odds))
        if change < tol:
            break
    return prior


def log_normal(x, variance):
    """Log density of a normal variable of mean 0."""
    return -0.5 * (np.log(2.0 * np.pi * variance) + x * x / variance)


def sigmoid(log_odds):
    """Probability of log odds, infinite ones included."""
    return expit(log_odds)


def log_sigmoid(log_odds):
    """Logarithm of :func:`sigmoid`; -inf for odds of 0."""
    return -np.logaddexp(0.0, -log_odds)
