"""Generators: from features of perturbations to distributions of latent interventions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skcausal.perturbation._smoother import Smoother
from skcausal.perturbation._spike_slab import log_normal, sigmoid

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

    def posterior(self, measurement):
        """Probability of targets given what the rows of the same contexts tell."""
        spread = self.variance + measurement.noise
        log_density = log_normal(measurement.values - self.mean, spread)
        with np.errstate(divide="ignore"):
            # Targets that are certain stay so.
            log_odds = np.log(self.probability) - np.log1p(-self.probability)
        return sigmoid(log_odds + measurement.log_ratio + log_density)

    def posterior_mean(self, measurement):
        """Return the expected parameters of targets given what the rows tell."""
        weight = self.variance / np.maximum(self.variance + measurement.noise, 1e-300)
        return self.mean + weight * (measurement.values - self.mean)

    def rows(self, index):
        """Repeat, or select, contexts."""
        return LatentInterventions(*(a[index] for a in vars(self).values()))


class SmoothGenerator:
    """Targets and effects as smooth functions of the features.

    Expected effects are regressed on the features. A variable is the likelier a target, the larger
    the effect that a *linear* regression expects: it tells what a perturbation acts on even where
    the dose is too low for an effect. A logistic regression on the log of that effect's square,
    expected without sight of the context, turns it into a probability.

    Parameters
    ----------
    family : {"linear", "kernel"}
        See :class:`Smoother`.
    sparse : bool, default=None
        Whether effects of improbable targets are taken for noise. None: whichever predicts the
        measured effects of contexts left out better. Do-values are to be taken of targets alone.

    Attributes
    ----------
    sparse_ : bool
        Whether effects of improbable targets are taken for noise.
    effects_ : Smoother
        The regression of the effects.
    linear_effects_ : Smoother
        The linear one, which is the same for the family "linear".
    variance_ : float
        Variance of a target's parameter about the expected one of a context left out, in units of
        the mean square of effects.
    """

    def __init__(self, family, sparse=None):
        self.family = family
        self.sparse = sparse

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
        known = features, n_rows, groups
        self.sparse_, linear = self._choose_response(known, q, measurement)
        effects = q * measurement.values if self.sparse_ else measurement.values
        self.effects_ = self.linear_effects_ = linear
        if self.family != "linear":
            self.effects_ = Smoother(self.family).fit(features, effects, n_rows, groups)
        self._scale = np.sqrt((effects**2).mean(axis=0))
        self._scale[self._scale < 1e-12] = 1.0
        self._calibrate(q)
        self.variance_ = 0.0
        # With the targets as they came: narrowing the prior and the posterior in turn would leave
        # no target that the generator does not foresee.
        misfit = (measurement.values - self.left_out().mean) ** 2
        excess = np.maximum(misfit - measurement.noise, 0.0)
        ratio = (q * excess).sum() / max((q * self._unit_variance()).sum(), 1e-300)
        self.variance_ = max(float(ratio), 1e-4)
        return self

    def left_out(self):
        """Latent interventions of every training context, as learned from the others."""
        effects, linear = self.effects_.leave_one_out(), self.linear_effects_.leave_one_out()
        return self._combine(effects, linear, 0.0)

    def predict(self, features):
        """Latent interventions of contexts of given features (n_contexts, n_features)."""
        effects = self.effects_.predict(features)
        uncertainty = self.effects_.predict_variance(features)
        latent = self._combine(effects, self.linear_effects_.predict(features), uncertainty)
        # A control is no perturbation.
        control = ~features.any(axis=1, keepdims=True)
        return LatentInterventions(
            np.where(control, 0.0, latent.probability), latent.mean, latent.variance
        )

    def _choose_response(self, known, q, measurement):
        """Whether to regress effects of probable targets alone; and their linear regression.

        Whichever predicts the measured effects of contexts left out better: where perturbations
        touch few variables, the effects of others are noise; where they touch most of them a
        little, these small effects add up over contexts.
        """
        if self.sparse:
            return True, Smoother("linear").fit(known[0], q * measurement.values, *known[1:])
        smoothers, errors = [], []
        for response in (q * measurement.values, measurement.values):
            smoother = Smoother("linear").fit(known[0], response, *known[1:])
            misfit = measurement.values - smoother.leave_one_out()
            errors.append((known[1][:, None] * misfit**2).sum())
            smoothers.append(smoother)
        sparse = errors[0] <= errors[1]
        return bool(sparse), smoothers[0 if sparse else 1]

    def _calibrate(self, q):
        """Fit the log odds of a target to the size of the linear effect."""
        from sklearn.linear_model import LogisticRegression

        evidence = self._evidence(self.linear_effects_.leave_one_out())
        stacked = np.concatenate([evidence, evidence])
        labels = np.repeat([1, 0], q.size)
        # Two pseudo-observations keep both classes present.
        weights = np.concatenate([q.ravel(), 1.0 - q.ravel()]) + 1.0 / q.size
        self._logistic = LogisticRegression(C=100.0).fit(stacked, labels, sample_weight=weights)

    def _evidence(self, effects):
        """Log size (n, 1) of effects (n_contexts, n_variables)."""
        return np.log((effects / self._scale) ** 2 + _SMALL_SQUARE).reshape(-1, 1)

    def _combine(self, effects, linear_effects, uncertainty):
        """Latent interventions from the two regressions."""
        log_odds = self._logistic.decision_function(self._evidence(linear_effects))
        probability = np.clip(sigmoid(log_odds.reshape(effects.shape)), 0.01, 1.0 - 0.01)
        variance = self.variance_ * self._unit_variance() + uncertainty
        # The parameter of a target. Where targets are sparse, it is less if one is improbable.
        mean = effects / np.maximum(probability, 0.5 if self.sparse_ else 0.0)
        return LatentInterventions(probability, mean, variance)

    def _unit_variance(self):
        """Mean squares of the effects on each variable, drawn half way to their mean."""
        squares = self._scale**2
        return 0.5 * (squares + squares.mean())


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
