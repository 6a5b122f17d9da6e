"""What may be set to what: the designs that an experimenter can carry out."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from skcausal.design._histories import Designs


@dataclass(frozen=True, eq=False)
class DesignSpace:
    """The set of designs to choose from.

    Parameters
    ----------
    allowed : bool tensor of shape (n_variables,)
        Variables that may be targets.
    low, high : tensor of shape (n_variables,)
        Range of the values that they may be set to. A single value each for knock-outs.
    fewest, most : int
        Numbers of targets of a design.
    """

    allowed: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor
    fewest: int
    most: int

    @classmethod
    def unrestricted(cls, n_variables: int, low: float = -1.0, high: float = 1.0) -> DesignSpace:
        """Make the space of all designs with values in one range."""
        return cls(
            torch.ones(n_variables, dtype=torch.bool),
            torch.full((n_variables,), low, dtype=torch.float32),
            torch.full((n_variables,), high, dtype=torch.float32),
            0,
            n_variables,
        )

    def to(self, like: torch.Tensor) -> DesignSpace:
        """Move to the device and precision of a tensor."""
        return DesignSpace(
            self.allowed.to(like.device),
            self.low.to(like),
            self.high.to(like),
            self.fewest,
            self.most,
        )

    def half(self) -> tuple[int, int]:
        """Return the two numbers of targets, one apart at most, next to half of the variables."""
        n = int(self.allowed.sum())
        largest = min(self.most, n)
        smaller, larger = (min(max(k, self.fewest), largest) for k in (n // 2, n - n // 2))
        return smaller, larger

    def at_ends(self, targets: torch.Tensor, upper: torch.Tensor) -> Designs:
        """Set targets to the ends of their ranges, the upper one where `upper` is True."""
        values = torch.where(upper, self.high, self.low)
        return Designs(targets, torch.where(targets, values, 0.0))

    def repaired(self, designs: Designs, priority: torch.Tensor) -> Designs:
        """Return the designs with targets left out or added, and values moved into their range.

        Parameters
        ----------
        designs : Designs
            Designs of shape (..., n_variables).
        priority : tensor of shape (..., n_variables)
            Targets of higher priority stay, and come in, first.

        Returns
        -------
        designs : Designs
            Designs of this space. What is added is set to the middle of its range.
        """
        targets = designs.targets & self.allowed
        most = min(self.most, int(self.allowed.sum()))
        rank = torch.where(self.allowed, priority, -torch.inf)
        # Targets before all others, then by priority.
        order = _ranks(torch.where(targets, rank, -torch.inf)) if most else None
        if order is not None:
            targets = targets & (order < most)
            inside = torch.where(targets, torch.inf, rank)
            targets = targets | ((_ranks(inside) < self.fewest) & self.allowed)
        else:
            targets = torch.zeros_like(targets)
        middle = 0.5 * (self.low + self.high)
        values = torch.where(designs.targets, designs.values, middle)
        values = values.maximum(self.low).minimum(self.high)
        return Designs(targets, torch.where(targets, values, 0.0))


def _ranks(priority):
    """Rank of each entry along the last axis, 0 for the largest."""
    return (-priority).argsort(dim=-1, stable=True).argsort(dim=-1)
