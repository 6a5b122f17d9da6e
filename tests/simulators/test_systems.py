"""Rows and means under interventions, on linear and nonlinear systems."""

import networkx as nx
import numpy as np
import pytest
import torch
from scipy import stats

from skcausal.simulators import LinearPrior, LinearSystems, NonlinearPrior, _systems
from skcausal.simulators._interventions import KINDS
from tests.simulators.conftest import EVERY_PRIOR, PRIORS, WIDTHS, first_variable

# Rows under interventions.


def in_four_dimensions(array):
    """Systems, regimes, rows and variables of an array that may lack some."""
    array = array.reshape((1,) * (3 - array.ndim) + array.shape)
    return array if array.ndim == 4 else array[:, None]


@pytest.mark.parametrize("name", ["padded", "rings", "heteroskedastic", "fourier", "mlp"])
@pytest.mark.parametrize(
    ("mask_shape", "value_shape", "shape"),
    [
        (None, None, (6, 7)),
        ((5,), (), (6, 7)),
        ((1, 5), (5,), (6, 7)),
        ((7, 5), (), (6, 7)),
        ((5,), (7, 1), (6, 7)),
        ((6, 1, 5), (7, 5), (6, 7)),
        ((6, 7, 5), (6, 1, 5), (6, 7)),
        ((1, 7, 5), (6, 7, 1), (6, 7)),
        ((1, 2, 1, 5), (), (6, 2, 7)),
        ((6, 2, 7, 5), (1, 5), (6, 2, 7)),
        ((6, 1, 1, 5), (1, 2, 7, 1), (6, 2, 7)),
        ((5,), (1, 2, 1, 1), (6, 2, 7)),
    ],
)
def test_shapes_of_rows(name, mask_shape, value_shape, shape):
    rng = np.random.default_rng(0)
    systems = PRIORS[name].sample(6, 4, dtype=torch.float64)
    mask, values = None, None
    if mask_shape is not None:
        there = np.arange(5) < int(systems.n_variables.min())
        mask, values = (rng.random(mask_shape) < 0.5) & there, rng.normal(size=value_shape)
    X = systems.sample(7, mask, values, random_state=0)
    assert X.shape == (*shape, 5)
    if mask is not None:
        four = X if X.ndim == 4 else X[:, None]
        mask, values = (
            np.broadcast_to(in_four_dimensions(array), four.shape) for array in (mask, values)
        )
        assert mask.any()
        np.testing.assert_allclose(four.numpy()[mask], values[mask], rtol=1e-12)
        # The same intervention with every cell written out yields the same rows.
        again = systems.sample(7, mask.copy(), np.where(mask, values, np.nan), random_state=0)
        torch.testing.assert_close(again, four, rtol=1e-12, atol=1e-12)


@EVERY_PRIOR
def test_drawn_values_differ_between_rows_and_follow_the_distribution(prior):
    systems = prior.sample(20, 4, dtype=torch.float64)
    X = systems.sample(200, first_variable(systems), stats.uniform(1, 2), random_state=0)
    assert stats.kstest(X[..., 0].flatten().numpy(), stats.uniform(1, 2).cdf).pvalue > 1e-3
    assert len(X[..., 0].unique()) == X[..., 0].numel()


def acyclic_only(systems):
    """The systems without feedback, whose rows are propagated along the causal order."""
    graphs = systems.adjacency.numpy()
    return systems[
        [
            nx.is_directed_acyclic_graph(nx.from_numpy_array(graph, create_using=nx.DiGraph))
            for graph in graphs
        ]
    ]


@EVERY_PRIOR
@pytest.mark.parametrize("kind", KINDS)
def test_variables_that_no_target_affects_keep_their_values_exactly(prior, kind):
    systems = acyclic_only(prior.sample(30, 4))
    mask = first_variable(systems)
    observed = systems.sample(10, random_state=1)
    changed = systems.sample(10, mask, 1.7, kind=kind, random_state=1)
    regimes = systems.sample(10, mask[:, None], 1.7, kind=kind, random_state=1)
    torch.testing.assert_close(regimes[:, 0], changed)
    affected = 0
    for graph, before, after in zip(systems.adjacency.numpy(), observed, changed):
        digraph = nx.from_numpy_array(graph, create_using=nx.DiGraph)
        downstream = {0, *nx.descendants(digraph, 0)}
        for j in range(len(graph)):
            if j in downstream:
                assert (before[:, j] != after[:, j]).any()
                affected += 1
            else:
                assert torch.equal(before[:, j], after[:, j])
    assert affected > len(systems)


@EVERY_PRIOR
def test_regimes_have_noise_of_their_own(prior):
    systems = prior.sample(100, 4, dtype=torch.float64)
    none = torch.zeros(1, 2, 1, 5, dtype=torch.bool)
    X = systems.sample(100, none, 0.0, random_state=1)
    there = systems.present[:, None].expand(-1, 100, -1)
    assert (X[:, 0] != X[:, 1])[there].all()
    X = (X - X.mean(dim=2, keepdim=True)) / X.std(dim=2, keepdim=True)
    correlation = float((X[:, 0] * X[:, 1])[there].mean())
    assert abs(correlation) < 4 / np.sqrt(100 * 100)


# Means by simulation.


def rows_of_means(systems, n_samples, mask, values, random_state):
    """All rows (n_systems, n_regimes, n_samples, n_variables) of a mean, at once."""
    regimes = systems._design(mask, values, "hard").by_regime()
    return systems._simulate(n_samples, regimes, "hard", systems._draw_keys("mean", random_state))


@pytest.mark.parametrize("rows_at_once", [1, 100, 5000, 2**18])
@pytest.mark.parametrize("n_samples", [2, 100, 301])
def test_running_moments_are_those_of_all_rows_at_once(rows_at_once, n_samples, monkeypatch):
    monkeypatch.setattr(_systems, "_ROWS_AT_ONCE", rows_at_once)
    systems = NonlinearPrior(WIDTHS, n_features=5).sample(2, 4, dtype=torch.float64)
    mask = first_variable(systems).expand(-1, 3, -1)
    for values in (np.array([[0.0], [1.0], [50.0]]), stats.norm()):
        mean, error = systems.interventional_mean(
            mask, values, n_samples=n_samples, random_state=5, return_standard_error=True
        )
        rows = rows_of_means(systems, n_samples, mask, values, 5)
        torch.testing.assert_close(mean, rows.mean(dim=2), rtol=1e-10, atol=1e-10)
        expected = rows.std(dim=2) / np.sqrt(n_samples)
        torch.testing.assert_close(error, expected, rtol=1e-8, atol=1e-10)
        assert mean.shape == error.shape == (2, 3, 5)


def test_rows_of_means_are_not_those_of_samples():
    systems = NonlinearPrior(4, n_features=5).sample(50, 4, dtype=torch.float64)
    mean = systems.interventional_mean(n_samples=2, random_state=3)[:, 0]
    assert (mean != systems.sample(2, random_state=3).mean(dim=1)).all()


@pytest.mark.parametrize(
    ("mask_shape", "value_shape", "shape"),
    [
        (None, None, (2, 1)),
        ((4,), (), (2, 1)),
        ((3, 4), (), (2, 3)),
        ((4,), (3, 1), (2, 3)),
        ((2, 3, 4), (4,), (2, 3)),
        ((1, 5, 1, 4), (), (2, 5, 1)),
        ((2, 5, 3, 4), (3, 1), (2, 5, 3)),
        ((4,), (1, 5, 3, 1), (2, 5, 3)),
    ],
)
def test_shapes_of_means(mask_shape, value_shape, shape):
    rng = np.random.default_rng(0)
    mask = None if mask_shape is None else rng.random(mask_shape) < 0.5
    values = None if mask is None else rng.normal(size=value_shape)
    for prior in (LinearPrior(4), NonlinearPrior(4, n_features=5)):
        systems = prior.sample(2, 0, dtype=torch.float64)
        mean, error = systems.interventional_mean(
            mask, values, n_samples=10, return_standard_error=True
        )
        assert mean.shape == error.shape == (*shape, 4)
        if mask is not None:
            same = systems.interventional_mean(mask, values, n_samples=10)
            assert torch.equal(same, mean)


# What is refused.


@pytest.mark.parametrize("bad", [0, -1, 2.0, "3", True, None])
def test_counts_must_be_positive_integers(bad):
    prior = PRIORS["linear"]
    systems = prior.sample(2, 0)
    for name, call in {
        "n_tasks": lambda: prior.sample(bad, 0),
        "batch_size": lambda: prior.stream(3, 0, batch_size=bad),
        "n_rows": lambda: systems.sample(bad),
    }.items():
        with pytest.raises(ValueError, match=f"{name} must be an integer of at least 1, found"):
            call()
    if bad is not None:
        with pytest.raises(ValueError, match="n_tasks must be an integer of at least 1, found"):
            prior.stream(bad, 0)
    with pytest.raises(ValueError, match="n_samples must be an integer of at least 2, found"):
        systems.interventional_mean(n_samples=bad)


@EVERY_PRIOR
def test_bad_random_states_are_refused(prior):
    systems = prior.sample(2, 0)
    for call in (
        lambda: prior.sample(2, -1),
        lambda: prior.stream(2, "0"),
        lambda: systems.sample(2, random_state=1.5),
        lambda: systems.interventional_mean(random_state=-1),
    ):
        with pytest.raises(ValueError, match="random_state must be None, an integer from 0"):
            call()


@EVERY_PRIOR
def test_bad_interventions_are_refused_everywhere(prior):
    systems = prior.sample(3, 0)
    mask = first_variable(systems)
    methods = [lambda *args, **kw: systems.sample(4, *args, **kw), systems.interventional_mean]
    if isinstance(systems, LinearSystems) and systems.noise_functions is None:
        methods.append(systems.interventional_covariance)
    for method in methods:
        with pytest.raises(TypeError, match="interventions must be a boolean mask"):
            method(mask.double(), 1.0)
        with pytest.raises(ValueError, match="interventions must have 5 columns"):
            method(mask[..., :4], 1.0)
        with pytest.raises(ValueError, match="one mask for each of the 3 systems"):
            method(mask[:2], 1.0)
        with pytest.raises(ValueError, match="values is missing"):
            method(mask)
        with pytest.raises(ValueError, match="values must be finite"):
            method(mask, float("nan"))
        with pytest.raises(ValueError, match="values must be a number or fit the interventions"):
            method(mask, np.ones(4))
        with pytest.raises(ValueError, match="kind must be one of 'hard', 'shift', 'scale', 'noi"):
            method(mask, 1.0, kind="soft")
    with pytest.raises(ValueError, match="interventions and values must have one row, or n_rows=4"):
        systems.sample(4, mask.expand(-1, 3, -1), 1.0)
    with pytest.raises(ValueError, match="interventions and values must have one row, or n_rows=4"):
        systems.sample(4, mask, np.ones((3, 5)))


@pytest.mark.parametrize("name", ["padded", "rings", "heteroskedastic", "fourier"])
def test_targets_that_a_padded_system_does_not_have_are_refused(name):
    systems = PRIORS[name].sample(20, 0)
    assert not systems.present.all()
    with pytest.raises(ValueError, match="interventions has a target out of range"):
        systems.sample(4, [False, False, False, False, True], 1.0)
    with pytest.raises(ValueError, match="interventions has a target out of range"):
        systems.interventional_mean([False, False, False, False, True], 1.0)
    wide = systems[systems.n_variables == 5]
    X = wide.sample(4, [False, False, False, False, True], 1.0)
    torch.testing.assert_close(X[..., 4], torch.ones_like(X[..., 4]))
