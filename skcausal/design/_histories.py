"""Experiments so far, for a batch of systems, and what a designer reads from them."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from skcausal.nn._regime_moments import RegimeMoments
from skcausal.structure._free_sums import FreeSums

# Products of pairs of variables that are held at a time.
_PRODUCTS_AT_ONCE = 2**22


@dataclass(frozen=True, eq=False)
class Designs:
    """Interventions, one for each system of a batch or several.

    Parameters
    ----------
    targets : bool tensor of shape (..., n_variables)
        The variables that are intervened on.
    values : tensor of shape (..., n_variables)
        What the targets are set to; 0 for other variables.
    """

    targets: torch.Tensor
    values: torch.Tensor

    def __getitem__(self, index) -> Designs:
        return Designs(self.targets[index], self.values[index])

    def take(self, choice: torch.Tensor) -> Designs:
        """Select one of the candidates (n_systems, n_candidates, n_variables) of every system."""
        return self[torch.arange(len(choice), device=choice.device), choice]


@dataclass(frozen=True, eq=False)
class Histories:
    """Rows observed so far, in as many systems as the batch has.

    Parameters
    ----------
    X : tensor of shape (n_systems, n_rows, n_variables)
        Rows; values that were set included.
    mask : bool tensor of shape (n_systems, n_rows, n_variables)
        True where an intervention set a value.
    regime : int64 tensor of shape (n_rows,)
        Experiment that a row belongs to, counted from 0 without gaps; the same in all systems.
    rows_per_design : int
        Number of rows that an experiment is worth.
    """

    X: torch.Tensor
    mask: torch.Tensor
    regime: torch.Tensor
    rows_per_design: int = 1

    @classmethod
    def observational(cls, X: torch.Tensor, rows_per_design: int = 1) -> Histories:
        """Start from rows without intervention."""
        regime = torch.zeros(X.shape[1], dtype=torch.int64, device=X.device)
        return cls(X, torch.zeros_like(X, dtype=torch.bool), regime, rows_per_design)

    def __len__(self) -> int:
        return len(self.X)

    def __getitem__(self, systems) -> Histories:
        return Histories(self.X[systems], self.mask[systems], self.regime, self.rows_per_design)

    def add(self, X: torch.Tensor, mask: torch.Tensor) -> Histories:
        """Add the rows of one more experiment in every system.

        Parameters
        ----------
        X : tensor of shape (n_systems, n_rows, n_variables)
            The rows.
        mask : bool tensor of the same shape
            Which values were set.

        Returns
        -------
        histories : Histories
            All rows.
        """
        # Rows without intervention in any system go to those that were there at the beginning.
        number = self.n_regimes if mask.any() else 0
        new = torch.full((X.shape[1],), number, device=self.regime.device)
        return Histories(
            torch.cat([self.X, X], dim=1),
            torch.cat([self.mask, mask], dim=1),
            torch.cat([self.regime, new]),
            self.rows_per_design,
        )

    def until(self, n_rows: int) -> Histories:
        """Return the first rows."""
        return Histories(
            self.X[:, :n_rows], self.mask[:, :n_rows], self.regime[:n_rows], self.rows_per_design
        )

    def to(self, dtype: torch.dtype) -> Histories:
        """Return the histories in another precision."""
        return Histories(self.X.to(dtype), self.mask, self.regime, self.rows_per_design)

    @property
    def n_variables(self) -> int:
        """Number of variables."""
        return self.X.shape[-1]

    @property
    def n_regimes(self) -> int:
        """Number of experiments, the observational rows counting as one."""
        return int(self.regime.max()) + 1

    def n_targeted(self) -> torch.Tensor:
        """Return how many designs had each variable as a target: (n_systems, n_variables)."""
        return self.mask.sum(dim=1).to(self.X) / self.rows_per_design

    def n_designs(self) -> torch.Tensor:
        """Return how many designs had any target: (n_systems,)."""
        return self.mask.any(dim=-1).sum(dim=1).to(self.X) / self.rows_per_design

    def standardized(self) -> tuple[Histories, torch.Tensor, torch.Tensor]:
        """Bring every variable to mean 0 and variance 1 over all rows.

        Returns
        -------
        histories : Histories
            The standardised rows.
        centre, scale : tensor of shape (n_systems, n_variables)
            Means and standard deviations before; the latter 1 for a constant variable.
        """
        centre = self.X.mean(dim=1)
        deviation = self.X - centre[:, None]
        variance = deviation.square().mean(dim=1)
        # Rounding errors are all that a constant variable varies by.
        square = torch.finfo(self.X.dtype).eps ** 2 * centre.square()
        scale = torch.where(variance > 100.0 * square, variance, 1.0).sqrt()
        Z = deviation / scale[:, None]
        return Histories(Z, self.mask, self.regime, self.rows_per_design), centre, scale

    def sums(self) -> FreeSums:
        """Return the sums over the rows in which each variable is free."""
        free = (~self.mask).to(self.X).mT
        products = torch.zeros((), dtype=self.X.dtype, device=self.X.device)
        n_systems, n_rows, d = self.X.shape
        at_once = max(1, _PRODUCTS_AT_ONCE // (n_systems * d * d))
        for first in range(0, n_rows, at_once):
            X = self.X[:, first : first + at_once]
            pairs = (X[..., :, None] * X[..., None, :]).flatten(2)
            products = products + free[..., first : first + at_once] @ pairs
        return FreeSums(free.sum(dim=-1), free @ self.X, products.unflatten(-1, (d, d)))

    def moments(self) -> RegimeMoments:
        """Return the moments of all experiments."""
        n_systems, _, d = self.X.shape
        n_regimes = self.n_regimes
        n_rows = torch.bincount(self.regime, minlength=n_regimes).to(self.X)
        zeros = self.X.new_zeros(n_systems, n_regimes, d)
        mean = zeros.index_add(1, self.regime, self.X) / n_rows[:, None]
        scatter = self.X.new_zeros(n_systems, n_regimes, d, d)
        several = torch.nonzero(n_rows > 1)[:, 0]
        for k in several.tolist():  # a single row has no scatter
            deviation = self.X[:, self.regime == k] - mean[:, k, None]
            scatter[:, k] = deviation.mT @ deviation
        targets = zeros.index_add(1, self.regime, self.mask.to(self.X)) / n_rows[:, None]
        return RegimeMoments(n_rows.expand(n_systems, -1), mean, scatter, targets)
