"""Scores of edge probabilities as forecasts, which should be right as often as they say."""

from __future__ import annotations

from numbers import Integral

import numpy as np

from skcausal._adjacency import names_of_graph
from skcausal._typing import GraphLike, MatrixLike
from skcausal.metrics._graph import _scored_edges


def edge_log_score(true: GraphLike, probabilities: MatrixLike, *, clip: float = 1e-6) -> float:
    """Mean logarithmic score of edge probabilities over all ordered pairs of variables.

    The mean of ``log(p)`` over the pairs that are edges and ``log(1 - p)`` over those that are not,
    where p is the probability forecast. It is a proper score [1]_: no forecast has a higher
    expectation than the true probabilities.

    Parameters
    ----------
    true : array-like of shape (n_variables, n_variables), DataFrame or networkx.DiGraph, or \
            array-like of shape (n_graphs, n_variables, n_variables)
        True graph, ``true[i, j] = 1`` for i -> j, or a stack of graphs over which the pairs are
        pooled. A stack may also be a list of graphs of different sizes.
    probabilities : array-like of shape (n_variables, n_variables) or DataFrame, or \
            array-like of shape (n_graphs, n_variables, n_variables)
        Probability of i -> j in entry (i, j), between 0 and 1; a matrix for each graph of a stack.
        The diagonal is ignored. Aligned by name if both arguments carry names.
    clip : float, default=1e-6
        Smallest probability that a forecast is taken to give to what happened, at least 0 and
        below 0.5: a forecast that was certain and wrong costs ``log(clip)`` instead of minus
        infinity. The largest is ``1 - clip``.

    Returns
    -------
    log_score : float
        In nats per ordered pair, between ``log(clip)`` and ``log(1 - clip)``; higher is better.
        The forecast 0.5 for every pair gives ``-log(2)``, -0.693.

    Raises
    ------
    ValueError
        If a probability is not between 0 and 1, `clip` is out of range, the arguments do not fit
        each other, or no graph has two variables.

    See Also
    --------
    edge_calibration_error : Whether edges are as frequent as they are forecast.
    edge_average_precision : Score of their ranks alone.

    Notes
    -----
    The score judges the probability of each edge alone, not their joint distribution.

    References
    ----------
    .. [1] Gneiting, T. & Raftery, A. E. (2007). Strictly proper scoring rules, prediction, and
       estimation. Journal of the American Statistical Association 102(477), 359-378, Example 3.

    Examples
    --------
    >>> import numpy as np
    >>> from skcausal.metrics import edge_log_score
    >>> true = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]])
    >>> probabilities = np.array([[0.0, 0.9, 0.6], [0.1, 0.0, 0.8], [0.1, 0.2, 0.0]])
    >>> round(edge_log_score(true, probabilities), 3)
    -0.28
    >>> round(edge_log_score(true, np.full((3, 3), 0.5)), 3)
    -0.693
    """
    if not 0 <= clip < 0.5:
        raise ValueError(f"clip must be at least 0 and below 0.5; got {clip!r}.")
    is_edge, forecasts = _pooled_edges(true, probabilities)
    given_to_truth = np.where(is_edge, forecasts, 1 - forecasts)
    with np.errstate(divide="ignore"):  # minus infinity is the score of certain errors at clip=0
        return float(np.log(np.clip(given_to_truth, clip, 1 - clip)).mean())


def edge_calibration_error(
    true: GraphLike, probabilities: MatrixLike, *, n_bins: int = 10
) -> float:
    """Return the expected calibration error of edge probabilities over all ordered pairs.

    The pairs are sorted into bins of equal width by the probability forecast. The error is the mean
    over the bins, weighted by their numbers of pairs n_k, of the difference between the mean
    forecast and the observed frequency of edges ([1]_, [2]_ equation 3, with the probability of
    the edge in place of the confidence in a label),

        sum_k (n_k / n) abs(mean forecast_k - frequency_k).

    Parameters
    ----------
    true : array-like of shape (n_variables, n_variables), DataFrame or networkx.DiGraph, or \
            array-like of shape (n_graphs, n_variables, n_variables)
        True graph, ``true[i, j] = 1`` for i -> j, or a stack of graphs over which the pairs are
        pooled. A stack may also be a list of graphs of different sizes.
    probabilities : array-like of shape (n_variables, n_variables) or DataFrame, or \
            array-like of shape (n_graphs, n_variables, n_variables)
        Probability of i -> j in entry (i, j), between 0 and 1; a matrix for each graph of a stack.
        The diagonal is ignored. Aligned by name if both arguments carry names.
    n_bins : int, default=10
        Number of bins of equal width between 0 and 1. Each holds its upper end, the first also 0.

    Returns
    -------
    calibration_error : float
        Between 0 and 1, in units of probability; lower is better.

    Raises
    ------
    ValueError
        If a probability is not between 0 and 1, `n_bins` is below 1, the arguments do not fit
        each other, or no graph has two variables.

    See Also
    --------
    edge_log_score : A proper score, which rewards sharp forecasts, too.
    skcausal.plotting.ReliabilityDisplay : Drawing of the bins.

    Notes
    -----
    The error is not a proper score: the share of edges as the forecast of every pair is calibrated
    and says nothing. Where bins hold few pairs, as those of a single small graph do, chance alone
    makes it large: pool many graphs, and compare errors at equal numbers of pairs and bins.

    References
    ----------
    .. [1] Naeini, M. P., Cooper, G. F. & Hauskrecht, M. (2015). Obtaining well calibrated
       probabilities using Bayesian binning. AAAI Conference on Artificial Intelligence, 2901-2907.
    .. [2] Guo, C., Pleiss, G., Sun, Y. & Weinberger, K. Q. (2017). On calibration of modern neural
       networks. International Conference on Machine Learning, PMLR 70, 1321-1330.

    Examples
    --------
    >>> import numpy as np
    >>> from skcausal.metrics import edge_calibration_error
    >>> true = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]])
    >>> probabilities = np.array([[0.0, 0.9, 0.6], [0.1, 0.0, 0.8], [0.1, 0.2, 0.0]])
    >>> round(edge_calibration_error(true, probabilities, n_bins=2), 3)
    0.117

    A stack of tasks is pooled:

    >>> round(edge_calibration_error([true, true.T], [probabilities, probabilities], n_bins=2), 3)
    0.317
    """
    return error_of_bins(*edge_calibration_bins(true, probabilities, n_bins=n_bins))


def edge_calibration_bins(
    true, probabilities, *, n_bins: int = 10
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sort ordered pairs of variables into bins of equal width by their forecasts.

    Parameters
    ----------
    true : array-like, DataFrame or networkx.DiGraph
        True graph or stack of graphs, as in :func:`edge_calibration_error`.
    probabilities : array-like or DataFrame
        Probability of each edge, as in :func:`edge_calibration_error`.
    n_bins : int, default=10
        Number of bins, each with its upper end; the first also holds 0.

    Returns
    -------
    mean_forecast : ndarray of shape (n_occupied_bins,)
        Mean probability forecast, of the bins that are not empty, in increasing order.
    frequency : ndarray of shape (n_occupied_bins,)
        Share of their pairs that are edges.
    count : ndarray of int of shape (n_occupied_bins,)
        Numbers of their pairs.
    """
    if not isinstance(n_bins, Integral) or n_bins < 1:
        raise ValueError(f"n_bins must be an integer of at least 1; got {n_bins!r}.")
    is_edge, forecasts = _pooled_edges(true, probabilities)
    upper_ends = np.arange(1, n_bins) / n_bins  # k / n, rounded once: 0.3 is the end of a bin
    bins = np.searchsorted(upper_ends, forecasts)
    _, bins, count = np.unique(bins, return_inverse=True, return_counts=True)
    mean_forecast = np.bincount(bins, weights=forecasts) / count
    return mean_forecast, np.bincount(bins, weights=is_edge) / count, count


def error_of_bins(mean_forecast, frequency, count) -> float:
    """Return the expected calibration error of the bins of :func:`edge_calibration_bins`."""
    return float(np.average(np.abs(mean_forecast - frequency), weights=count))


def _pooled_edges(true, probabilities) -> tuple[np.ndarray, np.ndarray]:
    """Whether each ordered pair is an edge, and its probability, over one graph or a stack."""
    is_stack = _is_stack(true)
    if is_stack != _is_stack(probabilities):
        kinds = ("one graph", "a stack of graphs")
        raise ValueError(
            "true and probabilities must both be of one graph or both of a stack; got "
            f"{kinds[is_stack]} as true and {kinds[not is_stack]} as probabilities. Pass both with "
            "shape (n_variables, n_variables), or both with a first axis of length n_graphs."
        )
    if not is_stack:
        true, probabilities = [true], [probabilities]
    if len(true) != len(probabilities):
        raise ValueError(
            f"probabilities must hold a matrix for each of the {len(true)} graphs of true, in "
            f"their order; got {len(probabilities)}."
        )
    pairs = [_scored_edges(*graph) for graph in zip(true, probabilities)]
    is_edge = np.concatenate([np.empty(0, bool), *(cells for cells, _ in pairs)])
    forecasts = np.concatenate([np.empty(0), *(cells for _, cells in pairs)])
    if not len(is_edge):
        raise ValueError(
            "true has no ordered pair of variables to score; pass a graph of at least two."
        )
    _check_range(forecasts)
    return is_edge, forecasts


def _is_stack(graphs) -> bool:
    """Whether these are several graphs: three axes, or a list of graphs of any kind."""
    if names_of_graph(graphs) is not None:
        return False
    if isinstance(graphs, (list, tuple)):
        return any(names_of_graph(graph) is not None or np.ndim(graph) == 2 for graph in graphs)
    return np.ndim(graphs) == 3


def _check_range(forecasts: np.ndarray) -> None:
    """Refuse forecasts that are not probabilities."""
    outside = forecasts[(forecasts < 0) | (forecasts > 1)]
    if outside.size:
        raise ValueError(
            f"probabilities must lie between 0 and 1; found {outside.size} entries outside, the "
            f"first of them {outside[0]:g}. Turn scores into probabilities first; "
            "edge_average_precision and edge_roc_auc take any scores."
        )
