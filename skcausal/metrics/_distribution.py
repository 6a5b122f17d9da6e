"""Distances between two samples of rows, such as simulated and observed cells of one regime."""

from __future__ import annotations

from numbers import Real

import numpy as np
from scipy.spatial.distance import cdist, pdist
from sklearn.utils import check_array, gen_batches

from skcausal._typing import MatrixLike

# Entries of a matrix that is held at a time: 32 MiB of float64.
BLOCK_ENTRIES = 2**22
# Rows from which the median distance is taken: two million pairs.
MEDIAN_ROWS = 2000


def energy_distance(X: MatrixLike, Y: MatrixLike) -> float:
    """Return the energy distance between two samples.

    The square root of

        2 mean(||x - y||) - mean(||x - x'||) - mean(||y - y'||),

    each mean over all pairs of rows, a row with itself included (the V-statistic), with Euclidean
    norms. It is never negative, and 0 only if both hold the same rows in the same proportions. With
    one variable it is :func:`scipy.stats.energy_distance`; [1]_ leaves out the root.

    Parameters
    ----------
    X : array-like of shape (n_samples_X, n_variables)
        Rows of one sample.
    Y : array-like of shape (n_samples_Y, n_variables)
        Rows of the other; the two numbers of rows may differ.

    Returns
    -------
    distance : float
        The distance, in the square root of the units of the variables.

    Raises
    ------
    ValueError
        If the samples do not have the same variables, or a value is missing or infinite.

    See Also
    --------
    maximum_mean_discrepancy : An estimate without the bias of small samples.

    Notes
    -----
    Two finite samples of one distribution are not at distance 0: the expected square is
    ``(1 / n_samples_X + 1 / n_samples_Y) E||x - x'||``. Compare distances at equal numbers of rows.
    Units matter: scale the variables first if theirs differ.

    References
    ----------
    .. [1] Székely, G. J. & Rizzo, M. L. (2013). Energy statistics: a class of statistics based on
       distances. Journal of Statistical Planning and Inference 143(8), 1249-1272, section 6.

    Examples
    --------
    >>> from skcausal.metrics import energy_distance
    >>> round(energy_distance([[0.0, 0.0]], [[3.0, 4.0], [3.0, 4.0]]), 6)  # the root of 2 * 5
    3.162278
    """
    X, Y = check_samples(X, Y)
    between = _sum_between(X, Y, np.sqrt) / (len(X) * len(Y))
    within = sum(2 * _sum_within(Z, np.sqrt) / len(Z) ** 2 for Z in (X, Y))
    return float(np.sqrt(max(2 * between - within, 0.0)))


def maximum_mean_discrepancy(
    X: MatrixLike, Y: MatrixLike, *, bandwidth: float | None = None
) -> float:
    """Return the unbiased estimate of the squared maximum mean discrepancy.

    The kernel is ``exp(-||x - y||^2 / (2 bandwidth^2))``. The means within a sample leave out the
    pairs of a row with itself (the U-statistic of [1]_, Lemma 6), so that the expectation is 0 for
    two samples of one distribution, of whatever sizes; single values may be negative.

    Parameters
    ----------
    X : array-like of shape (n_samples_X, n_variables)
        Rows of one sample, two or more.
    Y : array-like of shape (n_samples_Y, n_variables)
        Rows of the other, two or more.
    bandwidth : float, default=None
        Width of the kernel, in the units of the variables. Default: the median distance between
        distinct rows of the two samples together (of more than 2,000 rows, 2,000 at even steps).
        Give one where several values are to be compared: the default differs between samples.

    Returns
    -------
    mmd : float
        The squared discrepancy, at most 2.

    Raises
    ------
    ValueError
        If the samples do not have the same variables, one has a single row, a value is missing or
        infinite, or `bandwidth` is not positive.

    References
    ----------
    .. [1] Gretton, A., Borgwardt, K. M., Rasch, M. J., Schölkopf, B. & Smola, A. (2012). A kernel
       two-sample test. JMLR 13, 723-773.

    Examples
    --------
    >>> from skcausal.metrics import maximum_mean_discrepancy
    >>> round(maximum_mean_discrepancy([[0.0], [0.0]], [[2.0], [2.0]], bandwidth=1.0), 6)
    1.729329
    """
    X, Y = check_samples(X, Y)
    if min(len(X), len(Y)) < 2:
        raise ValueError(
            f"X and Y must have two or more rows each for an unbiased estimate, got {len(X)} and "
            f"{len(Y)}; energy_distance takes single rows."
        )
    if bandwidth is None:
        bandwidth = _median_distance(np.concatenate([X, Y]))
    elif not (isinstance(bandwidth, Real) and 0 < bandwidth < np.inf):
        raise ValueError(
            f"bandwidth must be a positive number, got {bandwidth!r}; None takes the median "
            "distance."
        )

    def kernel(squared):
        return np.exp(squared / (-2.0 * bandwidth**2))

    within = sum(2 * _sum_within(Z, kernel) / (len(Z) * (len(Z) - 1)) for Z in (X, Y))
    return float(within - 2 * _sum_between(X, Y, kernel) / (len(X) * len(Y)))


def check_samples(X, Y) -> list[np.ndarray]:
    """Both samples as finite float64 arrays over the same variables."""
    arrays = [
        check_array(rows, dtype=np.float64, input_name=name) for rows, name in ((X, "X"), (Y, "Y"))
    ]
    check_same_columns(X, Y, name="Y")
    return arrays


def check_same_columns(X, other, *, name):
    """Raise if both have columns and they differ in number, name or order."""
    if np.shape(X)[1] != np.shape(other)[1]:
        raise ValueError(
            f"{name} must have the variables of X, got {np.shape(other)[1]} columns where X has "
            f"{np.shape(X)[1]}."
        )
    ours, theirs = getattr(X, "columns", None), getattr(other, "columns", None)
    if ours is not None and theirs is not None and list(ours) != list(theirs):
        first = next(pair for pair in zip(ours, theirs) if pair[0] != pair[1])
        raise ValueError(
            f"{name} must have the columns of X in the same order, but has {first[1]!r} where X "
            f"has {first[0]!r}; pass {name}[X.columns], or {name}.to_numpy() if only the names "
            "differ."
        )


def _sum_between(X, Y, function):
    """Sum of a function of the squared distances of all rows of X to all rows of Y."""
    blocks = gen_batches(len(X), max(1, BLOCK_ENTRIES // len(Y)))
    return sum(function(cdist(X[block], Y, "sqeuclidean")).sum() for block in blocks)


def _sum_within(X, function):
    """Sum of a function of the squared distances over the pairs of different rows of X."""
    total = 0.0
    for block in gen_batches(len(X), max(1, BLOCK_ENTRIES // len(X))):
        total += function(pdist(X[block], "sqeuclidean")).sum()
        total += _sum_between(X[block], X[block.stop :], function) if block.stop < len(X) else 0.0
    return total


def _median_distance(rows):
    """Median distance between distinct rows; 1 if all are equal."""
    if len(rows) > MEDIAN_ROWS:
        rows = rows[np.linspace(0, len(rows) - 1, MEDIAN_ROWS).astype(int)]
    distances = pdist(rows)
    distances = distances[distances > 0]
    return float(np.median(distances)) if len(distances) else 1.0
