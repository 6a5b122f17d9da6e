"""Learn linear mechanisms and latent targets: orders first, then edges, then targets."""

from dataclasses import dataclass, replace

import numpy as np

from skcausal.graphs import topological_order
from skcausal.perturbation._linear_mechanisms import (
    Mechanism,
    ShiftLikelihood,
    adjacency_of,
    fit_graph_of_order,
    reverse_edges,
)
from skcausal.perturbation._mechanism_change import (
    _LOG_FACTORS,
    ChangeLikelihood,
    log_factor_weights,
)
from skcausal.perturbation._order_search import search_order, standardised_changes
from skcausal.perturbation._spike_slab import (
    SpikeSlab,
    fit_spike_slab,
    log_normal,
    log_sigmoid,
    sigmoid,
)

KINDS = ("shift", "do", "scale")
# The prior is learned anew, at the order found, so many times before the search ends.
_N_ROUNDS = 3


@dataclass(frozen=True, eq=False)
class OrderFit:
    """What the search over orders found, for standardised variables.

    Attributes
    ----------
    mechanisms : list of Mechanism
        One per variable.
    order : ndarray of int of shape (n_variables,)
        A topological order of their graph.
    likelihood : ShiftLikelihood or ChangeLikelihood
        Under which they were fitted.
    target_probability : ndarray of shape (n_contexts, n_variables)
        Posterior probability of a target; 0 for the control.
    """

    mechanisms: list[Mechanism]
    order: np.ndarray
    likelihood: ShiftLikelihood | ChangeLikelihood
    target_probability: np.ndarray

    @property
    def edge_log_odds(self):
        """Log odds of i -> j at (i, j), -inf where there is no edge (n_variables, n_variables)."""
        odds = np.full((len(self.mechanisms), len(self.mechanisms)), -np.inf)
        for j, m in enumerate(self.mechanisms):
            odds[m.parents, j] = m.edge_log_odds
        return odds


def solve_by_order(
    contexts,
    kind,
    *,
    edge_log_odds,
    target_log_odds=None,
    known_targets=None,
    adjacency=None,
    n_restarts=5,
    rng,
):
    """Learn the graph, the mechanisms and the targets of contexts.

    Parameters
    ----------
    contexts : Contexts
        Standardised; with the scatter of each context unless `kind` is "shift".
    kind : {"shift", "do", "scale"}
        What interventions do.
    edge_log_odds : float
        Prior log odds of an edge.
    target_log_odds : float, default=None
        Prior log odds of a target. None: learned.
    known_targets : ndarray of bool of shape (n_contexts, n_variables), default=None
        The targets, if they are known.
    adjacency : ndarray of shape (n_variables, n_variables), default=None
        The graph, if it is known.
    n_restarts : int, default=5
        Number of starting orders.
    rng : RandomState
        Source of the starting orders.

    Returns
    -------
    fit : OrderFit
        What was found.
    """
    learn_odds = target_log_odds is None and known_targets is None
    log_odds = -np.log(9.0) if target_log_odds is None else target_log_odds
    if known_targets is not None:
        log_odds = np.where(known_targets[1:], np.inf, -np.inf)
    if adjacency is None:
        search = _search_variances if kind == "scale" else _search_means
        order, prior, start = search(contexts, kind, log_odds, learn_odds, n_restarts, rng)
    else:
        order, start = topological_order(adjacency), None
        prior = SpikeSlab(log_odds, 10.0 if kind == "shift" else 1.0)
    # A regression on more parents than this would fit any variable perfectly.
    n_candidates = max(1, int(contexts.n_rows.sum()) // 5)
    for _ in range(2):
        likelihood = _likelihood(contexts, kind, prior, edge_log_odds)
        if adjacency is None:
            mechanisms = fit_graph_of_order(likelihood, order, start, n_candidates)
            mechanisms = reverse_edges(likelihood, mechanisms, n_candidates)
        else:
            mechanisms = [
                likelihood.fit(j, np.flatnonzero(parents), select=False)
                for j, parents in enumerate(np.asarray(adjacency).T)
            ]
        measurement = likelihood.measure(mechanisms).without_control()
        start = np.zeros(contexts.means.shape)
        prior, start[1:] = learn_prior(prior, measurement, learn_odds=learn_odds)
        order = topological_order(adjacency_of(mechanisms))
        if kind == "shift" and adjacency is None:
            break
    return OrderFit(mechanisms, order, likelihood, start)


def _search_means(contexts, kind, log_odds, learn_odds, n_restarts, rng):
    """Find the order under which shifts of means are sparsest; its prior, and its targets."""
    shifts = contexts.means[1:]
    noise = (1.0 / contexts.n_rows[1:] + 1.0 / contexts.n_rows[0])[:, None]
    covariance = _search_covariance(contexts, kind)

    def learn(order):
        z = standardised_changes(covariance, shifts, order)
        start = SpikeSlab(log_odds, 10.0)
        return fit_spike_slab(z, noise, start, learn_odds=learn_odds) if z.size else start

    def score(prior):
        return lambda z, variables: prior.log_marginal(z, noise, variables).sum(axis=0)

    first = np.argsort((shifts**2 > 9.0 * noise).sum(axis=0), kind="stable")
    order, prior = _best_order(covariance, shifts, score, learn, first, n_restarts, rng)
    start = np.zeros(contexts.means.shape)
    start[1:] = prior.posterior(standardised_changes(covariance, shifts, order), noise)
    if kind == "shift":
        return order, prior, start
    values = float(np.average(shifts**2, weights=start[1:] + 1e-6)) if shifts.size else 1.0
    values = max(values, 1.0)
    return order, SpikeSlab(prior.log_odds, values), start


def _search_variances(contexts, kind, log_odds, learn_odds, n_restarts, rng):
    """Find the order under which changes of noise variances are sparsest."""
    n = np.maximum(contexts.n_rows[1:] - 1.0, 1.0)
    variances = contexts.scatters[1:] / n[:, None, None]
    covariance = _search_covariance(contexts, kind)
    prior = SpikeSlab(log_odds, 1.0)
    grid, weights = _LOG_FACTORS[::4], log_factor_weights(0.0, 1.0)[::4] + np.log(4.0)

    def score(prior):
        def log_marginal(v, variables):
            spike = -0.5 * n[:, None] * v
            slab = np.full(v.shape, -np.inf)
            for u, weight in zip(grid, weights):
                term = weight - 0.5 * n[:, None] * (2.0 * u + v * np.exp(-2.0 * u))
                slab = np.logaddexp(slab, term)
            odds = prior.odds_of(variables)
            return np.logaddexp(spike + log_sigmoid(-odds), slab + log_sigmoid(odds)).sum(axis=0)

        return log_marginal

    spread = np.diagonal(variances, axis1=1, axis2=2)
    first = np.argsort((np.abs(np.log(np.maximum(spread, 1e-12))) > 0.7).sum(axis=0), kind="stable")
    order, _ = _best_order(
        covariance, variances, score, lambda order: prior, first, n_restarts, rng, n_rounds=1
    )
    return order, prior, None


def _best_order(covariance, changes, score, learn, first, n_restarts, rng, *, n_rounds=_N_ROUNDS):
    """Search from several starts; the order of the highest score and its prior."""
    if not len(changes):
        return first, learn(first)
    best, best_score = None, -np.inf
    for restart in range(n_restarts):
        order = first if restart == 0 else rng.permutation(len(covariance))
        for _ in range(n_rounds):
            prior = learn(order)
            order, _ = search_order(covariance, changes, score(prior), start=order)
        prior = learn(order)
        z = standardised_changes(covariance, changes, order)
        total = float(score(prior)(z, np.arange(len(order))).sum())
        if total > best_score:
            best, best_score = (order, prior), total
    return best


def _search_covariance(contexts, kind):
    """Covariance inside contexts that orders are searched with, shrunk where rows are few.

    Only shifts leave the covariance of all contexts alone. Otherwise it is that of the controls, if
    there are enough.
    """
    n_variables = contexts.means.shape[1]
    n_controls = contexts.n_rows[0] - 1
    if kind != "shift" and n_controls >= 3 * n_variables:
        covariance, n_rows = contexts.scatters[0] / n_controls, n_controls
    else:
        n_rows = max(contexts.n_within, 1)
        covariance = contexts.scatter / n_rows
    return shrink_covariance(covariance, n_rows)


def shrink_covariance(covariance, n_rows):
    """Shrink a covariance towards its mean variance by the oracle approximating factor.

    Parameters
    ----------
    covariance : ndarray of shape (n_variables, n_variables)
        Empirical covariance.
    n_rows : int
        Number of rows, or degrees of freedom, behind it.

    Returns
    -------
    shrunk : ndarray of shape (n_variables, n_variables)
        Positive definite, unless all variances are 0: then the identity.

    References
    ----------
    .. [1] Chen, Y., Wiesel, A., Eldar, Y. C. & Hero, A. O. (2010). Shrinkage algorithms for MMSE
       covariance estimation. IEEE Transactions on Signal Processing, 58(10). Equation 23.
    """
    p = len(covariance)
    trace, squares = np.trace(covariance), (covariance**2).sum()
    if not trace > 0:
        return np.eye(p)
    numerator = (1.0 - 2.0 / p) * squares + trace**2
    denominator = (n_rows + 1.0 - 2.0 / p) * (squares - trace**2 / p)
    share = 1.0 if denominator <= 0 else min(1.0, numerator / denominator)
    # Collinear variables leave nothing to factorise even where rows are many.
    share = max(share, 1e-8)
    return (1.0 - share) * covariance + share * trace / p * np.eye(p)


def _likelihood(contexts, kind, prior, edge_log_odds):
    """Judge of single equations."""
    if kind == "shift":
        return ShiftLikelihood(contexts, prior, edge_log_odds)
    return ChangeLikelihood(contexts, kind, prior, edge_log_odds)


def learn_prior(start, measurement, *, learn_odds=True, n_iter=50, tol=1e-4):
    """Estimate the prior of targets, mechanisms given, by expectation-maximisation.

    Parameters
    ----------
    start : SpikeSlab
        Where to begin. Its variance counts as that of one target seen before.
    measurement : Measurement
        What the rows of the contexts tell, without the control.
    learn_odds : bool, default=True
        Whether to learn the odds, too.
    n_iter : int, default=50
        Most iterations.
    tol : float, default=1e-4
        Change of the parameters, on a log scale, at which to stop.

    Returns
    -------
    prior : SpikeSlab
        The estimate. Where perturbations touch everything, the probability may come near 1.
    q : ndarray of shape (n_contexts - 1, n_variables)
        Probabilities of targets under it.
    """
    prior, noise = start, measurement.noise
    q = _target_posterior(prior, measurement)
    for _ in range(n_iter if q.size else 0):
        shrinkage = prior.variance / (prior.variance + noise)
        second = (shrinkage * measurement.values) ** 2 + shrinkage * noise
        variance = float(((q * second).sum() + start.variance) / (q.sum() + 1.0))
        change = abs(np.log(variance / prior.variance))
        last, prior = prior, replace(prior, variance=variance)
        if learn_odds:
            probability = float(np.clip(q.mean(), 0.5 / q.size, 0.99))
            prior = replace(prior, log_odds=float(np.log(probability / (1.0 - probability))))
            change = max(change, abs(prior.log_odds - last.log_odds))
        q = _target_posterior(prior, measurement)
        if change < tol:
            break
    return prior, q


def _target_posterior(prior, measurement):
    """Probabilities of targets under a prior."""
    density = log_normal(measurement.values, prior.variance + measurement.noise)
    return sigmoid(prior.log_odds + measurement.log_ratio + density)
