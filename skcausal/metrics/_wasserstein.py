"""The 2-Wasserstein distance between two samples of rows, exact or over random directions."""

from __future__ import annotations

from numbers import Integral

import numpy as np
import scipy.sparse
from scipy.optimize import linear_sum_assignment, linprog
from scipy.spatial.distance import cdist
from sklearn.utils import check_random_state, gen_batches

from skcausal._typing import MatrixLike, RandomStateLike
from skcausal.metrics._distribution import BLOCK_ENTRIES, check_samples


def wasserstein_distance(
    X: MatrixLike,
    Y: MatrixLike,
    *,
    n_projections: int | None = None,
    random_state: RandomStateLike = None,
) -> float:
    """Return the 2-Wasserstein distance between two samples, exact or sliced.

    The root of the least mean squared Euclidean distance over which the mass of one sample, spread
    evenly over its rows, can be moved to the rows of the other. The optimal plan is an assignment
    where one number of rows is a multiple of the other, else the solution of a linear programme;
    with one variable, the sorted rows give it.

    Parameters
    ----------
    X : array-like of shape (n_samples_X, n_variables)
        Rows of one sample.
    Y : array-like of shape (n_samples_Y, n_variables)
        Rows of the other; the two numbers of rows may differ.
    n_projections : int, default=None
        Number of random directions of the sliced distance [1]_: the root of the mean over
        directions of the squared distance between the samples projected on each. None: exact.
    random_state : int, RandomState instance or None, default=None
        Seed of the directions.

    Returns
    -------
    distance : float
        The distance, in the units of the variables. Two samples that differ by a shift of length s
        are at s, exactly, or about s / sqrt(n_variables), sliced.

    Raises
    ------
    ValueError
        If the samples do not have the same variables, a value is missing or infinite, or
        `n_projections` is not a positive integer.

    Notes
    -----
    The exact distance holds all n_samples_X * n_samples_Y squared distances, and its time grows
    with about the cube of the number of rows: take it up to some 2,000 rows, or 500 of sizes that
    are no multiples of each other. The sliced distance sorts, and takes any number of rows.

    In many variables the exact distance of two samples of one distribution is far from 0, about
    that of a row to its nearest neighbour in the other sample: compare distances at equal numbers
    of rows. The sliced distance has this bias to a much smaller degree.

    References
    ----------
    .. [1] Bonneel, N., Rabin, J., Peyré, G. & Pfister, H. (2015). Sliced and Radon Wasserstein
       barycenters of measures. Journal of Mathematical Imaging and Vision 51(1), 22-45.

    Examples
    --------
    >>> from skcausal.metrics import wasserstein_distance
    >>> X = [[0.0, 0.0], [5.0, 1.0]]
    >>> wasserstein_distance(X, [[8.0, 5.0], [3.0, 4.0]])
    5.0
    """
    X, Y = check_samples(X, Y)
    if n_projections is None:
        one_variable = X.shape[1] == 1
        return float(np.sqrt(_sorted_costs(X, Y)[0] if one_variable else _transport_cost(X, Y)))
    if not isinstance(n_projections, Integral) or n_projections < 1:
        raise ValueError(
            f"n_projections must be a positive integer, got {n_projections!r}; None takes the "
            "exact distance."
        )
    directions = check_random_state(random_state).normal(size=(X.shape[1], n_projections))
    directions /= np.linalg.norm(directions, axis=0)
    total = 0.0
    for block in gen_batches(n_projections, max(1, BLOCK_ENTRIES // (len(X) + len(Y)))):
        total += _sorted_costs(X @ directions[:, block], Y @ directions[:, block]).sum()
    return float(np.sqrt(total / n_projections))


def _sorted_costs(X, Y):
    """Squared 2-Wasserstein distance in each column: the squared difference of the quantiles.

    Between two neighbours of the levels i / n and j / m both quantile functions are constant.
    """
    n, m = len(X), len(Y)
    levels = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)  # in units of 1 / (n m)
    mass = np.diff(levels, prepend=0) / (n * m)
    difference = np.sort(X, axis=0)[(levels - 1) // m] - np.sort(Y, axis=0)[(levels - 1) // n]
    return mass @ difference**2


def _transport_cost(X, Y):
    """Least mean squared distance over the plans that move the rows of X to those of Y."""
    n, m = len(X), len(Y)
    cost = cdist(X, Y, "sqeuclidean")
    if max(n, m) % min(n, m) == 0:
        size = max(n, m)
        cost = np.repeat(np.repeat(cost, size // n, axis=0), size // m, axis=1)
        return cost[linear_sum_assignment(cost)].mean()
    # In integer units of mass the vertices, where the simplex method ends, are integer plans.
    unit = np.gcd(n, m)
    rows = scipy.sparse.kron(scipy.sparse.eye_array(n), np.ones((1, m)))
    columns = scipy.sparse.kron(np.ones((1, n)), scipy.sparse.eye_array(m))
    solution = linprog(
        cost.ravel() / max(cost.max(), np.finfo(float).tiny),
        A_eq=scipy.sparse.vstack([rows, columns], format="csr"),
        b_eq=np.repeat([m // unit, n // unit], [n, m]),
        method="highs-ds",
    )
    if not solution.success:
        raise RuntimeError(f"The linear programme of the transport plan failed: {solution.message}")
    return np.rint(solution.x) @ cost.ravel() / (n * m // unit)
