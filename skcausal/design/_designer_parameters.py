"""Validation of what ActiveDesigner is given: the designs that are feasible, and the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch

from skcausal.design._design_space import DesignSpace
from skcausal.interventions import check_regimes
from skcausal.simulators import GeneNetworkPrior, LinearPrior
from skcausal.simulators._parameters import check_choice, check_count, check_number

# Ends of the range of values, in standard deviations from the mean, where nothing else is said.
_STANDARD_DEVIATIONS = 2.0
_FEASIBLE = ("targets", "n_targets", "values")


def check_designer(parameters: dict, algorithms: tuple[str, ...]) -> None:
    """Raise where an argument of the constructor cannot be used.

    Parameters
    ----------
    parameters : dict
        The result of ``get_params(deep=False)``.
    algorithms : tuple of str
        Names of the algorithms.

    Raises
    ------
    ValueError
        If a value is out of its range.
    TypeError
        If it is of a wrong type.
    """
    check_choice("algorithm", parameters["algorithm"], algorithms)
    check_choice("utility", parameters["utility"], ("edges", "information"))
    for name in ("budget", "rows_per_design", "n_candidates", "n_replays"):
        check_count(name, parameters[name])
    check_count("n_initial", parameters["n_initial"], 2)
    check_count("n_draws", parameters["n_draws"], 2)
    check_count("n_outcomes", parameters["n_outcomes"])
    if parameters["n_outcomes"] >= parameters["n_draws"]:
        raise ValueError(
            f"n_outcomes={parameters['n_outcomes']} must be less than n_draws="
            f"{parameters['n_draws']}: the system that an outcome comes from is not used to judge "
            "it."
        )
    prior = parameters["prior"]
    if prior is not None and not isinstance(prior, (LinearPrior, GeneNetworkPrior)):
        raise TypeError(f"prior must be a LinearPrior or a GeneNetworkPrior, found {prior!r}.")
    for name in ("feasible", "training_params"):
        value = parameters[name]
        if value is not None and not isinstance(value, Mapping):
            raise TypeError(f"{name} must be a dict or None, found {value!r}.")


def is_published_prior(prior) -> bool:
    """Whether a prior is the dense linear one of Annadani et al. (2024), of any size."""
    if not isinstance(prior, LinearPrior):
        return False
    published = LinearPrior.preset("caasl")
    if prior.edges_per_variable != published.edges_per_variable:
        return False
    return replace(prior, n_variables=published.n_variables) == published


def design_space(feasible, names, low: np.ndarray, high: np.ndarray) -> DesignSpace:
    """Make the space of the designs that are feasible.

    Parameters
    ----------
    feasible : mapping or None
        Parameter of the designer.
    names : list
        Names of the variables; empty if they have none.
    low, high : ndarray of shape (n_variables,)
        Ranges of values of which `feasible` says nothing.

    Returns
    -------
    space : DesignSpace
        The space.

    Raises
    ------
    ValueError, TypeError
        If `feasible` makes no sense.
    """
    d = len(low)
    given: dict[str, Any] = dict(feasible or {})
    unknown = set(given) - set(_FEASIBLE)
    if unknown:
        raise ValueError(
            f"feasible knows the keys {_FEASIBLE}, found {sorted(map(repr, unknown))}."
        )
    allowed = _allowed_targets(given.get("targets"), names, d)
    fewest, most = _numbers_of_targets(given.get("n_targets"), int(allowed.sum()))
    low, high = _ranges(given.get("values"), names, low, high)
    return DesignSpace(
        torch.from_numpy(allowed), torch.from_numpy(low), torch.from_numpy(high), fewest, most
    )


def _position(variable, names, d, what):
    """Column of a variable that is given by its name or position."""
    if variable in names:
        return names.index(variable)
    is_position = isinstance(variable, Integral) and not isinstance(variable, bool)
    if is_position and 0 <= variable < d:
        return int(variable)
    raise ValueError(
        f"feasible[{what!r}] names {variable!r}, which is no variable; there are "
        f"{names or f'the positions 0 to {d - 1}'}."
    )


def _allowed_targets(targets, names, d):
    """Variables (n_variables,) that may be targets."""
    if targets is None:
        return np.ones(d, dtype=bool)
    if isinstance(targets, str) or not np.iterable(targets):
        raise TypeError(f"feasible['targets'] must be a list of variables, found {targets!r}.")
    allowed = np.zeros(d, dtype=bool)
    for variable in targets:
        allowed[_position(variable, names, d, "targets")] = True
    if not allowed.any():
        raise ValueError("feasible['targets'] must name one variable at least.")
    return allowed


def _numbers_of_targets(n_targets, n_allowed):
    """Smallest and largest number of targets of a design."""
    if n_targets is None:
        return 0, n_allowed
    pair = (n_targets, n_targets) if isinstance(n_targets, Integral) else n_targets
    if not (np.iterable(pair) and len(pair) == 2 and all(isinstance(n, Integral) for n in pair)):
        raise TypeError(
            f"feasible['n_targets'] must be a number or a pair of them, found {n_targets!r}."
        )
    fewest, most = (int(n) for n in pair)
    if not (0 <= fewest <= most and most >= 1 and fewest <= n_allowed):
        raise ValueError(
            f"feasible['n_targets']={n_targets!r} must be a range from 0 or more to 1 or more, "
            f"and there are {n_allowed} possible targets."
        )
    return fewest, min(most, n_allowed)


def default_ranges(prior, X: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the ranges of values where nothing else is said.

    Parameters
    ----------
    prior : LinearPrior, GeneNetworkPrior or None
        Parameter of the designer.
    X : ndarray of shape (n_samples, n_variables)
        The experiment.
    mask : ndarray of bool of the same shape
        Which values were set.

    Returns
    -------
    low, high : ndarray of shape (n_variables,)
        The ranges.
    """
    d = X.shape[1]
    if isinstance(prior, GeneNetworkPrior):
        return np.zeros(d), np.zeros(d)
    if is_published_prior(prior):
        return np.full(d, -1.0), np.ones(d)
    free = np.where(mask, np.nan, X)
    free = np.where(np.isnan(free).all(axis=0), X, free)
    centre, scale = np.nanmean(free, axis=0), np.nanstd(free, axis=0)
    reach = _STANDARD_DEVIATIONS * scale
    return centre - reach, centre + reach


def _ranges(values, names, low, high):
    """Lower and upper ends (n_variables,) of the ranges of values."""
    d = len(low)
    if values is None:
        return low, high
    if not isinstance(values, Mapping):
        one_low, one_high = _range(values)
        return np.full(d, one_low), np.full(d, one_high)
    low, high = low.copy(), high.copy()
    for variable, value in values.items():
        j = _position(variable, names, d, "values")
        low[j], high[j] = _range(value)
    return low, high


def _range(value):
    """Lower and upper end of one range."""
    pair = (value, value) if isinstance(value, Real) else value
    if not (np.iterable(pair) and not isinstance(pair, str) and len(pair) == 2):
        raise TypeError(
            "feasible['values'] must be a number, a pair (low, high), or a dict of variables with "
            f"one of these each; found {value!r}."
        )
    for end in pair:
        check_number("feasible['values']", end)
    low, high = (float(end) for end in pair)
    if low > high:
        raise ValueError(f"feasible['values'] has the range {pair!r}, of which low is above high.")
    return low, high


def as_labels(regimes, mask: np.ndarray) -> np.ndarray | None:
    """Validate labels of experiments.

    Parameters
    ----------
    regimes : array-like of shape (n_samples,) or None
        The labels.
    mask : ndarray of bool of shape (n_samples, n_variables)
        Which values were set.

    Returns
    -------
    labels : ndarray of str of shape (n_samples,) or None
        The labels, if there are any.
    """
    if regimes is None:
        return None
    check_regimes(regimes, mask)
    return np.asarray(regimes).astype(str)
