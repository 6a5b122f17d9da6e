"""States of simulated episodes, labelled by a teacher."""

import numpy as np
import pytest
import torch
from scipy.stats import randint

from skcausal.design import _labelled_states
from skcausal.design._design_space import DesignSpace
from skcausal.design._histories import Designs, Histories
from skcausal.design._labelled_states import (
    EpisodeLaw,
    LabelledStates,
    join_states,
    label_episodes,
    position_of,
    rng_of_epoch,
)
from skcausal.design._scorer_inputs import ScorerInputs
from skcausal.simulators import LinearPrior
from tests.design.test_scorer_network import scorer

PRIOR = LinearPrior.preset("caasl", n_variables=3, edges_per_variable=0.5)
LAW = EpisodeLaw(n_initial=6, budget=2, rows_per_design=1)


class Recorder:
    """A teacher that likes designs whose first variable is a target."""

    def __init__(self):
        self.calls = []

    def __call__(self, laboratory, histories, designs, step, generator):
        self.calls.append((laboratory, histories, designs, step))
        utility = designs.targets[..., 0] + 0.01 * designs.values[..., 1]
        return utility, torch.full(histories.X.shape[:1] + (histories.n_variables,) * 2, 0.25)


def label(recorder=None, **arguments):
    recorder = recorder or Recorder()
    settings = {"n_candidates": 5, "student": None, "law": LAW, "seed": 0, "position": 0}
    priors = arguments.pop("priors", [PRIOR])
    shares = arguments.pop("shares", [1.0])
    return label_episodes(priors, shares, lambda d: recorder, **settings | arguments)


@pytest.fixture(autouse=True)
def few_episodes(monkeypatch):
    monkeypatch.setattr(_labelled_states, "_EPISODES", 4)


class TestPosition:
    def test_ends_and_middle(self):
        space = DesignSpace(
            torch.ones(3, dtype=torch.bool),
            torch.tensor([0.0, -2.0, 5.0]),
            torch.tensor([4.0, 2.0, 5.0]),
            0,
            3,
        )
        targets = torch.tensor([[[True, True, True], [True, True, False], [False, True, True]]])
        values = torch.tensor([[[0.0, 2.0, 5.0], [2.0, 1.0, 0.0], [0.0, -2.0, 5.0]]])
        signs = torch.tensor([[1.0, -1.0, 1.0]])
        found = position_of(Designs(targets, values), space, signs)
        assert found.tolist() == [[[-1.0, -1.0, 0.0], [0.0, -0.5, 0.0], [0.0, 1.0, 0.0]]]

    def test_precision(self):
        space = DesignSpace.unrestricted(2).to(torch.zeros(1, dtype=torch.float64))
        designs = Designs(torch.ones(1, 1, 2, dtype=torch.bool), torch.ones(1, 1, 2).double())
        found = position_of(designs, space, torch.ones(1, 2))
        assert found.dtype == torch.float32
        assert found.tolist() == [[[1.0, 1.0]]]


class TestEpisodes:
    def test_every_state_is_labelled(self):
        recorder = Recorder()
        states = label(recorder)
        n_steps = len(recorder.calls)
        assert n_steps in (LAW.budget, 2 * LAW.budget)
        assert [call[3] for call in recorder.calls] == list(range(n_steps))
        n_systems = len(recorder.calls[0][1])
        assert len(states) == n_steps * n_systems
        assert states.targets.shape == states.position.shape == (len(states), 5, 3)
        assert states.utility.shape == (len(states), 5)
        assert states.edges.shape == (len(states), 3, 3)
        for name, tensor in states.tensors().items():
            assert tensor.dtype == (torch.bool if name in ("mask", "targets") else torch.float32)

    def test_candidates_are_balanced_halves_at_ends(self):
        states = label()
        n_targets = states.targets.sum(dim=-1)
        assert set(n_targets.flatten().tolist()) <= {1, 2}
        assert (states.position[states.targets].abs() == 1.0).all()
        assert not states.position[~states.targets].any()

    def test_labels_are_what_the_teacher_said(self):
        recorder = Recorder()
        states = label(recorder)
        targets = torch.cat([call[2].targets for call in recorder.calls])
        values = torch.cat([call[2].values for call in recorder.calls])
        assert torch.equal(states.targets, targets)
        torch.testing.assert_close(states.utility, targets[..., 0] + 0.01 * values[..., 1])
        assert (states.edges == 0.25).all()
        signs = states.inputs.signs[:, None]
        torch.testing.assert_close(states.position * signs, values)

    @pytest.mark.parametrize(("position", "follows"), [(0, True), (1, False), (2, True)])
    def test_every_other_batch_follows_the_teacher(self, position, follows):
        recorder = Recorder()
        label(recorder, position=position)
        chosen = []
        for (_, _, designs, _), (_, after, _, _) in zip(recorder.calls, recorder.calls[1:]):
            done = after.mask[:, -1]
            utility = designs.targets[..., 0] + 0.01 * designs.values[..., 1]
            best = designs.take(utility.argmax(dim=1)).targets
            chosen.append((done == (best if follows else designs.targets[:, 0])).all())
        assert chosen
        assert all(chosen)

    def test_states_of_the_student_are_labelled(self):
        class Student:
            def __call__(self, inputs):
                return inputs

            def score(self, inputs, targets, position):
                return -targets[..., 1].float()

        recorder = Recorder()
        label(recorder, student=Student(), n_candidates=12)
        for (_, _, designs, _), (_, after, _, _) in zip(recorder.calls, recorder.calls[1:]):
            without = ~designs.targets[..., 1]
            expected = designs.take(without.float().argmax(dim=1)).targets
            assert torch.equal(after.mask[:, -1], expected)

    def test_a_real_student_may_choose(self):
        assert len(label(student=scorer().float()))

    def test_seed_and_position_determine_everything(self):
        first, again = label().tensors(), label().tensors()
        assert all(torch.equal(first[name], again[name]) for name in first)
        for changes in ({"seed": 1}, {"position": 2}):
            other = label(**changes).tensors()
            assert first["Z"].shape != other["Z"].shape or not torch.equal(first["Z"], other["Z"])

    def test_systems_of_several_sizes(self):
        priors = [LinearPrior(randint(3, 6)), LinearPrior(3)]
        sizes = {
            label(priors=priors, shares=[0.5, 0.5], position=k).targets.shape[-1] for k in range(10)
        }
        assert sizes == {3, 4, 5}

    def test_some_episodes_are_longer_than_others(self):
        recorders = [Recorder() for _ in range(25)]
        for k, recorder in enumerate(recorders):
            label(recorder, position=k, n_candidates=1)
        steps = [len(r.calls) for r in recorders]
        initial = [r.calls[0][0].n_initial for r in recorders]
        per_design = [r.calls[0][0].rows_per_design for r in recorders]
        assert set(steps) == {2, 4}
        assert steps.count(2) > 15
        assert 10 < initial.count(6) < 25
        assert min(initial) == 6
        assert max(initial) <= 149
        assert 13 < per_design.count(1) < 25
        assert set(per_design) <= {1, 2, 3, 4, 5}


class TestStates:
    def test_tensors_and_back(self):
        states = label()
        again = LabelledStates.from_tensors(states.tensors())
        assert all(torch.equal(again.tensors()[n], t) for n, t in states.tensors().items())
        assert set(states.tensors()) == {
            "Z", "mask", "n_targeted", "n_designs", "scale", "signs",
            "targets", "position", "utility", "edges",
        }  # fmt: skip

    def test_indexing(self):
        states = label()
        part = states[torch.tensor([2, 0])]
        assert len(part) == 2
        assert torch.equal(part.utility, states.utility[[2, 0]])
        assert torch.equal(part.inputs.Z, states.inputs.Z[[2, 0]])

    def test_joined_states_are_padded(self):
        first, other = label(position=0), label(position=1)
        joined = join_states([first, other])
        assert len(joined) == len(first) + len(other)
        assert torch.equal(joined.utility, torch.cat([first.utility, other.utility]))
        n = max(first.inputs.Z.shape[1], other.inputs.Z.shape[1])
        assert joined.inputs.Z.shape[1] == n
        back = joined[: len(first)].inputs
        assert torch.equal(back.Z[:, : first.inputs.Z.shape[1]], first.inputs.Z)

    def test_a_padded_state_is_read_as_what_the_designer_sees(self):
        """In a training, states are padded to the longest; when a design is proposed, none is."""
        recorder, network = Recorder(), scorer().float()
        states = label(recorder)
        n_systems = len(recorder.calls[0][1])
        assert states.inputs.mask[0].shape[0] > recorder.calls[0][1].X.shape[1]
        alone = ScorerInputs.from_histories(recorder.calls[0][1])
        with torch.no_grad():
            found = network(states.inputs[slice(n_systems)]).edge_logits
            expected = network(alone).edge_logits
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_source_of_randomness_of_an_epoch():
    first, again, other = (rng_of_epoch(0, epoch).random() for epoch in (3, 3, 4))
    assert first == again != other
    assert isinstance(rng_of_epoch(0, 0), np.random.Generator)


def test_histories_of_the_teacher_are_those_of_the_laboratory():
    recorder = Recorder()
    label(recorder)
    lab, histories, _, _ = recorder.calls[0]
    assert isinstance(histories, Histories)
    assert torch.equal(histories.X, lab.start().X)
