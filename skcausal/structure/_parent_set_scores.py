"""Marginal likelihood of every parent set of every variable in a linear-Gaussian model."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from skcausal.structure._free_sums import FreeSums

# Relative error of the interpolation over the ridge, and step of the quadrature in standard
# deviations of the logarithm of the noise variance: its error is about 2 exp(-2 (pi / step)^2).
_INTERPOLATION_ERROR = 1e-7
_QUADRATURE_STEP = 1.1
# Likelihoods below this share of the largest, in nats, are left out of the range.
_NEGLIGIBLE_NATS = 18.0
_LEAST_SHARE = 1e-10
# Bounds the memory, and keeps it in the cache.
_SUBSETS_AT_ONCE = 2**12
_POINTS_AT_ONCE = 24


@dataclass(frozen=True)
class LinearGaussianModel:
    """Prior of the equation of a variable with k parents.

    ``x_j = sum_i w_i x_i + b + e`` with weights ``w_i ~ N(0, v)``, noise ``e ~ N(0, s)`` and
    ``s ~ InverseGamma(noise_shape, noise_rate)``. Every variable is a parent of each later one of
    a uniformly random order with the same probability.

    Parameters
    ----------
    edge_probability : float
        Probability of an edge between two variables.
    weight_scale : float or "in_degree"
        Standard deviation of the weights; "in_degree": one over the square root of k.
    noise_shape, noise_rate : float
        Parameters of the distribution of noise variances.
    intercept : bool
        Whether b has a flat prior; it is 0 otherwise.
    """

    edge_probability: float
    weight_scale: float | str
    noise_shape: float
    noise_rate: float
    intercept: bool

    def log_weight_variance(self, n_parents: torch.Tensor) -> torch.Tensor:
        """Return log v for numbers of parents."""
        if isinstance(self.weight_scale, str):
            return -torch.log(n_parents.clamp(min=1))
        return torch.full_like(n_parents, 2 * math.log(self.weight_scale))

    def log_odds(self) -> float:
        """Return the log-odds of an edge."""
        return math.log(self.edge_probability) - math.log1p(-self.edge_probability)


def parent_set_scores(sums: FreeSums, model: LinearGaussianModel) -> torch.Tensor:
    """Log marginal likelihood of each variable given each set of parents.

    Parameters
    ----------
    sums : FreeSums
        Sums over the rows, of a batch of data sets.
    model : LinearGaussianModel
        The prior.

    Returns
    -------
    scores : float64 tensor of shape (n_tasks, n_variables, 2 ** (n_variables - 1))
        Entry (j, s): log density of the free values of variable j, in nats, given that its parents
        are the members of subset s of the other variables: bit b of s stands for the b-th of them
        in increasing order. The log-odds of the edges are not included.

    Notes
    -----
    With G the products of the parents, g those with x_j, and the ridge ``r = s / v``, the density
    given s of N values is

        (2 pi s)^(-N / 2) (r^k / det(G + r I))^(1/2) exp(-(x'x - g' (G + r I)^-1 g) / (2 s)) .

    The determinant and the residual are computed for all subsets at a few ridges, by elimination of
    one variable after the other, and interpolated by Chebyshev polynomials in log r, in which they
    are analytic; log s is integrated out by the trapezoidal rule, which converges exponentially.
    With an intercept, products are those of deviations from means, and N is one less.
    """
    products = sums.centred() if model.intercept else sums.products
    n_rows = sums.n_rows - 1.0 if model.intercept else sums.n_rows
    n_tasks, d = n_rows.shape
    A = _own_last(products).flatten(0, 1)
    n_rows = n_rows.clamp(min=0.0).double().flatten()
    at_once = max(1, _SUBSETS_AT_ONCE >> (d - 1))
    parts = [
        _scores_of_last(A[first : first + at_once], n_rows[first : first + at_once], model)
        for first in range(0, len(A), at_once)
    ]
    return torch.cat(parts).reshape(n_tasks, d, -1)


def _own_last(products):
    """Products (n_tasks, j, d, d) with variable j moved to the end, behind the others."""
    d = products.shape[-1]
    everyone = torch.arange(d, device=products.device)
    order = torch.stack([torch.cat([everyone[everyone != j], everyone[j, None]]) for j in range(d)])
    rows = products.gather(2, order[None, :, :, None].expand_as(products))
    return rows.gather(3, order[None, :, None, :].expand_as(products))


def _scores_of_last(A, n_rows, model):
    """Scores (n_problems, n_subsets) of the last variable of the products A given the others."""
    n = A.shape[-1] - 1
    n_parents = subset_sizes(n, A.device).double()
    log_v = model.log_weight_variance(n_parents)
    low, high, step = _ridge_range(A, n_rows, model, log_v)
    nodes, grid, interpolate = _grids(low, high, step)
    log_det, residual = (x.double() for x in _eliminate(A, torch.exp(nodes).to(A)))
    shape, rate = model.noise_shape, model.noise_rate
    half = 0.5 * n_rows[:, None, None]
    # Many rows need many points: a share of them at a time.
    total = None
    for points in range(0, grid.shape[1], _POINTS_AT_ONCE):
        log_r = grid[:, points : points + _POINTS_AT_ONCE, None]
        weights = interpolate[:, points : points + _POINTS_AT_ONCE]
        log_s = log_r + log_v  # (problems, points, subsets)
        exponent = (rate + 0.5 * (weights @ residual)) * (-log_s).exp()
        log_density = -(half + shape) * log_s - exponent
        log_density = log_density - 0.5 * (weights @ log_det - n_parents * log_r)
        part = torch.logsumexp(log_density, dim=1)
        total = part if total is None else torch.logaddexp(total, part)
    constant = shape * math.log(rate) - math.lgamma(shape) - half[..., 0] * math.log(2 * math.pi)
    return total + torch.log(step)[:, None] + constant


def subset_sizes(n: int, device="cpu") -> torch.Tensor:
    """Count the members of each of the 2^n subsets of n things."""
    sizes = torch.zeros(1, dtype=torch.long, device=device)
    for _ in range(n):
        sizes = torch.cat([sizes, sizes + 1])
    return sizes


def _ridge_range(A, n_rows, model, log_v):
    """Range of log r that matters for any subset, and step of the quadrature; each (n_problems,).

    Given a residual R, the noise variance is InverseGamma(a + N / 2, b + R / 2), and R lies between
    that of the regression on all others and the sum of squares.
    """
    A = A.double()
    whole = A[:, -1, -1]
    others, own = A[:, :-1, :-1], A[:, :-1, -1]
    slack = 1e-9 * others.diagonal(dim1=-2, dim2=-1).mean(dim=-1).clamp(min=1e-30)
    identity = torch.eye(others.shape[-1], dtype=A.dtype, device=A.device)
    system = others + slack[:, None, None] * identity
    explained = (own * torch.linalg.solve(system, own[..., None])[..., 0]).sum(dim=-1)
    least = (whole - explained).clamp(min=0.0)
    shape = model.noise_shape + 0.5 * n_rows
    rate = model.noise_rate
    deviation = shape.rsqrt()
    reach = math.sqrt(2 * _NEGLIGIBLE_NATS) * deviation
    low = torch.log((rate + 0.5 * least) / shape) - reach - log_v.max()
    high = torch.log((rate + 0.5 * whole) / shape) - log_v.min()
    high = high + reach + _NEGLIGIBLE_NATS / shape
    # Densities of few rows are skewed, and need smaller steps than normal ones.
    return low, high, _QUADRATURE_STEP * (shape + 4.0).rsqrt()


def _grids(low, high, step):
    """Chebyshev nodes, the grid of the quadrature, and the matrix from the one to the other.

    Of shape (n_problems, n_nodes), (n_problems, n_points) and (n_problems, n_points, n_nodes). All
    problems have as many nodes and points as the one that needs most.
    """
    half = 0.5 * (high - low)
    # log det and residual are analytic up to Im log r = pi.
    ratio = math.pi / float(half.max())
    n_nodes = max(6, math.ceil(-math.log(_INTERPOLATION_ERROR) / math.asinh(ratio)))
    n_points = math.ceil(float(((high - low) / step).max())) + 1
    centre = 0.5 * (high + low)
    angle = math.pi * (torch.arange(n_nodes, dtype=low.dtype, device=low.device) + 0.5) / n_nodes
    nodes = centre[:, None] + half[:, None] * torch.cos(angle)
    offset = torch.arange(n_points, dtype=low.dtype, device=low.device) - 0.5 * (n_points - 1)
    grid = centre[:, None] + step[:, None] * offset
    position = (grid - centre[:, None]) / half[:, None]
    weight = torch.sin(angle) * (-1.0) ** torch.arange(n_nodes, device=low.device)
    return nodes, grid, _barycentric(position, torch.cos(angle), weight)


def _barycentric(position, nodes, weight):
    """Interpolation matrix (n_problems, n_points, n_nodes) from values at nodes in [-1, 1].

    Second barycentric formula (Berrut & Trefethen 2004, equation 4.2). Outside of the interval, by
    a step at most, the value at its end is used.
    """
    difference = position.clamp(-1.0, 1.0)[..., None] - nodes
    hit = difference.abs() < 1e-13
    matrix = weight / torch.where(hit, 1.0, difference)
    matrix = matrix / matrix.sum(dim=-1, keepdim=True)
    return torch.where(hit.any(dim=-1, keepdim=True), hit.to(matrix), matrix)


def _eliminate(A, ridge):
    """Log-determinants and residuals (n_problems, n_nodes, n_subsets) for all subsets.

    One candidate after the other is left out, or swept out of the rest: the pivots make up the
    determinant, and what remains of the last variable is the residual. The matrices' axes stand
    first, so that all arithmetic runs over long rows.
    """
    n = A.shape[-1] - 1
    diagonal = torch.eye(n + 1, dtype=A.dtype, device=A.device)
    diagonal[-1, -1] = 0.0
    A = A.movedim(0, -1)[..., None] + diagonal[..., None, None] * ridge
    A = A.flatten(2)[:, :, None]  # (row, column, subset, problem and node)
    least = _LEAST_SHARE * A[-1, -1]
    log_det = torch.zeros_like(A[0, 0])
    for _ in range(n):
        pivot, row, rest = A[0, 0], A[0, 1:], A[1:, 1:]
        swept = rest - row[:, None] * (row / pivot)[None]
        log_det = torch.cat([log_det, log_det + pivot.log()])
        A = torch.cat([rest, swept], dim=2)
    residual = torch.maximum(A[0, 0], least)
    return tuple(x.unflatten(-1, ridge.shape).movedim(0, -1) for x in (log_det, residual))
