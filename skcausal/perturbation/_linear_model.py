"""A linear causal model under latent interventions: moments, densities and draws."""

from dataclasses import dataclass

import numpy as np

from skcausal.perturbation._mechanism_change import _LOG_FACTORS, log_factor_weights
from skcausal.perturbation._spike_slab import log_normal


@dataclass(frozen=True, eq=False)
class LinearModel:
    """Linear structural equations of standardised variables.

    ``x_j = sum_i x_i coef[i, j] + intercept[j] + e_j`` with independent normal noise.

    Parameters
    ----------
    coef : ndarray of shape (n_variables, n_variables)
        Weights, acyclic.
    intercept : ndarray of shape (n_variables,)
        Intercepts.
    noise_variance : ndarray of shape (n_variables,)
        Variances of the noise.
    order : ndarray of int of shape (n_variables,)
        A topological order.
    kind : {"shift", "do", "scale"}
        What is done to targets: a shift in units of the noise's deviation is added, the value is
        set, or the noise is multiplied by the exponential of a log factor.
    target_variance : ndarray of shape (n_variables,)
        Variance of set values about the value of their context; 0 unless `kind` is "do".
    """

    coef: np.ndarray
    intercept: np.ndarray
    noise_variance: np.ndarray
    order: np.ndarray
    kind: str
    target_variance: np.ndarray

    def moments(self, latent):
        """Return the means and covariances of all variables.

        Parameters
        ----------
        latent : LatentInterventions
            What is done, with arrays of shape (n_contexts, n_variables).

        Returns
        -------
        mean : ndarray of shape (n_contexts, n_variables)
            Expectations.
        covariance : ndarray of shape (n_contexts, n_variables, n_variables)
            Covariances, those from unknown targets and parameters included.

        Notes
        -----
        Targets are independent given the features, and so a target indicator is independent of the
        variables before it: the moments follow from each other in causal order.
        """
        p, mu, v = latent.probability, latent.mean, latent.variance + self.target_variance
        shape = p.shape
        mean, covariance = np.zeros(shape), np.zeros((*shape, shape[1]))
        for j in self.order:
            coef = self.coef[:, j]
            expected = mean @ coef + self.intercept[j]
            cross = covariance @ coef
            variance = cross @ coef
            noise = self.noise_variance[j]
            if self.kind == "do":
                kept = 1.0 - p[:, j]
                mean[:, j] = kept * expected + p[:, j] * mu[:, j]
                cross = kept[:, None] * cross
                variance = kept * (variance + noise + expected**2)
                variance = variance + p[:, j] * (v[:, j] + mu[:, j] ** 2) - mean[:, j] ** 2
            elif self.kind == "shift":
                second = p[:, j] * (v[:, j] + mu[:, j] ** 2)
                mean[:, j] = expected + p[:, j] * mu[:, j] * np.sqrt(noise)
                variance = variance + noise * (1.0 + second - (p[:, j] * mu[:, j]) ** 2)
            else:
                mean[:, j] = expected
                factor = np.exp(np.minimum(2.0 * (mu[:, j] + v[:, j]), 50.0))
                variance = variance + noise * (1.0 + p[:, j] * (factor - 1.0))
            covariance[:, j, :] = cross
            covariance[:, :, j] = cross
            covariance[:, j, j] = np.maximum(variance, 0.0)
        return mean, covariance

    def mean(self, latent):
        """Return the means of :meth:`moments` alone: without memory for covariances."""
        mean = np.zeros(latent.probability.shape)
        for j in self.order:
            p, mu = latent.probability[:, j], latent.mean[:, j]
            mean[:, j] = mean @ self.coef[:, j] + self.intercept[j]
            if self.kind == "do":
                mean[:, j] = (1.0 - p) * mean[:, j] + p * mu
            elif self.kind == "shift":
                mean[:, j] += p * mu * np.sqrt(self.noise_variance[j])
        return mean

    def log_density(self, X, latent, skip):
        """Return the log density of rows, each with latent interventions of its own.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_variables)
            Standardised rows.
        latent : LatentInterventions
            What is done to each, with arrays of the shape of X.
        skip : ndarray of bool of the shape of X
            Cells that are given, of which there is no density.

        Returns
        -------
        log_density : ndarray of shape (n_samples,)
            In nats, of the standardised variables.
        """
        expected = X @ self.coef + self.intercept
        return log_density_given_means(X, expected, latent, skip, self)

    def sample(self, latent, rng):
        """Draw one standardised row for each row of latent interventions.

        Parameters
        ----------
        latent : LatentInterventions
            What is done, with arrays of shape (n_samples, n_variables).
        rng : RandomState
            Source of randomness.

        Returns
        -------
        X : ndarray of shape (n_samples, n_variables)
            The draws.
        """
        hit, parameter, noise = draw_interventions(latent, self.target_variance, rng)
        noise = noise * np.sqrt(self.noise_variance)
        X = np.zeros(hit.shape)
        for j in self.order:
            if self.kind == "scale":
                factor = np.exp(np.minimum(parameter[:, j], 25.0))
                noise[:, j] *= np.where(hit[:, j], factor, 1.0)
            X[:, j] = X @ self.coef[:, j] + self.intercept[j] + noise[:, j]
            if self.kind == "shift":
                X[:, j] += hit[:, j] * parameter[:, j] * np.sqrt(self.noise_variance[j])
            elif self.kind == "do":
                X[:, j] = np.where(hit[:, j], parameter[:, j], X[:, j])
        return X


def log_density_given_means(X, expected, latent, skip, model):
    """Log density of rows, given the values of all mechanisms.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_variables)
        Standardised rows.
    expected : ndarray of shape (n_samples, n_variables)
        Expectation of every variable given its parents.
    latent : LatentInterventions
        What is done to each row, with arrays of the shape of X.
    skip : ndarray of bool of the shape of X
        Cells that are given.
    model : LinearModel or NonlinearModel
        Whose noise it is.

    Returns
    -------
    log_density : ndarray of shape (n_samples,)
        Sum over variables of the log of a mixture without and with an intervention.
    """
    residual, noise = X - expected, model.noise_variance
    without = log_normal(residual, noise)
    if model.kind == "shift":
        deviation = np.sqrt(noise)
        shifted = residual - latent.mean * deviation
        hit = log_normal(shifted, noise * (1.0 + latent.variance))
    elif model.kind == "do":
        spread = np.maximum(latent.variance + model.target_variance, 1e-12)
        hit = log_normal(X - latent.mean, spread)
    else:
        # The grid is that of a standard normal variable: it is as fine as the factors vary.
        deviation = np.sqrt(np.maximum(latent.variance, 0.0))
        factors = latent.mean[..., None] + deviation[..., None] * _LOG_FACTORS
        scaled = noise[:, None] * np.exp(2.0 * np.clip(factors, -25.0, 25.0))
        grid = log_factor_weights(0.0, 1.0) + log_normal(residual[..., None], scaled)
        hit = np.logaddexp.reduce(grid, axis=-1)
    with np.errstate(divide="ignore"):
        log_p, log_not = np.log(latent.probability), np.log1p(-latent.probability)
    return np.where(skip, 0.0, np.logaddexp(without + log_not, hit + log_p)).sum(axis=1)


def linear_model(found, kind):
    """Put the fitted equations of an :class:`OrderFit` together."""
    n_variables = len(found.mechanisms)
    coef, intercept = np.zeros((n_variables, n_variables)), np.zeros(n_variables)
    noise_variance, target_variance = np.zeros(n_variables), np.zeros(n_variables)
    for j, m in enumerate(found.mechanisms):
        coef[m.parents, j] = m.coef
        intercept[j], noise_variance[j] = m.intercept, m.noise_variance
        if kind == "do":
            target_variance[j] = found.likelihood.target_variance(j, m.target_probability)
    return LinearModel(coef, intercept, noise_variance, found.order, kind, target_variance)


def draw_interventions(latent, target_variance, rng):
    """Draw targets, their parameters, and standard normal noise, each of the shape of `latent`."""
    hit = rng.random_sample(latent.probability.shape) < latent.probability
    normal, noise = rng.standard_normal((2, *hit.shape))
    spread = np.maximum(latent.variance + target_variance, 0.0)
    return hit, latent.mean + np.sqrt(spread) * normal, noise


def best_linear_prediction(X, mean, covariance, context):
    """Predict every cell linearly from the finite cells of its row.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_variables)
        Rows; NaN means unknown.
    mean : ndarray of shape (n_contexts, n_variables)
        Means of the contexts.
    covariance : ndarray of shape (n_contexts, n_variables, n_variables)
        Their covariances.
    context : ndarray of int of shape (n_samples,)
        Context of each row.

    Returns
    -------
    X_pred : ndarray of shape (n_samples, n_variables)
        Entry (i, j) is the best linear prediction of x_j from the finite cells of row i except
        (i, j): the conditional mean, if the context is normal.
    """
    predicted = mean[context].copy()
    known = np.isfinite(X)
    rows = np.flatnonzero(known.any(axis=1))
    if not len(rows):
        return predicted
    keys = np.column_stack([context[rows], known[rows]])
    patterns, group = np.unique(keys, axis=0, return_inverse=True)
    for g, pattern in enumerate(patterns):
        members = rows[group.reshape(-1) == g]
        S = covariance[pattern[0]]
        # A variable without variance tells nothing, and would make the system singular.
        informative = np.diag(S) > 1e-10 * max(np.diag(S).max(), 1e-300)
        F = np.flatnonzero(pattern[1:].astype(bool) & informative)
        if not len(F):
            continue
        K = np.linalg.pinv(S[np.ix_(F, F)], hermitian=True)
        z = X[np.ix_(members, F)] - mean[pattern[0], F]
        explained = z @ K
        others = np.setdiff1d(np.arange(X.shape[1]), F)
        predicted[np.ix_(members, others)] += explained @ S[np.ix_(F, others)]
        predicted[np.ix_(members, F)] += z - explained / np.diag(K)
    return predicted
