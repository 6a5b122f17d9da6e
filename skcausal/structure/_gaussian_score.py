"""The penalised Gaussian likelihood of a DAG under interventions."""

import numpy as np
from scipy.linalg import solve_triangular

from skcausal.base import is_constant
from skcausal.interventions import check_regimes

# Relative ridge on the diagonal of every scatter matrix. It bounds a residual
# variance from below at about this fraction of the variance it is left from, and
# unlike a floor keeps the score equal for equivalent graphs.
_RIDGE = 1e-10
# Variance, relative to that over all rows, that may be rounding errors of a constant.
_ROUNDING = 1e-12
# Variance, relative to that over all rows, given to a variable without any.
_SMALLEST_VARIANCE = 1e-20


class GaussianScore:
    """Penalised log-likelihood of linear Gaussian models with perfect interventions.

    The score of a DAG is the sum over its variables of

        ``-0.5 * n_j * (1 + log(s2_j)) - penalty * (|pa(j)| + 1)``

    where the n_j rows in which j is no target of the intervention give s2_j, the
    residual variance of the regression of j on its parents. This is the maximum of
    the interventional likelihood of [1]_, less the penalty and up to terms that are
    the same for all graphs.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_variables)
        Data.
    interventions : ndarray of shape (n_samples, n_variables)
        Boolean; True where the mechanism of the variable was replaced.
    centering : {"regime", "pooled"}, default="regime"
        How means are removed. "regime" takes every regime about its own mean, so
        only the covariances within regimes count. "pooled" gives each variable
        one intercept: the rows where it is no target are taken about their joint
        mean, so that shifts of a parent under intervention count as well.
    penalty : float or None, default=None
        Penalty for each edge and each variable; None is half the logarithm of
        the number of rows, which makes the score half the negative BIC.
    regimes : ndarray of shape (n_samples,) or None, default=None
        Labels of the regimes used by ``centering="regime"``; None takes rows with
        the same targets as one regime. The rows of a regime must have the same
        targets.

    Attributes
    ----------
    n_samples, n_variables : int
        Shape of `X`.
    penalty : float
        The penalty used.
    n_free : ndarray of shape (n_variables,)
        For each variable the number of rows where it is no target. Where that is
        zero the likelihood is taken to be one, so that no parents are ever found.

    Raises
    ------
    ValueError
        If the shapes do not match, `X` is not finite, `centering` is unknown, or
        rows of one regime have different targets.

    Notes
    -----
    Every diagonal entry of a scatter matrix is raised by the fraction 1e-10. A
    variable that others determine, as with duplicate columns or fewer rows than
    variables, then keeps a residual variance near that fraction of its variance
    and scores stay finite. On other data the effect on the score is below
    ``n_samples * 1e-10`` times the ratio of explained to residual variance.

    References
    ----------
    .. [1] A. Hauser and P. Buehlmann (2015). Jointly interventional and observational
       data: estimation of interventional Markov equivalence classes of directed
       acyclic graphs. JRSS B 77, 291-318.
    """

    def __init__(self, X, interventions, *, centering="regime", penalty=None, regimes=None):
        X = np.asarray(X, dtype=float)
        interventions = np.asarray(interventions, dtype=bool)
        _check_inputs(X, interventions, centering)
        self.n_samples, self.n_variables = X.shape
        self.penalty = 0.5 * np.log(self.n_samples) if penalty is None else float(penalty)
        scaled, scale = _scale_columns(X)
        if centering == "regime":
            scaled = _centre_by_regime(scaled, interventions, regimes)
        self.n_free = np.sum(~interventions, axis=0)
        self._covariance = _free_covariances(
            scaled, interventions, self.n_free, centering == "pooled"
        )
        # Back to the units of X: a constant for each variable.
        self._offset = -self.n_free * np.log(scale)
        self._local_scores: dict[tuple, float] = {}
        self._gains: dict[tuple, np.ndarray] = {}

    def local(self, j: int, parents) -> float:
        """Score variable j with the given parents.

        Parameters
        ----------
        j : int
            The variable.
        parents : iterable of int
            Its parents.

        Returns
        -------
        float
            The term of variable j in the score.
        """
        key = (j, *sorted(parents))
        if key not in self._local_scores:
            self._local_scores[key] = self._compute_local(j, list(key[1:]))
        return self._local_scores[key]

    def gains(self, j: int, parents) -> np.ndarray:
        """Score the addition of each other variable to the parents of j.

        Parameters
        ----------
        j : int
            The variable.
        parents : iterable of int
            Its parents so far.

        Returns
        -------
        ndarray of shape (n_variables,)
            Entry i is ``local(j, parents + [i]) - local(j, parents)``; it is -inf
            for j itself and for the parents. The array is shared: do not change it.
        """
        key = (j, *sorted(parents))
        if key not in self._gains:
            self._gains[key] = self._compute_gains(j, list(key[1:]))
        return self._gains[key]

    def total(self, adjacency) -> float:
        """Score a DAG.

        Parameters
        ----------
        adjacency : ndarray of shape (n_variables, n_variables)
            Adjacency matrix of a DAG, which is not checked.

        Returns
        -------
        float
            Sum of the terms of all variables.
        """
        edges = np.asarray(adjacency) != 0
        return sum(
            self.local(j, np.flatnonzero(edges[:, j]).tolist()) for j in range(self.n_variables)
        )

    def _compute_local(self, j: int, parents: list[int]) -> float:
        """Evaluate the term of variable j; see the class for the formula."""
        covariance = self._covariance[j]
        variance = covariance[j, j]
        if parents:
            with_j = covariance[j][parents]
            explained = with_j @ np.linalg.solve(covariance[parents][:, parents], with_j)
            # Rounding only: the ridge keeps the exact value above the second term.
            variance = max(variance - explained, _RIDGE * variance)
        likelihood = -0.5 * self.n_free[j] * (1 + np.log(variance)) + self._offset[j]
        return float(likelihood - self.penalty * (len(parents) + 1))

    def _compute_gains(self, j: int, parents: list[int]) -> np.ndarray:
        """Gain of each further parent, from its partial correlation with j; (d,)."""
        covariance = self._covariance[j]
        variances, with_j = np.diag(covariance), covariance[j]
        if parents:
            root = np.linalg.cholesky(covariance[parents][:, parents])
            explained = solve_triangular(root, covariance[parents], lower=True)
            floor = _RIDGE * variances
            variances = np.maximum(variances - np.sum(explained**2, axis=0), floor)
            with_j = with_j - explained[:, j] @ explained
        correlation_sq = np.minimum(with_j**2 / (variances * variances[j]), 1 - _RIDGE)
        correlation_sq[[j, *parents]] = 0
        gains = -0.5 * self.n_free[j] * np.log1p(-correlation_sq) - self.penalty
        gains[[j, *parents]] = -np.inf
        return gains


def _check_inputs(X: np.ndarray, interventions: np.ndarray, centering: str) -> None:
    """Refuse arrays that do not fit together and unknown ways of centring."""
    if X.ndim != 2 or X.shape != interventions.shape:
        raise ValueError(
            "X and interventions must be two matrices of the same shape (n_samples, "
            f"n_variables), got {X.shape} and {interventions.shape}."
        )
    if not np.isfinite(X).all():
        raise ValueError(
            f"X must be finite, found {np.sum(~np.isfinite(X))} missing or infinite entries. "
            "Impute them or drop their rows."
        )
    if centering not in ("regime", "pooled"):
        raise ValueError(f"centering must be 'regime' or 'pooled', got {centering!r}.")


def _scale_columns(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre the columns and scale them to unit variance; (n, d) and (d,).

    Columns that vary by no more than rounding are set to zero and keep scale 1.
    """
    constant = is_constant(X)
    centred = np.where(constant, 0.0, X - X.mean(axis=0))
    scale = np.where(constant, 1.0, centred.std(axis=0))
    return centred / scale, scale


def _centre_by_regime(X: np.ndarray, interventions: np.ndarray, regimes) -> np.ndarray:
    """Take the rows of every regime about their mean; (n, d)."""
    labels = np.unique(check_regimes(regimes, interventions), return_inverse=True)[1]
    order = np.argsort(labels, kind="stable")
    starts = np.flatnonzero(np.diff(labels[order], prepend=-1))
    means = np.add.reduceat(X[order], starts) / np.bincount(labels)[:, None]
    return X - means[labels]


def _free_covariances(
    X: np.ndarray, interventions: np.ndarray, n_free: np.ndarray, pooled: bool
) -> list[np.ndarray]:
    """Covariances (d, d) over the rows where each variable is no target; d of them.

    Variables that are never a target share one array. With `pooled` the rows are
    taken about their mean, and about zero otherwise.
    """
    whole, column_sum = X.T @ X, X.sum(axis=0)
    covariances: list[np.ndarray] = []
    shared = None
    for j, n in enumerate(n_free):
        if n == len(X) and shared is not None:
            covariances.append(shared)
            continue
        product, row_sum = _free_moments(X, interventions[:, j], whole, column_sum)
        if pooled and n:
            product = product - np.outer(row_sum, row_sum) / n
        covariances.append(_regularised(product / max(n, 1)))
        if n == len(X):
            shared = covariances[-1]
    return covariances


def _free_moments(
    X: np.ndarray, targeted: np.ndarray, whole: np.ndarray, column_sum: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Products (d, d) and sums (d,) over the rows not targeted, from the fewer rows."""
    if 2 * np.count_nonzero(targeted) <= len(X):
        rows = X[targeted]
        return whole - rows.T @ rows, column_sum - rows.sum(axis=0)
    rows = X[~targeted]
    return rows.T @ rows, rows.sum(axis=0)


def _regularised(covariance: np.ndarray) -> np.ndarray:
    """Raise the diagonal by the relative ridge; in place.

    A variable that is constant over these rows is left with rounding errors, of the variance that
    it has over all rows, which is 1: it is made constant.
    """
    constant = np.diag(covariance) < _ROUNDING
    covariance[constant], covariance[:, constant] = 0.0, 0.0
    variances = np.diag(covariance)
    np.fill_diagonal(covariance, variances * (1 + _RIDGE) + _SMALLEST_VARIANCE)
    return covariance
