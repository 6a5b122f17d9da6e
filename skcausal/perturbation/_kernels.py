"""Covariance functions of features; each is 0 wherever one of two rows is a control."""

from __future__ import annotations

import math

import torch

# Log parameters stay within so much of where they start.
_SPAN = 9.0


class LinearKernel:
    """Ridge regression, on features as they are and on features of equal scale.

    ``a sum_i f_i g_i + b sum_i f_i g_i / s_i^2``.

    Parameters
    ----------
    scale : Tensor of shape (n_features,)
        Root mean square s of each feature.
    """

    def __init__(self, scale):
        self.scale = scale
        self.start = torch.full((2,), -1.0, dtype=torch.float64)
        self.penalised = torch.zeros(2, dtype=torch.float64)

    def __call__(self, log_parameters, F, G):
        """Covariances (n, m) of rows F (n, n_features) and G (m, n_features)."""
        as_is, equal = log_parameters.exp()
        common = self.scale.square().mean() * len(self.scale)
        scaled = (F / self.scale) @ (G / self.scale).T / len(self.scale)
        return as_is * (F @ G.T) / common + equal * scaled


class IsotropicKernel:
    """Linear, squared-exponential and their product, on features of equal scale.

    ``a l + b e_r + c l e_s`` with the mean l of the products ``f_i g_i``, and with e_r that depends
    on the mean squared distance at the precision r and is conditioned on being 0 for controls.

    Parameters
    ----------
    scale : Tensor of shape (n_features,)
        Root mean square of each feature.
    """

    def __init__(self, scale):
        self.scale = scale
        self.start = torch.full((5,), -1.0, dtype=torch.float64)
        self.penalised = torch.zeros(5, dtype=torch.float64)

    def __call__(self, log_parameters, F, G):
        """Covariances (n, m) of rows F (n, n_features) and G (m, n_features)."""
        a, b, r, c, s = log_parameters.exp()
        F, G = (rows / self.scale / math.sqrt(len(self.scale)) for rows in (F, G))
        linear, distance = F @ G.T, _squared_distances(F, G)
        # Conditioned on the value 0 at the origin.
        norms = (-0.5 * r * F.square().sum(1)).exp()[:, None] * (-0.5 * r * G.square().sum(1)).exp()
        smooth = (-0.5 * r * distance).exp() - norms
        return a * linear + b * smooth + c * linear * (-0.5 * s * distance).exp()


class VaryingCoefficientKernel:
    """Linear in the features, with coefficients that vary smoothly with the features.

    ``sum_i a_i f_i g_i exp(-sum_i b_i (f_i - g_i)^2 / 2)``: the product of dose and identity is
    where it starts from. Every feature has two parameters of its own (automatic relevance
    determination), which are penalised for differing between features.

    Parameters
    ----------
    scale : Tensor of shape (n_features,)
        Root mean square of each feature.
    precision : float
        Sum of the b_i at the start.
    """

    def __init__(self, scale, precision):
        n_features = len(scale)
        self.scale = scale
        common = torch.tensor([-1.0, math.log(precision)], dtype=torch.float64)
        own = torch.zeros(2 * n_features, dtype=torch.float64)
        self.start = torch.cat([common, own])
        self.penalised = torch.cat([torch.zeros_like(common), own + 1.0])

    def __call__(self, log_parameters, F, G):
        """Covariances (n, m) of rows F (n, n_features) and G (m, n_features)."""
        n_features = len(self.scale)
        own = log_parameters[2:].reshape(2, n_features)
        a, b = (log_parameters[:2, None] + own).exp() / n_features
        F, G = F / self.scale, G / self.scale
        distance = _squared_distances(F * b.sqrt(), G * b.sqrt())
        return ((F * a) @ G.T) * (-0.5 * distance).exp()


class SumKernel:
    """A kernel with fixed parameters plus one with free ones.

    Parameters
    ----------
    fixed : kernel
        The first one.
    log_parameters : Tensor
        Its parameters.
    free : kernel
        The second one.
    """

    def __init__(self, fixed, log_parameters, free):
        self.fixed = fixed
        self.log_parameters = log_parameters
        self.free = free
        self.start, self.penalised = free.start, free.penalised

    def __call__(self, log_parameters, F, G):
        """Covariances (n, m) of rows F (n, n_features) and G (m, n_features)."""
        with torch.no_grad():
            first = self.fixed(self.log_parameters, F, G)
        return first + self.free(log_parameters, F, G)


def minimise(loss, start):
    """Minimise a smooth function of log parameters by L-BFGS in a box around the start.

    Parameters
    ----------
    loss : callable
        ``loss(log_parameters)`` with a float64 Tensor; a scalar.
    start : Tensor of shape (n_parameters,)
        Where to begin.

    Returns
    -------
    log_parameters : Tensor of shape (n_parameters,)
        Where it ended.
    """
    from scipy.optimize import minimize

    def value_and_gradient(x):
        log_parameters = torch.tensor(x, requires_grad=True)
        value = loss(log_parameters)
        value.backward()
        return float(value.detach()), log_parameters.grad.numpy().copy()

    x = start.numpy()
    bounds = list(zip(x - _SPAN, x + _SPAN))
    found = minimize(
        value_and_gradient, x, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 60}
    )
    return torch.tensor(found.x)


def _squared_distances(F, G):
    """Squared Euclidean distances (n, m)."""
    squares = F.square().sum(1)[:, None] + G.square().sum(1)
    return (squares - 2.0 * F @ G.T).clamp(min=0.0)
