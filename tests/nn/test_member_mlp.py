"""Perceptrons of all members evaluated as one are what each would be alone."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from skcausal.nn import ACTIVATIONS, MemberMLP
from skcausal.nn._member_mlp import dropout_mask

SIZES = (3, 5, 4, 2)
MODULES = {"elu": nn.ELU, "relu": nn.ReLU, "silu": nn.SiLU, "tanh": nn.Tanh}


def generators(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def rows(n_members=3, n_rows=7, n_inputs=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n_members, n_rows, n_inputs, generator=generator, dtype=torch.float64)


def as_sequential(mlp, member):
    """One member as a stack of nn.Linear."""
    layers = []
    for weight, bias in zip(mlp.weights, mlp.biases):
        linear = nn.Linear(weight.shape[1], weight.shape[2], dtype=weight.dtype)
        with torch.no_grad():
            linear.weight.copy_(weight[member].T)
            linear.bias.copy_(bias[member, 0])
        layers += [linear, MODULES[mlp.activation]()]
    return nn.Sequential(*(layers if mlp.activate_last else layers[:-1]))


def test_every_activation_is_compared():
    assert MODULES.keys() == ACTIVATIONS.keys()


@pytest.mark.parametrize("activate_last", [True, False])
@pytest.mark.parametrize("activation", list(ACTIVATIONS))
def test_forward_is_that_of_separate_networks(activation, activate_last):
    mlp = MemberMLP(
        SIZES,
        generators(0, 1, 2),
        activation=activation,
        activate_last=activate_last,
        dtype=torch.float64,
    )
    with torch.no_grad():
        for bias in mlp.biases:  # they start at zero
            bias.copy_(torch.linspace(-1, 1, bias.numel()).view_as(bias))
    x = rows()
    expected = torch.stack([as_sequential(mlp, m)(x[m]) for m in range(3)])
    torch.testing.assert_close(mlp(x), expected, rtol=1e-12, atol=1e-12)


def test_unknown_activation():
    with pytest.raises(ValueError, match=r"activation must be one of 'elu', 'relu'.*found 'gelu'"):
        MemberMLP(SIZES, generators(0), activation="gelu")


def test_a_single_size_makes_no_layer():
    mlp = MemberMLP((3,), generators(0, 1))
    x = rows(2)
    assert mlp(x) is x
    assert list(mlp.parameters()) == []


@pytest.mark.parametrize(("activation", "gain"), [("elu", 1), ("tanh", 1), ("relu", math.sqrt(2))])
def test_scale_of_initial_weights(activation, gain):
    """The variance is that of nn.Linear, gain^2 / (3 n_inputs); 100 draws per unit of input."""
    mlp = MemberMLP((50, 400), generators(0, 1), activation=activation, dtype=torch.float64)
    weight = mlp.weights[0].detach()
    n = weight.numel()
    assert float(weight.std()) == pytest.approx(gain / math.sqrt(150), rel=4 / math.sqrt(2 * n))
    assert abs(float(weight.mean())) < 4 * gain / math.sqrt(150 * n)
    assert not mlp.biases[0].any()


def test_both_precisions_start_from_the_same_weights():
    single = MemberMLP(SIZES, generators(0, 1), dtype=torch.float32)
    double = MemberMLP(SIZES, generators(0, 1), dtype=torch.float64)
    for a, b in zip(single.parameters(), double.parameters()):
        assert a.dtype == torch.float32
        assert b.dtype == torch.float64
        assert torch.equal(a, b.float())


def test_initial_weights_depend_on_the_members_own_generator_alone():
    together = MemberMLP(SIZES, generators(5, 6, 7))
    for member, seed in enumerate((5, 6, 7)):
        alone = MemberMLP(SIZES, generators(seed))
        for a, b in zip(together.parameters(), alone.parameters()):
            assert torch.equal(a[member], b[0])
    assert not torch.equal(together.weights[0][0], together.weights[0][1])


def test_no_global_random_state_is_touched():
    """Neither read, so that it has no influence, nor advanced."""
    results = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        torch_state, numpy_state = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
        mlp = MemberMLP(SIZES, generators(0, 1, 2), dropout=0.5, dtype=torch.float64)
        results.append(mlp(rows(), generators(3, 4, 5)))
        assert torch.equal(torch.random.get_rng_state(), torch_state)
        np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
    assert torch.equal(*results)


def test_dropout_mask_has_mean_one_and_two_values():
    share = 0.3
    mask = dropout_mask(torch.empty(2, 400, 50, dtype=torch.float64), share, generators(0, 1))
    assert mask.dtype == torch.float64
    kept = mask > 0
    torch.testing.assert_close(mask[kept], torch.full_like(mask[kept], 1 / (1 - share)))
    error = math.sqrt(share / (1 - share) / mask[0].numel())
    for member in mask:
        assert float(member.mean()) == pytest.approx(1.0, abs=4 * error)
    # Two independent members keep the same unit with probability 0.7^2 + 0.3^2.
    alike = float((kept[0] == kept[1]).double().mean())
    assert alike == pytest.approx(0.58, abs=4 * math.sqrt(0.58 * 0.42 / mask[0].numel()))


def test_dropout_of_a_member_depends_on_its_own_generator_alone():
    mlp = MemberMLP(SIZES, generators(0, 1, 2), dropout=0.5, dtype=torch.float64)
    x = rows()
    y = mlp(x, generators(7, 8, 9))
    other = mlp(x, generators(70, 8, 90))
    torch.testing.assert_close(y[1], other[1], rtol=0, atol=0)
    assert not torch.equal(y[0], other[0])


def test_dropout_follows_each_activation_but_not_the_output():
    """Compared with masks drawn by hand, layer by layer."""
    mlp = MemberMLP(SIZES, generators(0, 1, 2), dropout=0.5, dtype=torch.float64)
    x = z = rows()
    own = generators(7, 8, 9)
    for layer, (weight, bias) in enumerate(zip(mlp.weights, mlp.biases)):
        z = z @ weight + bias
        if layer < 2:
            kept = torch.stack([torch.rand(z.shape[1:], generator=g) >= 0.5 for g in own])
            z = nn.functional.elu(z) * kept * 2
    torch.testing.assert_close(mlp(x, generators(7, 8, 9)), z, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_no_dropout_without_generators_and_with_share_zero(dropout):
    mlp = MemberMLP(SIZES, generators(0, 1, 2), dropout=dropout, dtype=torch.float64)
    plain = MemberMLP(SIZES, generators(0, 1, 2), dtype=torch.float64)
    assert torch.equal(mlp(rows()), plain(rows(), generators(3, 4, 5)))
