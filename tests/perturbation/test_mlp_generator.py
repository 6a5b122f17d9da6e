"""The perceptron from features to latent interventions."""

import numpy as np
import pytest
from scipy.stats import norm

from skcausal.perturbation._linear_mechanisms import Measurement
from skcausal.perturbation._mlp_generator import MLPGenerator

N_CONTEXTS, N_VARIABLES = 24, 3


@pytest.fixture(scope="module")
def problem():
    """Variable k is the target of perturbations with feature k, which is the shift."""
    rng = np.random.default_rng(0)
    features = np.zeros((N_CONTEXTS, N_VARIABLES))
    target = np.arange(N_CONTEXTS) % N_VARIABLES
    features[np.arange(N_CONTEXTS), target] = rng.uniform(2.0, 4.0, N_CONTEXTS)
    noise = np.full(features.shape, 0.02)
    values = features + rng.normal(0.0, np.sqrt(noise))
    log_ratio = -norm.logpdf(values, 0.0, np.sqrt(noise))
    return features, (features != 0).astype(float), Measurement(values, noise, log_ratio)


@pytest.fixture(scope="module")
def generator(problem):
    features, q, measurement = problem
    generator = MLPGenerator(np.random.RandomState(0))
    return generator.fit(features, np.ones(N_CONTEXTS), np.arange(N_CONTEXTS), q, measurement)


def test_targets_and_shifts_of_training_contexts(generator, problem):
    features, q, _ = problem
    latent = generator.left_out()
    assert ((latent.probability > 0.5) == (q > 0.5)).mean() > 0.9
    hit = q > 0.5
    assert np.abs(latent.mean[hit] - features[hit]).mean() < 0.5


def test_loss_is_minus_the_log_marginal_likelihood(generator, problem):
    """By its definition: a mixture of what the rows say with and without a target."""
    features, _, measurement = problem
    latent = generator.predict(features)
    spread = np.sqrt(latent.variance + measurement.noise)
    hit = np.exp(measurement.log_ratio) * norm.pdf(measurement.values, latent.mean, spread)
    mixture = latent.probability * hit + 1.0 - latent.probability
    loss = generator._network.loss(generator._tensors(features, measurement)).item()
    assert loss == pytest.approx(-np.log(mixture).sum(axis=1).mean(), rel=1e-9)


def test_nothing_is_done_to_controls(generator):
    assert (generator.predict(np.zeros((2, N_VARIABLES))).probability == 0).all()


def test_the_seed_determines_the_network(generator, problem):
    features, q, measurement = problem
    again = MLPGenerator(np.random.RandomState(0))
    again.fit(features, np.ones(N_CONTEXTS), np.arange(N_CONTEXTS), q, measurement)
    np.testing.assert_array_equal(again.left_out().mean, generator.left_out().mean)
