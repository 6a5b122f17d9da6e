"""Moments of the rows of every regime: all that the pair encoder sees of the data."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch


@dataclass(frozen=True, eq=False)
class RegimeMoments:
    """Sizes, means and scatter matrices of the regimes of a batch of data sets.

    Parameters
    ----------
    n_rows : tensor of shape (n_tasks, n_regimes)
        Number of rows; 0 for a regime that is there for padding only.
    mean : tensor of shape (n_tasks, n_regimes, n_variables)
        Mean of the rows.
    scatter : tensor of shape (n_tasks, n_regimes, n_variables, n_variables)
        Sum over the rows of the products of two variables' deviations from their means.
    targets : tensor of shape (n_tasks, n_regimes, n_variables)
        1 for the variables that an intervention sets, else 0.
    """

    n_rows: torch.Tensor
    mean: torch.Tensor
    scatter: torch.Tensor
    targets: torch.Tensor

    def __getitem__(self, tasks) -> RegimeMoments:
        return RegimeMoments(*(getattr(self, f.name)[tasks] for f in fields(self)))

    def to(self, *args, **kwargs) -> RegimeMoments:
        """Move to a device or precision, as :meth:`torch.Tensor.to` does."""
        return RegimeMoments(*(getattr(self, f.name).to(*args, **kwargs) for f in fields(self)))

    @classmethod
    def from_rows(cls, Z: np.ndarray, mask: np.ndarray, regime: np.ndarray) -> RegimeMoments:
        """Compute the moments of one data set, in float64.

        Parameters
        ----------
        Z : ndarray of shape (n_samples, n_variables)
            Values.
        mask : ndarray of bool of shape (n_samples, n_variables)
            The intervention mask; the same for all rows of a regime.
        regime : ndarray of int of shape (n_samples,)
            Regime of each row, 0 to n_regimes - 1, none of them empty.

        Returns
        -------
        moments : RegimeMoments
            A batch of one task.
        """
        order = np.argsort(regime, kind="stable")
        n_rows = np.bincount(regime)
        starts = np.concatenate([[0], np.cumsum(n_rows)[:-1]])
        sorted_rows = Z[order]
        mean = np.add.reduceat(sorted_rows, starts, axis=0) / n_rows[:, None]
        deviation = sorted_rows - np.repeat(mean, n_rows, axis=0)
        blocks = np.split(deviation, starts[1:])
        scatter = np.stack([block.T @ block for block in blocks])
        arrays = (n_rows.astype(float), mean, scatter, mask[order[starts]].astype(float))
        return cls(*(torch.from_numpy(array)[None] for array in arrays))

    @classmethod
    def from_tasks(
        cls, X: torch.Tensor, kept: torch.Tensor, targets: torch.Tensor
    ) -> RegimeMoments:
        """Compute the moments of a batch of simulated data sets.

        Parameters
        ----------
        X : tensor of shape (n_tasks, n_regimes, n_rows, n_variables)
            Rows.
        kept : bool tensor of shape (n_tasks, n_regimes, n_rows)
            Which of them count.
        targets : bool tensor of shape (n_tasks, n_regimes, n_variables)
            Targets of the regimes.

        Returns
        -------
        moments : RegimeMoments
            The moments, in the precision of X.
        """
        weight = kept.to(X.dtype)
        n_rows = weight.sum(dim=-1)
        mean = (weight[..., None] * X).sum(dim=-2) / n_rows.clamp(min=1)[..., None]
        deviation = weight[..., None] * (X - mean[..., None, :])
        return cls(n_rows, mean, deviation.mT @ deviation, targets.to(X.dtype))

    def standardize(self) -> tuple[RegimeMoments, torch.Tensor, torch.Tensor]:
        """Bring every variable to mean 0 and variance 1 over all rows.

        Returns
        -------
        moments : RegimeMoments
            Moments of the standardised rows.
        centre : tensor of shape (n_tasks, n_variables)
            Means of the variables before.
        scale : tensor of shape (n_tasks, n_variables)
            Their standard deviations before; 1 for a constant variable.
        """
        total = self.n_rows.sum(dim=1)[:, None]
        centre = (self.n_rows[..., None] * self.mean).sum(dim=1) / total
        mean = self.mean - centre[:, None]
        square = self.scatter.diagonal(dim1=-2, dim2=-1) + self.n_rows[..., None] * mean**2
        variance = square.sum(dim=1) / total
        scale = torch.where(variance > 1e-12, variance, 1.0).sqrt()
        scatter = self.scatter / (scale[:, None, :, None] * scale[:, None, None, :])
        moments = RegimeMoments(self.n_rows, mean / scale[:, None], scatter, self.targets)
        return moments, centre, scale

    def canonical_signs(self) -> torch.Tensor:
        """Give every variable a sign, so that the sign in which it was recorded does not matter.

        The signs are those of the first eigenvector of the second moments, and targets are set to
        larger values rather than lower ones on the whole. Moments are to be standardised.

        Returns
        -------
        signs : tensor of shape (n_tasks, n_variables)
            1 or -1.
        """
        weighted = self.n_rows[..., None] * self.mean
        second = self.scatter.sum(dim=1) + weighted.mT @ self.mean
        signs = torch.where(torch.linalg.eigh(second)[1][..., -1] < 0, -1.0, 1.0).to(self.mean)
        direction = (self.targets * weighted * signs[:, None]).sum(dim=(1, 2))
        return signs * torch.where(direction < 0, -1.0, 1.0).to(signs)[:, None]

    def with_signs(self, signs: torch.Tensor) -> RegimeMoments:
        """Return the moments of the variables times signs of shape (n_tasks, n_variables)."""
        scatter = self.scatter * (signs[:, None, :, None] * signs[:, None, None, :])
        return RegimeMoments(self.n_rows, self.mean * signs[:, None], scatter, self.targets)


def concatenate_regimes(parts: list[RegimeMoments]) -> RegimeMoments:
    """Join moments of different regimes of the same tasks.

    Parameters
    ----------
    parts : list of RegimeMoments
        Moments of as many tasks each.

    Returns
    -------
    moments : RegimeMoments
        The moments of all regimes.
    """
    names = [field.name for field in fields(RegimeMoments)]
    return RegimeMoments(
        *(torch.cat([getattr(part, name) for part in parts], dim=1) for name in names)
    )
