import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats

from skcausal.simulators._mechanisms import FourierFunctions, PerceptronFunctions
from skcausal.simulators._random import task_keys

KINDS = [FourierFunctions, PerceptronFunctions]
CONSTANTS = {"length_scale": 0.7, "output_scale": 1.3, "n_features": 6}


def draw(kind, edges, n=3, dtype=torch.float64, **constants):
    """Functions of `n` systems with the same graph."""
    edges = torch.as_tensor(edges).expand(n, -1, -1)
    return kind.draw(task_keys(0, n), edges, dtype, **{**CONSTANTS, **constants})


def full_graph(size):
    return np.triu(np.ones((size, size), dtype=bool), 1)


def inputs(size, n, n_rows, seed=0):
    """Random rows in the layout of a simulation: (variables, systems, regimes, rows)."""
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(size, n, 2, n_rows)))


def fourier(functions, s, t, x):
    """Value of one Fourier function, term by term."""
    total = 0.0
    for k in range(functions.phases.shape[-1]):
        angle = float(functions.phases[s, t, k])
        for i in range(t):
            angle += float(functions.frequencies[s, t, i, k]) * x[i]
        total += float(functions.amplitudes[s, t, k]) * math.cos(angle)
    return total


def perceptron(functions, s, t, x):
    """Value of one perceptron, unit by unit."""
    total = 0.0
    for k in range(functions.biases.shape[-1]):
        hidden = float(functions.biases[s, t, k])
        for i in range(t):
            hidden += float(functions.inputs[s, t, i, k]) * x[i]
        total += float(functions.outputs[s, t, k]) * math.tanh(hidden)
    return total


REFERENCES = {FourierFunctions: fourier, PerceptronFunctions: perceptron}


@pytest.mark.parametrize("kind", KINDS)
def test_values_are_those_of_the_written_formula(kind):
    functions, X = draw(kind, full_graph(4)), inputs(4, 3, 5)
    for t in range(4):
        values = functions(t, X)
        assert values.shape == (3, 2, 5)
        for s, r, row in itertools.product(range(3), range(2), range(5)):
            expected = REFERENCES[kind](functions, s, t, X[:, s, r, row].tolist())
            assert float(values[s, r, row]) == pytest.approx(expected, abs=1e-12)


def test_noise_factor_is_the_root_of_a_softplus():
    functions, X = draw(FourierFunctions, full_graph(4)), inputs(4, 3, 5)
    for t in range(4):
        factor = functions.noise_factor(t, X)
        for s, r, row in itertools.product(range(3), range(2), range(5)):
            value = fourier(functions, s, t, X[:, s, r, row].tolist())
            expected = math.sqrt(math.log(1.0 + math.exp(value)))
            assert float(factor[s, r, row]) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_only_parents_matter(kind):
    edges = np.zeros((4, 4), dtype=bool)
    edges[0, 2] = edges[1, 3] = edges[2, 3] = True
    functions, X = draw(kind, edges), inputs(4, 3, 5)
    for t, i in itertools.product(range(4), range(4)):
        changed = X.clone()
        changed[i] += 1.0
        same = functions(t, changed) == functions(t, X)
        assert (~same if edges[i, t] else same).all(), (t, i)


@pytest.mark.parametrize("kind", KINDS)
def test_functions_depend_on_their_key_and_the_precision_only_rounds(kind):
    functions, X = draw(kind, full_graph(3), n=5), inputs(3, 5, 4)
    alone = kind.draw(
        task_keys(0, 1, start=3), torch.as_tensor(full_graph(3))[None], torch.float64, **CONSTANTS
    )
    torch.testing.assert_close(alone(2, X[:, 3:4]), functions(2, X)[3:4], rtol=1e-12, atol=1e-12)
    single = draw(kind, full_graph(3), n=5, dtype=torch.float32)
    values = single(2, X.float())
    assert values.dtype == torch.float32
    torch.testing.assert_close(values.double(), functions(2, X), rtol=1e-3, atol=2e-3)
    assert not torch.equal(functions(2, X)[0], functions(2, X)[1])


def test_fourier_functions_have_the_kernel_of_their_gaussian_process():
    n = 20_000
    functions = draw(FourierFunctions, full_graph(3), n=n, length_scale=1.5, output_scale=2.0)
    points = np.array([[0.0, 0.0], [0.4, -0.3], [1.5, 1.0], [-2.0, 3.0]])
    X = torch.from_numpy(points).mT[:, None, None].expand(-1, n, 1, -1)
    X = torch.cat([X, torch.zeros_like(X[:1])])
    values = functions(2, X)[:, 0].numpy()
    assert (np.abs(values.mean(axis=0)) <= 4 * values.std(axis=0) / math.sqrt(n)).all()
    for i, j in itertools.combinations_with_replacement(range(4), 2):
        distance = ((points[i] - points[j]) ** 2).sum()
        expected = 2.0**2 * math.exp(-distance / (2 * 1.5**2))
        products = values[:, i] * values[:, j]
        assert abs(products.mean() - expected) <= 4 * products.std() / math.sqrt(n)


def test_fourier_parameters_follow_their_distributions():
    functions = draw(FourierFunctions, full_graph(2), n=500, n_features=20)
    frequencies = functions.frequencies[:, 1, 0].flatten().numpy()
    assert stats.kstest(frequencies, stats.norm(0, 1 / 0.7).cdf).pvalue > 1e-3
    phases = functions.phases.flatten().numpy()
    assert stats.kstest(phases, stats.uniform(0, 2 * np.pi).cdf).pvalue > 1e-3
    amplitudes = functions.amplitudes.flatten().numpy()
    exact = stats.norm(0, 1.3 * math.sqrt(2 / 20))
    assert stats.kstest(amplitudes, exact.cdf).pvalue > 1e-3


def test_perceptron_parameters_follow_their_distributions():
    functions = draw(PerceptronFunctions, full_graph(2), n=500, n_features=20)
    weights = functions.inputs[:, 1, 0].flatten().numpy()
    assert stats.kstest(weights, stats.norm(0, 1 / 0.7).cdf).pvalue > 1e-3
    assert stats.kstest(functions.biases.flatten().numpy(), "norm").pvalue > 1e-3
    outputs = functions.outputs.flatten().numpy()
    assert stats.kstest(outputs, stats.norm(0, 1.3 / math.sqrt(20)).cdf).pvalue > 1e-3


def test_parameters_of_different_kinds_are_unrelated():
    functions = draw(PerceptronFunctions, full_graph(2), n=2000)
    columns = [functions.inputs[:, 1, 0], functions.biases[:, 1], functions.outputs[:, 1]]
    correlation = np.corrcoef([column.flatten().numpy() for column in columns]) - np.eye(3)
    assert np.abs(correlation).max() < 4 / math.sqrt(2000 * 6)


def test_noise_functions_have_the_published_constants():
    edges = torch.as_tensor(full_graph(2)).expand(200, -1, -1)
    functions = FourierFunctions.draw_noise_functions(task_keys(0, 200), edges, torch.float64)
    assert functions.amplitudes.shape == (200, 2, 100)
    frequencies = functions.frequencies[:, 1, 0].flatten().numpy()
    assert stats.kstest(frequencies, stats.norm(0, 1 / 10).cdf).pvalue > 1e-3
    amplitudes = functions.amplitudes.flatten().numpy()
    assert stats.kstest(amplitudes, stats.norm(0, 2 * math.sqrt(2 / 100)).cdf).pvalue > 1e-3
    mechanisms = FourierFunctions.draw(
        task_keys(0, 200), edges, torch.float64, length_scale=10.0, output_scale=2.0, n_features=100
    )
    assert not torch.equal(mechanisms.amplitudes, functions.amplitudes)
