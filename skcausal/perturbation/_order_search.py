"""Search over the orders of the variables for the sparsest shifts of linear mechanisms.

If shifts are all that interventions do, the covariance inside contexts is that of the controls.
Along an order of the variables its Cholesky factor L holds the linear mechanisms, and the rows of
``inv(L)`` turn means of contexts into standardised shifts. The likelihood of the deviations inside
contexts is the same for all orders; so orders are compared by the shifts alone: under the right one
they are sparse.

A variable's standardised residual depends on the *set* of its predecessors, and so a move of one
variable changes it and those that it jumps over. All moves of a variable are scored at once, from
running sums over one row of L (towards the front) or one column of its inverse (towards the back).
"""

import numpy as np
from scipy.linalg import solve_triangular


def search_order(covariance, shifts, log_marginal, *, start, n_sweeps=100):
    """Improve an order by moving one variable at a time, until no move helps.

    Parameters
    ----------
    covariance : ndarray of shape (n_variables, n_variables)
        Covariance inside contexts, positive definite.
    shifts : ndarray of shape (n_contexts, n_variables)
        Means of contexts minus that of the controls.
    log_marginal : callable
        ``log_marginal(z)`` scores standardised shifts z (n_contexts, ...): entry by entry, summed
        over the first axis.
    start : ndarray of int of shape (n_variables,)
        The order to begin with, ancestors first.
    n_sweeps : int, default=100
        Bound on the number of sweeps over all variables.

    Returns
    -------
    order : ndarray of int of shape (n_variables,)
        The order found.
    score : float
        Sum of its log marginals.
    """
    order = np.array(start)
    factor, residuals, scores = _factorise(covariance, shifts, order, log_marginal)
    for _ in range(n_sweeps):
        moved = False
        for variable in order.copy():
            place = int(np.flatnonzero(order == variable)[0])
            gains = insertion_gains(factor, residuals, scores, place, log_marginal)
            best = int(gains.argmax())
            # A gain of the size of rounding errors would move the variable to and fro.
            if gains[best] > 1e-7 * (1.0 + np.abs(scores).sum()):
                order = np.insert(np.delete(order, place), best, variable)
                factor, residuals, scores = _factorise(covariance, shifts, order, log_marginal)
                moved = True
        if not moved:
            break
    return order, float(scores.sum())


def standardised_shifts(covariance, shifts, order):
    """Shift of every variable given its predecessors, in units of its noise (n_contexts, d)."""
    residuals = np.empty_like(shifts)
    residuals[:, order] = _whiten(covariance, shifts, order)[1]
    return residuals


def insertion_gains(factor, residuals, scores, place, log_marginal):
    """Score the moves of one variable to every place.

    Parameters
    ----------
    factor : ndarray of shape (n_variables, n_variables)
        Lower Cholesky factor L of the covariance, in the present order.
    residuals : ndarray of shape (n_contexts, n_variables)
        Standardised shifts ``inv(L) @ shift``, in the present order.
    scores : ndarray of shape (n_variables,)
        Their log marginals.
    place : int
        Where the variable stands.
    log_marginal : callable
        As for :func:`search_order`.

    Returns
    -------
    gains : ndarray of shape (n_variables,)
        By how much the score rises if the variable is moved to each place; 0 at its own.

    Notes
    -----
    Let row v of L be l, and let the variable stand at t. Given its predecessors before place q
    alone, it has the standard deviation ``r_q = sqrt(sum_{p=q..t} l_p^2)`` and the standardised
    residual ``a_q = sum_{p=q..t} l_p z_p / r_q``. The variable at q < t, given v besides, gets
    ``(l_q a_{q+1} - r_{q+1} z_q) / r_q``: the same rotation in the plane of the two. Towards the
    back the column of ``inv(L)`` takes the place of the row of L.
    """
    gains = np.zeros(len(scores))
    row = factor[place, : place + 1]
    unit = np.zeros(len(scores) - place)
    unit[0] = 1.0
    column = solve_triangular(factor[place:, place:], unit, lower=True, check_finite=False)
    sides = (
        (slice(None, place), row[::-1], residuals[:, : place + 1][:, ::-1], scores[:place][::-1]),
        (slice(place + 1, None), column, residuals[:, place:], scores[place + 1 :]),
    )
    for side, weights, z, overtaken in sides:
        if not len(overtaken):
            continue
        length = np.sqrt(np.cumsum(weights**2))
        own = np.cumsum(weights * z, axis=1) / length
        others = (weights[1:] * own[:, :-1] - length[:-1] * z[:, 1:]) / length[1:]
        gain = log_marginal(own[:, 1:]) - scores[place]
        gain += np.cumsum(log_marginal(others) - overtaken)
        gains[side] = gain if side.start is not None else gain[::-1]
    return gains


def _factorise(covariance, shifts, order, log_marginal):
    """Cholesky factor, standardised shifts and their scores, in an order."""
    factor, residuals = _whiten(covariance, shifts, order)
    return factor, residuals, log_marginal(residuals)


def _whiten(covariance, shifts, order):
    """Cholesky factor of the covariance and ``inv(L) @ shift`` in an order."""
    factor = np.linalg.cholesky(covariance[np.ix_(order, order)])
    whitened = solve_triangular(factor, shifts[:, order].T, lower=True, check_finite=False)
    return factor, whitened.T
