"""A causal model of any mechanisms with additive noise: moments, densities and draws."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from skcausal.perturbation._linear_model import draw_interventions, log_density_given_means

# Draws behind the moments of a context, and rows that are propagated at once.
_N_DRAWS = 2000
_ROWS_AT_ONCE = 50_000


@dataclass(frozen=True, eq=False)
class NonlinearModel:
    """Structural equations ``x_j = f_j(parents) + e_j`` of standardised variables.

    Parameters
    ----------
    expect : callable
        ``expect(X)`` returns the values f (n_samples, n_variables) of all mechanisms at rows X.
    propagate : callable
        ``propagate(source, targets, values)`` solves the equations of rows: the source is added to
        the mechanisms, targets are set to values; all have the shape (n_samples, n_variables).
    noise_variance, kind, target_variance : object
        As for :class:`LinearModel`.
    """

    expect: Callable[[np.ndarray], np.ndarray]
    propagate: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
    noise_variance: np.ndarray
    kind: str
    target_variance: np.ndarray

    def moments(self, latent):
        """Return the means and covariances of all variables; see :class:`LinearModel`.

        They are those of 2,000 draws, the same random numbers for all contexts: so a context has
        the same moments whatever others are asked for, and differences between contexts are smooth.
        """
        n_contexts, n_variables = latent.probability.shape
        mean = np.empty((n_contexts, n_variables))
        covariance = np.empty((n_contexts, n_variables, n_variables))
        step = max(1, _ROWS_AT_ONCE // _N_DRAWS)
        for start in range(0, n_contexts, step):
            part = slice(start, start + step)
            X = self._draw_contexts(latent.rows(part))
            mean[part] = X.mean(axis=1)
            deviation = X - mean[part, None]
            covariance[part] = deviation.swapaxes(1, 2) @ deviation / _N_DRAWS
        return mean, covariance

    def mean(self, latent):
        """Return the means of :meth:`moments` alone."""
        return self.moments(latent)[0]

    def log_density(self, X, latent, skip):
        """Return the log density of rows; see :class:`LinearModel`."""
        return log_density_given_means(X, self.expect(X), latent, skip, self)

    def sample(self, latent, rng):
        """Draw one standardised row for each row of latent interventions."""
        hit, parameter, noise = draw_interventions(latent, self.target_variance, rng)
        return self._solve(hit, parameter, noise)

    def _draw_contexts(self, latent):
        """Draws (n_contexts, n_draws, n_variables) with common random numbers."""
        n_contexts, n_variables = latent.probability.shape
        rng = np.random.RandomState(0)
        # Strata of the unit interval, in random order for each variable: targets and noise then
        # come in close to their proportions.
        place = np.argsort(rng.random_sample((_N_DRAWS, n_variables)), axis=0)
        uniform = (place + rng.random_sample(place.shape)) / _N_DRAWS
        normal, noise = rng.standard_normal((2, _N_DRAWS, n_variables))
        spread = np.sqrt(np.maximum(latent.variance + self.target_variance, 0.0))
        hit = uniform < latent.probability[:, None]
        parameter = latent.mean[:, None] + spread[:, None] * normal
        shape = (n_contexts * _N_DRAWS, n_variables)
        noise = np.broadcast_to(noise, hit.shape).reshape(shape)
        X = self._solve(hit.reshape(shape), parameter.reshape(shape), noise)
        return X.reshape(n_contexts, _N_DRAWS, n_variables)

    def _solve(self, hit, parameter, noise):
        """Solve the equations of rows, for given targets, parameters and standard noise."""
        deviation = np.sqrt(self.noise_variance)
        if self.kind == "scale":
            noise = noise * np.where(hit, np.exp(np.minimum(parameter, 25.0)), 1.0)
        source = noise * deviation
        if self.kind == "shift":
            source = source + np.where(hit, parameter * deviation, 0.0)
        targets = hit if self.kind == "do" else np.zeros_like(hit)
        return self.propagate(source, targets, parameter)


@dataclass(frozen=True, eq=False)
class PropagateInRounds:
    """A `propagate` for :class:`NonlinearModel` that evaluates all mechanisms at once.

    Parameters
    ----------
    expect : callable
        The mechanisms.
    n_rounds : int
        Number of rounds: after round k all variables with ancestors fewer than k edges away are
        final.
    """

    expect: Callable[[np.ndarray], np.ndarray]
    n_rounds: int

    def __call__(self, source, targets, values):
        """Solve the equations of rows (n_samples, n_variables)."""
        X = np.zeros(source.shape)
        for _ in range(self.n_rounds):
            X = np.where(targets, values, self.expect(X) + source)
        return X


def depth_of(adjacency):
    """Return the number of edges of the longest directed path of a DAG."""
    reach, depth = np.asarray(adjacency, dtype=bool), 0
    step = reach
    while step.any():
        depth += 1
        step = (step.astype(int) @ reach.astype(int)) > 0
    return depth
