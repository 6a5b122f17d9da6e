"""Distances and scores between a true graph and an estimated one."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
)

from skcausal._adjacency import align_frame, check_adjacency, is_dag, names_of_graph
from skcausal._typing import GraphLike, MatrixLike

_AID_STRATEGIES = ("ancestor", "oset", "parent")


def structural_hamming_distance(true: GraphLike, estimated: GraphLike) -> int:
    """Count the pairs of variables on which two graphs disagree.

    A pair counts once if its edge is missing in the estimate, if it is extra, or if it is
    oriented differently; an undirected edge against a directed one is a different orientation.
    To forgive orientations that observational data cannot reveal, pass two equivalence classes
    (:func:`skcausal.graphs.dag_to_cpdag`).

    Parameters
    ----------
    true : array-like of shape (n_variables, n_variables), DataFrame or networkx.DiGraph
        True graph, ``true[i, j] = 1`` for i -> j and both entries for an undirected edge: a DAG,
        a CPDAG or any other directed graph.
    estimated : array-like of shape (n_variables, n_variables), DataFrame or networkx.DiGraph
        Estimated graph. If both graphs carry names, they are aligned by name.

    Returns
    -------
    distance : int
        Number of pairs on which the graphs differ, between 0 and
        ``n_variables * (n_variables - 1) / 2``.

    References
    ----------
    .. [1] Tsamardinos, Brown, Aliferis (2006). The max-min hill-climbing Bayesian network
       structure learning algorithm. Machine Learning 65(1), 31-78.

    Examples
    --------
    >>> import numpy as np
    >>> from skcausal.metrics import structural_hamming_distance
    >>> true = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]])
    >>> reversed_first_edge = np.array([[0, 0, 0], [1, 0, 1], [0, 0, 0]])
    >>> structural_hamming_distance(true, reversed_first_edge)
    1
    """
    true, estimated = _check_pair(true, estimated)
    differs = true != estimated
    return int(np.triu(differs | differs.T).sum())


def structural_intervention_distance(
    true: GraphLike, estimated: GraphLike, *, normalize: bool = False
) -> int | float:
    """Count the interventional distributions that an estimated DAG gets wrong.

    For every ordered pair (i, j), the distribution of j under an intervention on i is computed by
    adjusting for the parents of i in the estimate (or taken to be unaffected, if j is such a
    parent). The pair counts if this is wrong for some distribution that is Markov to the truth.
    The distance is not symmetric: a DAG with superfluous edges that respects the true causal
    order has distance 0.

    Parameters
    ----------
    true : array-like of shape (n_variables, n_variables), DataFrame or networkx.DiGraph
        True DAG, ``true[i, j] = 1`` for i -> j.
    estimated : array-like of shape (n_variables, n_variables), DataFrame or networkx.DiGraph
        Estimated DAG. If both graphs carry names, they are aligned by name.
    normalize : bool, default=False
        If True, return the share of the ``n_variables * (n_variables - 1)`` ordered pairs.

    Returns
    -------
    distance : int, or float if ``normalize=True``
        Number (or share) of wrongly inferred interventional distributions.

    Raises
    ------
    ValueError
        If one of the graphs is not a DAG.

    See Also
    --------
    adjustment_identification_distance : Also takes equivalence classes (CPDAGs).

    References
    ----------
    .. [1] Peters, Bühlmann (2015). Structural intervention distance for evaluating causal graphs.
       Neural Computation 27(3), 771-799, section 2.
    .. [2] Henckel, Würtzen, Weichwald (2024). Adjustment identification distance: a gadjid for
       causal structure learning. UAI. (The algorithm used here.)

    Examples
    --------
    >>> import numpy as np
    >>> from skcausal.metrics import structural_intervention_distance
    >>> chain = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]])
    >>> complete = np.array([[0, 1, 1], [0, 0, 1], [0, 0, 0]])
    >>> structural_intervention_distance(chain, complete)
    0
    >>> structural_intervention_distance(chain, chain.T)
    6
    """
    import gadjid

    true, estimated = _check_pair(true, estimated)
    for graph, name in ((true, "true"), (estimated, "estimated")):
        check_adjacency(graph, acyclic=True, name=name)
    return _gadjid_distance(gadjid.sid, true, estimated, normalize)


def adjustment_identification_distance(
    true: GraphLike, estimated: GraphLike, *, strategy: str = "ancestor", normalize: bool = False
) -> int | float:
    """Count the causal effects for which the estimate suggests a wrong adjustment.

    For every ordered pair (i, j) the estimate either says that i has no effect on j, or that the
    effect cannot be identified, or names a set to adjust for. The pair counts if that statement
    is false in the true graph.

    Parameters
    ----------
    true : array-like of shape (n_variables, n_variables), DataFrame or networkx.DiGraph
        True DAG or CPDAG, ``true[i, j] = 1`` for i -> j and both entries for an undirected edge.
    estimated : array-like of shape (n_variables, n_variables), DataFrame or networkx.DiGraph
        Estimated DAG or CPDAG. If both graphs carry names, they are aligned by name. It is not
        checked that undirected edges make up a valid CPDAG.
    strategy : {"ancestor", "oset", "parent"}, default="ancestor"
        Set to adjust for: the ancestors of the intervened variable, the asymptotically optimal
        set, or the parents. Between two DAGs, "parent" is the structural intervention distance.
    normalize : bool, default=False
        If True, return the share of the ``n_variables * (n_variables - 1)`` ordered pairs.

    Returns
    -------
    distance : int, or float if ``normalize=True``
        Number (or share) of wrongly identified effects.

    Raises
    ------
    ValueError
        If the strategy is unknown or the directed edges of a graph contain a cycle.

    References
    ----------
    .. [1] Henckel, Würtzen, Weichwald (2024). Adjustment identification distance: a gadjid for
       causal structure learning. UAI.

    Examples
    --------
    >>> import numpy as np
    >>> from skcausal.metrics import adjustment_identification_distance
    >>> true = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]])
    >>> equivalence_class = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]])
    >>> adjustment_identification_distance(true, equivalence_class)
    6
    >>> adjustment_identification_distance(true, np.zeros((3, 3)), strategy="parent")
    3
    """
    import gadjid

    if strategy not in _AID_STRATEGIES:
        raise ValueError(f"strategy must be one of {_AID_STRATEGIES}; got {strategy!r}.")
    true, estimated = _check_pair(true, estimated)
    for graph, name in ((true, "true"), (estimated, "estimated")):
        if not is_dag(graph & ~graph.T):
            raise ValueError(
                f"{name} must be a DAG or a CPDAG, but its directed edges contain a cycle."
            )
    distance = getattr(gadjid, f"{strategy}_aid")
    return _gadjid_distance(distance, true, estimated, normalize)


def edge_precision(
    true: GraphLike,
    estimated: GraphLike,
    *,
    directed: bool = True,
    zero_division: str | float = "warn",
) -> float:
    """Share of the estimated edges that are in the true graph.

    Parameters
    ----------
    true : array-like of shape (n_variables, n_variables), DataFrame or networkx.DiGraph
        True graph, ``true[i, j] = 1`` for i -> j and both entries for an undirected edge.
    estimated : array-like of shape (n_variables, n_variables), DataFrame or networkx.DiGraph
        Estimated graph. If both graphs carry names, they are aligned by name.
    directed : bool, default=True
        If True, the off-diagonal *entries* of the matrices are compared: an undirected edge of
        the estimate where the truth has a directed one is one hit and one false positive, and a
        reversed edge is one false positive and one miss. If False, *pairs* are compared, whatever
        the orientation of their edge.
    zero_division : {"warn", 0.0, 1.0, np.nan}, default="warn"
        Value where the estimate has no edges, as in :func:`sklearn.metrics.precision_score`;
        "warn" returns 0 with an ``UndefinedMetricWarning``.

    Returns
    -------
    precision : float
        Between 0 and 1.

    Examples
    --------
    >>> import numpy as np
    >>> from skcausal.metrics import edge_precision
    >>> true = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]])
    >>> first_edge_undirected = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]])
    >>> edge_precision(true, first_edge_undirected)
    0.5
    >>> edge_precision(true, first_edge_undirected, directed=False)
    1.0
    """
    cells = _edge_cells(true, estimated, directed)
    return float(precision_score(*cells, zero_division=zero_division))


def edge_recall(
    true: GraphLike,
    estimated: GraphLike,
    *,
    directed: bool = True,
    zero_division: str | float = "warn",
) -> float:
    """Share of the true edges that the estimate contains.

    Parameters
    ----------
    true : array-like of shape (n_variables, n_variables), DataFrame or networkx.DiGraph
        True graph, ``true[i, j] = 1`` for i -> j and both entries for an undirected edge.
    estimated : array-like of shape (n_variables, n_variables), DataFrame or networkx.DiGraph
        Estimated graph. If both graphs carry names, they are aligned by name.
    directed : bool, default=True
        Whether to compare matrix entries (True) or pairs of variables without regard to the
        orientation (False); see :func:`edge_precision`.
    zero_division : {"warn", 0.0, 1.0, np.nan}, default="warn"
        Value where the truth has no edges; "warn" returns 0 with an ``UndefinedMetricWarning``.

    Returns
    -------
    recall : float
        Between 0 and 1.

    Examples
    --------
    >>> import numpy as np
    >>> from skcausal.metrics import edge_recall
    >>> true = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]])
    >>> edge_recall(true, np.array([[0, 1, 0], [0, 0, 0], [0, 0, 0]]))
    0.5
    """
    cells = _edge_cells(true, estimated, directed)
    return float(recall_score(*cells, zero_division=zero_division))


def edge_f1(
    true: GraphLike,
    estimated: GraphLike,
    *,
    directed: bool = True,
    zero_division: str | float = "warn",
) -> float:
    """Harmonic mean of the precision and the recall of the edges.

    Parameters
    ----------
    true : array-like of shape (n_variables, n_variables), DataFrame or networkx.DiGraph
        True graph, ``true[i, j] = 1`` for i -> j and both entries for an undirected edge.
    estimated : array-like of shape (n_variables, n_variables), DataFrame or networkx.DiGraph
        Estimated graph. If both graphs carry names, they are aligned by name.
    directed : bool, default=True
        Whether to compare matrix entries (True) or pairs of variables without regard to the
        orientation (False); see :func:`edge_precision`.
    zero_division : {"warn", 0.0, 1.0, np.nan}, default="warn"
        Value where neither graph has an edge; "warn" returns 0 with an
        ``UndefinedMetricWarning``.

    Returns
    -------
    f1 : float
        ``2 TP / (2 TP + FP + FN)``, between 0 and 1.

    Examples
    --------
    >>> import numpy as np
    >>> from skcausal.metrics import edge_f1
    >>> true = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]])
    >>> edge_f1(true, np.array([[0, 1, 1], [0, 0, 1], [0, 0, 0]]))
    0.8
    """
    cells = _edge_cells(true, estimated, directed)
    return float(f1_score(*cells, zero_division=zero_division))


def edge_average_precision(true: GraphLike, probabilities: MatrixLike) -> float:
    """Average precision of edge probabilities over all ordered pairs of variables.

    Parameters
    ----------
    true : array-like of shape (n_variables, n_variables), DataFrame or networkx.DiGraph
        True graph, ``true[i, j] = 1`` for i -> j.
    probabilities : array-like or DataFrame of shape (n_variables, n_variables)
        Probability, or any other score that is higher for likelier edges, of i -> j in entry
        (i, j). The diagonal is ignored. Aligned by name if both arguments carry names.

    Returns
    -------
    average_precision : float
        Area under the precision-recall curve, between 0 and 1. Guessing gives about the share of
        ordered pairs that are edges.

    Raises
    ------
    ValueError
        If the true graph has no edges.

    Examples
    --------
    >>> import numpy as np
    >>> from skcausal.metrics import edge_average_precision
    >>> true = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]])
    >>> probabilities = np.array([[0.0, 0.9, 0.6], [0.1, 0.0, 0.8], [0.1, 0.2, 0.0]])
    >>> edge_average_precision(true, probabilities)
    1.0
    """
    is_edge, scores = _scored_edges(true, probabilities)
    if not is_edge.any():
        raise ValueError("The average precision is undefined: the true graph has no edges.")
    return float(average_precision_score(is_edge, scores))


def edge_roc_auc(true: GraphLike, probabilities: MatrixLike) -> float:
    """Area under the ROC curve of edge probabilities over all ordered pairs of variables.

    Parameters
    ----------
    true : array-like of shape (n_variables, n_variables), DataFrame or networkx.DiGraph
        True graph, ``true[i, j] = 1`` for i -> j.
    probabilities : array-like or DataFrame of shape (n_variables, n_variables)
        Probability, or any other score that is higher for likelier edges, of i -> j in entry
        (i, j). The diagonal is ignored. Aligned by name if both arguments carry names.

    Returns
    -------
    roc_auc : float
        Probability that a random edge scores higher than a random ordered pair without an edge;
        guessing gives 0.5.

    Raises
    ------
    ValueError
        If no ordered pair, or every ordered pair, is an edge of the true graph.

    Examples
    --------
    >>> import numpy as np
    >>> from skcausal.metrics import edge_roc_auc
    >>> true = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]])
    >>> probabilities = np.array([[0.0, 0.9, 0.6], [0.1, 0.0, 0.5], [0.1, 0.2, 0.0]])
    >>> edge_roc_auc(true, probabilities)
    0.875
    """
    is_edge, scores = _scored_edges(true, probabilities)
    if not is_edge.any():
        raise ValueError("The ROC AUC is undefined: the true graph has no edges.")
    if is_edge.all():
        raise ValueError("The ROC AUC is undefined: every ordered pair is an edge of true.")
    return float(roc_auc_score(is_edge, scores))


def target_f1(
    true_mask: MatrixLike, estimated_mask: MatrixLike, *, zero_division: str | float = "warn"
) -> float:
    """F1 score of inferred intervention targets, pooled over regimes and variables.

    Parameters
    ----------
    true_mask : array-like or DataFrame of shape (n_regimes, n_variables)
        True where the regime intervenes on the variable. Rows may also be samples.
    estimated_mask : array-like or DataFrame of shape (n_regimes, n_variables)
        Inferred targets. Rows are matched by position; columns by name, if both are DataFrames.
    zero_division : {"warn", 0.0, 1.0, np.nan}, default="warn"
        Value where neither mask has a target; "warn" returns 0 with an
        ``UndefinedMetricWarning``.

    Returns
    -------
    f1 : float
        ``2 TP / (2 TP + FP + FN)`` over all cells, between 0 and 1.

    Examples
    --------
    >>> import numpy as np
    >>> from skcausal.metrics import target_f1
    >>> true = np.array([[False, False, False], [True, False, False], [False, True, False]])
    >>> target_f1(true, [[0, 0, 0], [1, 1, 0], [0, 1, 0]])
    0.8
    """
    true_mask, estimated_mask = _aligned_masks(true_mask, estimated_mask, "estimated_mask")
    is_target = _check_boolean(true_mask, "true_mask")
    inferred = _check_boolean(estimated_mask, "estimated_mask")
    return float(f1_score(is_target.ravel(), inferred.ravel(), zero_division=zero_division))


def target_average_precision(true_mask: MatrixLike, scores: MatrixLike) -> float:
    """Average precision of target scores, pooled over regimes and variables.

    Parameters
    ----------
    true_mask : array-like or DataFrame of shape (n_regimes, n_variables)
        True where the regime intervenes on the variable. Rows may also be samples.
    scores : array-like or DataFrame of shape (n_regimes, n_variables)
        Score of each variable as a target of each regime, higher for likelier targets. Scores
        are ranked over all cells, so they must be comparable between regimes. Rows are matched
        by position; columns by name, if both are DataFrames.

    Returns
    -------
    average_precision : float
        Area under the precision-recall curve, between 0 and 1.

    Raises
    ------
    ValueError
        If there are no true targets.

    Examples
    --------
    >>> import numpy as np
    >>> from skcausal.metrics import target_average_precision
    >>> true = np.array([[True, False, False], [False, True, False]])
    >>> target_average_precision(true, [[0.9, 0.1, 0.2], [0.3, 0.8, 0.1]])
    1.0
    """
    true_mask, scores = _aligned_masks(true_mask, scores, "scores")
    is_target = _check_boolean(true_mask, "true_mask")
    if not is_target.any():
        raise ValueError("The average precision is undefined: true_mask has no targets.")
    scores = _check_finite(scores, "scores")
    return float(average_precision_score(is_target.ravel(), scores.ravel()))


def _check_pair(true, estimated) -> tuple[np.ndarray, np.ndarray]:
    """Return both graphs as int8 arrays of one shape, in one order of the variables."""
    names = names_of_graph(true) if names_of_graph(estimated) is not None else None
    true = check_adjacency(true, variables=names, name="true")
    estimated = check_adjacency(estimated, n_variables=len(true), variables=names, name="estimated")
    return true, estimated


def _gadjid_distance(distance, true, estimated, normalize: bool) -> int | float:
    """Call a gadjid distance on int8 adjacencies."""
    n_pairs = len(true) * (len(true) - 1)
    if n_pairs == 0:  # gadjid panics on graphs with a single node
        return 0.0 if normalize else 0
    _, count = distance(
        _gadjid_encoding(true), _gadjid_encoding(estimated), edge_direction="from row to column"
    )
    return count / n_pairs if normalize else int(count)


def _gadjid_encoding(adjacency: np.ndarray) -> np.ndarray:
    """Mark undirected edges by a 2, gadjid's code, instead of a 1 in both entries."""
    undirected = adjacency & adjacency.T
    return np.ascontiguousarray(adjacency + undirected, dtype=np.int8)


def _edge_cells(true, estimated, directed: bool) -> tuple[np.ndarray, np.ndarray]:
    """Off-diagonal entries of both graphs, or the upper triangles of their skeletons."""
    true, estimated = _check_pair(true, estimated)
    if directed:
        off_diagonal = ~np.eye(len(true), dtype=bool)
        return true[off_diagonal], estimated[off_diagonal]
    pairs = np.triu_indices(len(true), k=1)
    return (true | true.T)[pairs], (estimated | estimated.T)[pairs]


def _scored_edges(true, probabilities) -> tuple[np.ndarray, np.ndarray]:
    """Off-diagonal entries of the true graph, as booleans, and of the scores."""
    names = names_of_graph(true) if hasattr(probabilities, "columns") else None
    true = check_adjacency(true, variables=names, name="true")
    if names is not None:
        probabilities = align_frame(probabilities, names, "probabilities")
    probabilities = np.asarray(probabilities, dtype=float)
    if probabilities.shape != true.shape:
        raise ValueError(
            f"probabilities must have the shape of true, {true.shape}; got {probabilities.shape}."
        )
    off_diagonal = ~np.eye(len(true), dtype=bool)
    scores = _check_finite(probabilities[off_diagonal], "probabilities")
    return true[off_diagonal].astype(bool), scores


def _aligned_masks(true_mask, other, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return two arrays of one shape, with the columns in the order of ``true_mask``."""
    if hasattr(true_mask, "columns") and hasattr(other, "columns"):
        _check_same_names(true_mask.columns, other.columns, name)
        other = other[list(true_mask.columns)]
    true_mask, other = np.asarray(true_mask), np.asarray(other)
    if true_mask.shape != other.shape:
        raise ValueError(
            f"{name} must have the shape of true_mask, {true_mask.shape}; got {other.shape}."
        )
    return true_mask, other


def _check_same_names(expected, found, name: str) -> None:
    """Raise unless two lists of variable names are equal up to their order."""
    if len(expected) != len(found) or set(expected) != set(found):
        raise ValueError(
            f"{name} must have the variables of the truth, {list(expected)}; got {list(found)}."
        )


def _check_boolean(mask: np.ndarray, name: str) -> np.ndarray:
    """Return a mask as booleans; refuse entries other than 0 and 1."""
    if not np.isin(mask, (0, 1)).all():
        raise ValueError(f"{name} must hold booleans (or 0 and 1); it has other entries.")
    return mask.astype(bool)


def _check_finite(scores: np.ndarray, name: str) -> np.ndarray:
    """Return scores as floats; refuse NaN and infinity."""
    scores = np.asarray(scores, dtype=float)
    if not np.isfinite(scores).all():
        raise ValueError(f"{name} must be finite; found NaN or infinite entries.")
    return scores
