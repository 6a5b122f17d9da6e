"""What a designer learns from: utilities of candidate designs, computed without a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch

from skcausal.design._histories import Designs, Histories
from skcausal.design._judges import Judge
from skcausal.design._laboratory import Laboratory
from skcausal.design._lookahead import expected_utility


class Teacher(Protocol):
    """Judges candidate designs in simulated episodes."""

    def __call__(
        self,
        laboratory: Laboratory,
        histories: Histories,
        designs: Designs,
        step: int,
        generator: torch.Generator,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return utilities (n_systems, n_candidates), and edge probabilities before."""


@dataclass(frozen=True, eq=False)
class LookaheadTeacher:
    """Utilities from systems drawn from the posterior.

    Parameters
    ----------
    judge : Judge
        The posterior.
    n_draws, n_outcomes : int
        As those of :func:`expected_utility`.
    """

    judge: Judge
    n_draws: int = 128
    n_outcomes: int = 32

    def __call__(self, laboratory, histories, designs, step, generator):
        """Return utilities and edge probabilities."""
        probabilities, systems = self.judge.judge_and_draw(histories, self.n_draws, generator)
        utilities = expected_utility(
            systems,
            designs,
            n_outcomes=self.n_outcomes,
            rows_per_design=laboratory.rows_per_design,
            utility="edges",
            generator=generator,
        )
        return utilities, probabilities


@dataclass(frozen=True, eq=False)
class SimulationTeacher:
    """Utilities from outcomes of the system itself, which is one draw from the posterior.

    It needs no model of what the data came from but the simulator, and a posterior that takes in
    outcomes. The utility of an outcome is the expected number of correct entries of the adjacency
    matrix after it, as the posterior sees it itself.

    Parameters
    ----------
    judge : Judge
        The posterior.
    n_outcomes : int
        Number of outcomes of each candidate.
    """

    judge: Judge
    n_outcomes: int = 2

    def __call__(self, laboratory, histories, designs, step, generator):
        """Return utilities and edge probabilities."""
        n_systems, n_candidates, _ = designs.targets.shape
        each = torch.arange(n_systems).repeat_interleave(n_candidates)
        repeated = histories[each]
        total = torch.zeros(())
        for k in range(self.n_outcomes):
            # Noise of steps that no episode reaches.
            outcomes = laboratory.outcomes(designs, 1024 + self.n_outcomes * step + k)
            mask = designs.targets[:, :, None].expand(outcomes.shape)
            after = repeated.add(outcomes.flatten(0, 1), mask.flatten(0, 1))
            p = self.judge.edge_probabilities(after)
            total = total + (p.square() + (1.0 - p).square()).sum(dim=(-2, -1))
        utilities = (total / self.n_outcomes).unflatten(0, (n_systems, n_candidates))
        return utilities, self.judge.edge_probabilities(histories)
