"""Validation of the arguments of the meta-learned predictor."""

from __future__ import annotations

import os
from numbers import Integral, Real

import numpy as np

# What None stands for, by variant.
DEFAULTS: dict[str, dict[str, int | float]] = {
    "amortized": {
        "n_tasks": 100_000,
        "learning_rate": 2e-3,
        "n_finetune_steps": 0,
        "finetune_learning_rate": 0.1,
        "width": 32,
        "n_layers": 6,
    },
    "paper": {
        "n_tasks": 500,
        "learning_rate": 5e-5,
        "n_finetune_steps": 10,
        "finetune_learning_rate": 0.3,
        "width": 16,
        "n_layers": 8,
    },
}
_OBJECTIVES = ("maml", "supervised")
_SMALLEST = {"n_tasks": 1, "n_finetune_steps": 0, "width": 2, "n_layers": 1}


def check_parameters(parameters: dict) -> dict:
    """Raise where an argument of the constructor cannot be used; fill in what None stands for.

    Parameters
    ----------
    parameters : dict
        The result of ``get_params(deep=False)``.

    Returns
    -------
    parameters : dict
        The same without None for any number.

    Raises
    ------
    ValueError
        If a value is out of its range.
    TypeError
        If it is of a wrong type.
    """
    filled = dict(parameters)
    _check_choice("variant", filled["variant"], tuple(DEFAULTS))
    _check_choice("objective", filled["objective"], _OBJECTIVES)
    for name, default in DEFAULTS[filled["variant"]].items():
        if filled[name] is None:
            filled[name] = default
        elif name in _SMALLEST:
            _check_count(name, filled[name], _SMALLEST[name])
        else:
            _check_positive(name, filled[name])
    threshold = filled["threshold"]
    if not (isinstance(threshold, Real) and 0 <= float(threshold) <= 1):
        raise ValueError(f"threshold must be a probability, from 0 to 1; found {threshold!r}.")
    if not isinstance(filled["correct_means"], (bool, np.bool_)):
        raise TypeError(f"correct_means must be True or False, found {filled['correct_means']!r}.")
    pretrained = filled["pretrained"]
    if pretrained is not None and not isinstance(pretrained, (str, os.PathLike)):
        raise TypeError(
            f"pretrained must be 'auto', the path of a file or None, found {pretrained!r}."
        )
    return filled


def _check_choice(name, value, choices):
    """Raise unless a value is among the choices."""
    if value not in choices:
        listed = ", ".join(map(repr, choices))
        raise ValueError(f"{name} must be one of {listed}; found {value!r}.")


def _check_count(name, value, smallest):
    """Raise unless a value is an integer of a least size."""
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer or None, found {value!r}.")
    if value < smallest:
        raise ValueError(f"{name} must be at least {smallest}, found {value!r}.")


def _check_positive(name, value):
    """Raise unless a value is a positive number."""
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number or None, found {value!r}.")
    if not 0 < float(value) < np.inf:
        raise ValueError(f"{name} must be positive and finite, found {value!r}.")
