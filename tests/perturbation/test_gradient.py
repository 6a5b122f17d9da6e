"""The gradient solver: its likelihood against enumeration, its penalty, its fit and resumption."""

from itertools import product

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from skcausal._adjacency import threshold_to_dag
from skcausal.perturbation._contexts import summarise_contexts
from skcausal.perturbation._gradient import fit_by_gradient
from skcausal.perturbation._gradient_objective import GradientObjective
from skcausal.perturbation._latent_targets import (
    exact_log_marginal,
    log_context_density,
    monte_carlo_log_marginal,
    target_posterior,
)
from skcausal.perturbation._relaxed_graph import gumbel_sigmoid, spectral_radius


def _random(seed):
    return torch.Generator().manual_seed(seed)


def _random_context(d, n_rows, seed):
    """Residuals of rows, and parameters of their model, as float64 tensors."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n_rows, d)) + rng.normal(size=d) * 2
    noise_variance, shift_variance = rng.uniform(0.3, 2.0, (2, d))
    shift_mean, logits = rng.normal(size=(2, d))
    return map(torch.tensor, (x, noise_variance, shift_mean, shift_variance, logits))


def _densities(x, noise_variance, shift_mean, shift_variance):
    """Log densities (1, d) of a context without and with targets."""
    means = x.mean(dim=0, keepdim=True)
    scatter = ((x - means) ** 2).sum(dim=0, keepdim=True)
    without = log_context_density(means, scatter, len(x), noise_variance, 0.0, 0.0)
    moments = (noise_variance, shift_mean, shift_variance)
    return without, log_context_density(means, scatter, len(x), *moments)


@pytest.mark.parametrize("d", [1, 3, 8])
def test_exact_marginal_is_the_sum_over_all_sets_of_targets(d):
    x, noise, mean, variance, logits = _random_context(d, 4, seed=d)
    found = exact_log_marginal(*_densities(x, noise, mean, variance), logits)
    probability = 1 / (1 + np.exp(-logits.numpy()))
    ones = np.ones((4, 4))
    # The density of all rows given a set: a dense multivariate normal for each variable.
    densities = np.array(
        [
            [
                multivariate_normal.logpdf(
                    x[:, j].numpy(),
                    np.full(4, t * float(mean[j])),
                    float(noise[j]) * np.eye(4) + t * float(variance[j]) * ones,
                )
                for j in range(d)
            ]
            for t in (0, 1)
        ]
    )
    terms = [
        sum(densities[t, j] for j, t in enumerate(targets))
        + np.log(np.where(targets, probability, 1 - probability)).sum()
        for targets in product((0, 1), repeat=d)
    ]
    assert len(terms) == 2**d
    assert found.item() == pytest.approx(np.logaddexp.reduce(terms), abs=1e-8)


def test_posterior_of_targets_is_that_of_enumeration():
    x, noise, mean, variance, logits = _random_context(4, 5, seed=0)
    without, with_target = _densities(x, noise, mean, variance)
    terms = {}
    for targets in product((False, True), repeat=4):
        mask = torch.tensor(targets)
        prior = torch.nn.functional.logsigmoid(torch.where(mask, logits, -logits)).sum()
        terms[targets] = prior + torch.where(mask, with_target, without).sum()
    total = torch.logsumexp(torch.stack(list(terms.values())), dim=0)
    found = target_posterior(without, with_target, logits)[0]
    for j in range(4):
        share = torch.stack([term for targets, term in terms.items() if targets[j]])
        assert found[j].item() == pytest.approx((torch.logsumexp(share, 0) - total).exp().item())


def test_128_draws_come_within_one_percent_of_the_exact_log_marginal():
    # Mean over 50 seeds of the log marginal of ten rows of five variables, for four contexts; prior
    # probabilities of targets between 0.1 and 0.9.
    for context in range(4):
        x, noise, mean, variance, logits = _random_context(5, 10, seed=context)
        densities = _densities(x, noise, mean, variance)
        exact = exact_log_marginal(*densities, logits).item()
        estimates = [
            monte_carlo_log_marginal(*densities, logits[None], 128, _random(seed)).item()
            for seed in range(50)
        ]
        assert abs(np.mean(estimates) - exact) < 0.01 * abs(exact)


def test_draws_of_sets_are_unbiased_for_the_marginal():
    x, noise, mean, variance, logits = _random_context(3, 2, seed=1)
    densities = _densities(x, noise, mean, variance)
    exact = exact_log_marginal(*densities, logits)
    estimate = monte_carlo_log_marginal(*densities, logits[None], 200_000, _random(0))
    assert (estimate - exact).exp().item() == pytest.approx(1.0, abs=0.02)


def test_gradients_of_the_likelihood():
    x, noise, mean, variance, logits = _random_context(3, 4, seed=2)
    inputs = [t.requires_grad_() for t in (x, noise, mean, variance, logits)]

    def exact(*arguments):
        return exact_log_marginal(*_densities(*arguments[:-1]), arguments[-1])

    def monte_carlo(*arguments):
        return monte_carlo_log_marginal(
            *_densities(*arguments[:-1]), arguments[-1][None], 4, _random(0), temperature=1.0
        )

    assert torch.autograd.gradcheck(exact, inputs)
    assert torch.autograd.gradcheck(monte_carlo, inputs)


def test_gumbel_sigmoid_exceeds_a_half_with_the_given_probability():
    logits = torch.tensor([-2.0, 0.0, 1.0], dtype=torch.float64)
    draws = gumbel_sigmoid(logits, 20_000, _random(0), temperature=0.3)
    assert draws.min() >= 0
    assert draws.max() <= 1
    found = (draws > 0.5).double().mean(dim=0)
    np.testing.assert_allclose(found, torch.sigmoid(logits), atol=0.012)


@pytest.mark.parametrize("seed", range(5))
def test_radius_is_the_largest_eigenvalue(seed):
    weights = torch.tensor(np.random.default_rng(seed).uniform(size=(7, 7)))
    ones = torch.ones(7, dtype=torch.float64)
    radius, left, right = spectral_radius(weights, ones, ones, n_iter=50)
    assert radius.item() == pytest.approx(np.abs(np.linalg.eigvals(weights.numpy())).max())
    # The vectors that are kept make one more iteration enough, for weights nearby.
    nearby = weights + 1e-3
    radius = spectral_radius(nearby, left, right, n_iter=2)[0]
    assert radius.item() == pytest.approx(np.abs(np.linalg.eigvals(nearby.numpy())).max(), abs=1e-6)


def test_radius_of_a_cycle_of_length_two():
    weights = torch.tensor([[0.0, 4.0], [1.0, 0.0]], dtype=torch.float64)
    radius = spectral_radius(weights, *torch.ones(2, 2, dtype=torch.float64))[0]
    assert radius.item() == pytest.approx(2.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_radius_of_acyclic_graphs_is_zero_and_so_is_its_gradient(dtype):
    rng = np.random.default_rng(0)
    for _ in range(5):
        order = rng.permutation(6)
        weights = np.triu(rng.uniform(size=(6, 6)), 1)[np.ix_(order, order)]
        weights = torch.tensor(weights, dtype=dtype, requires_grad=True)
        ones = torch.ones(6, dtype=dtype)
        radius, left, right = spectral_radius(weights, ones, ones, n_iter=6)
        radius.backward()
        assert radius.item() == 0
        assert not weights.grad.any()
        # It can start anew from there.
        assert left.min() > 0
        assert right.min() > 0


def test_gradient_of_the_radius_is_that_of_the_eigenvalue():
    weights = torch.tensor(np.random.default_rng(1).uniform(size=(4, 4)), requires_grad=True)
    ones = torch.ones(4, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda w: spectral_radius(w, ones, ones, 100)[0], [weights])


def test_threshold_keeps_the_most_probable_edges_without_cycles():
    probabilities = np.array([[0.0, 0.9, 0.2], [0.95, 0.0, 0.8], [0.7, 0.6, 0.0]])
    found = threshold_to_dag(probabilities)
    np.testing.assert_array_equal(found, [[0, 0, 0], [1, 0, 1], [1, 0, 0]])


def _chain(intervention, n_rows=40, seed=0):
    """Contexts of a chain 0 -> 1 -> 2, in which each variable is the target of some."""
    rng = np.random.default_rng(seed)
    n_contexts = 24
    target = np.arange(n_contexts) % 3
    size = rng.choice([-1.0, 1.0], n_contexts) * rng.uniform(2.0, 4.0, n_contexts)
    features = np.zeros((n_contexts + 1, 6))
    features[np.arange(n_contexts) + 1, target] = 1.0
    features[np.arange(n_contexts) + 1, 3 + target] = size
    is_target = np.zeros((n_contexts + 1, 3), dtype=bool)
    is_target[np.arange(n_contexts) + 1, target] = True
    rows, context = [], np.repeat(np.arange(n_contexts + 1), n_rows)
    noise = rng.normal(size=(len(context), 3))
    for j in range(3):
        hit = is_target[context, j]
        value = np.append(0.0, size)[context]
        x = noise[:, j] + (0.8 * rows[-1] if j else 0.0)
        if intervention == "shift":
            x = x + hit * value
        elif intervention == "do":
            x = np.where(hit, value + 0.2 * noise[:, j], x)
        else:
            x = x + hit * 3.0 * noise[:, j]
        rows.append(x)
    X = np.stack(rows, axis=1)
    contexts = summarise_contexts(X, features[context])
    X = X - contexts.means[0]
    X = X / np.sqrt(np.diag(contexts.scatter) / contexts.n_within)
    contexts = summarise_contexts(X, features[context])
    first = np.unique(contexts.context_of_row, return_index=True)[1]
    return contexts, X, is_target[context[first]]


@pytest.mark.parametrize("intervention", ["shift", "do", "scale"])
def test_small_fit_finds_targets(intervention):
    contexts, X, is_target = _chain(intervention)
    fit = fit_by_gradient(contexts, X, intervention=intervention, n_steps=400, learning_rate=0.04)
    assert ((fit.target_posteriors > 0.5) == is_target).mean() >= 0.95
    # Each context has one target; it stands out.
    assert (fit.target_posteriors[1:].argmax(axis=1) == is_target[1:].argmax(axis=1)).all()
    assert not fit.target_posteriors[0].any()
    if intervention == "shift":
        np.testing.assert_array_equal(fit.adjacency, [[0, 1, 0], [0, 0, 1], [0, 0, 0]])
        probability, shift = fit.generate(contexts.features)
        assert probability.shape == shift.shape == is_target.shape
        assert not probability[0].any()
        assert fit.loss_curve[-1] < fit.loss_curve[0]
        np.testing.assert_allclose(fit.expect(X), X @ fit.coef + fit.intercept, atol=1e-5)


@pytest.mark.parametrize("options", [{"mechanism": "mlp"}, {"n_draws": 32}, {"generator": "mlp"}])
def test_small_fit_of_other_forms(options):
    contexts, X, is_target = _chain("shift", n_rows=15)
    fit = fit_by_gradient(contexts, X, n_steps=120, learning_rate=0.08, **options)
    found = fit.target_posteriors[1:].argmax(axis=1)
    assert (found == is_target[1:].argmax(axis=1)).mean() > 0.9
    assert np.isfinite(fit.coef).all()
    assert np.isfinite(fit.intercept).all()


@pytest.mark.parametrize("stop", [50, 100])
def test_training_goes_on_from_a_checkpoint_to_the_last_bit(stop, tmp_path, monkeypatch):
    contexts, _, _ = _chain("shift")
    # The second half of the steps holds the graph fixed: one stop lies in either half.
    monkeypatch.setattr("skcausal.perturbation._gradient_objective._RELAXED_SHARE", 0.5)
    settings = {"n_steps": 150, "learning_rate": 0.01, "n_draws": 4, "random_state": 3}
    whole = fit_by_gradient(contexts, **settings)
    path = tmp_path / "fit.safetensors"
    monkeypatch.setattr("skcausal.nn._training._SECONDS_BETWEEN_CHECKPOINTS", 0.0)

    def interrupt(objective, epoch, rank, world_size):
        if epoch * 50 == stop:
            raise KeyboardInterrupt
        return original(objective, epoch, rank, world_size)

    original = GradientObjective.steps_of_epoch
    with monkeypatch.context() as patch:
        patch.setattr(GradientObjective, "steps_of_epoch", interrupt)
        with pytest.raises(KeyboardInterrupt):
            fit_by_gradient(contexts, **settings, checkpoint=path)
    resumed = fit_by_gradient(contexts, **settings, checkpoint=path)
    for key, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[key]), key
    np.testing.assert_array_equal(whole.target_posteriors, resumed.target_posteriors)
    np.testing.assert_array_equal(whole.loss_curve, resumed.loss_curve)
    with pytest.raises(ValueError, match="belongs to another training"):
        fit_by_gradient(contexts, **settings, edge_probability=0.2, checkpoint=path)


def test_bad_arguments_are_named():
    contexts, X, _ = _chain("shift", n_rows=2)
    with pytest.raises(ValueError, match="intervention must be one of 'shift', 'do', 'scale'"):
        fit_by_gradient(contexts, intervention="hard")
    with pytest.raises(ValueError, match="X is missing"):
        fit_by_gradient(contexts, intervention="do")
    with pytest.raises(ValueError, match="X must have the shape"):
        fit_by_gradient(contexts, X[:-1], mechanism="mlp")
    with pytest.raises(ValueError, match="edge_probability must lie between 0 and 1"):
        fit_by_gradient(contexts, edge_probability=1.0)
    with pytest.raises(ValueError, match="n_steps must be positive"):
        fit_by_gradient(contexts, n_steps=0)
