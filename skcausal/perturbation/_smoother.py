"""Smooth functions of perturbation features, by Gaussian-process regression of many outputs."""

from __future__ import annotations

import numpy as np
import torch

from skcausal.perturbation._kernels import (
    IsotropicKernel,
    LinearKernel,
    SumKernel,
    VaryingCoefficientKernel,
    minimise,
)

# Noise per unit of signal, from which each output takes its own.
_NOISE_RATIOS = np.logspace(-4, 4, 33)
# Hyperparameters are learned from at most so many contexts: the cost grows with their cube.
_MAX_CONTEXTS = 600


class Smoother:
    """Regress outputs of contexts on their features; 0 for a control, whatever the data.

    Parameters
    ----------
    family : {"linear", "kernel"}
        - "linear": ridge regression on the features, with a penalty for each output, by marginal
          likelihood;
        - "kernel": the sum of two Gaussian processes. The first is chosen so that it predicts
          perturbations left out (all their doses): either few hyperparameters for all features, or
          coefficients that vary with relevances of features. The second remembers what is
          particular to a perturbation that was seen; its hyperparameters maximise the marginal
          likelihood given the first.

    Attributes
    ----------
    left_out_error_ : float
        Mean squared error of the first process for perturbations left out, in units of the mean
        square of the outputs; NaN for "linear".
    """

    def __init__(self, family):
        self.family = family

    def fit(self, features, Y, n_rows, groups):
        """Learn.

        Parameters
        ----------
        features : ndarray of shape (n_contexts, n_features)
            Features, without the control.
        Y : ndarray of shape (n_contexts, n_outputs)
            What to regress.
        n_rows : ndarray of shape (n_contexts,)
            Number of rows; the noise variance of a context is inversely proportional to it.
        groups : ndarray of int of shape (n_contexts,)
            Perturbation of each context.

        Returns
        -------
        self : Smoother
            Fitted.
        """
        informative = features.any(axis=0)
        self._columns = np.flatnonzero(informative)
        self._scale = np.sqrt((Y**2).mean(axis=0))
        self._scale[self._scale < 1e-12] = 1.0
        self._F = torch.tensor(features[:, informative])
        noise = n_rows.mean() / n_rows
        problem = _Problem(
            self._F, torch.tensor(Y / self._scale), torch.tensor(noise), groups
        ).thinned(_MAX_CONTEXTS)
        feature_scale = self._F.square().mean(0).sqrt()
        self.left_out_error_ = np.nan
        if self.family == "linear":
            kernel = LinearKernel(feature_scale)
            self._log_parameters = minimise(problem.likelihood_loss(kernel), problem.start(kernel))
        else:
            kernel = self._fit_general(problem, feature_scale)
            self._log_parameters = minimise(problem.likelihood_loss(kernel), problem.start(kernel))
        self._kernel = kernel
        self._decompose(Y / self._scale, noise)
        return self

    def predict(self, features):
        """Return the outputs (n, n_outputs) of rows of features (n, n_features)."""
        cross = self._covariance(torch.tensor(features[:, self._columns]), self._F)
        return cross @ self._dual * self._scale

    def predict_variance(self, features):
        """Return the variance (n, n_outputs) of the outputs about :meth:`predict`."""
        F = torch.tensor(features[:, self._columns])
        prior = np.array([self._covariance(row[None], row[None])[0, 0] for row in F])
        cross = (self._covariance(F, self._F) / self._sqrt_noise) @ self._vectors
        explained = cross**2 @ (1.0 / (self._values[:, None] + self._ratio))
        return np.maximum(prior[:, None] - explained, 0.0) * self._amplitude * self._scale**2

    def leave_one_out(self):
        """Return the outputs (n_contexts, n_outputs) of each context learned from the others."""
        inverse = self._vectors**2 @ (1.0 / (self._values[:, None] + self._ratio))
        residual = self._dual * self._sqrt_noise[:, None] / inverse
        return (self._Y - residual * self._sqrt_noise[:, None]) * self._scale

    def _fit_general(self, problem, feature_scale):
        """Choose the first process by its errors for perturbations left out."""
        isotropic = IsotropicKernel(feature_scale)
        varying = VaryingCoefficientKernel(feature_scale, 0.5)
        fitted = [
            (isotropic, minimise(problem.left_out_error(isotropic), problem.start(isotropic))),
            (varying, minimise(problem.left_out_loss(varying), problem.start(varying))),
        ]
        with torch.no_grad():
            errors = [float(problem.left_out_error(k)(p)) for k, p in fitted]
        # Fewer hyperparameters, unless more of them help clearly: where features have nothing in
        # common the two are equal, and rounding errors are not to decide.
        best = int(errors[1] < 0.98 * errors[0])
        self.left_out_error_ = errors[best]
        kernel, log_parameters = fitted[best]
        memory = VaryingCoefficientKernel(feature_scale, 2.0)
        return SumKernel(kernel, log_parameters[:-1], memory)

    def _covariance(self, F, G):
        """Covariance of the outputs for rows of features, without amplitude."""
        with torch.no_grad():
            return self._kernel(self._log_parameters[:-1], F, G).numpy()

    def _decompose(self, Y, noise):
        """Solve for all outputs, each with its own amplitude and noise by marginal likelihood."""
        self._Y, self._sqrt_noise = Y, np.sqrt(noise)
        whitened = self._covariance(self._F, self._F) / np.outer(self._sqrt_noise, self._sqrt_noise)
        values, self._vectors = np.linalg.eigh(whitened)
        self._values = np.maximum(values, 0.0)
        rotated = self._vectors.T @ (Y / self._sqrt_noise[:, None])
        ratios = _NOISE_RATIOS * max(self._values.mean(), 1e-300)
        variances = self._values + ratios[:, None]
        # Amplitude profiled out: n/2 log mean(y^2 / v) + sum log(v) / 2, for each ratio and output.
        amplitudes = np.maximum((1.0 / variances) @ rotated**2 / len(Y), 1e-300)
        losses = len(Y) * np.log(amplitudes) + np.log(variances).sum(axis=1)[:, None]
        best = losses.argmin(axis=0)
        self._ratio = ratios[best]
        self._amplitude = amplitudes[best, np.arange(Y.shape[1])]
        dual = self._vectors @ (rotated / (self._values[:, None] + self._ratio))
        self._dual = dual / self._sqrt_noise[:, None]


class _Problem:
    """Losses of a kernel's log parameters, with the log of the noise as the last one."""

    def __init__(self, F, Y, noise, groups):
        self.F, self.Y, self.noise, self.groups = F, Y, noise, groups
        self.blocks = _equal_blocks(groups)

    def thinned(self, n_max):
        """Keep whole perturbations, evenly spread, until there are at most n_max contexts."""
        if len(self.F) <= n_max:
            return self
        labels = np.unique(self.groups)
        n_kept = max(2, int(len(labels) * n_max / len(self.F)))
        kept = labels[np.linspace(0, len(labels) - 1, n_kept).astype(int)]
        rows = np.flatnonzero(np.isin(self.groups, kept))[:n_max]
        return _Problem(self.F[rows], self.Y[rows], self.noise[rows], self.groups[rows])

    def start(self, kernel):
        """Where to begin: the kernel's own start, and some noise."""
        return torch.cat([kernel.start, torch.tensor([-3.0], dtype=torch.float64)])

    def likelihood_loss(self, kernel):
        """Minus the log marginal likelihood, summed over outputs, plus the penalty."""

        def loss(log_parameters):
            factor = torch.linalg.cholesky(self._covariance(kernel, log_parameters))
            whitened = torch.linalg.solve_triangular(factor, self.Y, upper=False)
            log_determinant = factor.diagonal().log().sum() * self.Y.shape[1]
            return (
                0.5 * whitened.square().sum() + log_determinant + _penalty(kernel, log_parameters)
            )

        return loss

    def left_out_loss(self, kernel):
        """Minus the log predictive density of perturbations left out, plus the penalty.

        With the inverse covariance P, a group g has the residual ``inv(P_gg) (P Y)_g`` and the
        predictive covariance ``inv(P_gg)`` when it is left out.
        """

        def loss(log_parameters):
            total = _penalty(kernel, log_parameters)
            for factor, dual in self._left_out(kernel, log_parameters):
                whitened = torch.linalg.solve_triangular(factor, dual, upper=False)
                log_determinant = factor.diagonal(dim1=1, dim2=2).log().sum() * self.Y.shape[1]
                total = total + 0.5 * whitened.square().sum() - log_determinant
            return total

        return loss

    def left_out_error(self, kernel):
        """Mean squared error for perturbations left out, in units of the outputs' mean square."""

        def error(log_parameters):
            total = 0.0
            for factor, dual in self._left_out(kernel, log_parameters):
                total = total + torch.cholesky_solve(dual, factor).square().sum()
            return total / self.Y.square().sum().clamp(min=1e-300)

        return error

    def _left_out(self, kernel, log_parameters):
        """Factors of P_gg and blocks of P Y, for the groups of each size."""
        factor = torch.linalg.cholesky(self._covariance(kernel, log_parameters))
        inverse = torch.cholesky_inverse(factor)
        dual = inverse @ self.Y
        for rows in self.blocks:
            block = inverse[rows[:, :, None], rows[:, None, :]]
            yield torch.linalg.cholesky(block), dual[rows]

    def _covariance(self, kernel, log_parameters):
        """Covariance of the outputs with noise."""
        signal = kernel(log_parameters[:-1], self.F, self.F)
        # The second term keeps the sum positive definite where floats do not.
        level = log_parameters[-1].exp() + 1e-6 * signal.diagonal().mean()
        return signal + torch.diag((level + 1e-9) * self.noise)


def _equal_blocks(groups):
    """Row indices of the groups, stacked for each size: tensors (n_groups, size)."""
    _, label = np.unique(groups, return_inverse=True)
    rows = np.argsort(label, kind="stable")
    members = np.split(rows, np.cumsum(np.bincount(label))[:-1])
    sizes = sorted({len(m) for m in members})
    return [torch.tensor(np.stack([m for m in members if len(m) == s])) for s in sizes]


def _penalty(kernel, log_parameters):
    """Half the squared distance of the penalised parameters from the start."""
    away = (log_parameters[:-1] - kernel.start) * kernel.penalised
    return 0.5 * away.square().sum()
