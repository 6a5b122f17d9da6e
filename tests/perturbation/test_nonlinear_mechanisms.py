"""Nonlinear mechanisms: evidence of sets of parents, elimination, promising candidates, shifts."""

import numpy as np
import pytest

from skcausal.perturbation._contexts import summarise_contexts
from skcausal.perturbation._nonlinear_mechanisms import NonlinearLikelihood
from skcausal.perturbation._spike_slab import SpikeSlab

PRIOR = SpikeSlab(-1.0, 10.0)


def curved_screen(seed=0, n_contexts=12, n_rows=15, n_controls=120):
    """Rows of x2 = tanh(3 x0) x1 + noise, with x3 independent; a shift of one variable each.

    No regression on a single parent sees x1.
    """
    rng = np.random.default_rng(seed)
    context = np.repeat(np.arange(n_contexts + 1), [n_controls] + [n_rows] * n_contexts)
    shift = np.zeros((n_contexts + 1, 4))
    for k in range(1, n_contexts + 1):
        shift[k, k % 4] = 3.0 if k % 8 < 4 else -3.0
    X = rng.normal(size=(len(context), 4)) + shift[context]
    X[:, 2] = np.tanh(3.0 * X[:, 0]) * X[:, 1] + 0.3 * (X[:, 2])
    return X, context, shift


def likelihood_of(X, context, **options):
    """Judge of the equations of rows as they are."""
    contexts = summarise_contexts(X, context[:, None].astype(float))
    options = {"edge_log_odds": -1.0, "n_features": 20, **options}
    return NonlinearLikelihood(X, contexts, PRIOR, rng=np.random.RandomState(0), **options)


def test_the_true_parents_have_the_highest_evidence():
    likelihood = likelihood_of(*curved_screen()[:2])
    evidence = {
        parents: likelihood.evaluate(2, parents).log_evidence
        for parents in [(), (0,), (1,), (3,), (0, 1), (0, 3), (1, 3), (0, 1, 3)]
    }
    assert max(evidence, key=evidence.get) == (0, 1)


def test_elimination_leaves_the_parents_and_tells_what_each_is_worth():
    likelihood = likelihood_of(*curved_screen()[:2])
    mechanism = likelihood.fit(2, [3, 1, 0])
    np.testing.assert_array_equal(mechanism.parents, [0, 1])
    without = np.array([likelihood.evaluate(2, [i]).log_evidence for i in (1, 0)])
    np.testing.assert_allclose(mechanism.edge_log_odds, mechanism.log_evidence - without)
    assert (mechanism.edge_log_odds > 0).all()

    everything = likelihood.fit(2, [3, 1, 0], select=False)
    np.testing.assert_array_equal(everything.parents, [0, 1, 3])
    assert everything.edge_log_odds[2] < 0


def test_the_targets_and_their_shifts_are_found():
    X, context, shift = curved_screen()
    likelihood = likelihood_of(X, context)
    mechanism = likelihood.fit(2, [0, 1])
    q = mechanism.target_probability
    assert q[0] == 0
    np.testing.assert_array_equal(q[1:] > 0.5, shift[1:, 2] != 0)
    roots = [likelihood.fit(j, []) for j in (0, 1)]
    measured = likelihood.measure([*roots, mechanism, likelihood.fit(3, [])])
    # A shift of 3 deviations of the noise; the standard error of a mean is a quarter.
    np.testing.assert_allclose(measured.values, shift, atol=1.2)
    # With the density of the value under the prior, it is the ratio of slab to spike.
    spread = PRIOR.variance + measured.noise
    density = -0.5 * (np.log(2 * np.pi * spread) + measured.values**2 / spread)
    odds = measured.log_ratio + density + PRIOR.log_odds
    np.testing.assert_allclose(1 / (1 + np.exp(-odds[1:, 2])), q[1:], atol=1e-6)


def test_residuals_are_those_of_the_rows():
    X, context, _ = curved_screen(1)
    rows = np.random.default_rng(0).permutation(len(X))
    shuffled = likelihood_of(X[rows], context[rows]).evaluate(2, [1, 0])
    likelihood = likelihood_of(X, context)
    mechanism = likelihood.evaluate(2, [0, 1])
    residuals = X[:, 2] - likelihood.design(mechanism.parents) @ mechanism.coef
    means = [residuals[context == k].mean() for k in range(len(mechanism.mean_residuals))]
    np.testing.assert_allclose(mechanism.mean_residuals, means)
    # The order of the rows and of the parents does not matter.
    np.testing.assert_allclose(shuffled.log_evidence, mechanism.log_evidence)
    np.testing.assert_allclose(shuffled.coef, mechanism.coef, atol=1e-6)


def test_the_design_has_more_features_for_more_parents():
    likelihood = likelihood_of(*curved_screen()[:2], max_features=50)
    assert [likelihood.design(np.arange(n)).shape[1] for n in range(4)] == [1, 42, 53, 54]


def test_linear_functions_need_no_curves():
    rng = np.random.default_rng(2)
    X = rng.normal(size=(300, 3))
    X[:, 2] = X[:, 0] - 2.0 * X[:, 1] + 0.5 * X[:, 2]
    mechanism = likelihood_of(X, np.zeros(300, dtype=int)).fit(2, [0, 1])
    least_squares = np.linalg.lstsq(np.column_stack([np.ones(300), X[:, :2]]), X[:, 2])[1] / 300
    assert mechanism.noise_variance == pytest.approx(float(least_squares[0]), rel=0.03)
    np.testing.assert_array_equal(mechanism.parents, [0, 1])


def test_candidates_that_explain_the_residuals_come_first():
    X, context, _ = curved_screen()
    X[:, 2] += np.sin(2.0 * X[:, 3])
    likelihood = likelihood_of(X, context)
    mechanism = likelihood.evaluate(2, [0])
    assert likelihood.rank_candidates(mechanism, 2, np.array([1, 3]))[0] == 3
    assert len(likelihood.rank_candidates(mechanism, 2, np.array([], dtype=int))) == 0


def test_another_prior_keeps_the_features():
    likelihood = likelihood_of(*curved_screen()[:2])
    first = likelihood.evaluate(2, [0, 1])
    other = likelihood.with_prior(SpikeSlab(-4.0, 10.0))
    second = other.evaluate(2, [0, 1])
    assert second.log_evidence != first.log_evidence
    assert other.with_prior(PRIOR).evaluate(2, [0, 1]).log_evidence == first.log_evidence


def test_constants_and_copies_do_no_harm():
    X, context, _ = curved_screen()
    X[:, 3] = 0.0
    X[:, 1] = X[:, 0]
    likelihood = likelihood_of(X, context)
    assert len(likelihood.fit(3, [0, 1, 2]).parents) == 0
    assert np.isfinite(likelihood.evaluate(0, [1, 3]).log_evidence)
    assert likelihood.evaluate(0, [1]).noise_variance > 0
