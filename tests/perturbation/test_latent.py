"""Generators of latent interventions, and what rows add to them."""

import numpy as np
import pytest
from scipy.stats import norm

from skcausal.perturbation._features import perturbation_groups
from skcausal.perturbation._latent import KnownTargets, LatentInterventions, SmoothGenerator
from skcausal.perturbation._linear_mechanisms import Measurement

# The drug of each column acts on the variable of the same number.
DOSES = (0.5, 1.0, 1.5, 2.0, 3.0)
FEATURES = np.vstack([dose * np.eye(3) for dose in DOSES])


def measured(seed=0):
    """Probabilities of targets and shifts of five doses of three drugs, three per dose."""
    rng = np.random.default_rng(seed)
    targets = (FEATURES != 0).astype(float)
    values = FEATURES * [4.0, -4.0, 3.0] + 0.2 * rng.normal(size=FEATURES.shape)
    noise = np.full(FEATURES.shape, 0.04)
    log_ratio = -norm.logpdf(values, scale=0.2)
    return np.clip(targets, 0.02, 0.98), Measurement(values, noise, log_ratio)


@pytest.fixture(scope="module", params=["linear", "kernel"])
def generator(request):
    """Generator that has learned from :func:`measured`."""
    groups = perturbation_groups(FEATURES)
    return SmoothGenerator(request.param).fit(FEATURES, np.full(15, 25), groups, *measured())


def random_latent(rng, shape=(4, 3)):
    """Any distribution of interventions."""
    return LatentInterventions(
        rng.uniform(0.1, 0.9, size=shape), rng.normal(size=shape), rng.uniform(0.5, 2.0, size=shape)
    )


class TestLatentInterventions:
    def test_rule_of_Bayes(self):
        """A measured shift is normal around 0, or around the shift of a target."""
        rng = np.random.default_rng(0)
        latent, noise = random_latent(rng), rng.uniform(0.1, 1.0, size=(4, 3))
        values = rng.normal(size=(4, 3))
        without = norm.pdf(values, scale=np.sqrt(noise))
        found = latent.posterior(Measurement(values, noise, -np.log(without)))
        hit = norm.pdf(values, latent.mean, np.sqrt(latent.variance + noise))
        p = latent.probability
        np.testing.assert_allclose(found, p * hit / (p * hit + (1.0 - p) * without))

    def test_mean_given_the_rows(self):
        """Precisions add up."""
        rng = np.random.default_rng(1)
        latent, noise = random_latent(rng), rng.uniform(0.1, 1.0, size=(4, 3))
        values = rng.normal(size=(4, 3))
        found = latent.posterior_mean(Measurement(values, noise, values))
        precision = 1.0 / latent.variance + 1.0 / noise
        expected = (latent.mean / latent.variance + values / noise) / precision
        np.testing.assert_allclose(found, expected)

    @pytest.mark.filterwarnings("error")
    def test_certain_targets_stay_certain(self):
        certain = np.eye(3)
        latent = LatentInterventions(certain, 5.0 * certain, 0.0 * certain)
        for log_ratio in (-500.0, 500.0):
            evidence = Measurement(np.ones((3, 3)), np.ones((3, 3)), np.full((3, 3), log_ratio))
            np.testing.assert_allclose(latent.posterior(evidence), certain, atol=1e-300)

    def test_rows(self):
        latent = random_latent(np.random.default_rng(2))
        repeated = latent.rows(np.array([3, 3, 0]))
        np.testing.assert_array_equal(repeated.mean, latent.mean[[3, 3, 0]])
        np.testing.assert_array_equal(repeated.probability, latent.probability[[3, 3, 0]])
        np.testing.assert_array_equal(latent.rows(slice(1, 3)).variance, latent.variance[1:3])


class TestSmoothGenerator:
    def test_controls_have_no_targets(self, generator):
        latent = generator.predict(np.vstack([np.zeros((2, 3)), FEATURES[:1]]))
        np.testing.assert_array_equal(latent.probability[:2], 0.0)
        np.testing.assert_allclose(latent.mean[:2], 0.0, atol=1e-12)
        assert latent.probability[2].max() > 0.5

    def test_targets_and_effects_of_doses_in_between(self, generator):
        query = np.vstack([1.2 * np.eye(3), 2.5 * np.eye(3)])
        latent = generator.predict(query)
        assert (latent.probability[query != 0] > 0.8).all()
        assert (latent.probability[query == 0] < 0.2).all()
        expected = (query * [4.0, -4.0, 3.0])[query != 0]
        np.testing.assert_allclose(latent.mean[query != 0], expected, rtol=0.15)

    def test_probabilities_agree_with_frequencies(self, generator):
        """As many targets are expected, of contexts left out, as there were."""
        q, _ = measured()
        assert abs(generator.left_out().probability.mean() - q.mean()) < 0.05

    def test_spread_is_that_of_parameters_about_those_expected(self, generator):
        q, measurement = measured()
        latent = generator.left_out()
        excess = np.maximum((measurement.values - latent.mean) ** 2 - measurement.noise, 0.0)
        expected = max((q * excess).sum() / (q * latent.variance).sum(), 1e-4)
        np.testing.assert_allclose(expected, 1.0)

    def test_contexts_are_left_out(self):
        """What one context shows does not change what is expected of it."""
        q, measurement = measured()
        groups, n_rows = perturbation_groups(FEATURES), np.full(15, 25)
        values = measurement.values.copy()
        values[4, 1] += 1.0
        changed = Measurement(values, measurement.noise, measurement.log_ratio)
        before, after = (
            SmoothGenerator("linear").fit(FEATURES, n_rows, groups, q, m).left_out().mean
            for m in (measurement, changed)
        )
        difference = np.abs(after - before)[:, 1]
        assert difference[4] < 0.1 * difference[[1, 7, 10, 13]].max()

    def test_features_that_were_never_seen(self):
        """Of such a drug nothing is known, so no target is probable."""
        features = np.column_stack([FEATURES, np.zeros(15)])
        groups = perturbation_groups(features)
        own = SmoothGenerator("linear").fit(features, np.full(15, 25), groups, *measured())
        latent = own.predict(np.array([[0.0, 0.0, 0.0, 1.0]]))
        np.testing.assert_array_equal(latent.mean, 0.0)
        assert latent.probability.max() < 0.2

    def test_small_effects_on_everything(self):
        """They add up over contexts, unless it is given that targets are sparse."""
        rng = np.random.default_rng(0)
        groups, n_rows = perturbation_groups(FEATURES), np.full(15, 25)
        values = FEATURES @ rng.choice([-0.3, 0.3], size=(3, 3))
        q, noise = np.full((15, 3), 0.3), np.full((15, 3), 0.04)
        measurement = Measurement(values, noise, -norm.logpdf(values, scale=0.2))
        expected = {None: values, True: 0.3 * values}
        for sparse, effects in expected.items():
            fitted = SmoothGenerator("linear", sparse=sparse)
            fitted.fit(FEATURES, n_rows, groups, q, measurement)
            assert fitted.sparse_ == bool(sparse)
            np.testing.assert_allclose(fitted.effects_.predict(FEATURES), effects, atol=0.02)

    @pytest.mark.parametrize("q", [0.0, 1.0])
    def test_no_target_or_nothing_else(self, q):
        _, measurement = measured()
        groups, n_rows = perturbation_groups(FEATURES), np.full(15, 25)
        fitted = SmoothGenerator("linear").fit(
            FEATURES, n_rows, groups, np.full((15, 3), q), measurement
        )
        latent = fitted.predict(FEATURES)
        assert all(np.isfinite(a).all() for a in vars(latent).values())
        np.testing.assert_allclose(latent.probability, q, atol=0.15)


class TestKnownTargets:
    def test_means_and_variances_of_each_variable(self):
        rng = np.random.default_rng(0)
        mask = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [1, 0, 0]]) == 1
        values = rng.normal(size=(4, 3))
        measurement = Measurement(values, np.ones((4, 3)), np.zeros((4, 3)))
        fitted = KnownTargets().fit(mask.astype(float), np.ones(4), None, mask, measurement)
        latent = fitted.predict(np.array([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]))
        np.testing.assert_array_equal(latent.probability, [[1, 1, 1], [0, 0, 0]])
        for j in (0, 1):
            own = values[mask[:, j], j]
            np.testing.assert_allclose(latent.mean[:, j], own.mean())
            np.testing.assert_allclose(latent.variance[:, j], own.var())
        np.testing.assert_array_equal(fitted.left_out().probability, mask)
