"""Validation of the constructor's arguments, and what "auto" stands for."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral

import numpy as np

from skcausal.effects._objective import DISCREPANCIES
from skcausal.nn import ACTIVATIONS

# "auto" was chosen at this many training rows, the size of IHDP's training sets.
_REFERENCE_ROWS = 672
_AUTO_ALPHA = {"linear_mmd": 10.0, "rbf_mmd": 1.0, "sinkhorn": 1.0, "contrastive": 0.1}
_AUTO_WEIGHT_DECAY = 1.0

_CHOICES = {
    "ipm": tuple(DISCREPANCIES),
    "env_ipm": tuple(DISCREPANCIES),
    "activation": tuple(ACTIVATIONS),
    "outcome": ("continuous", "binary"),
}
# Smallest value, largest value, and whether the former is allowed.
_NUMBERS = {
    "env_alpha": (0.0, np.inf, True),
    "dropout": (0.0, 1.0, True),
    "learning_rate": (0.0, np.inf, False),
    "validation_fraction": (0.0, 1.0, False),
    "tol": (0.0, np.inf, True),
}
_COUNTS = {"n_ensemble": 1, "n_iter_no_change": 1, "batch_size": 2, "max_epochs": 1}


def check_parameters(parameters: dict) -> None:
    """Raise where an argument of the constructor cannot be used.

    Parameters
    ----------
    parameters : dict
        The result of ``get_params(deep=False)``.

    Raises
    ------
    ValueError
        If a value is out of its range.
    TypeError
        If it is of a wrong type.
    """
    for name, choices in _CHOICES.items():
        if parameters[name] not in choices:
            listed = ", ".join(map(repr, choices))
            raise ValueError(f"{name} must be one of {listed}; found {parameters[name]!r}.")
    for name, (low, high, inclusive) in _NUMBERS.items():
        _check_number(name, parameters[name], low, high, inclusive)
    for name in ("alpha", "weight_decay"):
        if not _is_auto(parameters[name]):
            _check_number(name, parameters[name], 0.0, np.inf, True, "'auto' or ")
    for name, smallest in _COUNTS.items():
        value = parameters[name]
        if _is_auto(value) and name == "batch_size":
            continue
        if value is None and name == "n_iter_no_change":
            continue
        _check_count(name, value, smallest)
    _check_layers("representation_layers", parameters["representation_layers"], 1)
    _check_layers("head_layers", parameters["head_layers"], 0)
    if not (_is_auto(parameters["normalize"]) or isinstance(parameters["normalize"], bool)):
        raise TypeError(
            f"normalize must be 'auto', True or False, found {parameters['normalize']!r}."
        )
    if parameters["checkpoint"] is not None and not isinstance(
        parameters["random_state"], Integral
    ):
        raise ValueError(
            "A checkpoint can be resumed with the same random numbers only: set random_state to an "
            f"integer, found {parameters['random_state']!r}."
        )


def resolve_auto(parameters: dict, n_samples: int) -> dict:
    """Values of the arguments, with "auto" replaced by what it stands for.

    A fixed penalty acts like a prior, of which the weight should fade as rows are added; so `alpha`
    and `weight_decay` fall with their number.

    Parameters
    ----------
    parameters : dict
        The result of ``get_params(deep=False)``.
    n_samples : int
        Number of rows that `fit` was given.

    Returns
    -------
    resolved : dict
        The same names with numbers for values.
    """
    share = _REFERENCE_ROWS / n_samples
    auto = {
        "alpha": _AUTO_ALPHA[parameters["ipm"]] * share,
        "weight_decay": _AUTO_WEIGHT_DECAY * share,
        "batch_size": 100 if n_samples <= 5000 else 200,
        "normalize": parameters["env_alpha"] == 0,
    }
    chosen = {name: value for name, value in auto.items() if _is_auto(parameters[name])}
    return parameters | chosen


def _is_auto(value) -> bool:
    return isinstance(value, str) and value == "auto"


def _check_number(name, value, low, high, inclusive, also="") -> None:
    """Raise unless a value is a finite number in its range."""
    if not isinstance(value, (int, float, np.number)) or isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be {also}a number, found {value!r}.")
    above = value >= low if inclusive else value > low
    if not (np.isfinite(value) and above and value < high):
        bounds = f"{'at least' if inclusive else 'above'} {low:g}"
        bounds += f" and below {high:g}" if np.isfinite(high) else ""
        raise ValueError(f"{name} must be {also}a finite number {bounds}, found {value!r}.")


def _check_count(name, value, smallest) -> None:
    """Raise unless a value is an integer that is large enough."""
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, found {value!r}.")
    if value < smallest:
        raise ValueError(f"{name} must be at least {smallest}, found {value!r}.")


def _check_layers(name, layers, fewest) -> None:
    """Raise unless layers are a sequence of positive integers."""
    if not isinstance(layers, (Sequence, np.ndarray)) or isinstance(layers, str):
        raise TypeError(f"{name} must be a sequence of integers such as (100, 100).")
    if len(layers) < fewest:
        raise ValueError(f"{name} must have at least {fewest} layer, found {layers!r}.")
    for units in layers:
        _check_count(f"every entry of {name}", units, 1)
