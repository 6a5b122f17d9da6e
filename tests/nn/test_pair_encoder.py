"""The pair encoder treats variables alike and lets pairs inform each other."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import gelu

from skcausal.nn._pair_encoder import PairEncoder, _TriangleLayer

N_FEATURES, WIDTH = 5, 6


def encoder(n_layers=2, width=WIDTH, seed=0):
    """Make an encoder in float64, its biases and norms away from what they start at."""
    generator = torch.Generator().manual_seed(seed)
    network = PairEncoder(N_FEATURES, generator, width=width, n_layers=n_layers).double()
    shake(network, generator)
    return network


def shake(network, generator):
    """Move parameters that start at 0 or 1."""
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 1:
                noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
                parameter += 0.3 * noise


def pairs(n_tasks, n_variables, n_features=N_FEATURES, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (n_tasks, n_variables, n_variables, n_features)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@settings(max_examples=15)
@given(seed=st.integers(0, 10_000), n_variables=st.integers(1, 7), width=st.sampled_from([2, 5, 6]))
def test_equivariant_to_renumbering(seed, n_variables, width):
    network = encoder(width=width, seed=seed)
    features = pairs(2, n_variables, seed=seed)
    order = np.random.default_rng(seed).permutation(n_variables)
    tokens = network(features)
    assert tokens.shape == (2, n_variables, n_variables, width)
    renumbered = network(features[:, order][:, :, order])
    torch.testing.assert_close(renumbered, tokens[:, order][:, :, order], rtol=0, atol=1e-10)


def test_direction_of_a_pair_matters():
    network, features = encoder(), pairs(1, 4)
    turned = network(features.transpose(1, 2)).transpose(1, 2)
    assert (turned - network(features)).abs().max() > 1e-3


@pytest.mark.parametrize("changed", [(0, 2), (2, 1)], ids=["(j, k)", "(k, i)"])
def test_a_third_variable_informs_a_pair(changed):
    """One layer carries the pairs (j, k), (k, i) and (k, j) to (j, i); none leaves pairs alone."""
    features = pairs(1, 4)
    other = features.clone()
    other[0, *changed] += 1.0
    with_layer, without = encoder(n_layers=1), encoder(n_layers=0)
    assert (with_layer(other) - with_layer(features))[0, 0, 1].abs().max() > 1e-3
    assert (without(other) - without(features))[0, 0, 1].abs().max() == 0


def test_one_layer_follows_no_longer_path():
    """The pair (2, 3) shares no variable with (0, 1): it takes two layers."""
    features = pairs(1, 5)
    other = features.clone()
    other[0, 2, 3] += 1.0
    one, two = encoder(n_layers=1), encoder(n_layers=2)
    assert (one(other) - one(features))[0, 0, 1].abs().max() == 0
    assert (two(other) - two(features))[0, 0, 1].abs().max() > 1e-6


def test_tasks_do_not_inform_each_other():
    network, features = encoder(), pairs(3, 4)
    alone = torch.cat([network(features[k : k + 1]) for k in range(3)])
    torch.testing.assert_close(network(features), alone, rtol=0, atol=1e-12)


def normalised(vector, norm):
    """Layer norm of a vector, by its formula."""
    deviation = vector - vector.mean()
    return deviation / torch.sqrt((deviation**2).mean() + norm.eps) * norm.weight + norm.bias


@pytest.mark.parametrize("width", [4, 5])
def test_triangle_layer_against_loops(width):
    """Sums over third variables, spelled out token by token."""
    generator = torch.Generator().manual_seed(1)
    layer = _TriangleLayer(width, generator).double()
    shake(layer, generator)
    d, half = 4, width // 2
    tokens = pairs(2, d, width, seed=2)
    expected = torch.empty_like(tokens)
    with torch.no_grad():
        for b in range(2):
            factors = {
                (j, i): layer.factors(normalised(tokens[b, j, i], layer.norm_triangle))
                for j in range(d)
                for i in range(d)
            }
            for j in range(d):
                for i in range(d):
                    total = torch.zeros(2 * half, dtype=torch.float64)
                    for k in range(d):
                        path = factors[j, k][:half] * factors[k, i][half : 2 * half]
                        joint = (
                            factors[k, j][2 * half : 3 * half] * factors[k, i][3 * half : 4 * half]
                        )
                        total += torch.cat([path, joint])
                    token = tokens[b, j, i] + layer.triangle_out(total / math.sqrt(d))
                    inner = gelu(layer.mlp_in(normalised(token, layer.norm_mlp)))
                    expected[b, j, i] = token + layer.mlp_out(inner)
    torch.testing.assert_close(layer(tokens), expected, rtol=0, atol=1e-12)


def test_tokens_are_normalised():
    generator = torch.Generator().manual_seed(0)
    network = PairEncoder(N_FEATURES, generator, width=WIDTH, n_layers=3).double()
    tokens = network(100.0 * pairs(2, 4))
    torch.testing.assert_close(
        tokens.mean(dim=-1), torch.zeros(2, 4, 4).double(), rtol=0, atol=1e-9
    )
    variance = tokens.var(dim=-1, correction=0)
    torch.testing.assert_close(variance, torch.ones_like(variance), rtol=1e-3, atol=0)


def test_the_generator_alone_determines_the_weights():
    state = torch.random.get_rng_state()
    networks = [
        PairEncoder(N_FEATURES, torch.Generator().manual_seed(seed), width=WIDTH, n_layers=2)
        for seed in (0, 0, 1)
    ]
    networks[0](pairs(1, 3).float())
    assert torch.equal(torch.random.get_rng_state(), state)
    first, same, other = (list(network.parameters()) for network in networks)
    assert all(torch.equal(a, b) for a, b in zip(first, same))
    assert not torch.equal(first[0], other[0])


def test_every_parameter_has_a_gradient():
    network = encoder()
    network(pairs(2, 4))[..., 0].sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name
