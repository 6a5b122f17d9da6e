"""Validation of the constructor's arguments, and what "auto" stands for."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from os import PathLike
from pathlib import Path

import numpy as np

from skcausal.effects._objective import DISCREPANCIES
from skcausal.nn import ACTIVATIONS

# "auto" was chosen at this many training rows, the size of IHDP's training sets.
_REFERENCE_ROWS = 672
_AUTO_ALPHA = {"linear_mmd": 10.0, "rbf_mmd": 1.0, "sinkhorn": 1.0, "contrastive": 0.1}
_AUTO_WEIGHT_DECAY = 1.0

# What the networks and the scaling of their data are made by.
_STRUCTURE = (
    "n_ensemble",
    "representation_layers",
    "head_layers",
    "activation",
    "normalize",
    "effect_head",
    "outcome",
    "dropout",
    "dtype",
    "treatment_column",
    "environment_column",
)
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
_FLAGS = ("effect_head", "reweight", "early_stopping", "warm_start")
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
    for name in _FLAGS:
        if not isinstance(parameters[name], (bool, np.bool_)):
            raise TypeError(f"{name} must be True or False, found {parameters[name]!r}.")
    _check_layers("representation_layers", parameters["representation_layers"], 1)
    _check_layers("head_layers", parameters["head_layers"], 0)
    if not (
        _is_auto(parameters["normalize"]) or isinstance(parameters["normalize"], (bool, np.bool_))
    ):
        raise TypeError(
            f"normalize must be 'auto', True or False, found {parameters['normalize']!r}."
        )
    if parameters["propensity"] is not None and not hasattr(
        parameters["propensity"], "predict_proba"
    ):
        raise TypeError(
            "propensity must be a classifier with predict_proba, such as LogisticRegression(), "
            f"found {parameters['propensity']!r}."
        )
    columns = parameters["treatment_column"], parameters["environment_column"]
    if columns[0] is not None and columns[0] == columns[1]:
        raise ValueError(
            f"treatment_column and environment_column name the same column, {columns[0]!r}."
        )
    if parameters["checkpoint"] is not None:
        _check_checkpoint(parameters)


def _check_checkpoint(parameters: dict) -> None:
    """Raise where a checkpoint could not be written, or not be resumed."""
    path = parameters["checkpoint"]
    if not isinstance(path, (str, PathLike)):
        raise TypeError(f"checkpoint must be the path of a file, found {path!r}.")
    if Path(path).is_dir():
        raise ValueError(f"checkpoint must be the path of a file; {str(path)!r} is a folder.")
    if not isinstance(parameters["random_state"], Integral):
        raise ValueError(
            "A checkpoint can be resumed with the same random numbers only: set random_state to an "
            f"integer, found {parameters['random_state']!r}."
        )
    if parameters["warm_start"]:
        raise ValueError(
            "checkpoint and warm_start exclude each other: a checkpoint belongs to one training "
            "from its beginning."
        )


def check_same_structure(old: dict, new: dict) -> None:
    """Raise where networks cannot go on learning because their shape would have to change.

    Parameters
    ----------
    old : dict
        Settings of the training that made the networks.
    new : dict
        Settings of now.

    Raises
    ------
    ValueError
        If one that fixes the networks or the scaling of the data differs.
    """
    for name in _STRUCTURE:
        before, now = _plain(old[name]), _plain(new[name])
        if before != now:
            raise ValueError(
                f"{name} was {before!r} when the networks were made and is {now!r} now. They "
                f"cannot go on with it: set {name}={before!r} again, or start anew with "
                "warm_start=False or a clone."
            )


def _plain(value):
    """Value of a parameter in a form that compares and prints alike however it was given."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, str):
        return tuple(_plain(entry) for entry in value)
    return value


def describe(settings: dict) -> str:
    """Text that is the same for equal settings."""
    return repr(sorted((name, _plain(value)) for name, value in settings.items()))


def resolve_auto(parameters: dict, n_samples: int) -> dict:
    """Values of the arguments, with "auto" replaced by what it stands for.

    A fixed penalty acts like a prior, of which the weight should fade as rows are added; so `alpha`
    and `weight_decay` fall with their number beyond that of the reference.

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
    share = min(1.0, _REFERENCE_ROWS / n_samples)
    auto = {
        "alpha": _AUTO_ALPHA[parameters["ipm"]] * share,
        "weight_decay": _AUTO_WEIGHT_DECAY * share,
        "batch_size": 100 if n_samples < 5000 else 200,
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
