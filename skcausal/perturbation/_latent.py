"""Generators: from features of perturbations to distributions of latent interventions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skcausal.perturbation._smoother import Smoother
from skcausal.perturbation._spike_slab import log_normal, sigmoid

# Bounds of probabilities of targets: no generator is certain.
_LEAST_PROBABILITY = 1e-3
# A square below this share of the mean one adds nothing to the evidence of an effect.
_SMALL_SQUARE = 0.01


@dataclass(frozen=True, eq=False)
class LatentInterventions:
    """Distribution of what perturbations do: independent targets, with normal parameters.

    Attributes
    ----------
    probability : ndarray of shape (n_contexts, n_variables)
        Probability that a variable is a target.
    mean : ndarray of shape (n_contexts, n_variables)
        Expected shift, in units of the noise; do-value; or log factor of the noise, of a target.
    variance : ndarray of shape (n_contexts, n_variables)
        Its variance.
    """

    probability: np.ndarray
    mean: np.ndarray
    variance: np.ndarray

    @property
    def expectation(self):
        """Expected parameter, that of other variables than targets being 0."""
        return self.probability * self.mean

    def posterior(self, measurement):
        """Probability of targets given what the rows of the same contexts tell."""
        spread = self.variance + measurement.noise
        log_density = log_normal(measurement.values - self.mean, spread)
        return sigmoid(log_odds_of(self.probability) + measurement.log_ratio + log_density)

    def posterior_mean(self, measurement):
        """Return the expected parameters of targets given what the rows tell."""
        weight = self.variance / np.maximum(self.variance + measurement.noise, 1e-300)
        return self.mean + weight * (measurement.values - self.mean)

    def rows(self, index):
        """Repeat, or select, contexts."""
        return LatentInterventions(*(a[index] for a in vars(self).values()))


class SmoothGenerator:
    """Targets and effects as smooth functions of the features.

    Expected effects and probabilities of targets are each regressed on the features; a logistic
    regression on both, of their values for contexts left out, calibrates the probabilities.

    Parameters
    ----------
    family : {"linear", "kernel"}
        See :class:`Smoother`.

    Attributes
    ----------
    effects_, targets_ : Smoother
        The regressions.
    variance_ : float
        Variance of a target's parameter about the expected one of a context left out, in units of
        the mean square of that variable's parameters.
    """

    def __init__(self, family):
        self.family = family

    def fit(self, features, n_rows, groups, q, measurement):
        """Learn from posterior probabilities of targets.

        Parameters
        ----------
        features : ndarray of shape (n_contexts, n_features)
            Features, without the control; likewise below.
        n_rows : ndarray of shape (n_contexts,)
            Number of rows.
        groups : ndarray of int of shape (n_contexts,)
            Perturbation of each context.
        q : ndarray of shape (n_contexts, n_variables)
            Probabilities of targets.
        measurement : Measurement
            Shifts, do-values or log factors.

        Returns
        -------
        self : SmoothGenerator
            Fitted.
        """
        effects = q * measurement.values
        self.effects_ = Smoother(self.family).fit(features, effects, n_rows, groups)
        if hasattr(self, "targets_"):
            self.targets_.refit(q)
        else:
            self.targets_ = Smoother(self.family).fit(features, q, n_rows, groups)
        self._scale = np.sqrt((effects**2).mean(axis=0))
        self._scale[self._scale < 1e-12] = 1.0
        self._calibrate(q)
        self.variance_ = 1.0
        for _ in range(20):
            left_out = self.left_out()
            q = left_out.posterior(measurement)
            excess = (measurement.values - left_out.mean) ** 2 - measurement.noise
            ratio = (q * excess / self._scale**2).sum() / max(q.sum(), 1e-12)
            last, self.variance_ = self.variance_, max(float(ratio), 1e-6)
            if abs(np.log(last / self.variance_)) < 1e-3:
                break
        return self

    def left_out(self):
        """Latent interventions of every training context, as learned from the others."""
        effects = self.effects_.leave_one_out()
        return self._combine(effects, self.targets_.leave_one_out(), 0.0)

    def predict(self, features):
        """Latent interventions of contexts of given features (n_contexts, n_features)."""
        effects = self.effects_.predict(features)
        uncertainty = self.effects_.predict_variance(features)
        latent = self._combine(effects, self.targets_.predict(features), uncertainty)
        # A control is no perturbation.
        control = ~features.any(axis=1, keepdims=True)
        return LatentInterventions(
            np.where(control, 0.0, latent.probability), latent.mean, latent.variance
        )

    def _calibrate(self, q):
        """Fit the log odds of a target to both regressions."""
        from sklearn.linear_model import LogisticRegression

        evidence = self._evidence(self.effects_.leave_one_out(), self.targets_.leave_one_out())
        stacked = np.concatenate([evidence, evidence])
        labels = np.repeat([1, 0], q.size)
        # Two pseudo-observations keep both classes present.
        weights = np.concatenate([q.ravel(), 1.0 - q.ravel()]) + 1.0 / q.size
        self._logistic = LogisticRegression(C=100.0).fit(stacked, labels, sample_weight=weights)

    def _evidence(self, effects, targets):
        """Regressors (n, 2) of the log odds: the size of the effect, the frequency as a target."""
        size = np.log((effects / self._scale) ** 2 + _SMALL_SQUARE)
        return np.column_stack([size.ravel(), log_odds_of(targets).ravel()])

    def _combine(self, effects, targets, uncertainty):
        """Latent interventions from regressed effects and probabilities."""
        log_odds = self._logistic.decision_function(self._evidence(effects, targets))
        probability = np.clip(sigmoid(log_odds.reshape(effects.shape)), 0.01, 1.0 - 0.01)
        variance = self.variance_ * self._scale**2 + uncertainty
        return LatentInterventions(probability, effects / probability, variance)


class KnownTargets:
    """Targets that are given as a mask; the parameter of each has one mean and one variance."""

    def fit(self, features, n_rows, groups, q, measurement):
        """Average the parameters of each variable's own interventions; see SmoothGenerator."""
        mask = features != 0
        count = mask.sum(axis=0)
        total = np.where(mask, measurement.values, 0.0).sum(axis=0)
        self.mean_ = total / np.maximum(count, 1)
        squares = np.where(mask, (measurement.values - self.mean_) ** 2, 0.0).sum(axis=0)
        self.variance_ = squares / np.maximum(count, 1)
        self._training = features
        return self

    def left_out(self):
        """Latent interventions of the training contexts."""
        return self.predict(self._training)

    def predict(self, features):
        """Latent interventions of masks (n_contexts, n_variables)."""
        shape = features.shape
        mean, variance = (np.broadcast_to(a, shape) for a in (self.mean_, self.variance_))
        return LatentInterventions((features != 0).astype(float), mean, variance)


def log_odds_of(probability):
    """Log odds of probabilities, which are first brought inside (0, 1)."""
    p = np.clip(probability, _LEAST_PROBABILITY, 1.0 - _LEAST_PROBABILITY)
    return np.log(p / (1.0 - p))


def make_generator(model):
    """Unfitted generator of a model."""
    if model._fitted_with_mask:
        return KnownTargets()
    return SmoothGenerator(model.generator)
