"""Random experiments for the training of graph posteriors: their laws, shapes and moments."""

import numpy as np
import pytest
import torch

from skcausal.nn._regime_moments import RegimeMoments
from skcausal.simulators import GeneNetworkPrior, LinearPrior
from skcausal.structure import _graph_experiments
from skcausal.structure._graph_experiments import (
    EXPERIMENTS,
    RegimeBlock,
    balanced_halves,
    draw_experiment,
    draw_sequence_targets,
    moments_of,
)

LAWS = ["sequential", "regimes", "observational"]
N_TASKS = 3
LINEAR = LinearPrior(4).sample(N_TASKS, random_state=0)
# Cells that are nearly those of the initial state, to be quick.
QUICK = {"edges_per_variable": 1.0, "n_cell_types": 1, "burn_in": 5, "steps_per_cell": 1}
COUNTS = GeneNetworkPrior(4, technical_noise="10x_chromium", **QUICK).sample(
    N_TASKS, random_state=0
)
EXPRESSION = GeneNetworkPrior(4, **QUICK).sample(N_TASKS, random_state=0)
every_law = pytest.mark.parametrize("law", LAWS)


def draw(systems, law, seed):
    return draw_experiment(systems, law, np.random.default_rng(seed), seed)


def check_block(block, d=4):
    n_tasks, n_regimes, n_rows = block.kept.shape
    assert n_tasks == N_TASKS
    assert block.X.shape == (n_tasks, n_regimes, n_rows, d)
    assert block.targets.shape == (n_tasks, n_regimes, d)
    assert block.kept.dtype == block.targets.dtype == torch.bool
    assert block.X.dtype == torch.float32
    assert block.X.isfinite().all()


def test_shares_of_the_laws():
    assert set(EXPERIMENTS) == {"mixed", *LAWS}
    for shares in EXPERIMENTS.values():
        assert set(shares) <= set(LAWS)
        assert sum(shares.values()) == pytest.approx(1.0)


@every_law
@pytest.mark.parametrize("systems", [LINEAR, COUNTS], ids=["linear", "counts"])
def test_shapes_and_types(systems, law):
    for seed in range(5):
        for block in draw(systems, law, seed):
            check_block(block)


def test_observational_experiments():
    sizes = []
    for seed in range(30):
        (block,) = draw(LINEAR, "observational", seed)
        assert block.X.shape[1] == 1
        assert block.kept.all()
        assert not block.targets.any()
        sizes.append(block.X.shape[2])
    assert 20 <= min(sizes) < 40
    assert 400 < max(sizes) <= 1000


def test_of_gene_networks_fewer_rows_are_observed():
    sizes = [draw(EXPRESSION, "observational", seed)[0].X.shape[2] for seed in range(20)]
    assert min(sizes) >= 20
    assert 200 < max(sizes) <= 300


@pytest.fixture(scope="module")
def experiments():
    """Sequential experiments."""
    return [draw(LINEAR, "sequential", seed) for seed in range(60)]


class TestSequential:
    def test_observational_rows_come_first(self, experiments):
        sizes = [first.X.shape[2] for first, *_ in experiments]
        assert all(first.X.shape[1] == 1 and first.kept.all() for first, *_ in experiments)
        assert not any(first.targets.any() for first, *_ in experiments)
        assert min(sizes) >= 20
        assert max(sizes) <= 200
        assert 15 <= sum(size == 50 for size in sizes) <= 45

    def test_then_up_to_twenty_interventions_of_few_rows(self, experiments):
        later = [rest[0] for _, *rest in experiments if rest]
        assert all(len(blocks) <= 2 for blocks in experiments)
        assert 0 < len(later) <= len(experiments)
        assert {block.X.shape[1] for block in later} <= set(range(1, 21))
        assert max(block.X.shape[1] for block in later) > 15
        rows = [block.X.shape[2] for block in later]
        assert set(rows) <= {1, 2, 3, 4, 5}
        assert np.mean(np.array(rows) == 1) > 0.6
        assert all(block.kept.all() for block in later)

    def test_targets_have_the_value_of_the_regime(self, experiments):
        for _, *rest in experiments:
            for block in rest:
                held = block.X[block.targets[:, :, None].expand(block.X.shape)]
                spread = block.X.amax(dim=2) - block.X.amin(dim=2)
                assert not spread[block.targets].any()
                assert (held.abs() <= 4.0).all()

    def test_values_are_of_size_one_mostly(self, experiments):
        held = [block.X[:, :, 0][block.targets] for _, *rest in experiments for block in rest]
        held = torch.cat(held)
        assert 0.4 < float((held.abs() == 1).double().mean()) < 0.9
        assert 0.4 < float((held > 0).double().mean()) < 0.6


@pytest.fixture(scope="module")
def blocks():
    """Experiments with rows for many sets of targets."""
    return [draw(LINEAR, "regimes", seed)[0] for seed in range(30)]


class TestRegimes:
    def test_every_regime_has_a_row(self, blocks):
        for block in blocks:
            assert (block.kept.sum(dim=-1) >= 1).all()
            assert 2 <= block.X.shape[2] <= 200

    def test_some_experiments_leave_rows_out(self, blocks):
        assert {bool(block.kept.all()) for block in blocks} == {True, False}

    def test_there_are_many_sets_of_targets(self, blocks):
        assert all(block.X.shape[1] >= 2 for block in blocks)
        seen = torch.cat([block.targets.sum(dim=-1).flatten() for block in blocks])
        assert {0, 1, 2} <= set(seen.tolist())


class TestGeneNetworks:
    @pytest.mark.parametrize("law", ["sequential", "regimes"])
    def test_counts_are_log_transformed(self, law):
        for seed in range(3):
            for block in draw(COUNTS, law, seed):
                total = (2.0 ** block.X.double() - 1).sum(dim=-1)
                assert (block.X >= 0).all()
                np.testing.assert_allclose(total[total > 0], 1e6, rtol=1e-4)
                assert (total > 0).double().mean() > 0.5

    @pytest.mark.parametrize("law", ["sequential", "regimes"])
    @pytest.mark.parametrize("systems", [COUNTS, EXPRESSION], ids=["counts", "expression"])
    def test_gene_that_is_knocked_out_is_not_expressed(self, systems, law, monkeypatch):
        monkeypatch.setattr(_graph_experiments, "_gene_intervention", lambda rng: "knock_out")
        seen = torch.cat([largest_values(systems, law, seed) for seed in range(6)])
        assert len(seen) > 10
        assert not seen.any()

    def test_gene_that_is_knocked_down_is_expressed(self, monkeypatch):
        monkeypatch.setattr(_graph_experiments, "_gene_intervention", lambda rng: "knock_down")
        seen = torch.cat([largest_values(EXPRESSION, "sequential", seed) for seed in range(6)])
        assert (seen > 0).double().mean() > 0.9

    def test_knock_outs_are_more_frequent(self):
        rng = np.random.default_rng(0)
        kinds = [_graph_experiments._gene_intervention(rng) for _ in range(500)]
        assert 0.75 < kinds.count("knock_out") / 500 < 0.95
        assert set(kinds) == {"knock_out", "knock_down"}

    def test_expression_without_technical_noise_stays_as_it_is(self):
        (block,) = draw(EXPRESSION, "observational", 0)
        expected = EXPRESSION.sample(block.X.shape[2], random_state=0)
        assert torch.equal(block.X[:, 0], expected)


def largest_values(systems, law, seed):
    """Largest value of every target in each regime of the interventions."""
    block = draw(systems, law, seed)[-1]
    return block.X.amax(dim=2)[block.targets]


@every_law
@pytest.mark.parametrize("systems", [LINEAR, COUNTS], ids=["linear", "counts"])
def test_generator_and_seed_determine_the_experiment(systems, law):
    state = torch.random.get_rng_state()
    first, second = draw(systems, law, 3), draw(systems, law, 3)
    assert torch.equal(torch.random.get_rng_state(), state)
    for one, two in zip(first, second, strict=True):
        for name in ("X", "kept", "targets"):
            assert torch.equal(getattr(one, name), getattr(two, name))


@every_law
def test_the_seed_determines_the_noise(law):
    first, other = (draw_experiment(LINEAR, law, np.random.default_rng(3), seed) for seed in (0, 1))
    for one, two in zip(first, other, strict=True):
        assert torch.equal(one.targets, two.targets)
        assert torch.equal(one.kept, two.kept)
        assert not torch.equal(one.X, two.X)


@every_law
def test_moments_are_those_of_the_rows_that_are_kept(law):
    for seed in range(4):
        blocks = draw(LINEAR, law, seed)
        moments = moments_of(blocks)
        for k in range(N_TASKS):
            X, mask, regime = kept_rows(blocks, k)
            expected = RegimeMoments.from_rows(X, mask, regime)
            for name in ("n_rows", "mean", "scatter", "targets"):
                found = getattr(moments, name)[k].double()
                torch.testing.assert_close(
                    found, getattr(expected, name)[0], rtol=1e-4, atol=1e-3, msg=name
                )


def kept_rows(blocks, k):
    """Rows of task k that were observed, their mask, and the regime of each."""
    rows, masks, regimes, first = [], [], [], 0
    for block in blocks:
        X, mask, kept = (part[k].numpy() for part in block.rows())
        regime = np.repeat(np.arange(block.X.shape[1]), block.X.shape[2]) + first
        rows.append(X[kept].astype(float))
        masks.append(mask[kept])
        regimes.append(regime[kept])
        first += block.X.shape[1]
    return np.concatenate(rows), np.concatenate(masks), np.concatenate(regimes)


def test_rows_of_a_block_are_its_regimes_one_after_the_other():
    X = torch.arange(48.0).reshape(2, 3, 2, 4)
    targets = torch.rand(2, 3, 4, generator=torch.Generator().manual_seed(0)) < 0.5
    kept = torch.tensor([[[1, 1], [1, 0], [0, 1]]] * 2, dtype=torch.bool)
    flat, mask, flat_kept = RegimeBlock(X, kept, targets).rows()
    assert torch.equal(flat, X.reshape(2, 6, 4))
    assert torch.equal(flat_kept, kept.reshape(2, 6))
    for row in range(6):
        assert torch.equal(mask[:, row], targets[:, row // 2])


class TestBalancedHalves:
    @pytest.mark.parametrize("d", [2, 4, 6])
    def test_halves_of_an_even_number_balance_the_counts(self, d):
        halves = balanced_halves((20, 13, d), np.random.default_rng(0))
        assert (halves.sum(axis=2) == d // 2).all()
        for n_steps in range(1, 14):
            counts = halves[:, :n_steps].sum(axis=1)
            assert (np.ptp(counts, axis=1) <= 1).all()
            if n_steps % 2 == 0:
                assert not np.ptp(counts, axis=1).any()

    @pytest.mark.parametrize("d", [1, 3, 5])
    def test_of_an_odd_number_one_more_in_half_of_the_cases(self, d):
        halves = balanced_halves((50, 20, d), np.random.default_rng(0))
        sizes = halves.sum(axis=2)
        assert set(np.unique(sizes)) == {d // 2, d // 2 + 1}
        assert 0.45 < (sizes == d // 2 + 1).mean() < 0.55
        assert (np.ptp(halves.sum(axis=1), axis=1) <= 1).all()

    def test_without_balance_they_are_random(self):
        halves = balanced_halves((200, 10, 4), np.random.default_rng(0), balance=False)
        assert (halves.sum(axis=2) == 2).all()
        assert np.ptp(halves.sum(axis=1), axis=1).max() > 3
        np.testing.assert_allclose(halves.mean(axis=(0, 1)), 0.5, atol=0.05)

    def test_tasks_differ_and_may_be_balanced_one_by_one(self):
        balance = np.arange(60)[:, None] < 30
        halves = balanced_halves((60, 20, 4), np.random.default_rng(0), balance=balance)
        spread = np.ptp(halves.sum(axis=1), axis=1)
        assert spread[:30].max() <= 1
        assert spread[30:].max() > 2
        assert len(np.unique(halves.reshape(60, -1), axis=0)) > 50


def test_targets_of_sequences_follow_three_laws():
    targets = draw_sequence_targets(400, 20, 6, np.random.default_rng(0))
    assert targets.shape == (400, 20, 6)
    assert targets.dtype == bool
    sizes = targets.sum(axis=2)
    single, half = (sizes == 1).all(axis=1), (sizes == 3).all(axis=1)
    assert 0.05 < single.mean() < 0.15
    assert 0.38 < half.mean() < 0.52
    spread = np.ptp(targets[half].sum(axis=1), axis=1)
    assert 0.6 < (spread <= 1).mean() < 0.85
