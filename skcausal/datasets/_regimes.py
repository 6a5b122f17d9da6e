"""Which regimes a synthetic data set has, and which of them are held out."""

from __future__ import annotations

from collections.abc import Collection
from itertools import combinations
from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

_REGIMES = ("observational", "singles", "pairs")


def regime_targets(
    regimes: str | Collection[Collection[str | int]], names: list[str]
) -> np.ndarray:
    """Boolean targets (n_regimes, n_variables) of the named family or the listed regimes."""
    if isinstance(regimes, str) and regimes in _REGIMES:
        sizes = range(_REGIMES.index(regimes) + 1)
        listed = [c for size in sizes for c in combinations(range(len(names)), size)]
    elif isinstance(regimes, Collection) and not isinstance(regimes, str):
        listed = [_indices(regime, names) for regime in regimes]
    else:
        raise ValueError(
            f"regimes={regimes!r} is not known. Use one of {', '.join(map(repr, _REGIMES))}, or a "
            "list with a tuple of variables for each regime."
        )
    if not listed:
        raise ValueError("regimes is empty. Use [()] for the observational regime alone.")
    targets = np.zeros((len(listed), len(names)), dtype=bool)
    for row, regime in zip(targets, listed):
        row[list(regime)] = True
    if len(np.unique(targets, axis=0)) < len(targets):
        raise ValueError("regimes contains the same set of variables twice. List each set once.")
    return targets


def _indices(regime: Collection[str | int], names: list[str]) -> tuple[int, ...]:
    """Column indices of the variables of one listed regime."""
    if isinstance(regime, str) or not isinstance(regime, Collection):
        raise ValueError(
            f"Every entry of regimes must be a tuple or set of variables, found {regime!r}. Write "
            "a single variable as (variable,)."
        )
    known = {name: i for i, name in enumerate(names)} | {i: i for i in range(len(names))}
    unknown = [variable for variable in regime if variable not in known]
    if unknown:
        raise ValueError(
            f"regimes names the unknown variable {unknown[0]!r}. Variables are {names[0]!r} to "
            f"{names[-1]!r}, or 0 to {len(names) - 1}."
        )
    return tuple(known[variable] for variable in regime)


def heldout_pairs(
    targets: np.ndarray, n_heldout_pairs: int, rng: np.random.RandomState
) -> np.ndarray:
    """Boolean vector (n_regimes,) that marks randomly chosen regimes with two targets."""
    pairs = np.flatnonzero(targets.sum(axis=1) == 2)
    if n_heldout_pairs > len(pairs):
        raise ValueError(
            f"n_heldout_pairs={n_heldout_pairs} is more than the {len(pairs)} pairs of variables "
            'among the regimes. Lower it, or use regimes="pairs".'
        )
    heldout = np.zeros(len(targets), dtype=bool)
    heldout[rng.choice(pairs, size=n_heldout_pairs, replace=False)] = True
    if heldout.all():
        raise ValueError("All regimes are held out. Lower n_heldout_pairs or list more regimes.")
    return heldout


def check_count(name: str, value, smallest: int) -> None:
    """Raise a ValueError for a count that is not an integer or too small."""
    integer = isinstance(value, Integral) and not isinstance(value, bool)
    if not integer or value < smallest:
        raise ValueError(f"{name} must be an integer of at least {smallest}, found {value!r}.")


def frame(values: np.ndarray, names: list[str]) -> pd.DataFrame:
    """DataFrame with the variables as columns."""
    import pandas as pd

    return pd.DataFrame(values, columns=names)
