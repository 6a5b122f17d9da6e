"""Interventional greedy sparsest permutation: the search, for any tests of edges and invariances.

The tests come as an object with the boolean array `targets` (n_regimes, n_variables) and the
methods `edge_pvalues(j, candidates)`, `invariance_pvalue(i, j, given)` and `shift_pvalue(i, j)`
of `GaussianTests`. "The regimes of i without j" are those that target i but not j.
"""

from itertools import chain, combinations

import numpy as np

# Directed acyclic graphs visited by one depth-first search before it gives up: a bound that
# only dense graphs with hardly any interventions come near.
_MAX_VISITS = 2000

# Evidence of one test, in powers of ten of its p-value, beyond which more changes nothing.
_MAX_EVIDENCE = 20.0


def igsp_search(
    tests,
    *,
    alpha,
    alpha_invariance,
    depth=4,
    n_restarts=10,
    start="ancestral",
    max_given=3,
    rng,
    verbose=False,
):
    """Search for the sparsest graph that agrees with all regimes.

    From each starting order the minimal I-map is built and improved by reversing I-covered
    arcs, see `descend`. The result is the best graph of all restarts: fewest edges first, then
    fewest I-contradicting arcs.

    Nothing here assumes that an intervention cuts the arcs into its targets. The conditions
    are about marginal and conditional distributions that change or do not, therefore hard and
    soft interventions are searched alike [2]_.

    Parameters
    ----------
    tests : GaussianTests
        Or any object with the same attribute `targets` and the same methods.
    alpha : float
        Level of the edge tests: an edge stays if its p-value is below.
    alpha_invariance : float
        Level of the invariance tests: a distribution changes if the p-value is below.
    depth : int, default=4
        Number of successive reversals that do not improve the graph.
    n_restarts : int, default=10
        Number of starting orders.
    start : {"ancestral", "random"}, default="ancestral"
        Starting orders. "ancestral": i tends to precede j if the marginal of j shifts in the
        regimes that target i, see `ancestral_order`. "random": uniform, as in [1]_.
    max_given : int, default=3
        Largest conditioning set, bar the set of all neighbours, that the I-contradicting arcs
        are judged by.
    rng : numpy.random.Generator or numpy.random.RandomState
        Source of the starting orders and of the order in which arcs are tried.
    verbose : bool, default=False
        Show a progress bar over the starting orders.

    Returns
    -------
    adjacency : ndarray of int8 of shape (n_variables, n_variables)
        Entry [i, j] is 1 where i -> j.
    n_contradictions : int
        Number of I-contradicting arcs left.

    References
    ----------
    .. [1] Wang, Solus, Yang and Uhler, "Permutation-based causal inference algorithms with
       interventions", NeurIPS 2017, Algorithm 2.
    .. [2] Yang, Katcoff and Uhler, "Characterizing and learning equivalence classes of causal
       DAGs under interventions", ICML 2018.
    """
    from tqdm.auto import trange

    arcs = _Arcs(tests, alpha, alpha_invariance, max_given)
    best, best_score = None, None
    for restart in trange(n_restarts, desc="starting orders", disable=not verbose):
        order = _starting_order(arcs, start, restart, rng)
        adjacency, score = descend(arcs, minimal_imap(arcs, order), depth, rng)
        if best is None or score < best_score:
            best, best_score = adjacency, score
    return best, best_score[1]


class _Arcs:
    """What the tests say about single arcs, at the given levels; answers are cached."""

    def __init__(self, tests, alpha, alpha_invariance, max_given):
        targets = np.asarray(tests.targets, dtype=bool)
        self.n_variables = targets.shape[1]
        self.tests = tests
        self.alpha = alpha
        self.alpha_invariance = alpha_invariance
        self.max_given = max_given
        self.is_single_target = targets[targets.sum(axis=1) == 1].any(axis=0)
        # [i, j]: some regime targets i but not j.
        self.is_separated = (targets.T.astype(int) @ ~targets) > 0
        self._explained = {}

    def parents(self, j, candidates):
        """Mask (n_variables,) of the candidates that j depends on given the others."""
        return self.tests.edge_pvalues(j, candidates) < self.alpha

    def is_confirmed(self, i, j):
        """Whether {i} is a regime and j shifts in it, so that i must stay an ancestor of j."""
        return self.is_single_target[i] and self.tests.shift_pvalue(i, j) < self.alpha_invariance

    def is_explained(self, i, j, neighbours):
        """Whether p(j | S) is the same in the regimes of i without j, for some S of the neighbours.

        True for some S, the parents of j, if i is not one of them; false for every S if i -> j.
        """
        key = (i, j, neighbours)
        if key not in self._explained:
            self._explained[key] = any(
                self.tests.invariance_pvalue(i, j, given) >= self.alpha_invariance
                for given in _subsets(neighbours, self.max_given)
            )
        return self._explained[key]

    def contradicts(self, i, j, skeleton):
        """Whether i -> j is I-contradicting in a graph with this skeleton (d, d).

        It is (a) if some subset of the neighbours of j explains away all regimes of i without
        j, or (b) if no subset of the neighbours of i explains away all regimes of j without i.
        """
        if self.is_separated[i, j] and self.is_explained(i, j, _others(skeleton, j, i)):
            return True
        return self.is_separated[j, i] and not self.is_explained(j, i, _others(skeleton, i, j))


def _others(skeleton, node, excluded):
    """Neighbours of `node` bar one, as an ascending tuple of int."""
    return tuple(k for k in np.flatnonzero(skeleton[node]).tolist() if k != excluded)


def _subsets(variables, max_size):
    """All subsets of up to `max_size` variables, smallest first, and the set of all variables."""
    sizes = range(min(len(variables), max_size) + 1)
    subsets = chain.from_iterable(combinations(variables, size) for size in sizes)
    return chain(subsets, [variables]) if len(variables) > max_size else subsets


def _starting_order(arcs, start, restart, rng):
    """Order of the variables for one restart; the first ancestral one is free of noise."""
    if start == "random":
        return rng.permutation(arcs.n_variables)
    return ancestral_order(arcs.tests, rng, noise=float(restart > 0))


def ancestral_order(tests, rng, noise=1.0):
    """Draw an order in which targets precede the variables that shift with them.

    Next in the order is always the variable with the least evidence, summed over the variables
    that are left, of having an ancestor among these. Where there is none the order is random.

    Parameters
    ----------
    tests : GaussianTests
        Their `shift_pvalue` is the evidence, in powers of ten.
    rng : numpy.random.Generator or numpy.random.RandomState
        Source of the ties' order and of the noise.
    noise : float, default=1.0
        Scale of the Gumbel noise on the evidence, in powers of ten.

    Returns
    -------
    order : ndarray of int of shape (n_variables,)
    """
    d = tests.targets.shape[1]
    pvalues = np.array(
        [[tests.shift_pvalue(i, j) if i != j else 1.0 for j in range(d)] for i in range(d)]
    )
    evidence = np.minimum(-np.log10(np.maximum(pvalues, 1e-300)), _MAX_EVIDENCE)
    jitter = noise * rng.gumbel(size=d)
    left, order = rng.permutation(d).tolist(), []
    while left:
        preceded = evidence[np.ix_(left, left)].sum(axis=0) + jitter[left]
        order.append(left.pop(int(np.argmin(preceded))))
    return np.array(order)


def minimal_imap(arcs, order):
    """Build the graph of an order: an arc for every dependence given the other predecessors.

    Parameters
    ----------
    arcs : _Arcs
        Judge of the arcs.
    order : ndarray of int of shape (n_variables,)
        The variables, ancestors first.

    Returns
    -------
    adjacency : ndarray of int8 of shape (n_variables, n_variables)
    """
    adjacency = np.zeros((len(order), len(order)), dtype=np.int8)
    before = np.zeros(len(order), dtype=bool)
    for j in order:
        adjacency[:, j] = arcs.parents(int(j), before)
        before[j] = True
    return adjacency


def reversible_arcs(arcs, adjacency):
    """List the I-covered arcs of a graph.

    An arc i -> j is covered if the parents of j are those of i and i. It is I-covered unless
    {i} is a regime in which the marginal of j changes: then i is an ancestor of j, and no graph
    with the reversed arc can be right.

    Parameters
    ----------
    arcs : _Arcs
        Judge of the arcs.
    adjacency : ndarray of int8 of shape (n_variables, n_variables)

    Returns
    -------
    pairs : list of (int, int)
    """
    A = adjacency.astype(int)
    n_parents = A.sum(axis=0)
    n_differing = n_parents[:, None] + n_parents - 2 * A.T @ A
    covered = np.argwhere((A == 1) & (n_differing == 1)).tolist()
    return [(i, j) for i, j in covered if not arcs.is_confirmed(i, j)]


def reverse_arc(arcs, adjacency, i, j):
    """Reverse a covered arc i -> j and test the arcs from their common parents again.

    Parameters
    ----------
    arcs : _Arcs
        Judge of the arcs.
    adjacency : ndarray of int8 of shape (n_variables, n_variables)
        Graph in which i -> j is covered.
    i, j : int
        Ends of the arc.

    Returns
    -------
    adjacency : ndarray of int8 of shape (n_variables, n_variables)
        A new graph, of as many or fewer arcs.
    """
    common = adjacency[:, i] == 1
    with_j = common.copy()
    with_j[j] = True
    reversed_ = adjacency.copy()
    reversed_[:, j] = arcs.parents(j, common)
    reversed_[:, i] = arcs.parents(i, with_j)
    reversed_[j, i] = 1
    return reversed_


def count_contradictions(arcs, adjacency):
    """Count the I-contradicting arcs of a graph (n_variables, n_variables)."""
    skeleton = (adjacency + adjacency.T) > 0
    return int(sum(arcs.contradicts(i, j, skeleton) for i, j in np.argwhere(adjacency).tolist()))


def descend(arcs, adjacency, depth, rng):
    """Improve a graph by reversals until none within reach is better.

    A depth-first search moves on as soon as it meets a graph with fewer edges. If it meets
    none, it moves on to the graph of as many edges with the fewest I-contradicting arcs, and
    stops when that is no fewer than before.

    Parameters
    ----------
    arcs : _Arcs
        Judge of the arcs.
    adjacency : ndarray of int8 of shape (n_variables, n_variables)
        Where to start.
    depth : int
        Depth of the search.
    rng : numpy.random.Generator or numpy.random.RandomState
        Source of the order in which arcs are tried.

    Returns
    -------
    adjacency : ndarray of int8 of shape (n_variables, n_variables)
    score : (int, int)
        Number of edges, number of I-contradicting arcs.
    """
    n_contradictions = count_contradictions(arcs, adjacency)
    while True:
        sparser, equals = _explore(arcs, adjacency, depth, rng)
        if sparser is not None:
            adjacency, n_contradictions = sparser, count_contradictions(arcs, sparser)
            continue
        counts = [count_contradictions(arcs, graph) for graph in equals]
        if not counts or min(counts) >= n_contradictions:
            return adjacency, (int(adjacency.sum()), n_contradictions)
        adjacency, n_contradictions = equals[int(np.argmin(counts))], min(counts)


def _explore(arcs, root, depth, rng):
    """First sparser graph within `depth` reversals, or None and the graphs of equal size."""
    n_edges, seen, equals = root.sum(), {root.tobytes()}, []
    trail = [_neighbours(arcs, root, rng)] if depth > 0 else []
    while trail and len(seen) <= _MAX_VISITS:
        graph = next(trail[-1], None)
        if graph is None:
            trail.pop()
            continue
        if graph.tobytes() in seen:
            continue
        if graph.sum() < n_edges:
            return graph, []
        seen.add(graph.tobytes())
        equals.append(graph)
        if len(trail) < depth:
            trail.append(_neighbours(arcs, graph, rng))
    return None, equals


def _neighbours(arcs, adjacency, rng):
    """Iterate in random order over the graphs one I-covered reversal away."""
    pairs = reversible_arcs(arcs, adjacency)
    for k in rng.permutation(len(pairs)):
        yield reverse_arc(arcs, adjacency, *pairs[k])
