"""The inner loop in closed form: shrunken least squares per variable, and do-queries."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from skcausal.nn._pair_statistics import FreeMoments

# Bounds of the logarithm of the penalty: from least squares to a weight that is its centre.
PENALTY_BOUNDS = (-9.0, 10.0)

_JITTER = 1e-4

# Variances below this, of standardised variables, are rounding errors.
_CONSTANT = 1e-9


@dataclass(frozen=True, eq=False)
class Shrinkage:
    """What a network decides about the regression of every variable.

    Parameters
    ----------
    log_penalty : tensor of shape (n_tasks, n_variables, n_variables)
        Entry (j, i): logarithm of the ridge penalty of weight i -> j, relative to the variance of i
        over the rows in which j is free.
    centre : tensor of shape (n_tasks, n_variables, n_variables)
        Entry (j, i): the weight that the penalty draws to.
    drop_within : tensor of shape (n_tasks, n_variables)
        Share of the variation within regimes that the regression of j disregards. At 1 only what
        the interventions caused remains, as in instrumental-variable estimation: this removes the
        bias by feedback and hidden confounders.
    drop_explained : tensor of shape (n_tasks, n_variables)
        The same share of the variation that target values explain within regimes.
    """

    log_penalty: torch.Tensor
    centre: torch.Tensor
    drop_within: torch.Tensor
    drop_explained: torch.Tensor


@dataclass(frozen=True, eq=False)
class LinearFit:
    """Structural equations ``x_j = sum_i W_ji x_i + b_j + e_j`` of a batch of data sets.

    Parameters
    ----------
    coef : tensor of shape (n_tasks, n_variables, n_variables)
        Weights W; entry (j, i) is the weight of variable i in the equation of j.
    intercept : tensor of shape (n_tasks, n_variables)
        Intercepts b.
    noise_variance : tensor of shape (n_tasks, n_variables)
        Variances of e, positive.
    spread : tensor of shape (n_tasks, n_variables, n_variables, n_variables)
        Entry (j, i, k): covariance of the errors of W_ji and W_jk given the penalties, if the
        noise is independent of the regressors.
    """

    coef: torch.Tensor
    intercept: torch.Tensor
    noise_variance: torch.Tensor
    spread: torch.Tensor


def refit(free: FreeMoments, shrinkage: Shrinkage) -> LinearFit:
    """Regress every variable on all others, each weight with a penalty of its own.

    On standardised regressors with correlations C and covariances c with x_j, the weights minimise
    ``u'Cu - 2 u'c + sum_i p_i (u_i - mu_i)^2``. With ``a = (1 + p)^-1/2`` this is
    ``u = a [I + a (C - I) a]^-1 a (c + p mu)``, which stays well conditioned for any penalty.

    Parameters
    ----------
    free : FreeMoments
        Moments over the rows in which each variable is free.
    shrinkage : Shrinkage
        The penalties and what they draw to.

    Returns
    -------
    fit : LinearFit
        The equations.
    """
    moments = (
        free.between
        + (1.0 - shrinkage.drop_explained)[..., None, None] * free.explained
        + (1.0 - shrinkage.drop_within)[..., None, None] * free.within
    )
    d = moments.shape[-1]
    identity = torch.eye(d, dtype=moments.dtype, device=moments.device)
    scale = moments.diagonal(dim1=-2, dim2=-1).clamp(min=1e-5).sqrt()  # (j, i)
    own = scale.diagonal(dim1=-2, dim2=-1)
    correlation = moments / (scale[..., :, None] * scale[..., None, :]) * (1.0 - identity)
    with_own = torch.einsum("bjij->bji", correlation)
    penalty = shrinkage.log_penalty.clamp(*PENALTY_BOUNDS).exp()
    a = (1.0 - identity) / (1.0 + penalty).sqrt()
    unit = own[..., None] / scale
    system = (1.0 + _JITTER) * identity + a[..., :, None] * correlation * a[..., None, :]
    inverse = torch.linalg.inv(system)
    moment = a * (with_own + penalty * shrinkage.centre / unit)
    coef = a * (inverse @ moment[..., None])[..., 0] * unit
    # A variable that is constant while it is free depends on none that varied, whatever the centres
    # of its weights are.
    coef = coef * (torch.einsum("bjjj->bj", moments) > _CONSTANT)[..., None]
    own_mean = free.mean.diagonal(dim1=-2, dim2=-1)
    intercept = own_mean - (coef * free.mean).sum(dim=-1)
    noise_variance = _residual_variance(free, coef)
    to_raw = a / scale
    spread = to_raw[..., :, None] * inverse * to_raw[..., None, :]
    spread = spread * (noise_variance / free.n_rows.clamp(min=1.0))[..., None, None]
    return LinearFit(coef, intercept, noise_variance, spread)


def _residual_variance(free, coef):
    """Variance of the residuals over the rows in which a variable is free."""
    covariance = free.covariance()
    d = coef.shape[-1]
    residual = torch.eye(d, dtype=coef.dtype, device=coef.device) - coef  # rows j
    variance = torch.einsum("bji,bjik,bjk->bj", residual, covariance, residual)
    own = torch.einsum("bjjj->bj", covariance)
    # Floored at what rounding leaves of a perfect fit.
    return torch.maximum(variance, 1e-6 * own).clamp(min=1e-12)


def solve_do(
    fit: LinearFit, targets: torch.Tensor, values: torch.Tensor, damping: float = 0.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Means of all variables under interventions.

    Parameters
    ----------
    fit : LinearFit
        The equations.
    targets : tensor of shape (n_tasks, n_queries, n_variables)
        1 for the variables that are set, else 0.
    values : tensor of shape (n_tasks, n_queries, n_variables)
        Their values; other entries do not matter.
    damping : float, default=0.0
        With A the matrix of the equations, eps in ``(A'A + eps I)^-1 A'``, which stands for the
        inverse early in training, when A may be close to singular.

    Returns
    -------
    mean : tensor of shape (n_tasks, n_queries, n_variables)
        The means.
    response : tensor of shape (n_tasks, n_queries, n_variables, n_variables)
        Entry (i, j): change of the mean of variable i per unit added to the equation of j.
    """
    d = targets.shape[-1]
    identity = torch.eye(d, dtype=fit.coef.dtype, device=fit.coef.device)
    free = 1.0 - targets
    system = identity - free[..., None] * fit.coef[:, None]
    if damping > 0:
        response = torch.linalg.solve(system.mT @ system + damping * identity, system.mT)
    else:
        response = torch.linalg.inv(system)
    source = free * fit.intercept[:, None] + targets * values
    return (response @ source[..., None])[..., 0], response
