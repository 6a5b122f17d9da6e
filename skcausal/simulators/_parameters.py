"""Parameters of a task prior: a number, or a frozen scipy distribution to draw it from."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real

import numpy as np
import torch
from scipy.stats import rv_discrete

from skcausal.simulators._random import uniform


def is_distribution(parameter) -> bool:
    """Whether `parameter` is a frozen scipy distribution, such as ``scipy.stats.uniform(0, 1)``."""
    return hasattr(parameter, "ppf") and hasattr(parameter, "support")


def _is_discrete(distribution) -> bool:
    """Whether a distribution is on the integers, frozen or given by its values."""
    return isinstance(getattr(distribution, "dist", distribution), rv_discrete)


def bounds_of(name: str, parameter, *, integer: bool = False) -> tuple[float, float]:
    """Smallest and largest value of a parameter.

    Raises
    ------
    TypeError
        If it is neither a number nor a frozen distribution, or not an integer where one is needed.
    """
    if is_distribution(parameter):
        if integer and not _is_discrete(parameter):
            raise TypeError(
                f"{name} must be an integer or a discrete distribution such as "
                f"scipy.stats.randint(2, 6), found {parameter!r}."
            )
        low, high = parameter.support()
        return float(low), float(high)
    wanted = Integral if integer else Real
    if not isinstance(parameter, wanted) or isinstance(parameter, bool):
        raise TypeError(
            f"{name} must be {'an integer' if integer else 'a number'} or a frozen distribution of "
            f"scipy.stats, found {parameter!r}."
        )
    return float(parameter), float(parameter)


def check_parameter(
    name: str,
    parameter,
    low: float = -np.inf,
    high: float = np.inf,
    *,
    integer: bool = False,
    above: bool = False,
) -> None:
    """Raise unless every value of a parameter lies in [low, high], or (low, high] if `above`."""
    smallest, largest = bounds_of(name, parameter, integer=integer)
    # The ends of a continuous distribution's support are not drawn.
    strict = above and (not is_distribution(parameter) or _is_discrete(parameter))
    if not (smallest > low if strict else smallest >= low) or not largest <= high:
        found = f"values in [{smallest:g}, {largest:g}]" if smallest < largest else f"{smallest:g}"
        limit = f"above {low:g}" if above else f"at least {low:g}"
        limit = f"{limit} and at most {high:g}" if np.isfinite(high) else limit
        raise ValueError(f"{name} must be {limit}, found {found}.")
    if not is_distribution(parameter) and not np.isfinite(parameter):
        raise ValueError(f"{name} must be finite, found {parameter!r}.")


def check_choice(name: str, value, choices: Sequence) -> None:
    """Raise a ValueError unless `value` is one of `choices`."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, found {value!r}.")


def check_count(name: str, value, smallest: int = 1) -> None:
    """Raise a ValueError unless `value` is an integer of at least `smallest`."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < smallest:
        raise ValueError(f"{name} must be an integer of at least {smallest}, found {value!r}.")


def check_bounded(name: str, parameter) -> None:
    """Raise a ValueError for a count that has no upper limit, to which systems could be padded."""
    if not np.isfinite(bounds_of(name, parameter)[1]):
        raise ValueError(f"{name} must be bounded; use a distribution with a largest value.")


def check_number(
    name: str, value, low: float = -np.inf, high: float = np.inf, *, above: bool = False
) -> None:
    """Raise as :func:`check_parameter` does, and for a distribution as well."""
    if is_distribution(value):
        raise TypeError(f"{name} must be a number, not a distribution: it is the same for all.")
    check_parameter(name, value, low, high, above=above)


def draw_parameter(parameter, keys: torch.Tensor, *sizes: int) -> torch.Tensor:
    """Values (n_systems, *sizes) in float64: drawn through the quantile function, or constant."""
    if not is_distribution(parameter):
        shape = (*keys.shape, *sizes)
        return torch.full(shape, float(parameter), dtype=torch.float64, device=keys.device)
    quantiles = np.asarray(parameter.ppf(uniform(keys, *sizes).cpu().numpy()), dtype=np.float64)
    return torch.from_numpy(quantiles).to(keys.device)
