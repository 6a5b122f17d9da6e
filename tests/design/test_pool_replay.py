"""Replay of real experiments on a pool of rows."""

import numpy as np
import pytest
import torch

from skcausal.design._designer_parameters import default_ranges, design_space
from skcausal.design._histories import Histories
from skcausal.design._judges import STANDARDIZED, ExactJudge
from skcausal.design._pool_replay import Pool, _cross_entropy, replay
from skcausal.design._strategies import RuleStrategy

JUDGE = ExactJudge(STANDARDIZED)


def rows(n=40, d=3, seed=0):
    """A chain, observed and with each variable set."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    mask = np.zeros((n, d), dtype=bool)
    for k in range(n):
        target = k % (d + 1)
        for j in range(d):
            if j:
                X[k, j] += X[k, j - 1]
            if target == j + 1:
                X[k, j], mask[k, j] = 2.0 + 0.1 * X[k, j], True
    return X, mask


def pool(weight=None, **arguments):
    X, mask = rows(**arguments)
    return Pool(X, mask, np.ones(len(X)) if weight is None else weight)


class Recorder:
    """A strategy that chooses the candidate of one target, and remembers what it saw."""

    def __init__(self, choose=0):
        self.seen, self.which = [], choose

    def choose(self, histories, candidates, space, generator):
        self.seen.append((histories, candidates, space))
        return torch.tensor([min(self.which, candidates.targets.shape[1] - 1)])


def space_of(X, mask):
    return design_space(None, [], *default_ranges(None, X, mask))


def run(pool, strategy=None, **arguments):
    settings = {"budget": 3, "n_initial": 5, "rows_per_design": 2, "seed": 0, "standardize": True}
    settings |= arguments
    strategy = RuleStrategy("random") if strategy is None else strategy
    return replay(pool, strategy, JUDGE, space_of, **settings)


class TestPool:
    def test_regimes(self):
        found = pool()
        assert found.targets.tolist() == [
            [False] * 3, [False, False, True], [False, True, False], [True, False, False],
        ]  # fmt: skip
        assert np.bincount(found.regime).tolist() == [10] * 4

    def test_designs_are_mean_values_of_targets(self):
        X, mask = rows()
        designs = pool().design_of([1, 3])
        assert designs.targets.tolist() == [[False, False, True], [True, False, False]]
        values = designs.values.numpy()
        np.testing.assert_allclose(values[0], [0, 0, X[mask[:, 2], 2].mean()])
        np.testing.assert_allclose(values[1], [X[mask[:, 0], 0].mean(), 0, 0])

    def test_queues_hold_every_row_once(self):
        found = pool()
        queues = found.queues(np.random.default_rng(0))
        assert sorted(row for queue in queues for row in queue) == list(range(40))
        for k, queue in enumerate(queues):
            assert (found.regime[queue] == k).all()
        assert queues != found.queues(np.random.default_rng(1))

    def test_rows_without_weight_are_left_out(self):
        weight = (np.arange(40) % 3 > 0).astype(float)
        X, mask = rows()
        used = weight > 0
        one, other = Pool(X, mask, weight), Pool(X[used], mask[used], np.ones(used.sum()))
        np.testing.assert_array_equal(one.X, other.X)
        queues = [p.queues(np.random.default_rng(0)) for p in (one, other)]
        assert queues[0] == queues[1]

    def test_heavy_rows_come_first(self):
        """The first row of a queue is row i with a probability in proportion to its weight."""
        weight = np.where(np.arange(40) == 0, 9.0, 1.0)  # of ten observational rows
        found = pool(weight)
        first = [found.queues(np.random.default_rng(seed))[0][0] for seed in range(400)]
        assert np.mean(np.array(first) == 0) == pytest.approx(0.5, abs=0.08)

    @pytest.mark.parametrize("which", ["no interventions", "one observational row", "none"])
    def test_pools_that_are_no_use(self, which):
        X, mask = rows()
        observed = ~mask.any(axis=1)
        weight = np.ones(40)
        if which == "no interventions":
            weight[~observed] = 0.0
        else:
            weight[observed] = 0.0
            weight[0] = which == "one observational row"
        n = int(weight[observed].sum())
        message = f"observational rows and some rows under interventions, found {n} and"
        with pytest.raises(ValueError, match=message):
            Pool(X, mask, weight)


class TestReplay:
    def test_an_episode(self):
        recorder = Recorder()
        run(pool(), recorder)
        assert len(recorder.seen) == 3
        for k, (histories, candidates, _) in enumerate(recorder.seen):
            assert histories.X.shape[1] == 5 + 2 * k
            assert candidates.targets.shape[1] == 3
            assert candidates.targets.any(dim=-1).all()
        assert not recorder.seen[0][0].mask.any()

    @pytest.mark.parametrize("standardize", [True, False])
    def test_candidates_are_in_the_order_of_the_histories(self, standardize):
        """What was set in the rows, and the ranges, stand in the same places and units."""
        recorder = Recorder()
        run(pool(), recorder, standardize=standardize)
        (_, first, _), (after, _, space) = recorder.seen[:2]
        assert torch.equal(after.mask[0].any(dim=0), first.targets[0, 0])
        middle = after.X[0].mean(dim=0)
        assert ((space.low < middle) & (middle < space.high)).all()

    def test_a_queue_that_is_empty_is_no_candidate(self):
        recorder = Recorder()
        run(pool(), recorder, rows_per_design=4, budget=20)
        n_candidates = [c.targets.shape[1] for _, c, _ in recorder.seen]
        assert n_candidates == [3] * 3 + [2] * 3 + [1] * 3
        rows_seen = [h.X.shape[1] for h, _, _ in recorder.seen]
        assert np.diff(rows_seen).tolist() == [4, 4, 2] * 2 + [4, 4]

    def test_everything_seen_is_the_best_score(self):
        """The posterior of the whole pool against itself: its entropy."""
        found = pool()
        p = JUDGE.edge_probabilities(
            Histories(
                torch.from_numpy(found.X)[None],
                torch.from_numpy(found.mask)[None],
                torch.zeros(40, dtype=torch.int64),
            )
        )[0].numpy()
        best = run(found, budget=100, n_initial=100)
        assert best == pytest.approx(-_cross_entropy(p, p), abs=1e-6)
        scores = [run(found, seed=s) for s in range(5)]
        assert max(scores) <= best
        assert min(scores) < best

    def test_seed_determines_the_episode(self):
        assert run(pool(), seed=1) == run(pool(), seed=1) != run(pool(), seed=2)

    def test_more_experiments_tell_more(self):
        few = np.mean([run(pool(), budget=1, seed=s) for s in range(8)])
        many = np.mean([run(pool(), budget=8, seed=s) for s in range(8)])
        assert many > few


class TestCrossEntropy:
    def test_closed_form(self):
        whole, found = np.array([[0.0, 0.5], [1.0, 0.0]]), np.array([[0.0, 0.2], [0.7, 0.0]])
        expected = -(0.5 * np.log(0.2) + 0.5 * np.log(0.8) + np.log(0.7)) / 2
        assert _cross_entropy(whole, found) == pytest.approx(expected)

    def test_certain_errors_are_finite(self):
        whole, found = np.array([[0.0, 1.0], [0.0, 0.0]]), np.array([[0.0, 0.0], [1.0, 0.0]])
        assert _cross_entropy(whole, found) == pytest.approx(-np.log(1e-3))

    def test_one_variable(self):
        assert _cross_entropy(np.zeros((1, 1)), np.zeros((1, 1))) == 0.0


def test_generator_is_the_replays_own():
    before = torch.random.get_rng_state()
    run(pool())
    assert torch.equal(torch.random.get_rng_state(), before)
