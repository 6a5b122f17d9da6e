"""Checks of adjacency matrices and the orders that a DAG implies."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress

import numpy as np

from skcausal._typing import GraphLike


def check_adjacency(
    adjacency: GraphLike,
    *,
    n_variables: int | None = None,
    variables: Collection[str] | None = None,
    acyclic: bool = False,
    name: str = "adjacency",
) -> np.ndarray:
    """Validate a graph and return it as an int8 adjacency matrix.

    Parameters
    ----------
    adjacency : array-like, DataFrame or networkx graph
        The graph. Entry (i, j) is 1 (or True) for an edge i -> j; an undirected
        edge has both entries set. A DataFrame must have the same names on its
        index and its columns.
    n_variables : int or None, default=None
        Number of variables the graph must have.
    variables : sequence of str or None, default=None
        Names of the variables in the order wanted. A DataFrame or a networkx
        graph is aligned to them by name; any other input is taken to be in this
        order already.
    acyclic : bool, default=False
        Whether to refuse graphs that have a directed cycle or an undirected edge.
    name : str, default="adjacency"
        Name of the argument in error messages.

    Returns
    -------
    ndarray of shape (n_variables, n_variables)
        The int8 adjacency matrix, a copy.

    Raises
    ------
    ValueError
        If the graph is not square, has the wrong size or other variables, has
        entries other than 0 and 1, a self-loop, or (with ``acyclic``) a cycle.

    Examples
    --------
    >>> from skcausal.graphs import check_adjacency
    >>> check_adjacency([[0, 1], [0, 0]], acyclic=True)
    array([[0, 1],
           [0, 0]], dtype=int8)
    """
    if variables is not None and n_variables is None:
        n_variables = len(variables)
    matrix = _as_matrix(adjacency, variables, name)
    _check_shape(matrix, n_variables, name)
    check_entries(matrix, variables, name)
    matrix = matrix.astype(np.int8)
    if acyclic and not is_dag(matrix):
        raise ValueError(
            f"{name} must be acyclic, but it has a directed cycle or an undirected edge "
            "(both entries set). Pass a DAG, for instance one orientation found by "
            "skcausal.graphs.acyclic_orientation."
        )
    return matrix


def _as_matrix(adjacency, variables, name: str) -> np.ndarray:
    """Turn a supported container into a numeric array, aligned to `variables`."""
    if hasattr(adjacency, "nodes") and hasattr(adjacency, "edges"):
        from skcausal._graph_conversion import from_networkx

        return from_networkx(adjacency, variables)
    if hasattr(adjacency, "columns") and hasattr(adjacency, "index"):
        adjacency = align_frame(adjacency, variables, name)
    matrix = np.asarray(adjacency)
    if matrix.dtype == object:
        with suppress(TypeError, ValueError):
            matrix = matrix.astype(float)
    if matrix.dtype.kind not in "biuf":
        raise ValueError(
            f"{name} must be a matrix of zeros and ones, got {type(adjacency).__name__} "
            f"with data type {matrix.dtype}."
        )
    return matrix


def names_of_graph(graph) -> list | None:
    """Names that a DataFrame or a networkx graph carries; None for anything else."""
    if hasattr(graph, "columns"):
        return list(graph.columns)
    if hasattr(graph, "nodes"):
        return list(graph.nodes)
    return None


def align_frame(frame, variables, name: str) -> np.ndarray:
    """Reorder a square DataFrame by name, to `variables` or to its own columns."""
    wanted = list(frame.columns if variables is None else variables)
    for axis, labels in (("index", list(frame.index)), ("columns", list(frame.columns))):
        if len(set(labels)) != len(labels) or set(labels) != set(wanted):
            raise ValueError(
                f"The {axis} of the DataFrame {name} must hold each of the variables "
                f"{abbreviate(wanted)} exactly once, got {abbreviate(labels)}. Rename "
                f"or reindex it so that rows and columns carry the variables' names."
            )
    return frame.loc[wanted, wanted].to_numpy()


def abbreviate(labels: list, limit: int = 8) -> str:
    """Write a list of labels, cut after `limit` of them."""
    shown = ", ".join(repr(label) for label in labels[:limit])
    return f"[{shown}{', ...' if len(labels) > limit else ''}] ({len(labels)} in all)"


def _check_shape(matrix: np.ndarray, n_variables: int | None, name: str) -> None:
    """Refuse a matrix that is not square or not of the wanted size."""
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"{name} must be a square matrix, got shape {matrix.shape}.")
    if n_variables is not None and len(matrix) != n_variables:
        raise ValueError(
            f"{name} must have {n_variables} variables, one row and one column for "
            f"each, got shape {matrix.shape}."
        )


def check_entries(matrix: np.ndarray, variables, name: str) -> None:
    """Refuse entries other than zero and one, and self-loops."""
    odd = matrix[(matrix != 0) & (matrix != 1)]
    if odd.size:
        raise ValueError(
            f"{name} must hold only zeros and ones, found {odd.size} other entries, the "
            f"first of them {odd[0]}. Threshold a weighted matrix before passing it."
        )
    loops = np.flatnonzero(np.diag(matrix))
    if loops.size:
        names = loops if variables is None else [variables[i] for i in loops]
        raise ValueError(
            f"{name} must have no self-loop, found one at variable {names[0]!s}. Set its "
            "diagonal to zero."
        )


def is_dag(adjacency: np.ndarray) -> bool:
    """Say whether a graph is directed and has no cycle.

    Parameters
    ----------
    adjacency : ndarray of shape (n_variables, n_variables)
        Entry (i, j) is nonzero for an edge i -> j.

    Returns
    -------
    bool
        False also for a graph with an undirected edge or a self-loop.

    Examples
    --------
    >>> from skcausal.graphs import is_dag
    >>> is_dag([[0, 1], [0, 0]]), is_dag([[0, 1], [1, 0]])
    (True, False)
    """
    return _order_or_none(np.asarray(adjacency)) is not None


def topological_order(adjacency: np.ndarray) -> np.ndarray:
    """Order the variables of a DAG so that causes precede their effects.

    Among the variables that may come next the one of lowest index does.

    Parameters
    ----------
    adjacency : ndarray of shape (n_variables, n_variables)
        Adjacency matrix of a DAG.

    Returns
    -------
    ndarray of shape (n_variables,)
        Indices of the variables.

    Raises
    ------
    ValueError
        If the graph has a directed cycle or an undirected edge.

    Examples
    --------
    >>> from skcausal.graphs import topological_order
    >>> topological_order([[0, 0, 0], [1, 0, 0], [1, 0, 0]])
    array([1, 2, 0])
    """
    order = _order_or_none(np.asarray(adjacency))
    if order is None:
        raise ValueError(
            "The graph has no topological order: it has a directed cycle or an "
            "undirected edge. Pass a DAG."
        )
    return order


def threshold_to_dag(probabilities, threshold=0.5):
    """Turn edge probabilities into an acyclic graph.

    Parameters
    ----------
    probabilities : ndarray of shape (n_variables, n_variables)
        Probability of the edge i -> j in entry (i, j).
    threshold : float, default=0.5
        Edges must be more probable than this.

    Returns
    -------
    adjacency : ndarray of int8 of shape (n_variables, n_variables)
        The edges, from the most probable on, without those that would have closed a cycle.
    """
    n_variables = len(probabilities)
    adjacency = np.zeros((n_variables, n_variables), dtype=np.int8)
    reaches = np.eye(n_variables, dtype=bool)
    sources, sinks = np.nonzero(probabilities > threshold)
    for edge in np.argsort(-probabilities[sources, sinks], kind="stable"):
        i, j = sources[edge], sinks[edge]
        if not reaches[j, i]:
            adjacency[i, j] = 1
            reaches |= np.outer(reaches[:, i], reaches[j])
    return adjacency


def _order_or_none(adjacency: np.ndarray) -> np.ndarray | None:
    """Topological order by repeated removal of the first source; None on a cycle."""
    edges = adjacency != 0
    n_parents = edges.sum(axis=0)
    order = np.empty(len(edges), dtype=np.intp)
    for position in range(len(edges)):
        sources = np.flatnonzero(n_parents == 0)
        if not sources.size:
            return None
        order[position] = sources[0]
        n_parents = n_parents - edges[sources[0]]
        n_parents[sources[0]] = -1
    return order


def ancestor_matrix(adjacency: np.ndarray) -> np.ndarray:
    """Find which variables are ancestors of which.

    Parameters
    ----------
    adjacency : ndarray of shape (n_variables, n_variables)
        Adjacency matrix of a DAG.

    Returns
    -------
    ndarray of shape (n_variables, n_variables)
        Boolean; entry (i, j) is True if there is a directed path from i to j. The
        diagonal is False.

    Raises
    ------
    ValueError
        If the graph has a directed cycle or an undirected edge.

    Examples
    --------
    >>> from skcausal.graphs import ancestor_matrix
    >>> ancestor_matrix([[0, 1, 0], [0, 0, 1], [0, 0, 0]])
    array([[False,  True,  True],
           [False, False,  True],
           [False, False, False]])
    """
    edges = np.asarray(adjacency) != 0
    ancestors = np.zeros_like(edges)
    for j in topological_order(edges):
        parents = edges[:, j]
        ancestors[:, j] = parents | ancestors[:, parents].any(axis=1)
    return ancestors
