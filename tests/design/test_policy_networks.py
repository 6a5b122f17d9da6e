"""Policies and critics: their symmetries, their densities and their gradients."""

import math

import pytest
import torch
from torch.distributions import Bernoulli, Normal, TanhTransform, TransformedDistribution

from skcausal.design._policy_networks import (
    POLICIES,
    DesignCritic,
    sample_straight_through,
    sample_tanh_gaussian,
)
from skcausal.nn._network_files import NetworkFiles, cast_network

SIZES = {"width": 8, "n_layers": 2, "n_heads": 2, "n_hidden": 16}
kinds = pytest.mark.parametrize("kind", POLICIES)
numbers = pytest.mark.parametrize("n_choices", [1, 2])


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def make(kind="gaussian", n_choices=2, seed=0, **arguments):
    return POLICIES[kind](seeded(seed), n_choices=n_choices, **SIZES, **arguments).double()


def critic(n_choices=2, seed=0):
    return DesignCritic(seeded(seed), n_choices=n_choices, **SIZES).double()


def draw_histories(n=3, n_rows=6, d=4, seed=0):
    values = torch.randn(n, n_rows, d, generator=seeded(seed), dtype=torch.float64)
    mask = torch.rand(n, n_rows, d, generator=seeded(seed + 1)) < 0.3
    return torch.stack([values, mask.double()], dim=-1)


def draw_actions(n=3, n_actions=8, seed=0):
    return 2 * torch.rand(n, n_actions, generator=seeded(seed), dtype=torch.float64) - 1


def same(first, second):
    torch.testing.assert_close(first, second, rtol=0, atol=1e-10)


@kinds
@numbers
def test_variables_are_treated_alike(kind, n_choices):
    policy, rows = make(kind, n_choices), draw_histories()
    order = torch.tensor([2, 0, 3, 1])
    same(policy(rows[:, :, order]), policy(rows)[:, order])
    actions = policy.most_likely(rows)
    assert actions.shape == (3, 4 * n_choices)
    permuted = actions.unflatten(-1, (n_choices, 4))[..., order].flatten(1)
    same(policy.most_likely(rows[:, :, order]), permuted)
    assert (policy(rows)[:, 0] - policy(rows)[:, 1]).abs().max() > 1e-4


@kinds
@numbers
def test_the_order_of_rows_does_not_matter(kind, n_choices):
    policy, rows = make(kind, n_choices), draw_histories()
    order = torch.tensor([5, 2, 0, 3, 1, 4])
    same(policy(rows[:, order]), policy(rows))


@kinds
@numbers
def test_rows_to_come_are_ignored(kind, n_choices):
    policy, rows = make(kind, n_choices), draw_histories()
    n_observed = torch.tensor([1, 4, 6])
    observed = torch.arange(6) < n_observed[:, None]
    rubbish = torch.where(observed[..., None, None], rows, torch.nan)
    outputs = policy(rubbish, observed)
    for k, n in enumerate(n_observed.tolist()):
        same(outputs[k : k + 1], policy(rows[k : k + 1, :n]))
    outputs.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in policy.parameters())


@numbers
def test_critics_have_the_same_symmetries(n_choices):
    network, rows, actions = critic(n_choices), draw_histories(), draw_actions(3, 4 * n_choices)
    values = network(rows, actions)
    assert values.shape == (3,)
    order = torch.tensor([2, 0, 3, 1])
    permuted = actions.unflatten(-1, (n_choices, 4))[..., order].flatten(1)
    same(network(rows[:, :, order], permuted), values)
    same(network(rows[:, torch.tensor([5, 2, 0, 3, 1, 4])], actions), values)
    observed = torch.arange(6) < torch.tensor([1, 4, 6])[:, None]
    masked = network(torch.where(observed[..., None, None], rows, torch.inf), actions, observed)
    same(masked[1:2], network(rows[1:2, :4], actions[1:2]))
    same(network.value(network.encoder(rows, observed), actions), masked)
    assert (network(rows, -actions) - values).abs().max() > 1e-4


def test_the_critic_pairs_variables_with_what_was_chosen_for_them():
    network, rows, actions = critic(), draw_histories(), draw_actions()
    encoding = network.encoder(rows)
    expected = sum(
        network.head(torch.cat([encoding[:, j], actions[:, [j, 4 + j]]], dim=-1))[:, 0]
        for j in range(4)
    )
    same(network(rows, actions), expected)


def test_units_do_not_matter_where_no_values_are_chosen():
    rows = draw_histories()
    other = rows.clone()
    other[..., 0] = 3.0 * rows[..., 0] + 5.0
    observed = torch.arange(6) < torch.tensor([2, 4, 6])[:, None]
    for network in (make(n_choices=1), make("bernoulli", 1)):
        same(network(other, observed), network(rows, observed))
    assert (make(n_choices=2)(other) - make(n_choices=2)(rows)).abs().max() > 1e-3
    constant = torch.ones_like(rows)
    assert make(n_choices=1)(constant).isfinite().all()


def test_tanh_gaussian_densities_are_those_of_torch():
    outputs = 3 * torch.randn(200, 5, 2, generator=seeded(), dtype=torch.float64)
    actions, log_density = sample_tanh_gaussian(outputs, seeded(1))
    ratio = math.sqrt(1 / 3) / (1 - math.sqrt(1 / 3))
    scale = torch.sigmoid(outputs[..., 1] + math.log(ratio))
    law = TransformedDistribution(Normal(outputs[..., 0], scale), TanhTransform(cache_size=1))
    noise = torch.randn(200, 5, generator=seeded(1), dtype=torch.float64)
    expected = law.transforms[0](outputs[..., 0] + scale * noise)
    torch.testing.assert_close(actions, expected)
    torch.testing.assert_close(log_density, law.log_prob(expected))
    assert (actions.abs() <= 1).all()


def test_tanh_gaussian_densities_integrate_to_one():
    outputs = torch.tensor([0.4, 0.3], dtype=torch.float64).expand(20_000, 2)
    actions, log_density = sample_tanh_gaussian(outputs, seeded())
    # E[1 / p(a)] is the length of the interval.
    assert (-log_density).exp().mean() == pytest.approx(2.0, rel=0.1)
    assert actions.abs().max() < 1


def test_tanh_gaussian_densities_are_finite_far_out():
    outputs = torch.tensor([[40.0, 0.0], [-40.0, 0.0], [0.0, -200.0], [0.0, 200.0]])
    outputs.requires_grad_()
    actions, log_density = sample_tanh_gaussian(outputs, seeded())
    (actions.sum() + log_density.sum()).backward()
    assert log_density.isfinite().all()
    assert outputs.grad.isfinite().all()


def test_first_actions_have_the_published_spread():
    _, log_density = sample_tanh_gaussian(torch.zeros(1, 1, 2), seeded())
    noise = torch.randn(1, 1, generator=seeded())
    law = Normal(torch.zeros(1, 1), math.sqrt(1 / 3))
    u = math.sqrt(1 / 3) * noise
    torch.testing.assert_close(log_density, law.log_prob(u) - torch.log1p(-torch.tanh(u).square()))


def test_coin_flips_have_their_probabilities_and_entropies():
    logits = torch.tensor([-2.0, 0.0, 1.0], dtype=torch.float64)
    flips, negative_entropy = sample_straight_through(logits.expand(20_000, 3), seeded())
    assert set(flips.unique().tolist()) == {-1.0, 1.0}
    torch.testing.assert_close(
        (flips > 0).double().mean(dim=0), torch.sigmoid(logits), rtol=0, atol=0.015
    )
    torch.testing.assert_close(negative_entropy[0], -Bernoulli(logits=logits).entropy())
    extreme = sample_straight_through(torch.tensor([-200.0, 200.0]), seeded())
    assert extreme[0].tolist() == [-1.0, 1.0]
    assert extreme[1].abs().max() < 1e-6


def test_coin_flips_have_the_gradient_of_relaxed_ones():
    logits = torch.randn(50, generator=seeded(), dtype=torch.float64).requires_grad_()
    flips, _ = sample_straight_through(logits, seeded(1))
    flips.sum().backward()
    u = torch.rand(50, generator=seeded(1), dtype=torch.float64)
    soft = torch.sigmoid(logits.detach() + torch.log(u) - torch.log1p(-u))
    torch.testing.assert_close(logits.grad, 2 * soft * (1 - soft))
    assert torch.equal(flips.detach() > 0, soft > 0.5)


@kinds
@numbers
def test_samples_come_from_the_distribution_of_the_network(kind, n_choices):
    policy, rows = make(kind, n_choices), draw_histories()
    actions, log_density = policy.sample(rows, generator=seeded())
    assert actions.shape == (3, 4 * n_choices)
    assert log_density.shape == (3,)
    outputs, generator = policy(rows), seeded()
    if kind == "gaussian":
        parts = [sample_tanh_gaussian(outputs[..., :2], generator)]
    else:
        parts = [sample_straight_through(outputs[..., 0], generator)]
    if n_choices == 2:
        parts.append(sample_tanh_gaussian(outputs[..., -2:], generator))
    same(actions, torch.cat([part[0] for part in parts], dim=1))
    same(log_density, sum(part[1] for part in parts).sum(dim=1))


@kinds
def test_sampling_is_determined_by_the_generator(kind):
    policy, rows = make(kind), draw_histories()
    state = torch.get_rng_state()
    first = policy.sample(rows, generator=seeded(), dropout=True)
    assert torch.equal(policy.sample(rows, generator=seeded(), dropout=True)[0], first[0])
    assert not torch.equal(policy.sample(rows, generator=seeded(1))[0], first[0])
    assert torch.equal(torch.get_rng_state(), state)


def test_dropout_acts_in_training_only():
    policy, rows = make(dropout=0.5), draw_histories()
    assert torch.equal(policy(rows), policy(rows))
    assert not torch.equal(policy(rows, None, seeded()), policy(rows))
    assert torch.equal(policy(rows, None, seeded()), policy(rows, None, seeded()))


@kinds
def test_all_parameters_of_a_policy_learn(kind):
    policy, network, rows = make(kind), critic(), draw_histories()
    observed = torch.arange(6) < torch.tensor([1, 4, 6])[:, None]
    actions, log_density = policy.sample(rows, observed, generator=seeded())
    (log_density - network(rows, actions, observed)).sum().backward()
    for module in (policy, network):
        for name, parameter in module.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name


@kinds
def test_policies_can_be_kept_in_files(kind, tmp_path):
    files = NetworkFiles({name: (cls, ("n_choices", *SIZES)) for name, cls in POLICIES.items()})
    policy = files.make(kind, {"n_choices": 2, **SIZES}, seed=0)
    files.save(tmp_path / "policy", kind, policy, {"note": "x"})
    loaded, card = files.load(tmp_path / "policy", kind)
    rows = draw_histories().float()
    assert torch.equal(loaded(rows), policy(rows))
    assert card == {"note": "x"}
    cast = cast_network(loaded, torch.device("cpu"), torch.float64)
    torch.testing.assert_close(cast(rows.double()).float(), policy(rows))


def test_default_sizes_are_those_of_the_paper():
    policy = POLICIES["gaussian"](seeded())
    assert policy.sizes == {
        "n_choices": 2,
        "width": 32,
        "n_layers": 4,
        "n_heads": 8,
        "n_hidden": 128,
    }
    assert sum(p.numel() for p in policy.parameters()) == pytest.approx(90_000, rel=0.05)


def test_initial_weights_are_determined_by_the_seed():
    first, same_seed, other = make(), make(), make(seed=1)
    pairs = list(zip(first.parameters(), same_seed.parameters(), other.parameters()))
    assert all(torch.equal(a, b) for a, b, _ in pairs)
    assert any(not torch.equal(a, c) for a, _, c in pairs)
