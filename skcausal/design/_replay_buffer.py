"""Episodes that a policy is trained on."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from skcausal.design._histories import Histories
from skcausal.nn._checkpoint import alike
from skcausal.nn._training_state import Terms


@dataclass(frozen=True, eq=False)
class Transitions:
    """Steps of episodes.

    Parameters
    ----------
    rows : tensor of shape (n_transitions, n_rows, n_variables, 2)
        Cells of all rows of the episode, as :func:`cells_of` returns them.
    observed, observed_next : bool tensor of shape (n_transitions, n_rows)
        Rows that had been observed before and after the step.
    actions : tensor of shape (n_transitions, n_actions)
        What was done.
    rewards : tensor of shape (n_transitions,)
        What it earned.
    is_last : bool tensor of shape (n_transitions,)
        Whether the episode ended.
    """

    rows: torch.Tensor
    observed: torch.Tensor
    observed_next: torch.Tensor
    actions: torch.Tensor
    rewards: torch.Tensor
    is_last: torch.Tensor


class ReplayBuffer:
    """The latest episodes.

    The histories before and after a step are prefixes of the episode's rows, which are stored once.

    Parameters
    ----------
    n_episodes : int
        Number of episodes that are kept.
    budget : int
        Number of steps of each.
    n_initial, rows_per_design : int
        Number of rows before the first step, and of each step.
    n_variables, n_actions : int
        Sizes of rows and of actions.
    device : str or torch.device
        Where they are kept.
    """

    def __init__(
        self,
        n_episodes: int,
        budget: int,
        n_initial: int,
        rows_per_design: int,
        n_variables: int,
        n_actions: int,
        device: torch.device | str,
    ):
        self.n_initial = n_initial
        self.rows_per_design = rows_per_design
        self.n_added = 0
        shape = (n_episodes, n_initial + budget * rows_per_design, n_variables)
        # Not set to zero: memory is taken as it is filled.
        self._stored = {
            "X": torch.empty(shape, device=device, dtype=torch.float32),
            "mask": torch.empty(shape, dtype=torch.bool, device=device),
            "actions": torch.empty(
                n_episodes, budget, n_actions, device=device, dtype=torch.float32
            ),
            "rewards": torch.empty(n_episodes, budget, device=device, dtype=torch.float32),
        }

    def __len__(self) -> int:
        """Return the number of episodes."""
        return min(self.n_added, len(self._stored["rewards"]))

    def add(self, histories: Histories, actions: torch.Tensor, rewards: torch.Tensor) -> None:
        """Add what :func:`run_episodes` returned, in place of the oldest episodes if need be."""
        device = rewards.device
        places = torch.arange(self.n_added, self.n_added + len(rewards), device=device)
        places = places % len(self._stored["rewards"])
        new = {"X": histories.X, "mask": histories.mask, "actions": actions, "rewards": rewards}
        for name, tensor in new.items():
            self._stored[name][places] = tensor
        self.n_added += len(rewards)

    def sample(self, n_transitions: int, generator: torch.Generator) -> Transitions:
        """Draw transitions with replacement.

        Parameters
        ----------
        n_transitions : int
            Number of transitions.
        generator : torch.Generator
            Source of randomness.

        Returns
        -------
        batch : Transitions
            The transitions.
        """
        stored = self._stored
        budget = stored["rewards"].shape[1]
        device = stored["rewards"].device
        drawn = torch.randint(
            len(self) * budget, (n_transitions,), generator=generator, device=device
        )
        episode, step = drawn // budget, drawn % budget
        X, mask = stored["X"][episode], stored["mask"][episode]
        row = torch.arange(X.shape[1], device=device)
        n_observed = self.n_initial + self.rows_per_design * step[:, None]
        return Transitions(
            torch.stack([X, mask.to(X)], dim=-1),
            row < n_observed,
            row < n_observed + self.rows_per_design,
            stored["actions"][episode, step],
            stored["rewards"][episode, step],
            step == budget - 1,
        )

    def tensors(self) -> Terms:
        """Return what is stored."""
        return {name: tensor[: len(self)] for name, tensor in self._stored.items()}

    def load(self, tensors: Terms, n_added: int) -> None:
        """Continue from what :meth:`tensors` returned."""
        for name, tensor in tensors.items():
            self._stored[name][: len(tensor)] = tensor.to(self._stored[name].device)
        self.n_added = n_added

    def fits(self, tensors: Terms, n_added: int) -> bool:
        """Whether tensors belong to a buffer of this size after so many episodes."""
        n_kept = min(n_added, len(self._stored["rewards"]))
        return alike(tensors, {name: tensor[:n_kept] for name, tensor in self._stored.items()})
