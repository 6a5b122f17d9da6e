"""Conversion of adjacency matrices to and from the graphs of other packages."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np

from skcausal._adjacency import abbreviate, check_adjacency, check_entries

if TYPE_CHECKING:
    import networkx
    import pandas as pd
    from causallearn.graph.GeneralGraph import GeneralGraph
    from causallearn.graph.GraphClass import CausalGraph


def to_networkx(
    adjacency: np.ndarray, variables: Collection[Any] | None = None
) -> networkx.DiGraph:
    """Convert an adjacency matrix to a networkx directed graph.

    Parameters
    ----------
    adjacency : ndarray of shape (n_variables, n_variables)
        Entry (i, j) is 1 for an edge i -> j; an undirected edge has both set.
    variables : sequence of str or None, default=None
        Names of the nodes; None names them 0, 1, ...

    Returns
    -------
    networkx.DiGraph
        With the two opposite arcs for an undirected edge.

    Examples
    --------
    >>> from skcausal.graphs import to_networkx
    >>> list(to_networkx([[0, 1], [0, 0]], ["rain", "wet"]).edges)
    [('rain', 'wet')]
    """
    import networkx as nx

    matrix = check_adjacency(adjacency, variables=variables)
    names = list(range(len(matrix))) if variables is None else list(variables)
    graph = nx.DiGraph()
    graph.add_nodes_from(names)
    graph.add_edges_from((names[i], names[j]) for i, j in np.argwhere(matrix))
    return graph


def from_networkx(graph: networkx.Graph, variables: Collection[Any] | None = None) -> np.ndarray:
    """Convert a networkx graph to an adjacency matrix.

    Parameters
    ----------
    graph : networkx.DiGraph or networkx.Graph
        A pair of opposite arcs, or an edge of an undirected graph, becomes an
        undirected edge. Attributes of edges are ignored.
    variables : sequence of str or None, default=None
        Order of the nodes. None takes nodes 0, ..., d - 1 in numerical order and
        any other nodes in the order of ``graph.nodes``.

    Returns
    -------
    ndarray of shape (n_variables, n_variables)
        The int8 adjacency matrix.

    Raises
    ------
    ValueError
        If the nodes are not the variables, each once, or a node has a self-loop.

    Examples
    --------
    >>> import networkx as nx
    >>> from skcausal.graphs import from_networkx
    >>> from_networkx(nx.DiGraph([("rain", "wet")]), ["wet", "rain"])
    array([[0, 0],
           [1, 0]], dtype=int8)
    """
    nodes = list(graph.nodes)
    if variables is None:
        numbered = set(nodes) == set(range(len(nodes)))
        variables = range(len(nodes)) if numbered else nodes
    position = {name: i for i, name in enumerate(variables)}
    if set(position) != set(nodes) or len(position) != len(variables):
        raise ValueError(
            f"The nodes of the graph must be the variables {abbreviate(list(variables))}, "
            f"each once, got {abbreviate(nodes)}. Relabel them with networkx.relabel_nodes."
        )
    matrix = np.zeros((len(nodes), len(nodes)), dtype=np.int8)
    for tail, head in graph.edges():
        matrix[position[tail], position[head]] = 1
        if not graph.is_directed():
            matrix[position[head], position[tail]] = 1
    check_entries(matrix, variables, "The graph")
    return matrix


def to_pandas(adjacency: np.ndarray, variables: Collection[Any]) -> pd.DataFrame:
    """Label an adjacency matrix with the names of the variables.

    Parameters
    ----------
    adjacency : ndarray of shape (n_variables, n_variables)
        Entry (i, j) is 1 for an edge i -> j; an undirected edge has both set.
    variables : sequence of str
        Names of the variables.

    Returns
    -------
    DataFrame of shape (n_variables, n_variables)
        Rows are causes and columns are effects.

    Examples
    --------
    >>> from skcausal.graphs import to_pandas
    >>> to_pandas([[0, 1], [0, 0]], ["rain", "wet"])
          rain  wet
    rain     0    1
    wet      0    0
    """
    import pandas as pd

    matrix = check_adjacency(adjacency, variables=variables)
    return pd.DataFrame(matrix, index=list(variables), columns=list(variables))


def to_causal_learn(
    adjacency: np.ndarray, variables: Collection[Any] | None = None
) -> GeneralGraph:
    """Convert an adjacency matrix to a graph of the causal-learn package.

    Parameters
    ----------
    adjacency : ndarray of shape (n_variables, n_variables)
        Entry (i, j) is 1 for an edge i -> j; an undirected edge has both set.
    variables : sequence of str or None, default=None
        Names of the nodes; None names them X1, X2, ... as causal-learn does.

    Returns
    -------
    causallearn.graph.GeneralGraph.GeneralGraph
        With -> for a directed and --- for an undirected edge.

    Examples
    --------
    >>> from skcausal.graphs import to_causal_learn
    >>> [str(edge) for edge in to_causal_learn([[0, 1], [0, 0]]).get_graph_edges()]
    ['X1 --> X2']
    """
    from causallearn.graph.Edge import Edge
    from causallearn.graph.Endpoint import Endpoint
    from causallearn.graph.GeneralGraph import GeneralGraph
    from causallearn.graph.GraphNode import GraphNode

    matrix = check_adjacency(adjacency, variables=variables)
    if variables is None:
        variables = [f"X{i + 1}" for i in range(len(matrix))]
    nodes = [GraphNode(str(name)) for name in variables]
    graph = GeneralGraph(nodes)
    for i, j in np.argwhere(matrix & ~matrix.T):
        graph.add_directed_edge(nodes[i], nodes[j])
    for i, j in np.argwhere(np.triu(matrix & matrix.T)):
        graph.add_edge(Edge(nodes[i], nodes[j], Endpoint.TAIL, Endpoint.TAIL))
    return graph


def from_causal_learn(graph: GeneralGraph | CausalGraph) -> np.ndarray:
    """Convert a graph of the causal-learn package to an adjacency matrix.

    Parameters
    ----------
    graph : GeneralGraph or CausalGraph
        A graph of causal-learn, or the object its PC algorithm returns, which
        holds one as ``G``.

    Returns
    -------
    ndarray of shape (n_variables, n_variables)
        The int8 adjacency matrix in the order of the graph's nodes. A bidirected
        edge, by which PC reports conflicting v-structures, sets both entries and
        so reads as an undirected edge here.

    Raises
    ------
    ValueError
        If an edge has an end that is neither a tail nor an arrowhead, as in the
        ancestral graphs of FCI.

    Notes
    -----
    Entry (i, j) of causal-learn's matrix is the mark at i on the edge between i
    and j: -1 for a tail and 1 for an arrowhead. An edge i -> j therefore has 1 at
    (j, i), which is the transpose of the convention here.

    Examples
    --------
    >>> from skcausal.graphs import from_causal_learn, to_causal_learn
    >>> from_causal_learn(to_causal_learn([[0, 1], [0, 0]]))
    array([[0, 1],
           [0, 0]], dtype=int8)
    """
    marks = np.asarray(getattr(graph, "G", graph).graph)
    tail, arrow = marks == -1, marks == 1
    known = (tail | arrow) & (tail | arrow).T | (marks == 0) & (marks.T == 0)
    if not known.all():
        i, j = np.argwhere(~known)[0]
        raise ValueError(
            f"The edge between nodes {i} and {j} must have a tail or an arrowhead at each "
            f"end, found the marks {marks[i, j]} and {marks[j, i]}. Circles and double "
            "edges have no adjacency matrix; orient or remove them first."
        )
    return (arrow.T | tail & tail.T).astype(np.int8)
