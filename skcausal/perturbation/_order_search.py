"""Search over the orders of the variables for the sparsest changes of linear mechanisms.

If shifts are all that interventions do, the covariance inside contexts is that of the controls.
Along an order of the variables its Cholesky factor L holds the linear mechanisms, and the rows of
``inv(L)`` turn means of contexts into standardised shifts. The likelihood of the deviations inside
contexts is the same for all orders; so orders are compared by the shifts alone: under the right one
they are sparse. In the same way ``inv(L)`` turns covariances of contexts into those of standardised
noise; where interventions change the noise, the variances that are not 1 are sparse.

A variable's residual depends on the *set* of its predecessors, and so a move of one variable
changes it and those that it jumps over. All moves of a variable are scored at once, from running
sums over one row of L (towards the front) or one column of its inverse (towards the back).
"""

import numpy as np
from scipy.linalg import solve_triangular


def search_order(covariance, changes, log_marginal, *, start, n_sweeps=100):
    """Improve an order by moving one variable at a time, until no move helps.

    Parameters
    ----------
    covariance : ndarray of shape (n_variables, n_variables)
        Covariance inside contexts, positive definite.
    changes : ndarray of shape (n_contexts, n_variables) or (n_contexts, n_variables, n_variables)
        Means of contexts minus that of the controls, or covariances of contexts.
    log_marginal : callable
        ``log_marginal(z, variables)`` scores columns of standardised shifts, or variances,
        z (n_contexts, n) of the given variables (n,): an array (n,).
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
    factor, residuals = _whiten(covariance, changes, order)
    scores = log_marginal(_diagonal(residuals), order)
    for _ in range(n_sweeps):
        moved = False
        for variable in order.copy():
            place = int(np.flatnonzero(order == variable)[0])
            gains = insertion_gains(order, factor, residuals, scores, place, log_marginal)
            best = int(gains.argmax())
            # A gain of the size of rounding errors would move the variable to and fro.
            if gains[best] > 1e-7 * (1.0 + np.abs(scores).sum()):
                order = np.insert(np.delete(order, place), best, variable)
                factor, residuals = _whiten(covariance, changes, order)
                scores = log_marginal(_diagonal(residuals), order)
                moved = True
        if not moved:
            break
    return order, float(scores.sum())


def standardised_changes(covariance, changes, order):
    """Shift, or variance, of every variable given its predecessors, in units of its noise.

    Parameters
    ----------
    covariance, changes : ndarray
        As for :func:`search_order`.
    order : ndarray of int of shape (n_variables,)
        The order.

    Returns
    -------
    z : ndarray of shape (n_contexts, n_variables)
        In the order of the columns, not in that of `order`.
    """
    z = np.empty(changes.shape[:2])
    z[:, order] = _diagonal(_whiten(covariance, changes, order)[1])
    return z


def insertion_gains(order, factor, residuals, scores, place, log_marginal):
    """Score the moves of one variable to every place.

    Parameters
    ----------
    order : ndarray of int of shape (n_variables,)
        The present order.
    factor : ndarray of shape (n_variables, n_variables)
        Lower Cholesky factor L of the covariance, in the present order.
    residuals : ndarray of shape (n_contexts, n_variables) or (n_contexts, n_variables, n_variables)
        Standardised shifts ``inv(L) m``, or covariances ``inv(L) S inv(L)^T``, in this order.
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
    n_variables = len(scores)
    gains = np.zeros(n_variables)
    unit = np.zeros(n_variables - place)
    unit[0] = 1.0
    column = solve_triangular(factor[place:, place:], unit, lower=True, check_finite=False)
    moves = _moved_means if residuals.ndim == 2 else _moved_variances
    for weights, places in (
        (factor[place, place::-1], np.arange(place, -1, -1)),
        (column, np.arange(place, n_variables)),
    ):
        if len(places) > 1:
            own, others = moves(weights, residuals, places)
            gain = log_marginal(own, np.full(len(places) - 1, order[place])) - scores[place]
            jumped = log_marginal(others, order[places[1:]]) - scores[places[1:]]
            gains[places[1:]] = gain + np.cumsum(jumped)
    return gains


def _moved_means(weights, z, places):
    """Residuals (n_contexts, n_places - 1) of the moved variable and of each that it jumps over."""
    z = z[:, places]
    length = np.sqrt(np.cumsum(weights**2))
    own = np.cumsum(weights * z, axis=1) / length
    others = (weights[1:] * own[:, :-1] - length[:-1] * z[:, 1:]) / length[1:]
    return own[:, 1:], others


def _moved_variances(weights, Z, places):
    """Variances of the residuals of :func:`_moved_means`, of the same shape."""
    Z = Z[:, places][:, :, places]
    squares = np.cumsum(weights**2)
    weighted = np.cumsum(weights[:, None] * Z, axis=1)
    sums = np.diagonal(np.cumsum(weights * weighted, axis=2), axis1=1, axis2=2)
    own = sums / squares
    # Covariance of the moved variable, before each jump, with the one that it jumps over; both
    # times the former's length.
    cross = np.diagonal(weighted, offset=1, axis1=1, axis2=2)
    variance = np.diagonal(Z, axis1=1, axis2=2)[:, 1:]
    others = weights[1:] ** 2 * own[:, :-1] + squares[:-1] * variance - 2.0 * weights[1:] * cross
    return own[:, 1:], others / squares[1:]


def _diagonal(residuals):
    """Standardised shifts, or variances, (n_contexts, n_variables)."""
    return residuals if residuals.ndim == 2 else np.diagonal(residuals, axis1=1, axis2=2)


def _whiten(covariance, changes, order):
    """Cholesky factor of the covariance, and standardised changes, in an order."""
    factor = np.linalg.cholesky(covariance[np.ix_(order, order)])
    changes = changes[:, order] if changes.ndim == 2 else changes[:, order][:, :, order]
    residuals = _solve(factor, changes)
    if changes.ndim == 3:
        residuals = _solve(factor, residuals.swapaxes(1, 2))
    return factor, residuals


def _solve(factor, changes):
    """Apply ``inv(L)`` along the second axis."""
    columns = np.moveaxis(changes, 1, 0)
    flat = columns.reshape(len(factor), -1)
    solved = solve_triangular(factor, flat, lower=True, check_finite=False)
    return np.moveaxis(solved.reshape(columns.shape), 0, 1)
