"""Questions about effects that the predicted outcomes of an ensemble answer."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import _check_sample_weight

from skcausal._typing import MatrixLike, PerRow
from skcausal.effects._average_effect import AverageEffect, average_effect
from skcausal.effects._intervals import effect_bounds


class EffectQueries:
    """Potential outcomes, effects, their intervals and averages.

    A class that inherits has ``_outcomes(covariates)``, outcomes of shape (n_members, n, n_arms),
    and the summary `_summary` of the training rows.
    """

    if TYPE_CHECKING:  # what the class that inherits has
        _outcomes: Any
        _covariates: Any
        _summary: Any
        _arm_pair: Any
        _is_binary: bool

    def potential_outcomes(self, X: MatrixLike) -> np.ndarray:
        """Predict the outcomes of each unit under all treatment levels.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Covariates.

        Returns
        -------
        outcomes : ndarray of shape (n_samples, n_treatments)
            Expected outcomes, in the order of `treatments_`.
        """
        return self._outcomes(self._covariates(X)).mean(axis=0)

    def effect(self, X: MatrixLike, *, T0: Any = 0, T1: Any = 1) -> np.ndarray:
        """Predict the effect of one treatment level against another on each unit.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Covariates.
        T0 : scalar, default=0
            Level that is compared with.
        T1 : scalar, default=1
            Level whose effect is asked for.

        Returns
        -------
        effect : ndarray of shape (n_samples,)
            Expected outcome under T1 minus that under T0.

        Raises
        ------
        ValueError
            If `fit` has seen no such level, or no treatment.
        """
        return self._member_effects(X, T0, T1).mean(axis=0)

    def effect_interval(
        self, X: MatrixLike, *, T0: Any = 0, T1: Any = 1, level: float = 0.9
    ) -> tuple[np.ndarray, np.ndarray]:
        """Interval of the effect on each unit.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Covariates.
        T0 : scalar, default=0
            Level that is compared with.
        T1 : scalar, default=1
            Level whose effect is asked for.
        level : float, default=0.9
            Nominal coverage of the expected effect given the covariates; the noise of single
            outcomes is not part of it.

        Returns
        -------
        lower : ndarray of shape (n_samples,)
            Lower ends.
        upper : ndarray of shape (n_samples,)
            Upper ends.

        Raises
        ------
        ValueError
            If there is a single network, a level is unknown, or `level` is not between 0 and 1.

        Notes
        -----
        The interval is the mean of the members -+ q s, where q is the quantile of Student's t with
        ``n_ensemble - 1`` degrees of freedom. The variance s^2 is that between the members at this
        unit, averaged with its mean over the training rows where it is below that, plus that of the
        correction in :meth:`ate`, an error that all units share. The coverage is an empirical
        finding, not a guarantee: the interval does not know of confounders that are missing in X,
        nor of the bias of a network that uses a spurious covariate.
        """
        _check_level(level)
        effects = self._member_effects(X, T0, T1)
        if len(effects) < 2:
            raise ValueError(
                "effect_interval needs the spread of several networks: set n_ensemble to 2 or more "
                "(5 by default)."
            )
        average_variance = self._summary.effect_variance[self._arm_pair(T0, T1)]
        _, common_variance = self._average_correction(T0, T1)
        lower, upper = effect_bounds(effects, average_variance, level, common_variance)
        if self._is_binary:
            return lower.clip(-1.0, 1.0), upper.clip(-1.0, 1.0)
        return lower, upper

    def ate(
        self,
        X: MatrixLike,
        *,
        T0: Any = 0,
        T1: Any = 1,
        level: float = 0.9,
        sample_weight: PerRow = None,
    ) -> AverageEffect:
        """Average effect over a population of which X is a sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Covariates; most often the training rows.
        T0 : scalar, default=0
            Level that is compared with.
        T1 : scalar, default=1
            Level whose effect is asked for.
        level : float, default=0.9
            Nominal coverage of the interval.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the units.

        Returns
        -------
        average : AverageEffect
            Named tuple of `estimate`, `lower`, `upper` and `standard_error`.

        Raises
        ------
        ValueError
            If a level is unknown or `level` is not between 0 and 1.

        Notes
        -----
        The mean of the predicted effects is corrected by augmented inverse-propensity weighting:
        by the mean over the training rows of ``1[t = T1] / e_1(x) (y - mu_1(x))`` minus the same of
        T0. Each training row is predicted by the members that have not learned from it, if there
        are any (with five members, for nine rows of ten). Propensities are cross-fitted, and raised
        to a tenth of the level's share of the rows where they are below. The correction belongs to
        the population of the training rows. The interval is a normal one; its variance adds those
        of the two parts.
        """
        _check_level(level)
        effects = self._member_effects(X, T0, T1).mean(axis=0)
        weight = _check_sample_weight(sample_weight, effects, ensure_non_negative=True)
        if self._summary.correction is None:
            raise ValueError(
                "ate needs two rows of every level in one call of partial_fit, to correct the "
                "average; there was none yet."
            )
        correction, variance = self._average_correction(T0, T1)
        return average_effect(effects, weight, correction, variance, level)

    def _average_correction(self, T0, T1):
        """Mean correction of the effect of T1 against T0, and its variance; 0 where unknown."""
        if self._summary.correction is None or T0 == T1:
            return 0.0, 0.0
        first, second = self._arm_pair(T0, T1)
        mean, covariance = self._summary.correction, self._summary.correction_covariance
        variance = (
            covariance[first, first] + covariance[second, second] - 2 * covariance[first, second]
        )
        return mean[second] - mean[first], variance

    def _member_effects(self, X, T0, T1):
        """Effects (n_members, n)."""
        covariates = self._covariates(X)
        first, second = self._arm_pair(T0, T1)
        outcomes = self._outcomes(covariates)
        return outcomes[:, :, second] - outcomes[:, :, first]


def _check_level(level):
    """Raise unless the coverage of an interval is between 0 and 1."""
    if not isinstance(level, Real) or not 0 < level < 1:
        raise ValueError(f"level must be a number between 0 and 1, found {level!r}.")
