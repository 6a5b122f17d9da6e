"""The exact marginal likelihood of latent targets: mixtures of a spike and a slab.

With targets that are independent given the features, the sum over all 2^d sets of targets is a
product over variables: one ``logaddexp`` for each context and variable.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SpikeSlab:
    """Prior of standardised shifts: 0, or normal around 0.

    Parameters
    ----------
    probability : float
        Probability of a target.
    variance : float
        Variance of a target's shift, in units of its squared noise scale.
    """

    probability: float
    variance: float

    def log_terms(self, z, noise_variance):
        """Log joint densities of shifts z without and with a target, each of the shape of z."""
        spike = log_normal(z, noise_variance) + np.log1p(-self.probability)
        slab = log_normal(z, noise_variance + self.variance) + np.log(self.probability)
        return spike, slab

    def log_marginal(self, z, noise_variance):
        """Log density of standardised shifts; same shape."""
        return np.logaddexp(*self.log_terms(z, noise_variance))

    def posterior(self, z, noise_variance):
        """Probability of a target given its shift; same shape."""
        spike, slab = self.log_terms(z, noise_variance)
        return sigmoid(slab - spike)


def fit_spike_slab(z, noise_variance, start, *, n_iter=50, tol=1e-6):
    """Estimate the two parameters by expectation-maximisation.

    Parameters
    ----------
    z : ndarray of shape (n_contexts, n_variables)
        Standardised shifts, measured with noise.
    noise_variance : ndarray of shape (n_contexts, 1)
        Variance of that noise.
    start : SpikeSlab
        Where to begin.
    n_iter : int, default=50
        Most iterations.
    tol : float, default=1e-6
        Relative change of both parameters at which to stop.

    Returns
    -------
    prior : SpikeSlab
        The probability lies in [1 / (2 n), 0.5], with n entries of z.
    """
    prior = start
    for _ in range(n_iter):
        q = prior.posterior(z, noise_variance)
        probability = float(np.clip(q.mean(), 0.5 / z.size, 0.5))
        # Moments of the shift of a target given z.
        shrinkage = prior.variance / (prior.variance + noise_variance)
        second = (shrinkage * z) ** 2 + shrinkage * noise_variance
        variance = max(float((q * second).sum() / max(q.sum(), 1e-12)), 1e-8)
        last, prior = prior, SpikeSlab(probability, variance)
        change = max(
            abs(np.log(prior.probability / last.probability)),
            abs(np.log(prior.variance / last.variance)),
        )
        if change < tol:
            break
    return prior


def log_normal(x, variance):
    """Log density of a normal variable of mean 0."""
    return -0.5 * (np.log(2.0 * np.pi * variance) + x * x / variance)


def sigmoid(x):
    """Probability of log odds; odds that are infinite, or beyond floats, are 0 or 1."""
    return 1.0 / (1.0 + np.exp(np.clip(-x, -700.0, 700.0)))
