"""What an intervention does to a structural equation, and the shapes in which it may be given.

Without an intervention, ``x_j = f_j(x) + e_j``. With value v on a target j:

========  ============================  ==================================================
kind      equation of a target          in words
========  ============================  ==================================================
"hard"    ``x_j = v``                   the mechanism is replaced by a constant, do(x_j = v)
"shift"   ``x_j = f_j(x) + e_j + v``    the mechanism is kept and a constant is added
"scale"   ``x_j = v (f_j(x) + e_j)``    everything that the mechanism yields is multiplied
"noise"   ``x_j = f_j(x) + v e_j``      the noise's standard deviation is multiplied
========  ============================  ==================================================
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from skcausal.simulators._parameters import is_distribution
from skcausal.simulators._random import fold_in, uniform

KINDS = ("hard", "shift", "scale", "noise")


@dataclass(frozen=True)
class Intervened:
    """Structural equations ``x_j = a_j f_j(x) + s_j e_j + c_j`` of every regime and row.

    Attributes
    ----------
    mechanism : tensor of shape (n_systems, n_regimes, n_rows or 1, n_variables)
        The factor a.
    noise : tensor of the same shape
        The factor s.
    offset : tensor of the same shape
        The constant c.
    """

    mechanism: torch.Tensor
    noise: torch.Tensor
    offset: torch.Tensor


def intervene(mask: torch.Tensor, values: torch.Tensor, kind: str) -> Intervened:
    """Coefficients of the structural equations; `values` matter where `mask` is True."""
    one, zero = torch.ones_like(values), torch.zeros_like(values)
    on_target = {
        "hard": (zero, zero, values),
        "shift": (one, one, values),
        "scale": (values, values, zero),
        "noise": (one, values, zero),
    }[kind]
    return Intervened(
        *(torch.where(mask, new, old) for new, old in zip(on_target, (one, one, zero)))
    )


@dataclass(frozen=True)
class Design:
    """Interventions of a batch, all arrays in four dimensions.

    Attributes
    ----------
    mask : bool tensor of shape (n_systems, n_regimes, 1 or n_rows, n_variables)
        The targets.
    values : tensor of the shape of `mask`, or a frozen scipy distribution
        The targets' values, 0 elsewhere; or what each of them is drawn from.
    has_regimes : bool
        Whether the caller gave an axis of regimes.
    observational : bool
        Whether the caller gave no interventions.
    """

    mask: torch.Tensor
    values: Any
    has_regimes: bool
    observational: bool

    def by_regime(self) -> Design:
        """Make every row a regime of its own, with one row."""
        shape = (len(self.mask), -1, 1, self.mask.shape[-1])
        values = self.values if is_distribution(self.values) else self.values.reshape(shape)
        return replace(self, mask=self.mask.reshape(shape), values=values)

    def repeat(self, n_times: int) -> Design:
        """Repeat all regimes, so that each is simulated with noise of its own."""
        values = self.values
        if not is_distribution(values):
            values = values.repeat(1, n_times, 1, 1)
        return replace(self, mask=self.mask.repeat(1, n_times, 1, 1), values=values)

    def draw_values(self, keys, n_rows, dtype, first_row=0) -> torch.Tensor:
        """Values of the targets of rows `first_row` and after; one row if all are the same."""
        if not is_distribution(self.values):
            return self.values
        sizes = (self.mask.shape[1], n_rows, self.mask.shape[3])
        quantiles = uniform(fold_in(keys, "values"), *sizes, first_row=first_row)
        drawn = torch.from_numpy(np.asarray(self.values.ppf(quantiles.cpu().numpy())))
        return torch.where(self.mask, drawn.to(device=keys.device, dtype=dtype), 0.0)


def check_design(interventions, values, present: torch.Tensor, dtype: torch.dtype) -> Design:
    """Bring interventions and their values to one shape.

    Parameters
    ----------
    interventions : bool array or tensor, or None
        Of shape (n_variables,), (n_rows, n_variables), (n_systems, n_rows, n_variables) or
        (n_systems, n_regimes, n_rows, n_variables); each axis but the last may be 1. None means no
        target.
    values : float, array, tensor, frozen scipy distribution or None
        A number for all targets, an array that broadcasts to the mask or against it, or a
        distribution. Entries outside the mask are ignored and may be NaN.
    present : bool tensor of shape (n_systems, n_variables)
        Which variables each system of the batch has.
    dtype : torch.dtype
        Precision of the values.

    Returns
    -------
    design : Design
        The interventions.

    Raises
    ------
    TypeError
        If the mask is not boolean.
    ValueError
        If shapes do not fit the batch, a target is not among a system's variables, or values are
        missing or not finite.
    """
    observational, has_regimes = interventions is None, False
    mask = torch.zeros_like(present)[:, None, None]
    if not observational:
        given = _as_mask(interventions).to(present.device)
        mask, has_regimes = _check_mask(given, present), given.ndim == 4
    if is_distribution(values):
        return Design(mask, values, has_regimes, observational)
    if values is None:
        if mask.any():
            raise ValueError("values is missing: pass the values of the interventions' targets.")
        values = 0.0
    values = _as_numbers(values).to(device=mask.device, dtype=dtype)
    has_regimes |= values.ndim == 4
    try:
        filled = torch.where(mask, _four_dimensions(values), 0.0)
    except RuntimeError:
        filled = mask.new_zeros(0)
    if filled.ndim != 4 or filled.shape[::3] != mask.shape[::3]:
        raise ValueError(
            f"values must be a number or fit the interventions, of shape {tuple(mask.shape)} "
            f"(systems, regimes, rows, variables), found shape {tuple(values.shape)}."
        )
    if not filled.isfinite().all():
        raise ValueError("values must be finite for every target, found NaN or infinity.")
    return Design(mask.expand(filled.shape), filled, has_regimes, observational)


def _as_mask(interventions) -> torch.Tensor:
    """Boolean tensor of a mask given as a tensor, an array, a DataFrame or a nested list."""
    mask = interventions
    if not isinstance(mask, torch.Tensor):
        mask = np.array(mask)  # a copy: torch warns of arrays that it must not write to
    if mask.dtype not in (torch.bool, np.bool_):
        raise TypeError(
            f"interventions must be a boolean mask, found data type {mask.dtype}. Pass "
            "interventions != 0 if nonzero entries mark the targets."
        )
    return mask if isinstance(mask, torch.Tensor) else torch.from_numpy(mask)


def _as_numbers(values) -> torch.Tensor:
    """Tensor of values given as a number, a tensor, an array, a DataFrame or a nested list."""
    if isinstance(values, torch.Tensor):
        return values
    try:
        return torch.from_numpy(np.array(values, dtype=np.float64))
    except (TypeError, ValueError):
        raise TypeError(
            "values must be a number, an array of numbers or a frozen distribution of scipy.stats, "
            f"found {type(values).__name__}."
        ) from None


def _check_mask(mask: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
    """Bring a mask to four dimensions, the first of them the systems; see `check_design`."""
    n_systems, n_variables = present.shape
    if not 1 <= mask.ndim <= 4 or mask.shape[-1] != n_variables:
        raise ValueError(
            f"interventions must have {n_variables} columns, one per variable, and one to four "
            f"dimensions, found shape {tuple(mask.shape)}."
        )
    mask = _four_dimensions(mask)
    if mask.shape[0] not in (1, n_systems):
        raise ValueError(
            f"interventions must have one mask for each of the {n_systems} systems, or one for "
            f"all, found {mask.shape[0]}."
        )
    mask = mask.expand(n_systems, -1, -1, -1)
    if (mask & ~present[:, None, None]).any():
        raise ValueError(
            "interventions has a target out of range: a variable that its system does not have. "
            "systems.present tells which of the padded variables exist."
        )
    return mask


def _four_dimensions(array: torch.Tensor) -> torch.Tensor:
    """Read (rows, variables) and (systems, rows, variables) as arrays with one regime.

    Arrays of other dimensions are left as they are.
    """
    if array.ndim < 3:
        return array.reshape((1,) * (4 - array.ndim) + tuple(array.shape))
    return array[:, None] if array.ndim == 3 else array
