"""Sufficient statistics of regimes, and what they say about every ordered pair of variables."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from skcausal.nn._regime_moments import RegimeMoments

N_FEATURES = 38

# Information (in squared standard deviations of a target times rows) that shrinks total effects.
_EFFECT_RIDGE = 0.5


@dataclass(frozen=True, eq=False)
class FreeMoments:
    """Moments over the rows in which a variable j is free, for all j at once.

    The covariance of those rows is the sum of three parts: between regimes, what the values of the
    targets explain within regimes, and the rest. The first two are due to interventions.

    Parameters
    ----------
    n_rows : tensor of shape (n_tasks, n_variables)
        Number of rows in which j is free.
    mean : tensor of shape (n_tasks, n_variables, n_variables)
        Entry (j, i): mean of variable i over these rows.
    between, explained, within : tensor of shape (n_tasks, n_variables, n_variables, n_variables)
        Entry (j, i, k): the parts of the covariance of variables i and k over these rows.
    """

    n_rows: torch.Tensor
    mean: torch.Tensor
    between: torch.Tensor
    explained: torch.Tensor
    within: torch.Tensor

    def covariance(self) -> torch.Tensor:
        """Return the covariances (n_tasks, n_variables, n_variables, n_variables)."""
        return self.between + self.explained + self.within

    def correlation(self) -> torch.Tensor:
        """Return the correlations (n_tasks, n_variables, n_variables, n_variables)."""
        covariance = self.covariance()
        scale = covariance.diagonal(dim1=-2, dim2=-1).clamp(min=1e-6).sqrt()
        return covariance / (scale[..., :, None] * scale[..., None, :])


@dataclass(frozen=True, eq=False)
class PairStatistics:
    """All that is computed from the moments of a batch of data sets before a network sees it.

    Parameters
    ----------
    free : FreeMoments
        Moments over the rows in which each variable is free.
    noise : tensor of shape (n_tasks, n_variables)
        Variance of each variable within regimes, given the values of the targets.
    features : tensor of shape (n_tasks, n_variables, n_variables, 38)
        Features of the ordered pairs (j, i), bounded in size, in any number of variables.
    """

    free: FreeMoments
    noise: torch.Tensor
    features: torch.Tensor


@torch.no_grad()
def pair_statistics(moments: RegimeMoments) -> PairStatistics:
    """Summarise what a data set says about each ordered pair of variables.

    Parameters
    ----------
    moments : RegimeMoments
        Moments of standardised rows.

    Returns
    -------
    statistics : PairStatistics
        The statistics; their cost does not depend on the number of rows.
    """
    explained, within, dof = _split_scatter(moments)
    is_free = 1.0 - moments.targets
    free = _free_moments(moments, is_free, explained, within)
    covariance = free.covariance()
    control = _control_mean(moments, free)
    effect, information = _total_effects(moments, control, is_free)
    pooled, pooled_rows = _pooled_within(is_free, within, dof)
    noise = _noise_variance(covariance, pooled, pooled_rows)
    regression = _regress_on_others(covariance, free.n_rows)
    parts = [
        *_pair_features(moments, effect, information, regression, pooled, pooled_rows, noise),
        *_node_features(moments, free, regression, noise, control),
        _whole_features(moments),
    ]
    return PairStatistics(free=free, noise=noise, features=torch.cat(parts, dim=-1))


def _split_scatter(moments):
    """Split within-regime scatter into what target values explain, and the rest.

    In a regime with targets T and free variables F, ``S_FF = S_FT S_TT^-1 S_TF + rest``.
    """
    targets, scatter = moments.targets, moments.scatter
    spread = targets * scatter.diagonal(dim1=-2, dim2=-1)
    varies = spread > 1e-6 * moments.n_rows[..., None]
    dof = moments.n_rows - 1.0
    if not varies.any():
        return None, scatter, dof.clamp(min=0.0)
    t, f = targets[..., :, None], (1.0 - targets)[..., None, :]
    system = t * targets[..., None, :] * scatter
    identity = torch.eye(targets.shape[-1], dtype=scatter.dtype, device=scatter.device)
    slack = 1e-4 * moments.n_rows.clamp(min=1.0)[..., None, None]
    slope = torch.linalg.solve(system + (1.0 - t + slack * t) * identity, t * f * scatter)
    rest = scatter * (1.0 - t) * f
    rest = rest - (t * f * scatter).mT @ slope
    dof = dof - torch.minimum(varies.sum(dim=-1).to(dof.dtype), (moments.n_rows - 2).clamp(min=0))
    return scatter - rest, rest, dof.clamp(min=0.0)


def _free_moments(moments, is_free, explained, within) -> FreeMoments:
    """Sum the regimes up for each variable, over those in which it is free."""
    weight = is_free * moments.n_rows[..., None]  # (tasks, regimes, j)
    n_rows = weight.sum(dim=1)
    count = n_rows.clamp(min=1.0)[..., None]
    mean = weight.mT @ moments.mean / count
    d = mean.shape[-1]

    def over_free_regimes(matrices, weight):
        summed = weight.mT @ matrices.flatten(2)
        return summed.unflatten(-1, (d, d)) / count[..., None]

    products = moments.mean[..., :, None] * moments.mean[..., None, :]
    between = over_free_regimes(products, weight) - mean[..., :, None] * mean[..., None, :]
    inside = over_free_regimes(within, is_free)
    due = torch.zeros_like(inside) if explained is None else over_free_regimes(explained, is_free)
    return FreeMoments(n_rows, mean, between, due, inside)


def _control_mean(moments, free):
    """Mean without intervention; where no such row exists, over the rows in which it is free."""
    weight = moments.n_rows * (moments.targets.sum(dim=-1) == 0)
    total = weight.sum(dim=1)[:, None]
    observed = (weight[..., None] * moments.mean).sum(dim=1) / total.clamp(min=1.0)
    own = free.mean.diagonal(dim1=-2, dim2=-1)
    return torch.where(total > 0, observed, own)


def _total_effects(moments, control, is_free):
    """Regress each variable on what the interventions did to the others, rows where it is free.

    The regressors are ``v_i = m_i (x_i - c_i)``, with mask m and mean c without intervention; with
    an intercept and a small ridge penalty. Returns the coefficients (tasks, j, i) and the variance
    of each in units of the noise variance.
    """
    n, t = moments.n_rows[..., None], moments.targets
    shift = t * (moments.mean - control[:, None])
    scatter = t[..., :, None] * moments.scatter
    square = n[..., None] * shift[..., :, None] * shift[..., None, :] + scatter * t[..., None, :]
    cross = n[..., None] * shift[..., :, None] * moments.mean[..., None, :] + scatter  # (i, j)
    rows = (is_free * n).sum(dim=1)
    count = rows.clamp(min=1.0)[..., None]
    mean_shift = (is_free * n).mT @ shift / count  # (j, i)
    identity, off = _diagonal(t)
    d = t.shape[-1]
    gram = (is_free.mT @ square.flatten(2)).unflatten(-1, (d, d))
    gram = gram - count[..., None] * mean_shift[..., :, None] * mean_shift[..., None, :]
    own = ((is_free * n) * moments.mean).sum(dim=1) / rows.clamp(min=1.0)
    moment = torch.einsum("brj,brij->bji", is_free, cross) - count * mean_shift * own[..., None]
    inverse = torch.linalg.inv(gram * off[:, :, None] * off[:, None, :] + _EFFECT_RIDGE * identity)
    effect = (inverse @ (off * moment)[..., None])[..., 0] * off
    return effect, inverse.diagonal(dim1=-2, dim2=-1).clamp(min=1e-8)


def _pooled_within(is_free, within, dof):
    """Covariance within regimes (tasks, i, j) where both are free, and its degrees of freedom."""
    rows = torch.einsum("brj,bri,br->bji", is_free, is_free, dof)
    pooled = torch.einsum("brj,bri,brji->bji", is_free, is_free, within)
    return pooled / rows.clamp(min=1.0), rows.clamp(min=1.0)


def _noise_variance(covariance, pooled, pooled_rows):
    """Variance within regimes, drawn to the whole variance as if by one row.

    It would be zero if every regime had a single row.
    """
    own = torch.einsum("bjjj->bj", covariance)
    rows = pooled_rows.diagonal(dim1=-2, dim2=-1)
    inside = pooled.diagonal(dim1=-2, dim2=-1)
    return ((rows * inside + own) / (rows + 1.0)).clamp(min=1e-6)


def _diagonal(like):
    """Return the identity (n_variables, n_variables), and one minus it."""
    identity = torch.eye(like.shape[-1], dtype=like.dtype, device=like.device)
    return identity, 1.0 - identity


@dataclass(frozen=True, eq=False)
class _Regression:
    """Regressions of each variable j on all others i over the rows in which j is free.

    Of shape (n_tasks, n_variables, n_variables), entry (j, i): the correlation of i with j, the
    coefficient of i in their units and its t-statistic. Of shape (n_tasks, n_variables): the
    share of the variance of j that is left, and its standard deviation.
    """

    correlation: torch.Tensor
    coefficient: torch.Tensor
    t: torch.Tensor
    unexplained: torch.Tensor
    scale: torch.Tensor


def _regress_on_others(covariance, n_rows) -> _Regression:
    """Regress each variable on all others, with a slight ridge penalty."""
    identity, off = _diagonal(covariance)
    scale = covariance.diagonal(dim1=-2, dim2=-1).clamp(min=1e-6).sqrt()
    own_scale = scale.diagonal(dim1=-2, dim2=-1)
    correlation = covariance / (scale[..., :, None] * scale[..., None, :])
    with_own = torch.einsum("bjij->bji", correlation) * off
    others = off[:, :, None] * off[:, None, :] * off
    inverse = torch.linalg.inv(correlation * others + 1.003 * identity)
    standardized = (inverse @ with_own[..., None])[..., 0] * off
    unexplained = (1.0 - (standardized * with_own).sum(dim=-1)).clamp(min=1e-4, max=1.0)
    dof = (n_rows - covariance.shape[-1]).clamp(min=2.0)
    spread = inverse.diagonal(dim1=-2, dim2=-1).clamp(min=1e-6)
    error = (unexplained / dof)[..., None] * spread
    coefficient = standardized * own_scale[..., None] / scale
    return _Regression(with_own, coefficient, standardized / error.sqrt(), unexplained, own_scale)


def _pair_features(moments, effect, information, regression, pooled, pooled_rows, noise):
    """Features (n_tasks, n_variables, n_variables, 13) of pairs (j, i), and of (i, j)."""
    _, off = _diagonal(effect)
    inner = pooled / (noise[:, :, None] * noise[:, None, :]).sqrt() * off
    root = pooled_rows.sqrt()
    partial = _partial_correlation(inner, pooled_rows) * off
    slope = inner * (noise[:, :, None] / noise[:, None, :]).sqrt()
    effect_error = (noise[..., None] * information).sqrt()
    rows_targeted = torch.einsum(
        "brj,bri,br->bji", 1.0 - moments.targets, moments.targets, moments.n_rows
    )
    asinh = torch.asinh
    features = [
        asinh(effect),
        asinh(effect / effect_error),
        asinh(regression.coefficient),
        asinh(regression.t),
        regression.correlation,
        inner,
        asinh(inner * root) / 2,
        partial,
        asinh(partial * root) / 2,
        asinh(slope),
        torch.log1p(rows_targeted) / 3,
        asinh(effect - regression.coefficient),
        asinh((effect - slope) / (effect_error + 1e-3)),
    ]
    pairs = torch.stack(features, dim=-1) * off[..., None]
    return pairs, pairs.transpose(1, 2)


def _whole_features(moments):
    """Features (n_tasks, n_variables, n_variables, 4) of the data set, the same for all pairs."""
    d = moments.mean.shape[-1]
    rows = moments.n_rows.sum(dim=1)
    n_regimes = (moments.n_rows > 0).sum(dim=1).to(rows.dtype)
    features = [
        torch.full_like(rows, math.log(d)),
        torch.log(rows) / 4,
        torch.log(n_regimes) / 3,
        torch.log(rows / n_regimes) / 3,
    ]
    return torch.stack(features, dim=-1)[:, None, None].expand(-1, d, d, -1)


def _partial_correlation(inner, rows):
    """Correlation of each pair given all others, within regimes, shrunk where rows are few.

    Every pair has rows of its own, so the matrix of correlations need not be positive definite:
    its eigenvalues are bounded below.
    """
    d = inner.shape[-1]
    symmetric = (inner + inner.mT) / 2 + torch.eye(d, dtype=inner.dtype, device=inner.device)
    values, vectors = torch.linalg.eigh(symmetric)
    shrinkage = 0.02 + d / rows.mean(dim=(1, 2))
    precision = (vectors / (values.clamp(min=0.01) + shrinkage[:, None])[:, None]) @ vectors.mT
    own = precision.diagonal(dim1=-2, dim2=-1).clamp(min=1e-4).sqrt()
    return -precision / (own[:, :, None] * own[:, None, :])


def _node_features(moments, free, regression, noise, control):
    """Features (n_tasks, n_variables, n_variables, 7) on the diagonal, and a mark of it."""
    identity, _ = _diagonal(noise)
    rows = (moments.targets * moments.n_rows[..., None]).sum(dim=1)
    shift = moments.targets * moments.n_rows[..., None] * (moments.mean - control[:, None])
    spread = moments.targets * moments.scatter.diagonal(dim1=-2, dim2=-1)
    features = [
        torch.asinh(shift.sum(dim=1) / rows.clamp(min=1.0)),
        torch.log(spread.sum(dim=1) / rows.clamp(min=1.0) + 1e-4) / 4,
        torch.log(regression.unexplained),
        torch.log(noise) / 2,
        torch.log1p(free.n_rows) / 4,
        torch.log1p(rows) / 3,
        torch.log(regression.scale.clamp(min=1e-3)),
    ]
    mark = identity[None, :, :, None].expand(len(rows), -1, -1, -1)
    return mark * torch.stack(features, dim=-1)[:, :, None], mark
