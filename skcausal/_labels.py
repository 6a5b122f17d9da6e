"""Labels of rows, such as treatments and environments: given apart, or as a column of X."""

from numbers import Integral, Number

import numpy as np
from sklearn.utils import _safe_indexing


def check_labels(labels, n_samples, *, name):
    """Validate one label per row.

    Parameters
    ----------
    labels : array-like of shape (n_samples,)
        Labels of any type that can be sorted.
    n_samples : int
        Number of rows.
    name : str
        Name of the argument, for messages.

    Returns
    -------
    codes : ndarray of int of shape (n_samples,)
        Position of each row's label among the levels.
    levels : ndarray of shape (n_levels,)
        The distinct labels, sorted.

    Raises
    ------
    ValueError
        If the number of labels is not that of the rows, or a label is missing.
    """
    import pandas as pd

    # As objects: NumPy would turn a list of strings and NaN, or of numbers, into strings.
    array = np.asarray(labels) if hasattr(labels, "dtype") else np.asarray(labels, dtype=object)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.shape != (n_samples,):
        raise ValueError(
            f"{name} must hold one label for each of the {n_samples} rows, got shape {array.shape}."
        )
    if array.dtype == object and len({_kind(label) for label in array} - {None}) > 1:
        raise ValueError(
            f"{name} must hold labels of one kind, all strings or all numbers; found "
            f"{sorted({type(label).__name__ for label in array})}."
        )
    if array.dtype.kind == "c" or (array.dtype.kind == "f" and np.isinf(array).any()):
        raise ValueError(f"{name} must hold strings or finite real numbers as labels.")
    codes, levels = pd.factorize(array, sort=True)
    n_missing = int((codes < 0).sum())
    if n_missing:
        raise ValueError(
            f"{name} is missing (NaN or None) in {n_missing} of {n_samples} rows; drop these rows "
            "or give them a label of their own."
        )
    levels = np.asarray(levels)
    return codes, np.array(levels.tolist()) if levels.dtype == object else levels


def _kind(label):
    """Return what a label can be sorted with: numbers, or its own type; None if missing."""
    import pandas as pd

    if pd.isna(label):
        return None
    return Number if isinstance(label, (Number, np.bool_)) else type(label)


def split_columns(X, columns):
    """Take named columns out of X.

    Parameters
    ----------
    X : array-like or DataFrame of shape (n_samples, n_columns)
        The data.
    columns : dict of {str: str, int or None}
        For each argument that names a column, for messages: the name of the column in a DataFrame,
        or its position. None takes nothing.

    Returns
    -------
    taken : dict of {str: array-like of shape (n_samples,)}
        The column that each argument names, if any.
    rest : array-like of shape (n_samples, n_columns - n_taken)
        All other columns, a DataFrame if X is one.

    Raises
    ------
    ValueError
        If X has no such column, or several of that name.
    """
    columns = {argument: column for argument, column in columns.items() if column is not None}
    if not columns:
        return {}, X
    X = X if hasattr(X, "columns") else np.asarray(X)
    if X.ndim != 2:
        given = ", ".join(f"{argument}={column!r}" for argument, column in columns.items())
        raise ValueError(
            f"X must have two dimensions for {given} to name one of its columns, got shape "
            f"{X.shape}."
        )
    names = list(getattr(X, "columns", []))
    positions = {
        argument: _column_position(names, X.shape[1], column, argument)
        for argument, column in columns.items()
    }
    others = [j for j in range(X.shape[1]) if j not in positions.values()]
    taken = {argument: _safe_indexing(X, j, axis=1) for argument, j in positions.items()}
    return taken, _safe_indexing(X, others, axis=1)


def _column_position(names, n_columns, column, argument):
    """Position of a column that is given by its name or, failing that, its position."""
    if names.count(column) == 1:
        return names.index(column)
    is_position = isinstance(column, Integral) and not isinstance(column, bool)
    if column not in names and is_position and -n_columns <= column < n_columns:
        return int(column) % n_columns
    raise ValueError(
        f"{argument}={column!r} must be one column of X, which has "
        f"{f'the columns {names}' if names else f'{n_columns} columns without names'}; give the "
        "name of a column of a DataFrame, or its position."
    )
