"""IGSP as an estimator; the tests and the search have tests of their own."""

import numpy as np
import pytest

from skcausal.datasets import load_sachs, make_linear_scm
from skcausal.structure import IGSP, PC


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("ci_data", ["pooled", "observational"])
def test_finds_the_graph_when_every_variable_is_a_target(ci_data, seed):
    data = make_linear_scm(5, n_samples=500, random_state=seed)
    model = IGSP(ci_data, alpha=1e-4, random_state=0).fit(data.X, interventions=data.interventions)
    np.testing.assert_array_equal(model.adjacency_, data.adjacency)


def test_seed_fixes_the_graph():
    data = make_linear_scm(6, n_samples=10, random_state=3)
    fits = [
        IGSP(start="random", n_restarts=3, random_state=5).fit(
            data.X, interventions=data.interventions
        )
        for _ in range(2)
    ]
    np.testing.assert_array_equal(fits[0].adjacency_, fits[1].adjacency_)


def test_default_level_depends_on_the_rows_tested():
    data = make_linear_scm(6, n_samples=12, random_state=1)
    fit = {"X": data.X, "interventions": data.interventions}
    for ci_data, level in (("pooled", 0.001), ("observational", 0.05)):
        default = IGSP(ci_data, random_state=0).fit(**fit)
        explicit = IGSP(ci_data, alpha=level, random_state=0).fit(**fit)
        np.testing.assert_array_equal(default.adjacency_, explicit.adjacency_)


def test_regimes_keep_condition_means_out_of_the_pooled_tests():
    sachs = load_sachs()
    pooled = IGSP(random_state=0).fit(sachs.X, interventions=sachs.interventions)
    apart = IGSP(random_state=0).fit(
        sachs.X, interventions=sachs.interventions, regimes=sachs.regimes
    )
    assert apart.adjacency_.sum() < pooled.adjacency_.sum()


@pytest.mark.parametrize(
    "parameters",
    [
        {"ci_data": "interventional"},
        {"start": "greedy"},
        {"alpha": 0.0},
        {"alpha": np.nan},
        {"alpha_invariance": 1.0},
        {"depth": -1},
        {"n_restarts": 0},
    ],
)
def test_bad_parameters(parameters):
    with pytest.raises(ValueError, match=next(iter(parameters))):
        IGSP(**parameters).fit(np.random.default_rng(0).normal(size=(20, 3)))


@pytest.mark.parametrize("estimator", [IGSP, PC])
def test_progress_is_shown_on_request_alone(estimator, capsys):
    data = make_linear_scm(4, n_samples=20, random_state=0)
    for verbose in (False, True):
        estimator(verbose=verbose).fit(data.X, interventions=data.interventions)
        shown = capsys.readouterr()
        assert bool(shown.err) == verbose
        assert shown.out == ""
