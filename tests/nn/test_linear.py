"""Linear maps with initial weights from a generator of their own."""

import math

import pytest
import torch

from skcausal.nn._linear import linear


def test_weights_are_uniform_of_the_documented_variance_and_the_bias_is_zero():
    layer = linear(75, 400, torch.Generator().manual_seed(0), gain=0.6)
    weight = layer.weight.detach().double()
    assert weight.shape == (400, 75)
    variance, n = 0.6**2 / (3 * 75), weight.numel()
    # The square of a uniform number has a standard deviation of sqrt(4 / 5) times its mean.
    assert float(weight.var()) == pytest.approx(variance, rel=4 * math.sqrt(0.8 / n))
    assert abs(float(weight.mean())) < 4 * math.sqrt(variance / n)
    assert float(weight.abs().max()) <= 0.6 / math.sqrt(75)
    assert not layer.bias.any()


def test_the_generator_alone_determines_the_weights():
    state = torch.random.get_rng_state()
    layers = [linear(4, 3, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(layers[0].weight, layers[1].weight)
    assert not torch.equal(layers[0].weight, layers[2].weight)
    assert all(parameter.requires_grad for parameter in layers[0].parameters())
