"""Ways to choose the next experiment, for batches of histories."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch

from skcausal.design import _rules
from skcausal.design._bootstrap_judge import BootstrapJudge
from skcausal.design._design_space import DesignSpace
from skcausal.design._diffcbed import diffcbed_designs
from skcausal.design._env import cells_of, designs_of
from skcausal.design._finite_samples import ss_finite_designs
from skcausal.design._histories import Designs, Histories
from skcausal.design._judges import Judge
from skcausal.design._labelled_states import position_of
from skcausal.design._lookahead import expected_utility
from skcausal.design._policy_networks import DesignPolicy
from skcausal.design._rules import RULES, draw_candidates
from skcausal.design._scorer_inputs import ScorerInputs
from skcausal.design._scorer_network import DesignScorer

_THIRTY_BOOTSTRAPS = BootstrapJudge(n_bootstraps=30)

# Histories whose draws from the posterior are held in memory together.
_HISTORIES_AT_ONCE = 64


class Strategy(Protocol):
    """Chooses experiments."""

    def propose(
        self, histories: Histories, space: DesignSpace, generator: torch.Generator
    ) -> Designs:
        """Return a design (n_systems, n_variables) of the space for each history."""

    def choose(
        self, histories: Histories, candidates: Designs, space: DesignSpace, generator
    ) -> torch.Tensor:
        """Return the index (n_systems,) of one of the candidates (n_systems, n, n_variables)."""


@dataclass(frozen=True)
class RuleStrategy:
    """A rule that looks at how often each variable was a target, at most.

    Among given candidates it takes one at random; rules that balance take one of those with the
    least frequent targets.

    Parameters
    ----------
    name : str
        A key of :data:`RULES`.
    """

    name: str

    def propose(self, histories, space, generator):
        """Follow the rule."""
        return RULES[self.name](histories.n_targeted(), space, generator)

    def choose(self, histories, candidates, space, generator):
        """Choose a candidate."""
        key = torch.rand(candidates.targets.shape[:2], generator=generator, dtype=torch.float32).to(
            histories.X
        )
        if self.name in ("balanced_half", "single_cycle"):
            n_targets = candidates.targets.sum(dim=-1)
            waited = (candidates.targets * histories.n_targeted()[:, None]).sum(dim=-1)
            key = key - 2.0 * waited / n_targets.clamp(min=1)
        return key.argmax(dim=1)


@dataclass(frozen=True, eq=False)
class UncertaintyStrategy:
    """Intervene where the posterior is least certain about the edges.

    Parameters
    ----------
    judge : Judge
        The posterior.
    single : bool
        One variable at a time; otherwise a random half, in which uncertain variables are more
        probable.
    """

    judge: Judge
    single: bool

    def propose(self, histories, space, generator):
        """Follow the rule."""
        rule = _rules.uncertain_single if self.single else _rules.uncertain_half
        probabilities = self.judge.edge_probabilities(histories).to(histories.X)
        return rule(histories, probabilities, space, generator)

    def choose(self, histories, candidates, space, generator):
        """Choose the candidate whose targets are least certain on average."""
        entropy = _rules.entropy_of_edges(self.judge.edge_probabilities(histories))
        total = (candidates.targets * entropy[:, None]).sum(dim=-1)
        return (total / candidates.targets.sum(dim=-1).clamp(min=1)).argmax(dim=1)


@dataclass(frozen=True, eq=False)
class LookaheadStrategy:
    """The candidate that is expected to teach most, one step ahead.

    Parameters
    ----------
    judge : Judge
        The posterior.
    utility : {"edges", "information"}
        What is maximised, see :func:`expected_utility`.
    n_candidates : int
        Number of candidates, all of them halves of the variables.
    n_draws, n_outcomes : int
        Numbers of systems drawn from the posterior, and of those that outcomes are simulated from.
    """

    judge: Judge
    utility: str = "edges"
    n_candidates: int = 24
    n_draws: int = 128
    n_outcomes: int = 32

    def propose(self, histories, space, generator):
        """Draw candidates and return the best ones."""
        candidates = draw_candidates(histories.n_targeted(), self.n_candidates, space, generator)
        return candidates.take(self.choose(histories, candidates, space, generator))

    def choose(self, histories, candidates, space, generator):
        """Choose the best candidate."""
        best = []
        for first in range(0, len(histories), _HISTORIES_AT_ONCE):
            some = slice(first, first + _HISTORIES_AT_ONCE)
            systems = self.judge.draw(histories[some], self.n_draws, generator)
            utility = expected_utility(
                systems,
                candidates[some],
                n_outcomes=self.n_outcomes,
                rows_per_design=histories.rows_per_design,
                utility=self.utility,
                generator=generator,
            )
            best.append(utility.argmax(dim=1))
        return torch.cat(best)


@dataclass(frozen=True, eq=False)
class DistilledStrategy:
    """The candidate of the highest score.

    Parameters
    ----------
    scorer : DesignScorer
        The network.
    n_candidates : int
        Number of candidates, all of them halves of the variables.
    """

    scorer: DesignScorer
    n_candidates: int = 240

    def propose(self, histories, space, generator):
        """Draw candidates and return the best ones."""
        candidates = draw_candidates(histories.n_targeted(), self.n_candidates, space, generator)
        return candidates.take(self.choose(histories, candidates, space, generator))

    @torch.no_grad()
    def choose(self, histories, candidates, space, generator):
        """Choose the best candidate."""
        inputs = ScorerInputs.from_histories(histories)
        position = position_of(candidates, space, inputs.signs)
        scores = self.scorer.score(self.scorer(inputs), candidates.targets, position)
        return scores.argmax(dim=1)


@dataclass(frozen=True, eq=False)
class BootstrapStrategy:
    """A published method that takes bootstrapped graphs for draws from the posterior.

    Parameters
    ----------
    method : {"diffcbed", "ss_finite"}
        Which one, see :func:`diffcbed_designs` and :func:`ss_finite_designs`.
    judge : BootstrapJudge
        The bootstrap.
    """

    method: str
    judge: BootstrapJudge = _THIRTY_BOOTSTRAPS

    def propose(self, histories, space, generator):
        """Optimise the expected information."""
        systems = self.judge.draw(histories, self.judge.n_bootstraps, generator)
        design = {"diffcbed": diffcbed_designs, "ss_finite": ss_finite_designs}[self.method]
        return design(
            systems, space, rows_per_design=histories.rows_per_design, generator=generator
        )

    def choose(self, histories, candidates, space, generator):
        """Choose the candidate that is closest to the proposal."""
        return _closest(self.propose(histories, space, generator), candidates)


def _closest(designs, candidates):
    """Index (n_systems,) of the candidate with the fewest targets that differ."""
    return (candidates.targets != designs.targets[:, None]).sum(dim=-1).argmin(dim=1)


@dataclass(frozen=True, eq=False)
class PolicyStrategy:
    """What a policy trained by reinforcement learning does.

    Parameters
    ----------
    policy : DesignPolicy
        The policy.
    sample : bool, default=True
        Whether to draw its actions, as published, rather than to take the most likely ones.
    """

    policy: DesignPolicy
    sample: bool = True

    @torch.no_grad()
    def propose(self, histories, space, generator):
        """Follow the policy."""
        cells = cells_of(histories.to(torch.float32))
        if self.sample:
            actions = self.policy.sample(cells, generator=generator)[0]
        else:
            actions = self.policy.most_likely(cells)
        actions = actions.to(histories.X)
        priority = actions[..., : histories.n_variables]
        return space.repaired(designs_of(actions, space), priority)

    def choose(self, histories, candidates, space, generator):
        """Choose the candidate that is closest to the action."""
        return _closest(self.propose(histories, space, generator), candidates)
