"""Batches of causal systems that can be intervened on."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, overload

import numpy as np
import torch

from skcausal.simulators._batches import Batch
from skcausal.simulators._interventions import KINDS, Design, check_design
from skcausal.simulators._parameters import check_choice, check_count
from skcausal.simulators._random import check_random_state, fold_in
from skcausal.simulators._random_graphs import are_present

if TYPE_CHECKING:
    from scipy.stats.distributions import rv_frozen

# Rows of all systems and regimes together that are simulated at a time to estimate a mean.
_ROWS_AT_ONCE = 2**18


class Systems(Batch):
    """A batch of causal systems of one family.

    Systems with fewer variables than the widest that the prior allows are padded: `present` tells
    which variables exist, the others are 0 throughout.
    """

    n_variables: torch.Tensor

    # What `values` is where it is not given, for every kind of intervention that is known.
    _default_values: ClassVar[dict[str, float | None]] = dict.fromkeys(KINDS)

    @property
    def present(self) -> torch.Tensor:
        """Which variables exist: bool tensor of shape (n_systems, n_variables)."""
        return are_present(self.n_variables, self._size)

    @property
    def adjacency(self) -> torch.Tensor:
        """The graphs: bool tensor (n_systems, n_variables, n_variables), True for i -> j."""
        raise NotImplementedError

    @property
    def _size(self) -> int:
        """Number of variables of the padded systems."""
        raise NotImplementedError

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the parameters and rows."""
        raise NotImplementedError

    def _simulate(self, n_rows, design: Design, kind, keys, first_row=0):
        """Rows (n_systems, n_regimes, n_rows, n_variables) from row `first_row` on."""
        raise NotImplementedError

    def _draw_keys(self, purpose, random_state) -> torch.Tensor:
        """Keys (n_systems,) for random numbers of a purpose."""
        return fold_in(fold_in(self.keys, purpose), check_random_state(random_state))

    def _kind(self, kind) -> str:
        """Validate a kind of intervention; None is the first that is known."""
        kinds = tuple(self._default_values)
        if kind is not None:
            check_choice("kind", kind, kinds)
        return kind or kinds[0]

    def _design(self, interventions, values, kind) -> Design:
        """Validate the arguments that describe interventions."""
        kind = self._kind(kind)
        values = self._default_values[kind] if values is None else values
        return check_design(interventions, values, self.present, self.dtype)

    def sample(
        self,
        n_rows: int,
        interventions: np.ndarray | torch.Tensor | None = None,
        values: float | np.ndarray | torch.Tensor | rv_frozen | None = None,
        *,
        kind: str | None = None,
        random_state: int | np.random.RandomState | np.random.Generator | None = None,
    ) -> torch.Tensor:
        """Simulate rows of all systems.

        Parameters
        ----------
        n_rows : int
            Number of rows for each system (and regime).
        interventions : bool array or tensor, default=None
            The targets, of shape (n_variables,), (n_rows, n_variables) or (n_systems, n_rows,
            n_variables), or (n_systems, n_regimes, n_rows, n_variables) for several regimes with
            `n_rows` rows each. Every axis but the last may be 1. None means no intervention.
        values : float, array, tensor or frozen scipy distribution, default=None
            The targets' values: a number, an array that broadcasts to `interventions`, or a
            distribution from which each cell is drawn.
        kind : str, default=None
            What is done to the targets. The class says which kinds it knows; None is the first.
        random_state : int, RandomState instance, Generator instance or None, default=None
            Determines the noise. With the same integer the same noise is used under any
            intervention, and the first rows of a larger sample are those of a smaller one, up to
            rounding.

        Returns
        -------
        X : tensor of shape (n_systems, n_rows, n_variables)
            The rows; of shape (n_systems, n_regimes, n_rows, n_variables) if `interventions` has
            four dimensions.

        Raises
        ------
        TypeError
            If `interventions` is not boolean.
        ValueError
            If an argument is out of range or does not fit the others.
        """
        check_count("n_rows", n_rows)
        design = self._design(interventions, values, kind)
        given_rows = design.mask.shape[2]
        if given_rows not in (1, n_rows):
            raise ValueError(
                f"interventions and values must have one row, or n_rows={n_rows}, found "
                f"{given_rows}."
            )
        keys = self._draw_keys("rows", random_state)
        X = self._simulate(n_rows, design, self._kind(kind), keys)
        return X if design.has_regimes else X.squeeze(1)

    @overload
    def interventional_mean(
        self,
        interventions: np.ndarray | torch.Tensor | None = ...,
        values: float | np.ndarray | torch.Tensor | rv_frozen | None = ...,
        *,
        kind: str | None = ...,
        n_samples: int = ...,
        random_state: int | np.random.RandomState | np.random.Generator | None = ...,
        return_standard_error: Literal[False] = ...,
    ) -> torch.Tensor: ...

    @overload
    def interventional_mean(
        self,
        interventions: np.ndarray | torch.Tensor | None = ...,
        values: float | np.ndarray | torch.Tensor | rv_frozen | None = ...,
        *,
        kind: str | None = ...,
        n_samples: int = ...,
        random_state: int | np.random.RandomState | np.random.Generator | None = ...,
        return_standard_error: Literal[True],
    ) -> tuple[torch.Tensor, torch.Tensor]: ...

    def interventional_mean(
        self,
        interventions: np.ndarray | torch.Tensor | None = None,
        values: float | np.ndarray | torch.Tensor | rv_frozen | None = None,
        *,
        kind: str | None = None,
        n_samples: int = 10_000,
        random_state: int | np.random.RandomState | np.random.Generator | None = 0,
        return_standard_error: bool = False,
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        """Return the mean of every variable under interventions.

        Parameters
        ----------
        interventions : bool array or tensor, default=None
            The targets, of a shape that :meth:`sample` takes; each of its rows is one intervention.
        values : float, array, tensor or frozen scipy distribution, default=None
            The targets' values.
        kind : str, default=None
            What is done to the targets; None is the first of the kinds that the class knows.
        n_samples : int, default=10_000
            Rows per intervention where there is no closed form.
        random_state : int, RandomState instance, Generator instance or None, default=0
            Determines the rows, which are independent of those of :meth:`sample`.
        return_standard_error : bool, default=False
            Whether to return the standard error of the mean too; it is 0 for a closed form.

        Returns
        -------
        mean : tensor of shape (n_systems, n_rows, n_variables)
            One mean for each row of `interventions`, of which a mask of shape (n_variables,) has
            one; with an axis of regimes before it if the mask has four dimensions.
        standard_error : tensor of the same shape
            Only with `return_standard_error`.

        Raises
        ------
        TypeError
            If `interventions` is not boolean.
        ValueError
            If an argument is out of range or does not fit the others, or random values have no
            finite mean.
        """
        check_count("n_samples", n_samples, smallest=2)
        design = self._design(interventions, values, kind)
        keys = self._draw_keys("mean", random_state)
        results = self._mean(design, self._kind(kind), keys, n_samples)
        if not design.has_regimes:
            results = tuple(result.squeeze(1) for result in results)
        return results if return_standard_error else results[0]

    def _mean(self, design: Design, kind, keys, n_samples):
        """Mean and standard error of the shape of the mask, by Monte Carlo.

        Every row becomes a regime of its own; running moments keep the memory bounded.
        """
        regimes = design.by_regime()
        count, at_once = 0, max(1, _ROWS_AT_ONCE // max(1, regimes.mask.shape[:2].numel()))
        mean = squares = torch.zeros((), dtype=torch.float64, device=self.keys.device)
        while count < n_samples:
            n = min(at_once, n_samples - count)
            X = self._simulate(n, regimes, kind, keys, first_row=count).double()
            block = X.mean(dim=2)
            # Chan, Golub & LeVeque (1979): moments of two samples together.
            squares = squares + ((X - block[:, :, None]) ** 2).sum(dim=2)
            squares = squares + (block - mean) ** 2 * count * n / (count + n)
            mean = mean + (block - mean) * n / (count + n)
            count += n
        error = (squares / (count - 1) / count).sqrt()
        shape = design.mask.shape
        return mean.to(self.dtype).reshape(shape), error.to(self.dtype).reshape(shape)
