"""States of simulated episodes with the utilities of candidate designs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
import torch

from skcausal.design._design_space import DesignSpace
from skcausal.design._histories import Designs
from skcausal.design._laboratory import Laboratory
from skcausal.design._rules import draw_candidates
from skcausal.design._scorer_inputs import ScorerInputs
from skcausal.design._scorer_network import DesignScorer
from skcausal.design._teachers import Teacher
from skcausal.simulators._task_stream import draw_systems

_EPISODES = 24
_INPUTS = tuple(field.name for field in fields(ScorerInputs))
_LABELS = ("targets", "position", "utility", "edges")


@dataclass(frozen=True, eq=False)
class LabelledStates:
    """States of one number of variables, and what a teacher says about candidate designs.

    Parameters
    ----------
    inputs : ScorerInputs
        The experiments so far.
    targets : bool tensor of shape (n_states, n_candidates, n_variables)
        Targets of the candidates.
    position : tensor of the same shape
        Their values, as positions in the range in canonical signs.
    utility : tensor of shape (n_states, n_candidates)
        What they are worth, in expected correct entries of the adjacency matrix.
    edges : tensor of shape (n_states, n_variables, n_variables)
        Probabilities of the edges i -> j, in entry (i, j).
    """

    inputs: ScorerInputs
    targets: torch.Tensor
    position: torch.Tensor
    utility: torch.Tensor
    edges: torch.Tensor

    def __len__(self) -> int:
        return len(self.utility)

    def __getitem__(self, states) -> LabelledStates:
        return LabelledStates(self.inputs[states], *(getattr(self, x)[states] for x in _LABELS))

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return everything by name, to be written to a file."""
        return {name: getattr(self.inputs, name) for name in _INPUTS} | {
            name: getattr(self, name) for name in _LABELS
        }

    @classmethod
    def from_tensors(cls, tensors: dict[str, torch.Tensor]) -> LabelledStates:
        """Put together what :meth:`tensors` returned."""
        inputs = ScorerInputs(*(tensors[name] for name in _INPUTS))
        return cls(inputs, *(tensors[name] for name in _LABELS))


class EpisodeLaw(NamedTuple):
    """Numbers of rows and steps that most of the episodes of a training have.

    Some begin with fewer or more rows, are twice as long, or yield up to five rows a design.

    Parameters
    ----------
    n_initial : int
        Number of observational rows.
    budget : int
        Number of experiments.
    rows_per_design : int
        Number of rows of an experiment.
    """

    n_initial: int = 50
    budget: int = 10
    rows_per_design: int = 1


DEFAULT_LAW = EpisodeLaw()


def join_states(parts: Sequence[LabelledStates]) -> LabelledStates:
    """Join states of the same number of variables and candidates, of any number of rows."""
    n_rows = max(part.inputs.Z.shape[1] for part in parts)
    inputs = [part.inputs.padded(n_rows) for part in parts]
    joined = ScorerInputs(*(torch.cat([getattr(x, name) for x in inputs]) for name in _INPUTS))
    return LabelledStates(
        joined, *(torch.cat([getattr(part, name) for part in parts]) for name in _LABELS)
    )


def position_of(designs: Designs, space: DesignSpace, signs: torch.Tensor) -> torch.Tensor:
    """Return values as positions in their range, from -1 to 1, times the signs of the variables.

    Parameters
    ----------
    designs : Designs
        Designs (n_systems, n_candidates, n_variables).
    space : DesignSpace
        The ranges.
    signs : tensor of shape (n_systems, n_variables)
        Signs.

    Returns
    -------
    position : tensor of shape (n_systems, n_candidates, n_variables)
        The positions; 0 where nothing is set, or the range is a single value.
    """
    half = 0.5 * (space.high - space.low)
    middle = 0.5 * (space.high + space.low)
    position = (designs.values - middle) / torch.where(half > 0, half, 1.0)
    position = torch.where(designs.targets & (half > 0), position, 0.0)
    return position.float() * signs[:, None].float()


def label_episodes(
    priors: Sequence,
    shares: Sequence[float],
    teacher_of: Callable[[int], Teacher],
    *,
    n_candidates: int,
    student: DesignScorer | None,
    law: EpisodeLaw,
    seed: int,
    position: int,
) -> LabelledStates:
    """Simulate a batch of episodes and label every state of them.

    Parameters
    ----------
    priors : sequence of TaskPrior
        Distributions of the systems.
    shares : sequence of float
        How often each of them is drawn from.
    teacher_of : callable
        ``teacher_of(n_variables)`` returns what judges the candidates.
    n_candidates : int
        Number of candidates of a state, all of them halves of the variables.
    student : DesignScorer or None
        The network whose states are labelled. None: the episodes follow the teacher, or a random
        candidate, in turn.
    law : EpisodeLaw
        Numbers of rows and steps.
    seed, position : int
        Determine the episodes.

    Returns
    -------
    states : LabelledStates
        All states.
    """
    systems, rng = draw_systems(
        priors, shares, seed, position, batch_size=lambda d: max(4, min(_EPISODES, 4000 // d**2))
    )
    n_steps = law.budget * int(rng.choice([1, 2], p=[0.85, 0.15]))
    n_initial = law.n_initial
    if rng.random() >= 0.75:
        n_initial = round(math.exp(rng.uniform(math.log(20), 5.0)))
    rows_per_design = law.rows_per_design if rng.random() < 0.8 else int(rng.integers(2, 6))
    laboratory = Laboratory(systems, n_initial, rows_per_design, seed=position)
    space, teacher = laboratory.space(), teacher_of(laboratory.n_variables)
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    histories = laboratory.start()
    states = []
    for step in range(n_steps):
        candidates = draw_candidates(histories.n_targeted(), n_candidates, space, generator)
        utility, edges = teacher(laboratory, histories, candidates, step, generator)
        inputs = ScorerInputs.from_histories(histories)
        where = position_of(candidates, space, inputs.signs)
        states.append(
            LabelledStates(inputs, candidates.targets, where, utility.float(), edges.float())
        )
        choice = _next_design(student, states[-1], follow_teacher=position % 2 == 0)
        histories = laboratory.perform(histories, candidates.take(choice), step)
    return join_states(states)


@torch.no_grad()
def _next_design(student, state, *, follow_teacher):
    """Index (n_systems,) of the candidate to carry out."""
    if student is not None:
        scores = student.score(student(state.inputs), state.targets, state.position)
        return scores.argmax(dim=1)
    if follow_teacher:
        return state.utility.argmax(dim=1)
    return torch.zeros(len(state), dtype=torch.int64)


def rng_of_epoch(seed: int, epoch: int) -> np.random.Generator:
    """Return the source of randomness of an epoch of a training."""
    return np.random.default_rng([seed, 1, epoch])
