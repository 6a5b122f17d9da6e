"""The published network sees what equation 7 says, and nothing else."""

import pytest
import torch
from torch.nn.functional import leaky_relu

from skcausal.prediction._paper_network import PaperNetwork


def network(d=3):
    return PaperNetwork(
        d, torch.Generator().manual_seed(0), width=8, n_layers=1, n_heads=2, n_hidden=8
    ).double()


def data(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    X = torch.randn(*shape, generator=generator, dtype=torch.float64)
    return X, torch.rand(*shape, generator=generator) < 0.3


def close(a, b):
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_a_mean_depends_on_the_other_variables_alone():
    X, mask = data(5, 3)
    X.requires_grad_()
    means = network()(*data(7, 3, seed=1), X, mask)
    for j in range(3):
        (gradient,) = torch.autograd.grad(means[:, j].sum(), X, retain_graph=True)
        others = [i for i in range(3) if i != j]
        assert (gradient[:, j] == 0).all()
        assert (gradient[:, others] != 0).all()


def test_agrees_with_equation_7_written_out():
    module, context, (X, mask) = network(), data(7, 3, seed=1), data(5, 3)
    summary = module.summarize(*context)
    expected = torch.empty_like(X)
    for i, row in enumerate(X):
        embedding = sum(
            (module.target_embedding[k] for k in range(3) if mask[i, k]), torch.zeros(8)
        )
        for j in range(3):
            x = torch.cat([row[[k for k in range(3) if k != j]], embedding, summary])
            for number, layer in enumerate(module.variables.layers):
                x = leaky_relu(x) if number else x
                x = x @ layer.weights[0][j] + layer.biases[0][j, 0]
            expected[i, j] = x[0]
    close(module(*context, X, mask), expected)


def test_rows_are_sets():
    module, (context_X, context_mask), (X, mask) = network(), data(7, 3, seed=1), data(5, 3)
    y = module(context_X, context_mask, X, mask)
    close(module(context_X.flip(0), context_mask.flip(0), X.flip(0), mask.flip(0)), y.flip(0))


def test_the_summary_does_not_tell_variables_apart():
    """What the class documents as the consequence of pooling over variables."""
    module, (X, mask) = network(), data(7, 3)
    close(module.summarize(X[:, [2, 0, 1]], mask[:, [2, 0, 1]]), module.summarize(X, mask))
    assert not torch.allclose(module.summarize(X, ~mask), module.summarize(X, mask))
    assert not torch.allclose(module.summarize(2 * X, mask), module.summarize(X, mask))


def test_tasks_do_not_mix():
    module, context, rows = network(), data(2, 7, 3, seed=1), data(2, 5, 3)
    alone = module(context[0][1], context[1][1], rows[0][1], rows[1][1])
    close(module(*context, *rows)[1], alone)


@pytest.mark.parametrize("second_order", [False, True])
def test_every_parameter_has_a_gradient(second_order):
    module = network()
    means = module(*data(7, 3, seed=1), *data(5, 3), second_order=second_order)
    means.square().sum().backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_defaults_are_those_of_appendix_d():
    module = PaperNetwork(4, torch.Generator().manual_seed(0))
    assert len(module.attention.layers) == 8
    assert module.attention.layers[0].rows.n_heads == 8
    assert module.attention.layers[0].perceptron[1].out_features == 32
    assert module.attention.dropout == 0.1
    assert module.target_embedding.shape == (4, 16)
    assert [layer.weights[0].shape[1:] for layer in module.value.layers] == [
        (1, 32),
        (32, 32),
        (32, 16),
    ]
    assert [tuple(layer.weights[0].shape) for layer in module.variables.layers] == [
        (4, 35, 32),
        (4, 32, 32),
        (4, 32, 1),
    ]
