"""One experiment as users bring it, in an order that does not depend on how it was written down."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from skcausal.base import _location_and_scale
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
    centre, scale : tensor of shape (n_variables,)
        What was subtracted from the values, and then divided by, in the new order.
    """

    histories: Histories
    order: np.ndarray
    centre: torch.Tensor
    scale: torch.Tensor

    @classmethod
    def from_rows(
        cls,
        X: np.ndarray,
        mask: np.ndarray,
        regime: np.ndarray | None,
        *,
        rows_per_design: int,
        separates_values: bool,
        standardize: bool = False,
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
        standardize : bool, default=False
            Whether to bring all variables to mean 0 and variance 1. What follows is then computed
            without loss of precision, however far from zero they are.

        Returns
        -------
        experiment : Experiment
            The rows.
        """
        _location_and_scale(X)  # raises where numbers are too large
        # Sums that depend neither on the order of the rows nor on the layout in memory.
        ranked = np.sort(np.ascontiguousarray(X.T), axis=1)
        spread = np.square(ranked - ranked.mean(axis=1, keepdims=True)).sum(axis=1)
        # Those of standardised variables are equal but for rounding; their smallest values are not.
        ranks = (ranked[:, 0], ranked[:, -1], ranked.sum(axis=1), spread, mask.sum(axis=0))
        order = np.lexsort(ranks)
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
        histories = Histories(
            torch.from_numpy(X)[None],
            torch.from_numpy(mask)[None],
            torch.from_numpy(labels),
            rows_per_design,
        )
        centre, scale = torch.zeros(X.shape[1]).double(), torch.ones(X.shape[1]).double()
        if standardize:
            histories, means, deviations = histories.standardized()
            centre, scale = means[0], deviations[0]
        return cls(histories, order, centre, scale)

    def convert_space(self, space: DesignSpace) -> DesignSpace:
        """Bring a space into the order and units of the histories."""
        order = torch.from_numpy(self.order)
        return DesignSpace(
            space.allowed[order],
            (space.low[order] - self.centre) / self.scale,
            (space.high[order] - self.centre) / self.scale,
            space.fewest,
            space.most,
        )

    def convert_designs(self, designs: Designs) -> Designs:
        """Bring designs (..., n_variables) into the order and units of the histories."""
        order = torch.from_numpy(self.order)
        targets = designs.targets[..., order]
        values = (designs.values[..., order] - self.centre) / self.scale
        return Designs(targets, torch.where(targets, values, 0.0))

    def to_rows(self, designs: Designs, space: DesignSpace | None = None) -> np.ndarray:
        """Write designs (n_designs, n_variables) as users see them: NaN where nothing is set.

        Values at the ends of the ranges of a space, which is in the order and units of the data,
        are those ends exactly.
        """
        in_units = self.centre + self.scale * designs.values.double()
        if space is not None:
            order = torch.from_numpy(self.order)
            here = self.convert_space(space)
            for end, moved in ((space.low, here.low), (space.high, here.high)):
                in_units = torch.where(designs.values == moved, end[order], in_units)
        values = torch.where(designs.targets, in_units, torch.nan).numpy()
        rows = np.empty_like(values)
        rows[:, self.order] = values
        return rows

    def from_matrix(self, matrix: torch.Tensor) -> np.ndarray:
        """Take a matrix (n_variables, n_variables) back to the order of the data."""
        result = np.empty(matrix.shape)
        result[np.ix_(self.order, self.order)] = matrix.double().numpy()
        return result
