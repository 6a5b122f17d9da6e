"""Treatments and environments: metadata aligned with the rows, or columns of X."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from sklearn.utils.validation import _num_samples, column_or_1d

_MOST_LEVELS = 50


def take_columns(X, columns: dict[str, object]):
    """Split named columns off a table.

    Parameters
    ----------
    X : array-like or DataFrame of shape (n_samples, n_columns)
        The table.
    columns : dict
        Name of an argument -> name (DataFrame) or position of its column, or None.

    Returns
    -------
    covariates : array-like or DataFrame
        X without these columns.
    taken : dict
        Name of the argument -> values (n_samples,), for those that are not None.

    Raises
    ------
    ValueError
        If X has no such column.
    """
    columns = {argument: column for argument, column in columns.items() if column is not None}
    if not columns:
        return X, {}
    is_frame = hasattr(X, "columns")
    if not is_frame:
        X = np.asarray(X)
        if X.ndim != 2:
            raise ValueError(f"X must be a table of 2 dimensions, found {X.ndim}.")
    positions = {name: _position(X, is_frame, column, name) for name, column in columns.items()}
    keep = [j for j in range(X.shape[1]) if j not in positions.values()]
    if is_frame:
        taken = {name: X.iloc[:, j].to_numpy() for name, j in positions.items()}
        return X.iloc[:, keep], taken
    return X[:, keep], {name: X[:, j] for name, j in positions.items()}


def _position(X, is_frame: bool, column, argument: str) -> int:
    """Position of a column given by name or number."""
    n_columns = X.shape[1]
    if is_frame and column in X.columns:
        return list(X.columns).index(column)
    if isinstance(column, Integral) and -n_columns <= column < n_columns:
        return int(column) % n_columns
    names = f"with the columns {list(X.columns)}" if is_frame else f"with {n_columns} columns"
    raise ValueError(
        f"{argument}={column!r} is no column of X, a table {names}. Give a name of a DataFrame's "
        "column, or a position."
    )


def check_labels(values, X, name: str) -> np.ndarray:
    """Validate labels, one per row of X.

    Parameters
    ----------
    values : array-like of shape (n_samples,)
        Labels of any type that can be sorted.
    X : array-like of shape (n_samples, n_features)
        The rows that they belong to.
    name : str
        What they are called in messages.

    Returns
    -------
    labels : ndarray of shape (n_samples,)
        The labels.

    Raises
    ------
    ValueError
        If their shape is wrong or some are missing.
    """
    labels = np.asarray(values)
    if labels.ndim != 1 and not (labels.ndim == 2 and labels.shape[1] == 1):
        raise ValueError(
            f"{name} must hold one label per row, shape (n_samples,), found shape {labels.shape}."
        )
    labels = column_or_1d(labels)
    if len(labels) != _num_samples(X):
        raise ValueError(
            f"{name} must hold one label per row of X: found {len(labels)} labels and "
            f"{_num_samples(X)} rows."
        )
    missing = np.array([label is None or label != label for label in labels.tolist()])
    if missing.any():
        raise ValueError(
            f"{name} is missing (NaN or None) in {missing.sum()} of {len(labels)} rows. Drop these "
            "rows or label them."
        )
    if labels.dtype == object:
        try:
            labels = np.array(labels.tolist())
        except ValueError:
            raise ValueError(f"{name} must hold numbers or strings.") from None
    return labels


def treatment_levels(labels: np.ndarray) -> np.ndarray:
    """Sorted levels of a treatment.

    Raises
    ------
    ValueError
        If there is one level, or the values look continuous.
    """
    levels = np.unique(labels)
    if len(levels) == 1:
        raise ValueError(
            f"treatment has the same level, {levels[0]!r}, in all {len(labels)} rows: no effect "
            "can be learned without rows of another one."
        )
    if len(levels) > _MOST_LEVELS:
        raise ValueError(
            f"treatment has {len(levels)} levels in {len(labels)} rows; at most {_MOST_LEVELS} are "
            "possible. A continuous treatment has to be binned first."
        )
    return levels


def encode(labels: np.ndarray, levels: np.ndarray, name: str) -> np.ndarray:
    """Position (n_samples,) of each label among the sorted levels.

    Raises
    ------
    ValueError
        If a label is none of the levels.
    """
    unseen = ~np.isin(labels, levels)
    if unseen.any():
        raise ValueError(
            f"{name} has the level {labels[unseen][0].item()!r}, which fit has not seen. Its "
            f"levels are {levels.tolist()}."
        )
    return np.searchsorted(levels, labels.astype(levels.dtype))


def check_groups(
    arm: np.ndarray, environment: np.ndarray, levels: np.ndarray, *, env_alpha: float
) -> None:
    """Raise where a group of rows is too small to learn from.

    Parameters
    ----------
    arm : ndarray of int of shape (n_samples,)
        Position of each row's level.
    environment : ndarray of int of shape (n_samples,)
        Position of each row's environment.
    levels : ndarray of shape (n_treatments,)
        The levels.
    env_alpha : float
        Weight of the alignment of environments; without it their sizes do not matter.

    Raises
    ------
    ValueError
        If a level or an aligned environment has fewer than two rows, or there is one environment.
    """
    counts = np.bincount(arm, minlength=len(levels))
    if counts.min() < 2:
        raise ValueError(
            f"treatment has {counts.min()} rows of the level {levels[counts.argmin()].item()!r}; "
            "every level needs at least 2. Drop the level, or add rows."
        )
    if env_alpha == 0:
        return
    counts = np.bincount(environment)
    if len(counts) < 2:
        raise ValueError(
            "env_alpha > 0 aligns environments, so fit needs at least 2 of them: pass "
            "environment=... or name a column of X by environment_column."
        )
    if counts.min() < 2:
        raise ValueError(
            "environment has a label with one row only, which cannot be aligned with the others. "
            "Drop the row, merge it into another environment, or set env_alpha=0."
        )
