"""Sums over the rows in which a variable is free: all that a linear-Gaussian likelihood needs."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True, eq=False)
class FreeSums:
    """Sums of products over the rows in which each variable is free.

    They are sufficient for the parameters and the graph of a linear-Gaussian model under hard
    interventions, and rows can be added one after the other.

    Parameters
    ----------
    n_rows : tensor of shape (n_tasks, n_variables)
        Number of rows in which variable j is free.
    total : tensor of shape (n_tasks, n_variables, n_variables)
        Entry (j, i): sum of variable i over these rows.
    products : tensor of shape (n_tasks, n_variables, n_variables, n_variables)
        Entry (j, i, k): sum of the products of variables i and k over these rows.
    """

    n_rows: torch.Tensor
    total: torch.Tensor
    products: torch.Tensor

    @classmethod
    def from_rows(cls, X: torch.Tensor, mask: torch.Tensor) -> FreeSums:
        """Sum over the rows of a batch of data sets.

        Parameters
        ----------
        X : tensor of shape (n_tasks, n_rows, n_variables)
            Rows.
        mask : bool tensor of shape (n_tasks, n_rows, n_variables)
            The intervention mask.

        Returns
        -------
        sums : FreeSums
            The sums, in the precision of X.
        """
        free = (~mask).to(X)
        products = [(free[..., j, None] * X).mT @ X for j in range(X.shape[-1])]
        return cls(free.sum(dim=1), free.mT @ X, torch.stack(products, dim=1))

    def add(self, X: torch.Tensor, mask: torch.Tensor) -> FreeSums:
        """Return the sums with more rows in them; see :meth:`from_rows`."""
        more = FreeSums.from_rows(X, mask)
        return FreeSums(
            self.n_rows + more.n_rows, self.total + more.total, self.products + more.products
        )

    def __getitem__(self, tasks) -> FreeSums:
        return FreeSums(self.n_rows[tasks], self.total[tasks], self.products[tasks])

    def centred(self) -> torch.Tensor:
        """Return the products (n_tasks, d, d, d) of deviations from the means over the rows."""
        count = self.n_rows.clamp(min=1.0)[..., None, None]
        return self.products - self.total[..., :, None] * self.total[..., None, :] / count
