"""Search over orders for the graph of the fewest edges and the fewest targets of contexts."""

import numpy as np

from skcausal.structure._igsp_search import minimal_imap, reverse_arc, reversible_arcs

# Graphs of equal score that one depth-first search visits before it gives up.
_MAX_VISITS = 2000


class TargetScore:
    """Edges and targets that the tests find, at the given levels; answers are cached.

    Parameters
    ----------
    tests : ContextTests
        The tests.
    alpha : float
        Level of the tests of edges.
    alpha_invariance : float
        Level of the tests of invariance: a variable is a target of a context if its distribution
        given its parents differs from that of the controls.
    """

    def __init__(self, tests, *, alpha, alpha_invariance):
        self.n_variables = tests.n_variables
        self.tests = tests
        self.alpha = alpha
        self.alpha_invariance = alpha_invariance
        self._parents: dict = {}
        self._targets: dict = {}

    def parents(self, j, candidates):
        """Mask (n_variables,) of the candidates that j depends on given the others."""
        key = (j, candidates.tobytes())
        if key not in self._parents:
            self._parents[key] = self.tests.edge_pvalues(j, candidates) < self.alpha
        return self._parents[key]

    def is_confirmed(self, i, j):
        """Whether i must stay an ancestor of j: nothing is known of targets beforehand."""
        return False

    def targets(self, j, parents):
        """Mask (n_contexts,) of the contexts in which j changes given its parents."""
        key = (j, parents.tobytes())
        if key not in self._targets:
            pvalues = self.tests.invariance_pvalues(j, parents)
            self._targets[key] = pvalues < self.alpha_invariance
        return self._targets[key]

    def all_targets(self, adjacency):
        """Targets (n_contexts, n_variables) of a graph."""
        parents = adjacency.T.astype(bool)
        return np.column_stack([self.targets(j, row) for j, row in enumerate(parents)])

    def __call__(self, adjacency):
        """Count the edges and targets of a graph (n_variables, n_variables)."""
        return int(adjacency.sum()) + int(self.all_targets(adjacency).sum())


def search_targets(score, *, depth, n_restarts, start, rng):
    """Find the graph of the lowest score from several orders.

    Parameters
    ----------
    score : TargetScore
        Judge of the graphs.
    depth : int
        Number of successive reversals without gain after which a search gives up.
    n_restarts : int
        Number of starting orders.
    start : {"ancestral", "min_degree", "random"}
        Starting orders, see :func:`ancestral_order` and :func:`min_degree_order`.
    rng : numpy.random.Generator or numpy.random.RandomState
        Source of the orders.

    Returns
    -------
    adjacency : ndarray of int8 of shape (n_variables, n_variables)
        Entry (i, j) is 1 where i -> j.
    """
    best, best_value = None, np.inf
    for restart in range(n_restarts):
        if start == "ancestral":
            order = ancestral_order(score, rng, noise=0.5 * (restart > 0))
        elif start == "min_degree":
            order = min_degree_order(score, rng)
        else:
            order = rng.permutation(score.n_variables)
        adjacency, value = descend(score, minimal_imap(score, order), depth, rng)
        if value < best_value:
            best, best_value = adjacency, value
    return best


def descend(score, adjacency, depth, rng):
    """Reverse covered arcs until no graph within reach is better; the graph and its score."""
    value = score(adjacency)
    while True:
        better = _first_better(score, adjacency, value, depth, rng)
        if better is None:
            return adjacency, value
        adjacency, value = better


def _first_better(score, root, value, depth, rng):
    """First graph of a lower score behind at most `depth` reversals, and its score, or None."""
    seen = {root.tobytes()}
    trail = [_neighbours(score, root, rng)] if depth > 0 else []
    while trail and len(seen) <= _MAX_VISITS:
        graph = next(trail[-1], None)
        if graph is None:
            trail.pop()
            continue
        if graph.tobytes() in seen:
            continue
        seen.add(graph.tobytes())
        new_value = score(graph)
        if new_value < value:
            return graph, new_value
        if new_value == value and len(trail) < depth:
            trail.append(_neighbours(score, graph, rng))
    return None


def _neighbours(score, adjacency, rng):
    """Iterate in random order over the graphs one reversal of a covered arc away."""
    pairs = reversible_arcs(score, adjacency)
    for k in rng.permutation(len(pairs)):
        yield reverse_arc(score, adjacency, *pairs[k])


def ancestral_order(score, rng, noise=0.0):
    """Order the variables by the number of contexts in which their marginals change.

    Whatever changes a variable changes its descendants too, unless effects cancel; so descendants
    change at least as often, and the order is an ancestral one if the tests have the power.

    Parameters
    ----------
    score : TargetScore
        Judge of the changes.
    rng : numpy.random.Generator or numpy.random.RandomState
        Source of the order of ties and of the noise.
    noise : float, default=0.0
        Numbers are multiplied by factors from 1 - noise to 1 + noise.

    Returns
    -------
    order : ndarray of int of shape (n_variables,)
        The variables, ancestors first.
    """
    order = rng.permutation(score.n_variables)
    nothing = np.zeros(score.n_variables, dtype=bool)
    n_changes = np.array([score.targets(j, nothing).sum() for j in order])
    factors = rng.uniform(1.0 - noise, 1.0 + noise, size=len(order))
    return order[np.argsort(n_changes * factors, kind="stable")]


def min_degree_order(score, rng):
    """Order the variables so that the graph of the order has few edges.

    The last variable is one that depends on the fewest others given all others. It is taken out,
    those that it depends on are joined to each other, and so on.

    Parameters
    ----------
    score : TargetScore
        Judge of the edges.
    rng : numpy.random.Generator or numpy.random.RandomState
        Source of the order of ties.

    Returns
    -------
    order : ndarray of int of shape (n_variables,)
        The variables.
    """
    n_variables = score.n_variables
    joined = np.stack([score.parents(j, np.arange(n_variables) != j) for j in range(n_variables)])
    joined |= joined.T
    left, order = list(range(n_variables)), []
    while left:
        degrees = joined[np.ix_(left, left)].sum(axis=1)
        last = left.pop(rng.choice(np.flatnonzero(degrees == degrees.min())))
        order.append(last)
        joined |= np.outer(joined[last], joined[last])
        np.fill_diagonal(joined, False)
    return np.array(order[::-1])
