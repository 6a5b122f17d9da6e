"""Markov equivalence: essential graphs of DAGs, orientation rules and extensions."""

from __future__ import annotations

import numpy as np

from skcausal._adjacency import check_adjacency


def dag_to_cpdag(adjacency: np.ndarray) -> np.ndarray:
    """Complete a DAG to the graph of its Markov equivalence class.

    Parameters
    ----------
    adjacency : ndarray of shape (n_variables, n_variables)
        Adjacency matrix of a DAG.

    Returns
    -------
    ndarray of shape (n_variables, n_variables)
        The CPDAG: an edge is directed if all DAGs of the class agree on its
        direction and undirected (both entries set) otherwise.

    Raises
    ------
    ValueError
        If the graph is not a DAG.

    References
    ----------
    .. [1] C. Meek (1995). Causal inference and causal explanation with background
       knowledge. UAI, 403-410, Section 2.1.

    Examples
    --------
    >>> from skcausal.graphs import dag_to_cpdag
    >>> dag_to_cpdag([[0, 1, 0], [0, 0, 1], [0, 0, 0]])
    array([[0, 1, 0],
           [1, 0, 1],
           [0, 1, 0]], dtype=int8)
    """
    adjacency = np.asarray(adjacency)
    return dag_to_icpdag(adjacency, np.zeros((1, len(adjacency)), dtype=bool))


def dag_to_icpdag(adjacency: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Complete a DAG to its interventional essential graph.

    Two DAGs are interventionally equivalent if they have the same skeleton, the
    same v-structures, and agree on every edge of which some target set holds
    exactly one end (Theorem 10 of [1]_, which takes the family of target sets to
    be conservative: no variable is a target in every regime). The directed edges
    of the essential graph are those v-structures and those edges, closed under
    the four orientation rules of [2]_.

    Parameters
    ----------
    adjacency : ndarray of shape (n_variables, n_variables)
        Adjacency matrix of a DAG.
    targets : ndarray of shape (n_regimes, n_variables)
        Boolean; the variables intervened on in each regime. The observational
        regime is a row without any.

    Returns
    -------
    ndarray of shape (n_variables, n_variables)
        The interventional essential graph (I-CPDAG): an edge is directed if all
        DAGs of the class agree on its direction and undirected otherwise.

    Raises
    ------
    ValueError
        If the graph is not a DAG or the targets do not fit it.

    References
    ----------
    .. [1] A. Hauser and P. Buehlmann (2012). Characterization and greedy learning
       of interventional Markov equivalence classes of directed acyclic graphs.
       JMLR 13, 2409-2464, Theorem 10.
    .. [2] C. Meek (1995). Causal inference and causal explanation with background
       knowledge. UAI, 403-410, Section 2.1.

    Examples
    --------
    An intervention on the first variable orients the whole chain.

    >>> from skcausal.graphs import dag_to_icpdag
    >>> dag_to_icpdag([[0, 1, 0], [0, 0, 1], [0, 0, 0]], [[0, 0, 0], [1, 0, 0]])
    array([[0, 1, 0],
           [0, 0, 1],
           [0, 0, 0]], dtype=int8)
    """
    dag = check_adjacency(adjacency, acyclic=True).astype(bool)
    targets = np.asarray(targets, dtype=bool)
    if targets.ndim != 2 or targets.shape[1] != len(dag):
        raise ValueError(
            f"targets must have shape (n_regimes, {len(dag)}), one column for each "
            f"variable of the graph, got {targets.shape}."
        )
    return essential_graph(dag, separated_pairs(targets))


def essential_graph(dag: np.ndarray, separated: np.ndarray) -> np.ndarray:
    """Complete a boolean (d, d) DAG, given the pairs that interventions tell apart."""
    compelled = dag & (_in_v_structure(dag) | separated)
    return meek_closure(compelled | (dag | dag.T) & ~compelled.T)


def _in_v_structure(dag: np.ndarray) -> np.ndarray:
    """Mark the edges i -> j with some k -> j not adjacent to i; (d, d) bool."""
    d = len(dag)
    apart = ~(dag | dag.T | np.eye(d, dtype=bool))
    return dag & (apart.astype(np.float32) @ dag.astype(np.float32) > 0)


def separated_pairs(targets: np.ndarray) -> np.ndarray:
    """Mark the pairs of which some target set holds exactly one; (d, d) bool."""
    inside = np.unique(targets, axis=0).astype(np.float32)
    one_only = inside.T @ (1 - inside) > 0
    return one_only | one_only.T


def meek_closure(pdag: np.ndarray) -> np.ndarray:
    """Direct the undirected edges whose direction follows from the directed ones.

    Applies the four orientation rules of [1]_ until nothing changes. An edge that
    the rules would direct both ways, which happens only if the directed edges
    contradict each other, stays undirected.

    Parameters
    ----------
    pdag : ndarray of shape (n_variables, n_variables)
        Adjacency matrix of a partially directed graph.

    Returns
    -------
    ndarray of shape (n_variables, n_variables)
        The int8 adjacency matrix after all rules.

    References
    ----------
    .. [1] C. Meek (1995). Causal inference and causal explanation with background
       knowledge. UAI, 403-410, Section 2.1.

    Examples
    --------
    The edge 1 - 2 may not create the v-structure 0 -> 1 <- 2.

    >>> from skcausal.graphs import meek_closure
    >>> meek_closure([[0, 1, 0], [0, 0, 1], [0, 1, 0]])
    array([[0, 1, 0],
           [0, 0, 1],
           [0, 0, 0]], dtype=int8)
    """
    edges = check_adjacency(pdag, name="pdag").astype(bool)
    apart = ~(edges | edges.T | np.eye(len(edges), dtype=bool))
    while True:
        directed, undirected = edges & ~edges.T, edges & edges.T
        forced = undirected & _rules_one_and_two(directed, apart)
        forced &= ~forced.T
        if not forced.any():
            forced = undirected & _rules_three_and_four(directed, undirected, apart)
            forced &= ~forced.T
        if not forced.any():
            return edges.astype(np.int8)
        edges &= ~forced.T


def _rules_one_and_two(directed: np.ndarray, apart: np.ndarray) -> np.ndarray:
    """Mark b -> c forced by a -> b with a, c apart (rule 1) or by b -> a -> c (rule 2)."""
    arrows = directed.astype(np.float32)
    return (arrows.T @ apart.astype(np.float32) > 0) | (arrows @ arrows > 0)


def _rules_three_and_four(
    directed: np.ndarray, undirected: np.ndarray, apart: np.ndarray
) -> np.ndarray:
    """Mark a -> b forced by rules 3 and 4 among the undirected edges a - b.

    Rule 3: a - c -> b and a - e -> b with c, e apart. Rule 4: a - e -> c -> b with
    a, c adjacent and b, e apart.
    """
    adjacent = ~apart
    forced = np.zeros_like(directed)
    for a, b in np.argwhere(undirected):
        middle = undirected[a] & directed[:, b]
        rule_three = apart[np.ix_(middle, middle)].any()
        last = adjacent[a] & directed[:, b]
        rule_four = directed[np.ix_(undirected[a] & apart[b], last)].any()
        forced[a, b] = rule_three or rule_four
    return forced


def consistent_extension(pdag: np.ndarray) -> np.ndarray:
    """Direct the undirected edges of a graph without changing what it implies.

    Repeatedly takes the variable of lowest index that can be a sink: it has no
    outgoing edge, and its undirected neighbours are adjacent to everything else
    it is adjacent to. Its undirected edges are directed into it and it is removed.

    Parameters
    ----------
    pdag : ndarray of shape (n_variables, n_variables)
        Adjacency matrix of a partially directed graph.

    Returns
    -------
    ndarray of shape (n_variables, n_variables)
        Adjacency matrix of a DAG with the same skeleton, every directed edge of
        `pdag`, and no v-structure that `pdag` does not have.

    Raises
    ------
    ValueError
        If there is no such DAG. :func:`acyclic_orientation` gives one that
        departs from `pdag` as documented there.

    References
    ----------
    .. [1] D. Dor and M. Tarsi (1992). A simple algorithm to construct a consistent
       extension of a partially oriented graph. Technical report R-185, UCLA.

    Examples
    --------
    >>> from skcausal.graphs import consistent_extension
    >>> consistent_extension([[0, 1, 0], [1, 0, 1], [0, 1, 0]])
    array([[0, 0, 0],
           [1, 0, 0],
           [0, 1, 0]], dtype=int8)
    """
    dag = _extension_or_none(check_adjacency(pdag, name="pdag").astype(bool))
    if dag is None:
        raise ValueError(
            "The graph has no consistent extension: every way to direct its undirected "
            "edges makes a cycle or a new v-structure. acyclic_orientation finds a DAG "
            "for any graph, at the price of such changes."
        )
    return dag.astype(np.int8)


def _extension_or_none(edges: np.ndarray) -> np.ndarray | None:
    """Dor and Tarsi's extension of a boolean (d, d) graph; None if there is none."""
    dag = edges.copy()
    rest = edges.copy()
    left = np.ones(len(edges), dtype=bool)
    while left.any():
        sink = next((x for x in np.flatnonzero(left) if _can_be_sink(x, rest)), None)
        if sink is None:
            return None
        dag[sink, rest[:, sink]] = False
        rest[sink] = rest[:, sink] = left[sink] = False
    return dag


def _can_be_sink(x: np.intp, edges: np.ndarray) -> bool:
    """Whether x has no child and directing its edges inwards adds no v-structure."""
    if np.any(edges[x] & ~edges[:, x]):
        return False
    neighbours = np.flatnonzero(edges[x])
    around = np.flatnonzero(edges[:, x])
    links = (edges | edges.T)[np.ix_(neighbours, around)]
    return bool(np.all(links | (neighbours[:, None] == around)))


def acyclic_orientation(pdag: np.ndarray) -> np.ndarray:
    """Find a DAG on the skeleton of any partially directed graph.

    This is the :func:`consistent_extension` where there is one. Where there is
    none, as with conflicting v-structures or a bidirected edge in the output of
    the PC algorithm, the variables are put in the order of the greedy rule of
    [1]_ on the directed edges and every edge is directed along that order. The
    rule repeatedly moves the lowest variable without outgoing edge to the end,
    else the lowest one without incoming edge to the front, else the one with the
    greatest excess of outgoing over incoming edges (the lowest of those) to the
    front. It keeps every directed edge if those make no cycle, and more than half
    of them otherwise; v-structures may then appear that `pdag` does not have.

    Parameters
    ----------
    pdag : ndarray of shape (n_variables, n_variables)
        Adjacency matrix of a partially directed graph.

    Returns
    -------
    ndarray of shape (n_variables, n_variables)
        Adjacency matrix of a DAG with the same skeleton.

    References
    ----------
    .. [1] P. Eades, X. Lin and W. F. Smyth (1993). A fast and effective heuristic
       for the feedback arc set problem. Information Processing Letters 47, 319-323.

    Examples
    --------
    A directed triangle has no consistent extension; one edge is turned.

    >>> from skcausal.graphs import acyclic_orientation
    >>> acyclic_orientation([[0, 1, 0], [0, 0, 1], [1, 0, 0]])
    array([[0, 1, 1],
           [0, 0, 1],
           [0, 0, 0]], dtype=int8)
    """
    edges = check_adjacency(pdag, name="pdag").astype(bool)
    dag = _extension_or_none(edges)
    if dag is None:
        order = _feedback_order(edges & ~edges.T)
        rank = np.argsort(order)
        dag = (edges | edges.T) & (rank[:, None] < rank)
    return dag.astype(np.int8)


def _feedback_order(directed: np.ndarray) -> np.ndarray:
    """Order the variables by the greedy rule of Eades, Lin and Smyth; (d,)."""
    edges = directed.copy()
    left = np.ones(len(edges), dtype=bool)
    front: list[int] = []
    back: list[int] = []
    while left.any():
        out, into = edges.sum(axis=1), edges.sum(axis=0)
        if (left & (out == 0)).any():
            x = int(np.argmax(left & (out == 0)))
            back.append(x)
        else:
            excess = np.where(into == 0, len(edges), out - into)
            x = int(np.argmax(np.where(left, excess, -len(edges))))
            front.append(x)
        edges[x] = edges[:, x] = left[x] = False
    return np.array(front + back[::-1], dtype=np.intp)
