"""Training of graph networks: its tasks, its loss, and going on after an interrupt."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.stats import randint

from skcausal.simulators import LinearPrior
from skcausal.structure import _graph_training
from skcausal.structure._graph_network import PairGraphNetwork, RowGraphNetwork
from skcausal.structure._graph_training import (
    GraphTasks,
    GraphTraining,
    draw_graph_tasks,
    edge_cross_entropy,
    spectral_radius,
    train_graph_network,
)

PRIOR = LinearPrior(3)
both_networks = pytest.mark.parametrize("kind", ["pairs", "rows"])


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    """At most eleven tasks a batch, four batches an epoch."""
    monkeypatch.setattr(_graph_training, "_PAIRS_PER_BATCH", 100)
    monkeypatch.setattr(_graph_training, "_VARIABLES_PER_BATCH", 15)
    monkeypatch.setattr("skcausal.nn._stream_training._STEPS_PER_EPOCH", 4)


def tiny(kind="pairs", seed=0, width=4):
    generator = torch.Generator().manual_seed(seed)
    if kind == "pairs":
        return PairGraphNetwork(generator, width=width, n_layers=1)
    return RowGraphNetwork(generator, width=width, n_layers=1, n_heads=2)


def draw(step=0, *, kind="pairs", priors=(PRIOR,), experiments="sequential", seed=0):
    shares = [1.0] * len(priors)
    return draw_graph_tasks(tiny(kind), priors, shares, experiments, seed, step)


def train(network, **arguments):
    settings = {"experiments": "sequential", "n_steps": 8, "seed": 0} | arguments
    return train_graph_network(network, [PRIOR], [1.0], **settings)


def equal(first, second):
    pairs = zip(first.state_dict().values(), second.state_dict().values())
    return all(torch.equal(a, b) for a, b in pairs)


def assert_same_inputs(first, second):
    for one, two in zip(first.inputs, second.inputs, strict=True):
        if isinstance(one, torch.Tensor):
            assert torch.equal(one, two)
        else:
            assert torch.equal(one.scatter, two.scatter)


class TestTasks:
    @both_networks
    @pytest.mark.parametrize("experiments", ["mixed", "sequential", "regimes", "observational"])
    def test_are_determined_by_seed_and_step(self, kind, experiments):
        settings = {"kind": kind, "experiments": experiments}
        state = torch.random.get_rng_state()
        first, same = draw(0, **settings), draw(0, **settings)
        assert torch.equal(torch.random.get_rng_state(), state)
        assert_same_inputs(first, same)
        assert torch.equal(first.edges, same.edges)
        others = [draw(1, **settings), draw(0, seed=1, **settings)]
        assert all(not torch.equal(first.edges, other.edges) for other in others)

    def test_edges_are_those_of_the_systems(self):
        edges = draw(7).edges
        expected = PRIOR.sample(len(edges), random_state=0, start=7 * 48).adjacency
        assert torch.equal(edges != 0, expected)
        assert edges.dtype == torch.float32

    def test_rows_are_standardised(self):
        Z, mask, kept = draw(3, kind="rows").inputs
        assert kept.all()
        assert mask.shape == Z.shape
        np.testing.assert_allclose(Z.mean(dim=1), 0.0, atol=1e-4)
        np.testing.assert_allclose(Z.std(dim=1, correction=0), 1.0, atol=1e-3)

    def test_moments_are_standardised_and_units_are_those_before(self):
        moments, scale = draw(3).inputs
        rows = moments.n_rows[..., None]
        np.testing.assert_allclose((rows * moments.mean).sum(dim=1), 0.0, atol=1e-2)
        square = (rows * moments.mean**2).sum(dim=1)
        square = square + moments.scatter.diagonal(dim1=-2, dim2=-1).sum(dim=1)
        np.testing.assert_allclose(square / rows.sum(dim=1), 1.0, atol=1e-3)
        assert scale.shape == (len(moments.n_rows), 3)
        assert float(scale.std()) > 0.1

    def test_both_networks_see_the_same_experiment(self, monkeypatch):
        monkeypatch.setattr(_graph_training, "_PAIRS_PER_BATCH", 45)
        (moments, _), (_, mask, _) = (draw(2, kind=kind).inputs for kind in ("pairs", "rows"))
        assert len(mask) == len(moments.targets) == 5
        assert moments.n_rows.sum(dim=1).tolist() == [mask.shape[1]] * 5

    def test_variables_have_their_canonical_signs(self):
        for step in range(5):
            moments, _ = draw(step).inputs
            signs = moments.canonical_signs()
            assert (signs == signs[:, :1]).all()

    def test_number_of_variables_is_drawn_from_the_prior(self):
        prior = LinearPrior(randint(3, 6))
        assert {draw(step, priors=[prior]).edges.shape[-1] for step in range(20)} == {3, 4, 5}

    def test_priors_are_drawn_by_their_shares(self):
        priors = [LinearPrior(3), LinearPrior(4)]
        network = tiny()
        sizes = [
            draw_graph_tasks(network, priors, [3.0, 1.0], "observational", 0, step).edges.shape[-1]
            for step in range(40)
        ]
        assert 0.6 < sizes.count(3) / 40 < 0.9

    def test_fewer_tasks_of_more_variables(self, monkeypatch):
        monkeypatch.setattr(_graph_training, "_PAIRS_PER_BATCH", 3600)
        n_tasks = [len(draw(priors=[LinearPrior(d)]).edges) for d in (3, 12, 50)]
        assert n_tasks == [48, 25, 2]


class TestCrossEntropy:
    def test_is_the_mean_over_tasks_and_ordered_pairs(self):
        rng = np.random.default_rng(0)
        logits = rng.normal(size=(5, 4, 4))
        edges = (rng.random((5, 4, 4)) < 0.4).astype(float)
        terms = []
        for k, i, j in itertools.product(range(5), range(4), range(4)):
            if i != j:
                p = 1 / (1 + math.exp(-logits[k, i, j]))
                terms.append(-math.log(p if edges[k, i, j] else 1 - p))
        found = edge_cross_entropy(torch.from_numpy(logits), torch.from_numpy(edges))
        assert float(found) == pytest.approx(np.mean(terms), rel=1e-10)

    def test_extreme_logits(self):
        logits = torch.tensor([[[0.0, 1000.0], [-1000.0, 0.0]]])
        right = torch.tensor([[[0.0, 1.0], [0.0, 0.0]]])
        assert float(edge_cross_entropy(logits, right)) == 0.0
        assert float(edge_cross_entropy(logits, right.mT)) == 1000.0


class TestSpectralRadius:
    @pytest.mark.parametrize("kind", ["positive", "no diagonal", "nearly acyclic"])
    @pytest.mark.parametrize("d", [2, 3, 5, 12])
    def test_is_estimated_from_above(self, d, kind):
        rng = np.random.default_rng(d)
        matrices = rng.random((50, d, d))
        if kind != "positive":
            matrices = matrices * (1 - np.eye(d))
        if kind == "nearly acyclic":
            matrices = np.where(np.triu(np.ones((d, d)), 1), matrices, 0.01 * matrices)
        expected = np.abs(np.linalg.eigvals(matrices)).max(axis=1)
        for dtype in (torch.float32, torch.float64):
            share = spectral_radius(torch.from_numpy(matrices).to(dtype)).numpy() / expected
            assert share.min() > 1 - 1e-5
            assert share.max() < 1.1

    @pytest.mark.parametrize("d", [1, 2, 3, 5, 10, 40])
    def test_is_zero_for_acyclic_graphs(self, d):
        rng = np.random.default_rng(d)
        order = rng.permutation(d)
        graphs = np.triu(rng.random((20, d, d)), 1)[:, order][:, :, order]
        assert not spectral_radius(torch.from_numpy(graphs)).any()
        assert not spectral_radius(torch.from_numpy(graphs).float()).any()

    def test_is_zero_for_long_paths_and_not_for_long_cycles(self):
        path = torch.diag(torch.ones(63), 1)[None]
        assert not spectral_radius(path)
        path[0, -1, 0] = 1.0
        assert float(spectral_radius(path)) == pytest.approx(1.0, rel=0.05)

    def test_of_two_variables_is_the_root_of_the_product(self):
        pair = torch.tensor([[[0.0, 0.9], [1e-4, 0.0]]])
        assert float(spectral_radius(pair)) == pytest.approx(math.sqrt(0.9e-4), rel=0.01)

    @pytest.mark.parametrize("factor", [1e-4, 1e4])
    def test_grows_with_the_entries(self, factor):
        matrices = torch.rand(5, 4, 4, generator=torch.Generator().manual_seed(0))
        scaled = spectral_radius(factor * matrices)
        torch.testing.assert_close(scaled, factor * spectral_radius(matrices), rtol=1e-4, atol=0)

    def test_gradients_are_finite(self):
        matrices = torch.rand(4, 5, 5, generator=torch.Generator().manual_seed(0))
        matrices[0] = torch.triu(matrices[0], 1)
        matrices[1] = 0.0
        matrices.requires_grad_(True)
        spectral_radius(matrices).sum().backward()
        assert matrices.grad.isfinite().all()
        assert (matrices.grad[2:] > 0).all()


class TestLoss:
    def test_without_penalty(self):
        training = GraphTraining(tiny("rows"), acyclic=False)
        terms = training(draw(kind="rows"))
        assert set(terms) == {"loss", "cross_entropy"}
        assert torch.equal(terms["loss"], terms["cross_entropy"])
        assert terms["loss"].requires_grad
        assert not training.weight

    def test_penalty_grows_with_the_cycles_that_were_seen(self):
        training = GraphTraining(tiny("rows"), acyclic=True)
        tasks, total = draw(kind="rows"), 0.0
        for _ in range(3):
            before = float(training.weight)
            terms = training(tasks)
            assert set(terms) == {"loss", "cross_entropy", "cycles"}
            assert not terms["cycles"].requires_grad
            expected = terms["cross_entropy"] + before * terms["cycles"]
            torch.testing.assert_close(terms["loss"], expected)
            total += 1e-3 * float(terms["cycles"])
            assert float(training.weight) == pytest.approx(total)
        assert total > 0

    def test_evaluation_leaves_the_weight_alone(self):
        training = GraphTraining(tiny("rows"), acyclic=True).eval()
        training(draw(kind="rows"))
        assert not training.weight

    def test_cycles_are_those_of_the_probabilities(self):
        network, tasks = tiny("rows"), draw(kind="rows")
        probabilities = torch.sigmoid(network(*tasks.inputs)).detach().numpy()
        radius = np.abs(np.linalg.eigvals(probabilities * (1 - np.eye(3)))).max(axis=1)
        terms = GraphTraining(network, acyclic=True)(tasks)
        assert float(terms["cycles"]) == pytest.approx(radius.mean(), rel=0.05)

    def test_penalty_pushes_against_cycles(self):
        """With a large weight all edges are to become less probable."""
        network = tiny("rows")
        training = GraphTraining(network, acyclic=True)
        training.weight.fill_(1e3)
        training(draw(kind="rows"))["loss"].backward()
        assert float(network.bias.grad) > 10.0


def cross_entropy_on(network, kind, steps=range(1000, 1008)):
    """Mean over batches that no training saw."""
    with torch.no_grad():
        losses = [
            edge_cross_entropy(network(*tasks.inputs), tasks.edges)
            for tasks in (draw(step, kind=kind) for step in steps)
        ]
    return float(np.mean(losses))


class TestTraining:
    @both_networks
    def test_lowers_the_loss_on_other_tasks(self, kind):
        network = tiny(kind, width=8)
        before = cross_entropy_on(network, kind)
        history = train(network, n_steps=24, learning_rate=0.1)
        assert len(history["cross_entropy"]) == 6
        assert cross_entropy_on(network, kind) < before - 0.1
        assert not network.training

    @both_networks
    def test_is_determined_by_the_seed_alone(self, kind):
        networks = [tiny(kind) for _ in range(3)]
        state = torch.random.get_rng_state()
        histories = [train(network, seed=seed) for network, seed in zip(networks, (0, 0, 1))]
        assert torch.equal(torch.random.get_rng_state(), state)
        assert torch.equal(histories[0]["loss"], histories[1]["loss"])
        assert equal(networks[0], networks[1])
        assert not equal(networks[0], networks[2])

    def test_number_of_steps(self, monkeypatch):
        steps = []

        def record(network, priors, shares, experiments, seed, step, device):
            steps.append(step)
            return draw_graph_tasks(network, priors, shares, experiments, seed, step, device)

        monkeypatch.setattr(_graph_training, "draw_graph_tasks", record)
        history = train(tiny(), n_steps=7)
        assert steps == list(range(7))
        assert len(history["loss"]) == 2

    @pytest.mark.parametrize("acyclic", [True, False])
    def test_cycles_are_penalised_only_if_asked_for(self, acyclic):
        history = train(tiny("rows"), acyclic=acyclic)
        assert ("cycles" in history) == acyclic
        penalty = history["loss"] - history["cross_entropy"]
        assert (penalty > 0).all() if acyclic else (penalty == 0).all()
        if acyclic:
            share = penalty / history["cycles"]
            assert share[1] > share[0]

    def test_steps_are_small(self):
        """Gradients are clipped, and the learning rate warms up."""
        network, start = tiny(), tiny()
        train(network, n_steps=1, learning_rate=1e-3)
        changes = [(a - b).abs().max() for a, b in zip(network.parameters(), start.parameters())]
        assert 0 < max(changes) < 1e-4

    @pytest.mark.parametrize(("kind", "acyclic"), [("pairs", False), ("rows", True)])
    def test_goes_on_bit_identically_after_an_interrupt(self, kind, acyclic, tmp_path, monkeypatch):
        whole = tiny(kind)
        expected = train(whole, n_steps=16, acyclic=acyclic)
        checkpoint = tmp_path / "training.ckpt"
        monkeypatch.setattr("skcausal.nn._training._SECONDS_BETWEEN_CHECKPOINTS", 0.0)
        settings = {"n_steps": 16, "acyclic": acyclic, "checkpoint": checkpoint}
        with monkeypatch.context() as patch:
            patch.setattr(_graph_training, "draw_graph_tasks", interrupted_at(14))
            with pytest.raises(KeyboardInterrupt):
                train(tiny(kind), **settings)
        resumed = tiny(kind, seed=1)  # whatever it starts from
        history = train(resumed, **settings)
        assert equal(resumed, whole)
        for name, values in expected.items():
            assert torch.equal(history[name], values)

    def test_checkpoint_of_another_training_is_refused(self, tmp_path):
        checkpoint = tmp_path / "training.ckpt"
        train(tiny(), checkpoint=checkpoint, fingerprint="first")
        with pytest.raises(ValueError, match="checkpoint"):
            train(tiny(), checkpoint=checkpoint, fingerprint="second")

    def test_fails_where_the_loss_is_not_finite(self, monkeypatch):
        def broken(*arguments):
            tasks = draw_graph_tasks(*arguments)
            return GraphTasks(tasks.inputs, tasks.edges * torch.nan)

        monkeypatch.setattr(_graph_training, "draw_graph_tasks", broken)
        with pytest.raises(FloatingPointError):
            train(tiny())


def interrupted_at(last):
    """Draw tasks as always up to a step."""

    def draw_or_stop(network, priors, shares, experiments, seed, step, device):
        if step == last:
            raise KeyboardInterrupt
        return draw_graph_tasks(network, priors, shares, experiments, seed, step, device)

    return draw_or_stop
