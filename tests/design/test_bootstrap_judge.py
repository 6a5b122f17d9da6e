"""Bootstrapped searches as a posterior: shares, draws from them, and their parameters."""

import joblib
import numpy as np
import pytest
import torch

from skcausal.design._bootstrap_judge import BootstrapJudge, _most_likely_systems, _strata
from skcausal.design._histories import Histories
from skcausal.graphs import is_dag
from skcausal.simulators import LinearPrior
from skcausal.structure._parent_set_scores import LinearGaussianModel

SYSTEMS = LinearPrior.preset("caasl", n_variables=3, edges_per_variable=1.0).sample(2, 0)
MODEL = LinearGaussianModel(0.3, "in_degree", 1.0, 0.2, True)
JUDGE = BootstrapJudge(n_bootstraps=5)


def made_histories(n_initial=30, n_designs=4, n_rows=1):
    """Observational rows of two systems and rows with one target each."""
    histories = Histories.observational(SYSTEMS.sample(n_initial, random_state=1), n_rows)
    for step in range(n_designs):
        mask = torch.zeros(2, n_rows, 3, dtype=torch.bool)
        mask[..., step % 3] = True
        values = mask.float() * (-1.0) ** step
        histories = histories.add(SYSTEMS.sample(n_rows, mask, values, random_state=2 + step), mask)
    return histories


HISTORIES = made_histories()


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_probabilities_are_shares_of_graphs_without_cycles():
    graphs = JUDGE.graphs(HISTORIES)
    assert graphs.shape == (2, 5, 3, 3)
    assert all(is_dag(graph) for graph in graphs.flatten(0, 1).int().numpy())
    probabilities = JUDGE.edge_probabilities(HISTORIES)
    assert probabilities.dtype == torch.float64
    torch.testing.assert_close(probabilities, graphs.double().mean(dim=1))
    assert ((probabilities >= 0.0) & (probabilities <= 1.0)).all()
    assert (probabilities.diagonal(dim1=-2, dim2=-1) == 0.0).all()


def test_the_seed_alone_decides_and_not_the_batch():
    probabilities = JUDGE.edge_probabilities(HISTORIES)
    torch.testing.assert_close(JUDGE.edge_probabilities(HISTORIES), probabilities)
    torch.testing.assert_close(JUDGE.edge_probabilities(HISTORIES[1:]), probabilities[1:])
    others = BootstrapJudge(n_bootstraps=5, seed=1).graphs(HISTORIES)
    assert not torch.equal(others, JUDGE.graphs(HISTORIES))


def test_several_jobs_find_the_same():
    with joblib.parallel_config("threading"):
        parallel = BootstrapJudge(n_bootstraps=2, n_jobs=2).graphs(HISTORIES)
    torch.testing.assert_close(parallel, BootstrapJudge(n_bootstraps=2).graphs(HISTORIES))


def test_a_clear_graph_is_found_in_almost_every_sample():
    noise = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 300, 3)))
    mask = torch.zeros(1, 300, 3, dtype=torch.bool)
    mask[:, 200:, 0] = True  # 0 -> 1 <- 2
    X = noise.clone()
    X[..., 1] = 1.5 * X[..., 0] - 1.5 * X[..., 2] + 0.5 * noise[..., 1]
    regime = (torch.arange(300) >= 200).long()
    probabilities = BootstrapJudge(n_bootstraps=8).edge_probabilities(Histories(X, mask, regime))
    truth = torch.tensor([[0, 1, 0], [0, 0, 0], [0, 1, 0]], dtype=torch.float64)
    assert (probabilities[0] - truth).abs().max() <= 0.25


def test_edges_that_can_be_reversed_go_both_ways():
    x = np.random.default_rng(1).normal(size=(200, 1))
    X = np.hstack([x, x + np.random.default_rng(2).normal(size=(200, 1))])
    histories = Histories.observational(torch.from_numpy(X)[None])
    probabilities = BootstrapJudge(n_bootstraps=40).edge_probabilities(histories)[0]
    assert probabilities[0, 1] + probabilities[1, 0] == 1.0
    assert 0.2 < probabilities[0, 1] < 0.8


def test_strata_keep_regimes_and_join_rows_that_are_alone():
    mask = np.zeros((9, 3), dtype=bool)
    mask[4:6, 0] = True
    mask[6, 1] = True
    mask[7, 2] = True
    mask[8, 1:] = True
    strata = sorted(stratum.tolist() for stratum in _strata(mask))
    assert strata == [[0, 1, 2, 3], [4, 5], [6, 7, 8]]


def test_draws_have_the_graphs_equally_often():
    graphs = JUDGE.graphs(HISTORIES)
    systems = JUDGE.draw(HISTORIES, 10, seeded())
    for system in range(2):
        drawn = sorted(g.numpy().tobytes() for g in systems.adjacency[system])
        assert drawn == sorted(2 * [g.numpy().tobytes() for g in graphs[system]])
    assert JUDGE.draw(HISTORIES, 3, seeded()).coef.shape == (2, 3, 3, 3)


@pytest.mark.parametrize("model", [None, MODEL])
def test_draws_are_reproducible_and_have_weights_on_edges_only(model):
    judge = BootstrapJudge(n_bootstraps=4, model=model)
    probabilities, systems = judge.judge_and_draw(HISTORIES, 6, seeded())
    again = judge.draw(HISTORIES, 6, seeded())
    torch.testing.assert_close(systems.coef, again.coef)
    torch.testing.assert_close(systems.noise_scale, again.noise_scale)
    torch.testing.assert_close(probabilities, judge.edge_probabilities(HISTORIES))
    assert systems.coef.dtype == torch.float32
    assert (systems.coef[~systems.adjacency] == 0.0).all()
    assert (systems.noise_scale > 0.0).all()


def test_parameters_are_those_of_least_squares_on_the_free_rows():
    graph = torch.tensor([[0, 1, 1], [0, 0, 1], [0, 0, 0]], dtype=torch.bool)
    systems = _most_likely_systems(made_histories().sums(), graph.expand(2, 1, 3, 3))
    X, free = HISTORIES.X[1].double().numpy(), ~HISTORIES.mask[1, :, 2].numpy()
    design = np.column_stack([X[free, :2], np.ones(free.sum())])
    solution = np.linalg.lstsq(design, X[free, 2], rcond=None)[0]
    deviation = np.std(X[free, 2] - design @ solution)
    np.testing.assert_allclose(systems.coef[1, 0, :2, 2], solution[:2], atol=1e-4)
    np.testing.assert_allclose(systems.intercept[1, 0, 2], solution[2], atol=1e-4)
    np.testing.assert_allclose(systems.noise_scale[1, 0, 2], deviation, rtol=1e-4)


def test_draws_are_in_the_units_of_the_rows():
    factor = torch.tensor([10.0, 1.0, 0.1])
    scaled = Histories(HISTORIES.X * factor + 5.0, HISTORIES.mask, HISTORIES.regime)
    there, here = JUDGE.draw(scaled, 5, seeded()), JUDGE.draw(HISTORIES, 5, seeded())
    expected = here.coef * factor / factor[:, None]
    torch.testing.assert_close(there.coef, expected, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(there.noise_scale, here.noise_scale * factor, rtol=1e-3, atol=1e-5)
