"""Alternating attention treats rows and variables as sets, and can be differentiated twice."""

import pytest
import torch
from torch.func import functional_call

from skcausal.nn import AlternatingAttention


def network(**options):
    options = {"width": 8, "n_layers": 2, "n_heads": 4, "n_hidden": 8} | options
    module = AlternatingAttention(torch.Generator().manual_seed(0), **options).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():  # away from norms of one and biases of zero
            parameter += 0.3 * torch.randn(
                parameter.shape, generator=generator, dtype=torch.float64
            )
    return module


def tokens(*shape, seed=2):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def close(a, b):
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("masked", [False, True])
def test_both_ways_of_attending_agree(masked):
    module, x = network(), tokens(2, 6, 3, 8)
    rows = torch.arange(6) < torch.tensor([[6], [4]]) if masked else None
    close(module(x, rows, second_order=True), module(x, rows))


@pytest.mark.parametrize("second_order", [False, True])
def test_rows_and_variables_are_sets(second_order):
    module, x = network(), tokens(2, 6, 3, 8)
    rows, variables = [3, 0, 5, 1, 4, 2], [2, 0, 1]
    y = module(x, second_order=second_order)
    permuted = module(x[:, rows][:, :, variables], second_order=second_order)
    close(permuted, y[:, rows][:, :, variables])


@pytest.mark.parametrize("second_order", [False, True])
def test_masked_rows_have_no_influence(second_order):
    module, x = network(), tokens(2, 6, 3, 8)
    rows = torch.tensor([True, False, True, True, False, True]).expand(2, 6)
    y = module(x, rows, second_order=second_order)[:, rows[0]]
    close(y, module(x[:, rows[0]], second_order=second_order))


def test_every_cell_influences_every_other():
    module, x = network(n_layers=1), tokens(4, 3, 8).requires_grad_()
    (gradient,) = torch.autograd.grad(module(x)[0, 0, 0], x)
    assert (gradient.abs().sum(dim=-1) > 0).all()


def test_data_sets_do_not_mix_and_leading_axes_are_free():
    module, x = network(), tokens(2, 3, 6, 3, 8)
    close(module(x)[1, 2], module(x[1, 2]))


def test_dropout_is_that_of_the_generator():
    module, x = network(dropout=0.5), tokens(2, 6, 3, 8)

    def draw(seed):
        return module(x, generator=torch.Generator().manual_seed(seed))

    torch.manual_seed(0)
    state = torch.random.get_rng_state()
    assert torch.equal(draw(0), draw(0))
    assert not torch.equal(draw(0), draw(1))
    assert torch.equal(torch.random.get_rng_state(), state)
    close(network(dropout=0.0)(x, generator=torch.Generator().manual_seed(0)), module(x))


def test_gradients_of_gradients():
    module, x = network(width=4, n_layers=1, n_heads=2, n_hidden=3), tokens(3, 2, 4)
    names, values = zip(*module.named_parameters())

    def loss(*parameters):
        return functional_call(
            module, dict(zip(names, parameters)), (x,), {"second_order": True}
        ).tanh()

    assert torch.autograd.gradgradcheck(loss, values, fast_mode=True)


def test_the_heads_divide_the_width():
    with pytest.raises(ValueError, match="multiple of n_heads=4, found 6"):
        network(width=6)
