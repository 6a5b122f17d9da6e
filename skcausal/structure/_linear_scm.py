"""A linear-Gaussian structural causal model: fit on a graph, intervene, condition, sample."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from skcausal._typing import MatrixLike
from skcausal.base import is_constant
from skcausal.interventions import unique_regimes

# Noise variances below this share of the variable's variance while free are rounding errors of a
# perfect fit (collinear columns, fewer rows than parents); the floor keeps all results finite.
RELATIVE_NOISE_FLOOR = 1e-9

# Weights are shrunk together until the spectral radius of their absolute values is at most this.
_LARGEST_RADIUS = 0.98


@dataclass(frozen=True, eq=False)
class LinearGaussianSCM:
    """Linear structural equations with independent Gaussian noise.

    Free variables follow ``x_j = sum_i x_i coef[i, j] + intercept[j] + e_j`` with
    ``e_j ~ N(0, noise_variance[j])``; an intervention replaces the equation of its targets by given
    values. The graph may be cyclic as long as ``I - coef`` restricted to the free variables is
    invertible.

    Parameters
    ----------
    coef : ndarray of shape (n_variables, n_variables)
        Entry (i, j) is the weight of variable i in the equation of variable j.
    intercept : ndarray of shape (n_variables,)
        Intercepts, in the units of the variables.
    noise_variance : ndarray of shape (n_variables,)
        Variances of the noise, positive, in squared units.
    target_mean : ndarray of shape (n_variables,)
        Mean of each variable while it is a target; NaN where unknown.
    target_variance : ndarray of shape (n_variables,)
        Variance of each variable while it is a target; NaN where unknown.

    References
    ----------
    .. [1] Pearl, J. (2009). Causality, 2nd ed., sections 1.4 and 3.2 (truncated factorisation).
    .. [2] Lauritzen, S. (1996). Graphical Models, appendix C (conditioning in precision form).

    Examples
    --------
    >>> import numpy as np
    >>> from skcausal.structure import LinearGaussianSCM
    >>> scm = LinearGaussianSCM(
    ...     coef=np.array([[0.0, 2.0], [0.0, 0.0]]),
    ...     intercept=np.array([0.0, 1.0]),
    ...     noise_variance=np.ones(2),
    ...     target_mean=np.full(2, np.nan),
    ...     target_variance=np.full(2, np.nan),
    ... )
    >>> scm.interventional_mean(targets=[True, False], values=[3.0, np.nan])
    array([3., 7.])
    >>> scm.interventional_covariance(targets=[False, False])
    array([[1., 2.],
           [2., 5.]])
    """

    coef: np.ndarray
    intercept: np.ndarray
    noise_variance: np.ndarray
    target_mean: np.ndarray
    target_variance: np.ndarray

    def interventional_mean(self, targets: MatrixLike, values: ArrayLike) -> np.ndarray:
        """Return E[X | do(targets = values)].

        Parameters
        ----------
        targets : array-like of bool of shape (n_variables,) or (n_samples, n_variables)
            The variables that are set.
        values : array-like of the shape of `targets`
            Their values; entries of free variables are ignored.

        Returns
        -------
        mean : ndarray of the shape of `targets`
            The mean of every variable.
        """
        mask = np.asarray(targets, dtype=bool)
        X = np.where(mask, np.asarray(values, dtype=float), np.nan)
        mean = self.conditional_mean(np.atleast_2d(X), np.atleast_2d(mask))
        return mean.reshape(mask.shape)

    def interventional_covariance(self, targets: ArrayLike) -> np.ndarray:
        """Return the covariance of X while the targets are held fixed.

        Parameters
        ----------
        targets : array-like of bool of shape (n_variables,)
            The variables that are set; their rows and columns are 0.

        Returns
        -------
        covariance : ndarray of shape (n_variables, n_variables)
            The interventional covariance.
        """
        free = ~np.asarray(targets, dtype=bool)
        mixing = np.linalg.inv(self._free_system(free))
        covariance = np.zeros(self.coef.shape)
        covariance[np.ix_(free, free)] = mixing.T @ (self.noise_variance[free, None] * mixing)
        return covariance

    def conditional_mean(self, X: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Return the mean of each cell given the intervention and the row's other finite cells.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_variables)
            Values; NaN means unknown. Intervened cells must be finite.
        mask : ndarray of bool of shape (n_samples, n_variables)
            The intervention mask.

        Returns
        -------
        mean : ndarray of shape (n_samples, n_variables)
            Entry (i, j) is E[x_j | do(targets of i), finite cells of row i except j]; intervened
            cells keep their value.
        """
        known = ~np.isnan(X)
        patterns, group = unique_regimes(np.hstack([mask, known]))
        targets, finite = np.hsplit(patterns, 2)
        mean = np.array(X, dtype=float)
        for g, rows in enumerate(_rows_by_group(group, len(patterns))):
            free = ~targets[g]
            if free.any():
                mean[np.ix_(rows, free)] = self._condition_free(X[rows], free, finite[g][free])
        return mean

    def parental_mean(self, X: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Return each variable's mean given the true values of its parents.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_variables)
            Values of all variables.
        mask : ndarray of bool of shape (n_samples, n_variables)
            The intervention mask.

        Returns
        -------
        mean : ndarray of shape (n_samples, n_variables)
            ``X @ coef + intercept``; intervened cells keep their value.
        """
        return np.where(mask, X, X @ self.coef + self.intercept)

    def log_density(self, X: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Return each row's log-density under its intervention.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_variables)
            Values of all variables.
        mask : ndarray of bool of shape (n_samples, n_variables)
            The intervention mask.

        Returns
        -------
        log_density : ndarray of shape (n_samples,)
            Sum over the free variables of log p(x_j | parents of j), in nats: the density given the
            values of the targets.
        """
        # log |det(I - coef)| over the free variables: 0 for a DAG, but not in cycles.
        targets, group = unique_regimes(mask)
        jacobian = [np.linalg.slogdet(self._free_system(~row))[1] for row in targets]
        residual = X - self.parental_mean(X, mask)
        log_terms = np.log(2 * np.pi * self.noise_variance) + residual**2 / self.noise_variance
        return np.array(jacobian)[group] - 0.5 * np.where(mask, 0.0, log_terms).sum(axis=1)

    def sample(
        self, mask: np.ndarray, values: np.ndarray, rng: np.random.RandomState | np.random.Generator
    ) -> np.ndarray:
        """Draw one row per row of the mask.

        Parameters
        ----------
        mask : ndarray of bool of shape (n_samples, n_variables)
            The intervention mask.
        values : ndarray of shape (n_samples, n_variables)
            Values of the intervened cells; where NaN, they are drawn from
            N(target_mean, target_variance).
        rng : RandomState or Generator
            Source of randomness.

        Returns
        -------
        X : ndarray of shape (n_samples, n_variables)
            The draws.
        """
        noise, target_noise = rng.standard_normal((2, *mask.shape))
        drawn = self.target_mean + np.sqrt(self.target_variance) * target_noise
        X = np.where(np.isnan(values), drawn, values)
        source = self.intercept + np.sqrt(self.noise_variance) * noise
        targets, group = unique_regimes(mask)
        for row, rows in zip(targets, _rows_by_group(group, len(targets))):
            free = ~row
            if free.any():
                inflow = X[np.ix_(rows, row)] @ self.coef[np.ix_(row, free)]
                X[np.ix_(rows, free)] = np.linalg.solve(
                    self._free_system(free).T, (source[np.ix_(rows, free)] + inflow).T
                ).T
        return X

    def in_units(self, centre: np.ndarray, unit: np.ndarray) -> LinearGaussianSCM:
        """Change the units of the variables.

        Parameters
        ----------
        centre, unit : ndarray of shape (n_variables,)
            In the new units, a value z becomes ``centre + unit * z``. Units may be negative.

        Returns
        -------
        scm : LinearGaussianSCM
            The same system.
        """
        coef = self.coef * unit / unit[:, None]
        return LinearGaussianSCM(
            coef,
            self.intercept * unit + centre - centre @ coef,
            self.noise_variance * unit**2,
            self.target_mean * unit + centre,
            self.target_variance * unit**2,
        )

    def _free_system(self, free):
        """Matrix B of the free equations: noise = x_free @ B - inputs."""
        return np.eye(free.sum()) - self.coef[np.ix_(free, free)]

    def _condition_free(self, X, free, finite):
        """Conditional means of the free variables for rows that share targets and known cells.

        With precision L of the free variables under the intervention, deviations z from their mean,
        known cells F and missing cells M: z_M = -L_MM^-1 L_MF z_F; after marginalising M, with
        K = L_FF - L_FM L_MM^-1 L_MF, each known cell has z_j | rest = z_j - (K z_F)_j / K_jj.
        """
        system = self._free_system(free)
        inputs = X[:, ~free] @ self.coef[np.ix_(~free, free)] + self.intercept[free]
        mean = np.linalg.solve(system.T, inputs.T).T
        if not finite.any():
            return mean
        precision = (system / self.noise_variance[free]) @ system.T
        K = precision[np.ix_(finite, finite)]
        deviation = X[:, free][:, finite] - mean[:, finite]
        if not finite.all():
            cross = precision[np.ix_(~finite, finite)]
            regression = np.linalg.solve(precision[np.ix_(~finite, ~finite)], cross)
            mean[:, ~finite] -= deviation @ regression.T
            K = K - cross.T @ regression
        mean[:, finite] += deviation - deviation @ K / np.diag(K)
        return mean


def fit_linear_gaussian(X, mask, adjacency, *, names=None):
    """Fit a linear-Gaussian SCM on a DAG by maximum likelihood.

    Each variable is regressed, with an intercept, on its parents over the rows in which it was not
    a target: the likelihood of hard interventions factorises in this way (Hauser & Buehlmann 2012,
    section 4.1). Where no residual degree of freedom is left, because a variable has as many
    parents as free rows, the likelihood has no maximum; its noise variance is then the variance of
    the variable itself, over all rows if it was free in one only.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_variables)
        Finite values.
    mask : ndarray of bool of shape (n_samples, n_variables)
        The intervention mask.
    adjacency : ndarray of shape (n_variables, n_variables)
        The DAG; entry (i, j) nonzero means i -> j.
    names : sequence of str of length n_variables, default=None
        Names of the variables, for warnings.

    Returns
    -------
    scm : LinearGaussianSCM
        The fitted model. A variable that is a target in every row has no data on its mechanism: it
        becomes a root with the mean and variance that it had as a target, with a warning.
    """
    n_variables = X.shape[1]
    coef = np.zeros((n_variables, n_variables))
    intercept, noise_variance = np.zeros(n_variables), np.zeros(n_variables)
    for j in range(n_variables):
        targeted, parents = mask[:, j], np.flatnonzero(adjacency[:, j])
        if targeted.all():
            warn_of_lost_mechanism(j if names is None else names[j], stacklevel=5)
            targeted, parents = ~targeted, parents[:0]
        weights, intercept[j], noise_variance[j] = _least_squares(
            X[~targeted][:, parents], X[~targeted, j]
        )
        coef[parents, j] = weights
        if (~targeted).sum() == 1:
            noise_variance[j] = X[:, j].var()
    # A variable that never varied while free has no variance of its own: take that over all rows.
    floor = RELATIVE_NOISE_FLOOR * _centre(X)[2] ** 2
    noise_variance = np.where(noise_variance > 0, noise_variance, floor)
    return LinearGaussianSCM(coef, intercept, noise_variance, *target_moments(X, mask))


def target_moments(X, mask):
    """Mean and variance (n_variables,) of each variable while it is a target; NaN without rows."""
    moments = np.full((2, X.shape[1]), np.nan)
    for j in np.flatnonzero(mask.any(axis=0)):
        values = X[mask[:, j], j]
        moments[:, j] = values.mean(), values.var()
    return moments


def stabilised(coef):
    """Shrink the weights if effects would grow around a cycle.

    Parameters
    ----------
    coef : ndarray of shape (n_variables, n_variables)
        Weights.

    Returns
    -------
    coef : ndarray of shape (n_variables, n_variables)
        The same, or proportional to them.
    """
    radius = np.abs(np.linalg.eigvals(np.abs(coef))).max()
    return coef if radius <= _LARGEST_RADIUS else coef * (_LARGEST_RADIUS / radius)


def warn_of_lost_mechanism(name, *, stacklevel):
    """Warn that a variable was set in all rows; `stacklevel` counts from this function."""
    warnings.warn(
        f"Variable {name} is a target in every row, so its mechanism cannot be learned; it is "
        "treated as a root with the distribution that it had under intervention.",
        UserWarning,
        stacklevel=stacklevel,
    )


def _least_squares(Z, x):
    """Weights (minimum norm if singular), intercept and noise variance of x on Z's columns."""
    (x_mean, x_centred, _), (Z_mean, Z_centred, scale) = _centre(x), _centre(Z)
    weights, _, rank, _ = np.linalg.lstsq(Z_centred / scale, x_centred, rcond=None)
    weights = weights / scale
    residual, dof = x_centred - Z_centred @ weights, len(x) - rank - 1
    variance = (residual @ residual if dof > 0 else x_centred @ x_centred) / len(x)
    floor = RELATIVE_NOISE_FLOOR * (x_centred @ x_centred) / len(x)
    return weights, x_mean - Z_mean @ weights, max(variance, floor)


def _centre(Z):
    """Mean, deviations and scale of each column; deviation 0 and scale 1 where it is constant."""
    mean, constant = Z.mean(axis=0), is_constant(Z)
    deviation = np.where(constant, 0.0, Z - mean)
    return mean, deviation, np.where(constant, 1.0, np.sqrt((deviation**2).mean(axis=0)))


def _rows_by_group(group, n_groups):
    """Row indices of each group, from one sort."""
    order = np.argsort(group, kind="stable")
    return np.split(order, np.cumsum(np.bincount(group, minlength=n_groups))[:-1])
