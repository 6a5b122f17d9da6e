"""Order the variables by the shifts that interventions cause, then select parents by BIC."""

from __future__ import annotations

import numpy as np

from skcausal._adjacency import threshold_to_dag
from skcausal.base import control_mean, is_constant
from skcausal.structure._gaussian_score import GaussianScore
from skcausal.structure._learner import StructureLearner

# Added to the information (squared standard deviations times rows) of every total effect.
_RIDGE = 0.5
# Squared deviations per row, of standardised values, that are rounding errors.
_NEGLIGIBLE = 1e-12
# Noise variances are at least this share of a variable's mean squared shift.
_NOISE_FLOOR = 1e-9


class ShiftOrder(StructureLearner):
    """Order variables by shifts under intervention, then select parents by BIC.

    Variable i may be a parent of j if an intervention on i shifts j, and does so more clearly than
    an intervention on j shifts i. Backward selection by BIC then drops the candidates that act
    through others. A strong and fast baseline where most variables have been intervened on.

    Parameters
    ----------
    threshold : float, default=2.5
        Candidates are pairs whose shift has a t-statistic above this in absolute value. It only
        opens the selection; `penalty` decides which edges stay.
    penalty : float, default=1.0
        Penalty of each edge in multiples of the BIC's 0.5 log(n_samples). Higher values give
        sparser graphs.

    Attributes
    ----------
    shift_t_ : ndarray of shape (n_variables, n_variables)
        Entry (i, j) is the t-statistic of the total effect of an intervention on i on variable j; 0
        if i was never a target while j was free.
    adjacency_ : ndarray of int8 of shape (n_variables, n_variables)
        The learned DAG; entry (i, j) = 1 means i -> j.
    scm_ : LinearGaussianSCM
        The model refitted on `adjacency_`.
    mean_, scale_, target_mean_ : ndarray of shape (n_variables,)
        Training mean, standard deviation, and mean under intervention of each variable.
    n_features_in_ : int
        Number of variables.
    feature_names_in_ : ndarray of shape (n_variables,)
        Names of the variables, if X in `fit` had string column names.

    See Also
    --------
    GIES : Search by score, which also finds edges out of variables that were never targets.

    Notes
    -----
    Let X be standardised, M the mask and ``c_i`` the mean of variable i in the observational rows
    (without any, over the rows in which it is free; without those, over all). What the
    interventions did is ``V[:, i] = M[:, i] (X[:, i] - c_i)``. Over the rows in which j is free, a
    regression of its deviations on them, with a ridge penalty worth half a row, gives

    - the total effects ``T[:, j] = (V' V + I / 2)^-1 V' (X[:, j] - c_j)``, and
    - their statistics ``t[i, j] = T[i, j] / (s_j sqrt(((V' V + I / 2)^-1)[i, i]))``.

    Values within a regime count row by row, so do-values may differ between its rows.

    The variance ``s_j^2`` is that of the residuals about their means in each regime: rows of a
    regime differ by noise alone, whereas differences between regimes would also carry what is not
    linear or not additive. If each regime has a single row, it is the residual variance, and if
    that has no degree of freedom either, the mean square of ``X[:, j] - c_j``. The error of the
    control means is not part of it: with one observational regime of the size of the others, an
    effect of 0 has t-statistics of standard deviation about 1.4.

    Edges i -> j with ``|t[i, j]| > threshold`` and ``|t[i, j]| > |t[j, i]|`` enter from the largest
    ``|t|`` on unless they close a cycle, at most a third as many per variable as it has free rows.
    Then the parent whose removal raises the BIC score of j over its free rows most is removed, one
    after the other, until no removal raises it.

    An edge is found only if an intervention on its cause is in the data: a variable that was never
    a target gets no children.

    Examples
    --------
    >>> from skcausal.datasets import make_linear_scm
    >>> from skcausal.structure import ShiftOrder
    >>> data = make_linear_scm(n_variables=4, n_samples=200, random_state=0)
    >>> model = ShiftOrder().fit(data.X, interventions=data.interventions)
    >>> bool((model.adjacency_ == data.adjacency.to_numpy()).all())
    True
    """

    def __init__(self, threshold: float = 2.5, *, penalty: float = 1.0) -> None:
        self.threshold = threshold
        self.penalty = penalty

    def _learn_graph(self, X, mask, regime):
        if not self.threshold >= 0:
            raise ValueError(f"threshold must not be negative, got {self.threshold}.")
        if not 0 < self.penalty < np.inf:
            raise ValueError(f"penalty must be positive and finite, got {self.penalty}.")
        _, self.shift_t_ = shift_statistics(X, mask, regime)
        score = GaussianScore(X, mask, centering="pooled")
        score.penalty *= self.penalty
        candidates = _acyclic_candidates(np.abs(self.shift_t_), self.threshold, score.n_free // 3)
        adjacency = np.zeros(candidates.shape, dtype=np.int8)
        for j in range(len(adjacency)):
            adjacency[_select_parents(score, j, np.flatnonzero(candidates[:, j]).tolist()), j] = 1
        return adjacency


def shift_statistics(X, mask, regime):
    """Estimate the total effect of each variable on each other, with its t-statistic.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_variables)
        Finite values.
    mask : ndarray of bool of shape (n_samples, n_variables)
        The intervention mask.
    regime : ndarray of int of shape (n_samples,)
        Regime of each row; rows of a regime have the same targets.

    Returns
    -------
    effect, t : ndarray of shape (n_variables, n_variables)
        Entry (i, j): change of variable j per unit of an intervention on i, both in units of their
        standard deviation over all rows, and its t-statistic. 0 where nothing is known.
    """
    deviation = _control_deviations(X, mask)
    shift = np.where(mask, deviation, 0.0)
    effect, spread = np.zeros((2, X.shape[1], X.shape[1]))
    for j in range(X.shape[1]):
        free = ~mask[:, j]
        V = shift[free]
        inverse = np.linalg.inv(V.T @ V + _RIDGE * np.eye(X.shape[1]))
        effect[:, j] = inverse @ (V.T @ deviation[free, j])
        spread[:, j] = np.diag(inverse)
    noise = _noise_variances(deviation, shift, mask, regime, effect)
    error = np.sqrt(noise * spread)
    return effect, np.divide(effect, error, out=np.zeros_like(effect), where=error > 0)


def _control_deviations(X, mask):
    """Deviations (n_samples, n_variables) from the control means, in standard deviations."""
    constant = is_constant(X)
    Z = np.where(constant, 0.0, X - X.mean(axis=0))
    Z /= np.where(constant, 1.0, Z.std(axis=0))
    return Z - control_mean(Z, mask)


def _noise_variances(deviation, shift, mask, regime, effect):
    """Variance (n_variables,) of what the effects leave; see the Notes of the class."""
    free = ~mask
    residual = deviation - shift @ effect
    inside, varies, is_free = _within_regimes(residual, shift, free, regime)
    rows = free.sum(axis=0)
    square = (free * deviation**2).sum(axis=0) / np.maximum(rows, 1)
    n_effects = ((free.T @ shift**2) > _NEGLIGIBLE).sum(axis=1)
    estimates = (
        (inside, is_free.T @ (np.bincount(regime) - 1) - (is_free.T @ varies > 0).sum(axis=1)),
        ((free * residual**2).sum(axis=0), rows - n_effects - 1),
    )
    noise, known = square, np.zeros(len(rows), dtype=bool)
    for total, dof in estimates:
        noise = np.where(~known & (dof > 0), total / np.maximum(dof, 1), noise)
        known |= dof > 0
    return np.maximum(noise, _NOISE_FLOOR * square)


def _within_regimes(residual, shift, free, regime):
    """Squares of residuals about their regime's mean, where do-values vary, what is free where.

    Shapes (n_variables,), (n_regimes, n_variables) and (n_regimes, n_variables).
    """
    order = np.argsort(regime, kind="stable")
    starts = np.flatnonzero(np.diff(regime[order], prepend=-1))
    count = np.bincount(regime)[:, None]

    def centred_squares(Z):
        means = np.add.reduceat(Z[order], starts) / count
        return np.add.reduceat((Z[order] - means[regime[order]]) ** 2, starts)

    is_free = free[order][starts]
    inside = (is_free * centred_squares(residual)).sum(axis=0)
    return inside, centred_squares(shift) > _NEGLIGIBLE * count, is_free.astype(int)


def _acyclic_candidates(strength, threshold, most):
    """Edges (n_variables, n_variables) by falling strength, unless one closes a cycle.

    Variable j keeps at most the ``most[j]`` strongest of its parents.
    """
    outweighs = np.where(strength > strength.T, strength, 0.0)
    candidates = threshold_to_dag(outweighs, threshold).astype(bool)
    by_strength = np.argsort(-np.where(candidates, strength, 0.0), axis=0, kind="stable")
    return candidates & (np.argsort(by_strength, axis=0) < most)


def _select_parents(score, j, parents):
    """Remove parents of j for as long as that raises its score, the best removal first."""
    while parents:
        smaller = [[k for k in parents if k != i] for i in parents]
        scores = [score.local(j, remaining) for remaining in smaller]
        best = int(np.argmax(scores))
        if scores[best] <= score.local(j, parents):
            break
        parents = smaller[best]
    return parents
