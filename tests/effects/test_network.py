"""Representation and heads of all members at once."""

import numpy as np
import pytest
import torch

from skcausal.effects import _network
from skcausal.effects._network import CFRNetwork, evaluate, represent


def make_network(seeds=(0, 1, 2), **options):
    defaults = {
        "representation_layers": (7, 4),
        "head_layers": (5,),
        "activation": "elu",
        "normalize": False,
        "effect_head": False,
        "dropout": 0.0,
        "dtype": torch.float64,
    }
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    network = CFRNetwork(3, 3, generators=generators, **(defaults | options))
    # Biases start at zero; a trained network has others.
    generator = torch.Generator().manual_seed(99)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if ".biases." in name:
                noise = torch.randn(parameter.shape[1:], generator=generator, dtype=torch.float64)
                parameter += 0.3 * noise.to(parameter)
    return network


def covariates(n, n_members=None, seed=5):
    generator = torch.Generator().manual_seed(seed)
    shape = (n, 3) if n_members is None else (n_members, n, 3)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def layer_by_layer(mlp, member, row, *, activate_last):
    """Value of one member's perceptron on one row, in numpy."""
    for k, (weight, bias) in enumerate(zip(mlp.weights, mlp.biases)):
        row = row @ weight[member].detach().numpy() + bias[member, 0].detach().numpy()
        if k < len(mlp.weights) - 1 or activate_last:
            row = np.where(row > 0, row, np.expm1(row))
    return row


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("effect_head", [False, True])
def test_outcomes_are_heads_on_a_representation(normalize, effect_head):
    network = make_network(normalize=normalize, effect_head=effect_head)
    x = covariates(4)
    outcomes, z = evaluate(network, x, binary=False), represent(network, x)
    assert outcomes.shape == (3, 4, 3)
    for member in range(3):
        for i, row in enumerate(x.numpy()):
            expected = layer_by_layer(network.encoder, member, row, activate_last=True)
            if normalize:
                expected = expected / np.sqrt((expected**2).sum() + 1e-6)
            np.testing.assert_allclose(z[member, i], expected, rtol=1e-10)
            heads = [
                layer_by_layer(head, member, expected, activate_last=False)[0]
                for head in network.heads
            ]
            if effect_head:
                heads = [heads[0], heads[0] + heads[1], heads[0] + heads[2]]
            np.testing.assert_allclose(outcomes[member, i], heads, rtol=1e-10)


@pytest.mark.parametrize("effect_head", [False, True])
@pytest.mark.parametrize("rows_per_arm", [[3, 4, 2], [0, 5, 4], [4, 0, 5], [9, 0, 0]], ids=str)
def test_forward_is_the_outcome_under_each_rows_own_level(effect_head, rows_per_arm):
    network = make_network(effect_head=effect_head, normalize=True)
    x = covariates(9, n_members=3)
    z, y = network(x, rows_per_arm)
    np.testing.assert_allclose(z.detach(), network.represent(x).detach(), rtol=1e-12)
    arm = torch.repeat_interleave(torch.arange(3), torch.tensor(rows_per_arm))
    gathered = network.outcomes(z).gather(2, arm.expand(3, 9)[:, :, None])[:, :, 0]
    np.testing.assert_allclose(y.detach(), gathered.detach(), rtol=1e-12)


def test_effect_head_shifts_all_levels_with_the_first():
    network = make_network(effect_head=True)
    before = evaluate(network, covariates(6), binary=False)
    with torch.no_grad():
        network.heads[0].biases[-1] += 2.0
    after = evaluate(network, covariates(6), binary=False)
    np.testing.assert_allclose(after, before + 2.0)


def test_effect_head_of_zero_weights_means_no_effect():
    network = make_network(effect_head=True)
    with torch.no_grad():
        for parameter in network.heads[2].parameters():
            parameter.zero_()
    outcomes = evaluate(network, covariates(6), binary=False)
    np.testing.assert_array_equal(outcomes[:, :, 2], outcomes[:, :, 0])
    assert abs(outcomes[:, :, 1] - outcomes[:, :, 0]).max() > 0.01


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_normalized_representations_have_length_one(dtype):
    network = make_network(normalize=True, dtype=dtype)
    z = represent(network, 3.0 * covariates(50).to(dtype))
    np.testing.assert_allclose(z.norm(dim=-1), np.ones((3, 50)), rtol=1e-5)
    free = represent(make_network(dtype=dtype), 3.0 * covariates(50).to(dtype))
    assert abs(free.norm(dim=-1) - 1).max() > 0.1


def test_normalized_representation_of_a_zero_row_is_finite():
    generators = [torch.Generator().manual_seed(0)]
    network = CFRNetwork(
        3,
        2,
        representation_layers=(4,),
        head_layers=(),
        generators=generators,
        activation="elu",
        normalize=True,
        effect_head=False,
        dropout=0.0,
        dtype=torch.float32,
    )
    z, y = network(torch.zeros(1, 2, 3), [1, 1])  # biases are zero: so is the representation
    y.sum().backward()
    np.testing.assert_array_equal(z.detach(), np.zeros((1, 2, 4)))
    assert all(torch.isfinite(parameter.grad).all() for parameter in network.parameters())


@pytest.mark.parametrize("n", [1, 4, 5, 12])
def test_pieces_make_no_difference(n, monkeypatch):
    network = make_network(normalize=True, effect_head=True)
    x = covariates(n)
    whole, whole_z = evaluate(network, x, binary=False), represent(network, x)
    monkeypatch.setattr(_network, "ROWS_AT_ONCE", 4)
    np.testing.assert_allclose(evaluate(network, x, binary=False), whole, rtol=1e-12)
    np.testing.assert_allclose(represent(network, x), whole_z, rtol=1e-12)


def test_binary_outcomes_are_probabilities():
    network = make_network()
    log_odds = evaluate(network, covariates(5), binary=False)
    probabilities = evaluate(network, covariates(5), binary=True)
    np.testing.assert_allclose(probabilities, 1 / (1 + np.exp(-log_odds.numpy())), rtol=1e-12)


@pytest.mark.parametrize("effect_head", [False, True])
def test_members_do_not_see_each_other(effect_head):
    together = make_network(seeds=(3, 4, 5), effect_head=effect_head, normalize=True)
    alone = make_network(seeds=(4,), effect_head=effect_head, normalize=True)
    x = covariates(6, n_members=3)
    z, y = together(x, [2, 2, 2])
    z_alone, y_alone = alone(x[1:2], [2, 2, 2])
    np.testing.assert_allclose(z[1].detach(), z_alone[0].detach(), rtol=1e-12)
    np.testing.assert_allclose(y[1].detach(), y_alone[0].detach(), rtol=1e-12)
    (gradient,) = torch.autograd.grad(y[1].sum(), together.encoder.weights[0])
    assert (gradient[[0, 2]] == 0).all()
    assert (gradient[1] != 0).any()


def test_evaluate_keeps_no_gradient_and_no_dropout():
    network = make_network(dropout=0.5)
    outcomes = evaluate(network, covariates(5), binary=False)
    assert not outcomes.requires_grad
    without = make_network(dropout=0.0)
    np.testing.assert_array_equal(outcomes, evaluate(without, covariates(5), binary=False))


def test_dropout_is_drawn_from_the_generators_of_the_members():
    network = make_network(dropout=0.5)
    x = covariates(6, n_members=3)

    def outcomes(seeds):
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        return network(x, [2, 2, 2], generators)[1].detach()

    first, again, other = outcomes((1, 2, 3)), outcomes((1, 2, 3)), outcomes((1, 7, 3))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first[[0, 2]], other[[0, 2]])
    assert (first[1] != other[1]).any()
