"""One experiment as users bring it, in an order that does not depend on how it was written down."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from skcausal.design._design_space import DesignSpace
from skcausal.design._histories import Designs, Histories


@dataclass(frozen=True, eq=False)
class Experiment:
    """Rows in canonical order.

    Random choices are made for variables in this order, so that permuting the variables of the data
    permutes the design, and permuting the rows changes nothing.

    Parameters
    ----------
    histories : Histories
        The rows, as a batch of one.
    order : ndarray of int of shape (n_variables,)
        Which variable of the data stands at each place.
    """

    histories: Histories
    order: np.ndarray

    @classmethod
    def from_rows(
        cls,
        X: np.ndarray,
        mask: np.ndarray,
        regime: np.ndarray | None,
        *,
        rows_per_design: int,
        separates_values: bool,
    ) -> Experiment:
        """Bring rows into canonical order.

        Parameters
        ----------
        X : ndarray of shape (n_samples, n_variables)
            Rows.
        mask : ndarray of bool of the same shape
            Which values were set.
        regime : ndarray of int of shape (n_samples,) or None
            Experiment of each row. Default: rows with the same targets belong together.
        rows_per_design : int
            Number of rows that an experiment is worth.
        separates_values : bool
            Whether rows whose targets were set to different values do not.

        Returns
        -------
        experiment : Experiment
            The rows.
        """
        ranked = np.sort(X, axis=0)  # sums that do not depend on the order of the rows
        spread = np.square(ranked - ranked.mean(axis=0)).sum(axis=0)
        order = np.lexsort((ranked.sum(axis=0), spread, mask.sum(axis=0)))
        X, mask = X[:, order], mask[:, order]
        keys = [mask]
        if regime is not None:
            keys.append(regime[:, None])
        elif separates_values:
            keys.append(np.where(mask, X, 0.0))
        rows = np.lexsort(np.hstack([X, mask]).T[::-1])
        X, mask = X[rows], mask[rows]
        key = np.hstack(keys)[rows].astype(float)
        labels = np.unique(key, axis=0, return_inverse=True)[1].reshape(-1)
        return cls(
            Histories(
                torch.from_numpy(X)[None],
                torch.from_numpy(mask)[None],
                torch.from_numpy(labels),
                rows_per_design,
            ),
            order,
        )

    def reorder(self, space: DesignSpace) -> DesignSpace:
        """Bring the variables of a space into canonical order."""
        order = torch.from_numpy(self.order)
        return DesignSpace(
            space.allowed[order], space.low[order], space.high[order], space.fewest, space.most
        )

    def to_rows(self, designs: Designs) -> np.ndarray:
        """Write designs (n_designs, n_variables) as users see them: NaN where nothing is set."""
        values = torch.where(designs.targets, designs.values.double(), torch.nan).numpy()
        rows = np.empty_like(values)
        rows[:, self.order] = values
        return rows

    def from_matrix(self, matrix: torch.Tensor) -> np.ndarray:
        """Take a matrix (n_variables, n_variables) back to the order of the data."""
        result = np.empty(matrix.shape)
        result[np.ix_(self.order, self.order)] = matrix.double().numpy()
        return result
