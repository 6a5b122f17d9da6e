"""Distillation: what is learnt, and what an interruption, or another training, does to it."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from skcausal.design import _distillation, _labelled_states
from skcausal.design._distillation import (
    distil,
    distillation_loss,
    edge_cross_entropy,
    fit_scorer,
    gather_labels,
    train_on_edges,
)
from skcausal.design._judges import judge_of_prior
from skcausal.design._labelled_states import EpisodeLaw, LabelledStates
from skcausal.design._policy_weights import POLICY_FILES
from skcausal.design._scorer_inputs import ScorerInputs
from skcausal.design._teachers import LookaheadTeacher
from skcausal.nn import load_checkpoint
from skcausal.simulators import LinearPrior
from tests.design.test_scorer_inputs import rows

PRIOR = LinearPrior.preset("caasl", n_variables=3, edges_per_variable=0.5)
LAW = EpisodeLaw(n_initial=6, budget=2)
SIZES = {"width": 4, "n_layers": 1, "n_features": 30, "n_messages": 2, "n_hidden": 2}
TEACHER = LookaheadTeacher(judge_of_prior(PRIOR, 3, dtype=torch.float32), 6, 3)


def teacher_of(n_variables):
    return TEACHER


def network(seed=0, **sizes):
    return POLICY_FILES.make("distilled", SIZES | sizes, seed=seed)


def train(folder=None, **arguments):
    """A training that takes a moment; returns weights and history."""
    scorer = network()
    settings = {"n_edge_steps": 5, "n_batches": 2, "n_candidates": 4, "n_epochs": 2}
    settings |= {"law": LAW, "seed": 0, "folder": folder, "fingerprint": "this"}
    history = distil(scorer, (PRIOR,), (1.0,), teacher_of, **settings | arguments)
    return scorer, history


def labels(folder=None, first=0, n_batches=3, **arguments):
    settings = {"n_candidates": 4, "student": None, "law": LAW, "seed": 0, "folder": folder}
    settings |= {"fingerprint": "this", "first": first, "n_batches": n_batches}
    return gather_labels((PRIOR,), (1.0,), teacher_of, **settings | arguments)


def assert_same_weights(first, other):
    for a, b in zip(first.state_dict().values(), other.state_dict().values()):
        assert torch.equal(a, b)


def assert_same_states(first, other):
    for one, another in zip(first, other, strict=True):
        for name, tensor in one.tensors().items():
            assert torch.equal(tensor, another.tensors()[name])


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(_distillation, "_PAIRS_PER_BATCH", 36)
    monkeypatch.setattr(_labelled_states, "_EPISODES", 4)


@pytest.fixture(scope="module")
def expected():
    """Weights and history of a training that nothing interrupted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_distillation, "_PAIRS_PER_BATCH", 36)
        patch.setattr(_labelled_states, "_EPISODES", 4)
        return train()


class TestWholeTraining:
    def test_history_has_both_rounds(self, expected):
        scorer, history = expected
        assert set(history) == {"loss", "scores", "edges", "validation"}
        assert {len(values) for values in history.values()} == {4}
        assert all(torch.isfinite(v).all() for v in history.values())
        assert not scorer.training

    def test_seed_determines_everything(self, expected):
        scorer, history = train()
        assert_same_weights(scorer, expected[0])
        for name, values in history.items():
            assert torch.equal(values, expected[1][name])

    def test_folder_changes_nothing(self, expected, tmp_path):
        scorer, _ = train(tmp_path / "run")
        assert_same_weights(scorer, expected[0])

    def test_files(self, finished):
        found = sorted(path.name for path in finished.iterdir())
        numbers = [f"labels-{k:05d}.safetensors" for k in range(4)]
        assert found == [
            "edges.safetensors", *numbers, "scores-0.safetensors", "scores-1.safetensors",
        ]  # fmt: skip

    def test_finished_training_is_read(self, expected, finished, tmp_path, monkeypatch):
        folder = shutil.copytree(finished, tmp_path / "copy")
        monkeypatch.setattr(_distillation, "label_episodes", None)
        monkeypatch.setattr(_distillation, "draw_experiment", None)
        scorer, history = train(folder)
        assert_same_weights(scorer, expected[0])
        assert torch.equal(history["loss"], expected[1]["loss"])

    @pytest.mark.parametrize("n_batches", [1, 2])
    def test_few_batches_are_enough(self, n_batches):
        """One batch in ten is held out, but never the only one."""
        _, history = train(n_batches=n_batches, n_epochs=1)
        assert torch.isfinite(history["loss"]).all()

    def test_global_random_state_is_neither_used_nor_changed(self, expected):
        torch.manual_seed(5)
        np.random.seed(5)  # noqa: NPY002
        before = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
        scorer, _ = train()
        assert_same_weights(scorer, expected[0])
        assert torch.equal(torch.random.get_rng_state(), before[0])
        np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


@pytest.fixture(scope="module")
def finished(expected, tmp_path_factory):
    """The folder of a whole training."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_distillation, "_PAIRS_PER_BATCH", 36)
        patch.setattr(_labelled_states, "_EPISODES", 4)
        train(folder)
    return folder


class Interrupted:
    """Raises KeyboardInterrupt in the k-th call of what it wraps."""

    def __init__(self, wrapped, k):
        self.wrapped, self.left = wrapped, k

    def __call__(self, *arguments, **keywords):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return self.wrapped(*arguments, **keywords)


class TestInterruption:
    @pytest.mark.parametrize(
        ("name", "k"),
        [
            ("edge_cross_entropy", 0),
            ("edge_cross_entropy", 3),
            ("label_episodes", 0),
            ("label_episodes", 1),
            ("label_episodes", 3),
            ("distillation_loss", 0),
            ("distillation_loss", 2),
            ("distillation_loss", 6),
        ],
    )
    def test_training_goes_on_bit_identically(self, name, k, expected, tmp_path, monkeypatch):
        with monkeypatch.context() as patch:
            patch.setattr(_distillation, name, Interrupted(getattr(_distillation, name), k))
            patch.setattr("skcausal.nn._training._SECONDS_BETWEEN_CHECKPOINTS", 0.0)
            with pytest.raises(KeyboardInterrupt):
                train(tmp_path)
        scorer, history = train(tmp_path)
        assert_same_weights(scorer, expected[0])
        for term, values in history.items():
            assert torch.equal(values, expected[1][term])

    @pytest.mark.parametrize("name", ["edges", "labels-00001", "scores-0"])
    def test_files_of_another_training_are_refused(self, name, finished, tmp_path):
        shutil.copy(finished / f"{name}.safetensors", tmp_path)
        with pytest.raises(ValueError, match=r"belongs to (a|another) training"):
            train(tmp_path, fingerprint="another")

    @pytest.mark.parametrize("damage", ["truncated", "flipped", "text"])
    @pytest.mark.parametrize("name", ["labels-00000", "edges", "scores-0"])
    def test_damaged_files_are_refused(self, damage, name, finished, tmp_path):
        path = Path(shutil.copytree(finished, tmp_path / "copy")) / f"{name}.safetensors"
        content = bytearray(path.read_bytes())
        if damage == "truncated":
            content = content[: len(content) // 2]
        elif damage == "flipped":
            content[-5] ^= 1
        else:
            content = b"labels"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=name):
            train(path.parent)


class TestLabels:
    def test_processes_do_not_matter(self, tmp_path, monkeypatch):
        monkeypatch.undo()  # other processes do not know of it
        expected = labels(tmp_path, n_batches=2, n_jobs=2)
        assert_same_states(labels(n_batches=2, n_jobs=1), expected)
        assert len(list(tmp_path.iterdir())) == 2

    def test_batches_are_numbered(self, tmp_path):
        whole = labels()
        assert_same_states(labels(first=1, n_batches=2), whole[1:])
        labels(tmp_path, first=2, n_batches=1)
        assert [path.name for path in tmp_path.iterdir()] == ["labels-00002.safetensors"]
        tensors, header = load_checkpoint(tmp_path / "labels-00002.safetensors")
        assert header["fingerprint"] == "this"
        assert_same_states([LabelledStates.from_tensors(tensors)], whole[2:])

    def test_what_is_there_is_not_made_anew(self, tmp_path, monkeypatch):
        expected = labels(tmp_path)
        monkeypatch.setattr(_distillation, "label_episodes", None)
        assert_same_states(labels(tmp_path), expected)

    def test_progress(self, capsys):
        labels(verbose=True)
        assert "labelling states" in capsys.readouterr().err


class TestEdges:
    def test_cross_entropy_leaves_out_the_diagonal(self):
        logits = torch.tensor([[[100.0, 0.0], [2.0, 100.0]]])
        edges = torch.tensor([[[0.0, 1.0], [0.0, 0.0]]])
        expected = (np.log(2.0) + np.log1p(np.exp(2.0))) / 2
        assert float(edge_cross_entropy(logits, edges)) == pytest.approx(expected)

    def test_edges_are_learnt(self, monkeypatch):
        monkeypatch.setattr(_distillation, "_PAIRS_PER_BATCH", 250)
        scorer = network(width=8)
        history = train_on_edges(
            scorer, (LinearPrior(3),), (1.0,), n_steps=100, seed=0, learning_rate=2e-2
        )
        assert history["loss"][-1] < history["loss"][0] - 0.1


def synthetic(n_batches=11, n_states=20, seed=0):
    """States in which a design is worth how often its targets were correlated with others."""
    parts = []
    for k in range(n_batches):
        inputs = ScorerInputs.from_histories(rows(n_states, d=3, seed=seed + k))
        g = torch.Generator().manual_seed(1000 + seed + k)
        targets = torch.rand((n_states, 6, 3), generator=g) < 0.5
        position = torch.where(torch.rand(targets.shape, generator=g) < 0.5, -1.0, 1.0) * targets
        second = inputs.Z.mT @ inputs.Z / inputs.Z.shape[1]
        utility = 3.0 + ((position @ second) * position).sum(dim=-1)
        edges = torch.full((n_states, 3, 3), 0.5)
        parts.append(LabelledStates(inputs, targets, position, utility, edges))
    return parts


class TestScores:
    def test_a_utility_that_can_be_learnt_is_learnt(self):
        parts = synthetic()
        scorer = network(width=8)
        history = fit_scorer(scorer, parts, n_epochs=40, seed=0, learning_rate=2e-2)
        validation = history["validation"]
        assert float(validation.min()) < 0.5 * float(validation[0])
        assert float(validation.min()) < 0.6
        held_out = [parts[0], parts[10]]
        with torch.no_grad():
            found = [
                scorer.score(scorer(part.inputs), part.targets, part.position) for part in held_out
            ]
        for scores, part in zip(found, held_out):
            scores = scores - scores.mean(dim=1, keepdim=True)
            utility = part.utility - part.utility.mean(dim=1, keepdim=True)
            pair = torch.stack([scores.flatten(), utility.flatten()])
            assert torch.corrcoef(pair)[0, 1] > 0.6

    def test_weights_of_the_best_epoch_are_kept(self):
        parts = synthetic(3)
        scorer = network(width=8)
        history = fit_scorer(scorer, parts, n_epochs=4, seed=0, learning_rate=0.1)
        spread = _distillation._spread(_distillation._by_size(parts[1:]))
        with torch.no_grad():
            found = distillation_loss(scorer, parts[0], spread)["scores"]
        assert float(found) == pytest.approx(float(history["validation"].min()), rel=1e-4)

    def test_loss_is_that_of_its_definition(self):
        part, scorer = synthetic(1)[0], network()
        with torch.no_grad():
            terms = distillation_loss(scorer, part, 2.0)
            function = scorer(part.inputs)
            scores = scorer.score(function, part.targets, part.position).numpy()
        utility = part.utility.numpy() / 2.0
        error = (scores - scores.mean(axis=1, keepdims=True)) - (
            utility - utility.mean(axis=1, keepdims=True)
        )
        edges = edge_cross_entropy(function.edge_logits, part.edges)
        assert float(terms["scores"]) == pytest.approx((error**2).mean(), rel=1e-4)
        assert float(terms["edges"]) == pytest.approx(float(edges))
        assert float(terms["loss"]) == pytest.approx(
            (error**2).mean() + 0.5 * float(edges), rel=1e-4
        )

    def test_sizes_may_differ_between_batches(self):
        parts = synthetic(3)
        other = [
            LabelledStates(
                ScorerInputs.from_histories(rows(5, d=4, n_initial=9)),
                torch.ones(5, 6, 4, dtype=torch.bool),
                torch.ones(5, 6, 4),
                torch.arange(30.0).reshape(5, 6),
                torch.full((5, 4, 4), 0.5),
            )
        ]
        history = fit_scorer(network(), [*parts, *other], n_epochs=1, seed=0)
        assert torch.isfinite(history["loss"]).all()

    def test_equal_utilities_do_no_harm(self):
        parts = synthetic(2)
        flat = [
            LabelledStates(p.inputs, p.targets, p.position, torch.ones_like(p.utility), p.edges)
            for p in parts
        ]
        history = fit_scorer(network(), flat, n_epochs=2, seed=0)
        assert torch.isfinite(history["loss"]).all()
