"""Linear mechanisms given a graph or an order: exact marginal likelihood, parents, edge odds."""

from dataclasses import dataclass

import numpy as np

from skcausal.perturbation._spike_slab import log_normal, log_sigmoid, sigmoid

# What is left of a square below this share of it is the rounding error of a perfect fit.
_LEAST_SHARE = 1e-9


@dataclass(frozen=True, eq=False)
class Mechanism:
    """Linear equation of one variable with latent shifts, fitted by maximum marginal likelihood.

    Attributes
    ----------
    parents : ndarray of int of shape (n_parents,)
        The parents.
    coef : ndarray of shape (n_parents,)
        Their weights.
    intercept : float
        Intercept.
    noise_variance : float
        Variance of the noise.
    log_evidence : float
        Log marginal likelihood at the maximum plus the penalties of the parents (BIC and prior).
    edge_log_odds : ndarray of shape (n_parents,)
        By how much each parent raises it.
    target_probability : ndarray of shape (n_contexts,)
        Posterior probability that the variable is a target; 0 for the control.
    """

    parents: np.ndarray
    coef: np.ndarray
    intercept: float
    noise_variance: float
    log_evidence: float
    edge_log_odds: np.ndarray
    target_probability: np.ndarray


@dataclass(frozen=True, eq=False)
class Measurement:
    """What the rows of contexts tell about interventions, mechanisms given.

    The log odds of a target, apart from the prior ones, are ``log_ratio`` plus the log density of
    ``values`` under the prior of targets, widened by ``noise``.

    Attributes
    ----------
    values : ndarray of shape (n_contexts, n_variables)
        Shifts, do-values or log factors, if the variables were targets.
    noise : ndarray of shape (n_contexts, n_variables)
        Variances of their errors.
    log_ratio : ndarray of shape (n_contexts, n_variables)
        See above.
    """

    values: np.ndarray
    noise: np.ndarray
    log_ratio: np.ndarray

    def without_control(self):
        """Leave out the first context."""
        return Measurement(self.values[1:], self.noise[1:], self.log_ratio[1:])


class ShiftLikelihood:
    """Marginal likelihood of single linear mechanisms under latent shifts, from context statistics.

    Parameters
    ----------
    contexts : Contexts
        Statistics of standardised variables.
    prior : SpikeSlab
        Prior of the shifts, in units of the noise.
    edge_log_odds : float
        Prior log odds of an edge.

    Notes
    -----
    With the mean residual ``r_k`` of context k, the within-context residual sum of squares R and
    its degrees of freedom m, the log marginal likelihood of variable j is ::

        - m / 2 log(2 pi s2) - R / (2 s2)
            + sum_k log((1 - p) N(r_k; 0, s2 / n_k) + p N(r_k; 0, s2 (1 / n_k + v)))

    with p = 0 for the control. For fixed responsibilities it is that of a weighted regression, so
    expectation-maximisation alternates the two.
    """

    def __init__(self, contexts, prior, edge_log_odds):
        n_contexts, n_variables = contexts.means.shape
        self.prior = prior
        self.n_rows = contexts.n_rows.astype(float)
        self.n_within = contexts.n_within
        # The intercept is the last column, constant and without scatter.
        self.means = np.column_stack([contexts.means, np.ones(n_contexts)])
        self.scatter = np.zeros((n_variables + 1, n_variables + 1))
        self.scatter[:-1, :-1] = contexts.scatter
        self.penalty = 0.5 * np.log(self.n_rows.sum()) - edge_log_odds
        self.log_odds = odds_of_contexts(prior.log_odds, n_contexts, n_variables)

    def fit(self, j, candidates, start=None, *, select=True, n_iter=30):
        """Fit the equation of variable j, dropping parents that do not pay for themselves.

        Parameters
        ----------
        j : int
            The variable.
        candidates : array-like of int
            Its candidate parents.
        start : ndarray of shape (n_contexts,), default=None
            Probability that j is a target, to begin with. None: certain, so that the start rests
            on the scatter inside contexts.
        select : bool, default=True
            Whether to eliminate parents backwards.
        n_iter : int, default=30
            Most iterations of expectation-maximisation.

        Returns
        -------
        mechanism : Mechanism
            The fitted equation.
        """
        parents = np.asarray(candidates, dtype=int)
        q = np.ones(len(self.n_rows)) if start is None else start
        last = -np.inf
        for _ in range(n_iter):
            weights = 1.0 - q + q / (1.0 + self.n_rows * self.prior.variance)
            kept, coef, variance, gains = self._regress(j, parents, weights, select)
            parents = parents[kept]
            residuals = self.means[:, j] - self.means[:, parents] @ coef[:-1] - coef[-1]
            spike, slab = self._log_terms(j, residuals, variance)
            evidence = self._log_evidence(j, parents, coef, variance, np.logaddexp(spike, slab))
            q = responsibilities(spike, slab)
            if np.isfinite(last) and evidence - last < 1e-6 * (1.0 + abs(evidence)):
                break
            last = evidence
        gains = gains - self.penalty
        return Mechanism(parents, coef[:-1], float(coef[-1]), variance, evidence, gains, q)

    def _log_terms(self, j, residuals, variance):
        """Log joint densities of mean residuals without and with a target (n_contexts,)."""
        noise = variance / self.n_rows
        spike = log_normal(residuals, noise)
        slab = log_normal(residuals, noise + variance * self.prior.variance)
        log_odds = self.log_odds[:, j]
        return spike + log_sigmoid(-log_odds), slab + log_sigmoid(log_odds)

    def _log_evidence(self, j, parents, coef, variance, log_marginals):
        """Penalised log marginal likelihood of one equation."""
        direction = np.concatenate([-coef[:-1], [1.0]])
        index = np.append(parents, j)
        within = direction @ self.scatter[np.ix_(index, index)] @ direction
        m = self.n_within
        log_within = -0.5 * (m * np.log(2.0 * np.pi * variance) + within / variance)
        return float(log_within + log_marginals.sum() - self.penalty * len(parents))

    def correlation(self):
        """Correlations (n_variables, n_variables) inside contexts; 0 for constants."""
        return correlation_of(self.scatter[:-1, :-1])

    def measure(self, mechanisms):
        """Measure the shift that each variable has if it is a target.

        Parameters
        ----------
        mechanisms : list of Mechanism
            Fitted equations.

        Returns
        -------
        measurement : Measurement
            Shifts in units of the noise's deviation.
        """
        values = np.empty((len(self.n_rows), len(mechanisms)))
        for j, m in enumerate(mechanisms):
            residuals = self.means[:, j] - self.means[:, m.parents] @ m.coef - m.intercept
            values[:, j] = residuals / np.sqrt(m.noise_variance)
        noise = np.broadcast_to(1.0 / self.n_rows[:, None], values.shape)
        return Measurement(values, noise, -log_normal(values, noise))

    def _regress(self, j, parents, weights, select):
        """Regression of j on parents and a constant, with weighted context means."""
        used = np.concatenate([parents, [len(self.scatter) - 1, j]])
        means = self.means[:, used]
        moments = self.scatter[np.ix_(used, used)] + (means.T * (weights * self.n_rows)) @ means
        return eliminate_backwards(moments, self.n_rows.sum(), self.penalty if select else -np.inf)


def correlation_of(scatter):
    """Correlations of a scatter matrix, 0 with variables that are constant."""
    deviation = np.sqrt(np.diag(scatter))
    deviation = np.where(deviation > 0, deviation, np.inf)
    return scatter / np.outer(deviation, deviation)


def odds_of_contexts(log_odds, n_contexts, n_variables):
    """Prior log odds of targets (n_contexts, n_variables), of which the control has none."""
    odds = np.full((n_contexts, n_variables), -np.inf)
    odds[1:] = log_odds
    return odds


def responsibilities(spike, slab):
    """Probability of the slab, of which one log joint density may be -inf."""
    with np.errstate(invalid="ignore"):
        return sigmoid(slab - spike)


def eliminate_backwards(moments, n_rows, penalty):
    """Least squares from second moments, dropping regressors that gain less than a penalty.

    Parameters
    ----------
    moments : ndarray of shape (n_parents + 2, n_parents + 2)
        Sums of products of the parents, the constant 1 and the variable itself, in this order.
    n_rows : float
        Number of rows that they stand for.
    penalty : float
        Least gain in log likelihood of a parent that is kept. ``-inf`` keeps all.

    Returns
    -------
    kept : ndarray of int
        Indices of the parents left.
    coef : ndarray of shape (n_kept + 1,)
        Their weights and the intercept.
    variance : float
        Noise variance.
    gains : ndarray of shape (n_kept,)
        By how much each parent raises the log likelihood.
    """
    gram, cross = moments[:-1, :-1], moments[:-1, -1]
    # Not a pseudo-inverse, of which the diagonal does not tell what a regressor is worth that
    # others can replace.
    squares = np.diag(gram)
    inverse = np.linalg.inv(gram + np.diag(_LEAST_SHARE * np.where(squares > 0, squares, 1.0)))
    coef = inverse @ cross
    residual = moments[-1, -1] - cross @ coef
    floor = max(_LEAST_SHARE * moments[-1, -1] / n_rows, 1e-12)
    kept = np.arange(len(cross) - 1)
    while True:
        variance = max(residual / n_rows, floor)
        rise = coef[:-1] ** 2 / np.maximum(np.diag(inverse)[:-1], 1e-300)
        # Gain in log likelihood with the variance profiled out.
        gains = 0.5 * n_rows * np.log1p(rise / (n_rows * variance))
        if not len(kept) or gains.min() > penalty:
            return kept, coef, variance, gains
        drop = int(gains.argmin())
        residual = residual + rise[drop]
        column, pivot = inverse[:, drop], max(inverse[drop, drop], 1e-300)
        coef = np.delete(coef - column * coef[drop] / pivot, drop)
        inverse = inverse - np.outer(column, column) / pivot
        inverse = np.delete(np.delete(inverse, drop, axis=0), drop, axis=1)
        kept = np.delete(kept, drop)


def fit_graph_of_order(likelihood, order, start=None, n_candidates=None):
    """Select the parents of every variable among its predecessors.

    Parameters
    ----------
    likelihood : ShiftLikelihood or ChangeLikelihood
        Judge of the equations.
    order : ndarray of int of shape (n_variables,)
        The variables, ancestors first.
    start : ndarray of shape (n_contexts, n_variables), default=None
        Probabilities of targets to begin with.
    n_candidates : int, default=None
        Most predecessors to choose from: those that correlate most with the variable. None: all.

    Returns
    -------
    mechanisms : list of Mechanism
        One per variable.
    """
    mechanisms = [None] * len(order)
    correlation = likelihood.correlation()
    for place, j in enumerate(order):
        candidates = order[:place]
        if n_candidates is not None and place > n_candidates:
            strongest = np.argsort(-np.abs(correlation[j, candidates]), kind="stable")
            candidates = candidates[strongest[:n_candidates]]
        mechanisms[j] = likelihood.fit(j, candidates, None if start is None else start[:, j])
    return mechanisms


def reverse_edges(likelihood, mechanisms, n_candidates=None, *, n_sweeps=20):
    """Reverse edges, with the common parents of their ends, as long as the evidence rises.

    Shifts that are few or absent leave orders undecided; the sparser graph decides then. The edge
    i -> j can be reversed if no other path leads from i to j; both ends get the parents of both as
    candidates, so the graph stays acyclic and an I-map.

    Parameters
    ----------
    likelihood : ShiftLikelihood or ChangeLikelihood
        Judge of the equations.
    mechanisms : list of Mechanism
        The present graph.
    n_candidates : int, default=None
        Most parents that either end of a reversed edge may choose from. None: no limit.
    n_sweeps : int, default=20
        Bound on the number of sweeps over all edges.

    Returns
    -------
    mechanisms : list of Mechanism
        The improved graph.
    """
    mechanisms = list(mechanisms)
    for _ in range(n_sweeps):
        changed = False
        for j in range(len(mechanisms)):
            for i in mechanisms[j].parents.tolist():
                if i not in mechanisms[j].parents or _has_detour(mechanisms, i, j):
                    continue
                union = np.union1d(mechanisms[i].parents, mechanisms[j].parents)
                union = union[union != i]
                if n_candidates is not None and len(union) >= n_candidates:
                    continue
                new_i = likelihood.fit(i, np.append(union, j), mechanisms[i].target_probability)
                new_j = likelihood.fit(j, union, mechanisms[j].target_probability)
                gain = new_i.log_evidence + new_j.log_evidence
                gain -= mechanisms[i].log_evidence + mechanisms[j].log_evidence
                if gain > 1e-6 * (1.0 + abs(mechanisms[i].log_evidence)):
                    mechanisms[i], mechanisms[j] = new_i, new_j
                    changed = True
        if not changed:
            break
    return mechanisms


def _has_detour(mechanisms, i, j):
    """Whether a path of at least two edges leads from i to j: search backwards from j."""
    stack = [p for p in mechanisms[j].parents.tolist() if p != i]
    seen = set(stack)
    while stack:
        node = stack.pop()
        for p in mechanisms[node].parents.tolist():
            if p == i:
                return True
            if p not in seen:
                seen.add(p)
                stack.append(p)
    return False


def adjacency_of(mechanisms):
    """Adjacency matrix (n_variables, n_variables) of int8."""
    adjacency = np.zeros((len(mechanisms), len(mechanisms)), dtype=np.int8)
    for j, mechanism in enumerate(mechanisms):
        adjacency[mechanism.parents, j] = 1
    return adjacency
