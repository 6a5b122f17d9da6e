"""Treatment levels and the groups of rows that they and the environments form."""

from __future__ import annotations

import numpy as np

_MOST_LEVELS = 50


def check_levels(levels: np.ndarray, n_samples: int) -> np.ndarray:
    """Return the sorted levels of a treatment, if effects can be learned from them.

    Parameters
    ----------
    levels : ndarray of shape (n_treatments,)
        Distinct labels, sorted.
    n_samples : int
        Number of rows that they come from.

    Returns
    -------
    levels : ndarray of shape (n_treatments,)
        The same.

    Raises
    ------
    ValueError
        If there is one level, or the values look continuous.
    """
    if len(levels) == 1:
        raise ValueError(
            f"treatment has the same level, {levels.tolist()[0]!r}, in all {n_samples} rows: no "
            "effect can be learned without rows of another one."
        )
    if len(levels) > _MOST_LEVELS:
        raise ValueError(
            f"treatment has {len(levels)} levels in {n_samples} rows; at most {_MOST_LEVELS} are "
            "possible. A continuous treatment has to be binned first."
        )
    return levels


def positions_of(labels: np.ndarray, levels: np.ndarray, name: str) -> np.ndarray:
    """Position (n_labels,) of each label among the known levels.

    Parameters
    ----------
    labels : ndarray of shape (n_labels,)
        Labels to be looked up.
    levels : ndarray of shape (n_treatments,)
        Known levels.
    name : str
        What the labels are called in messages.

    Returns
    -------
    positions : ndarray of int of shape (n_labels,)
        Their positions.

    Raises
    ------
    ValueError
        If a label is none of the levels, or is itself an array of them.
    """
    if labels.ndim > 1:
        raise ValueError(
            f"{name} must be a single level, one of {levels.tolist()}, found an array of shape "
            f"{labels.shape[1:]}. To compare levels unit by unit, use the columns of "
            "potential_outcomes."
        )
    known = {level: position for position, level in enumerate(levels.tolist())}
    unseen = [label for label in labels.tolist() if label not in known]
    if unseen:
        raise ValueError(
            f"{name} has the level {unseen[0]!r}, which fit has not seen. Its levels are "
            f"{levels.tolist()}."
        )
    return np.array([known[label] for label in labels.tolist()], dtype=np.int64)


def check_groups(
    arm: np.ndarray,
    environment: np.ndarray,
    levels: np.ndarray,
    *,
    env_alpha: float,
    weight: np.ndarray | None = None,
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
    weight : ndarray of shape (n_samples,), default=None
        Sample weights: rows of a level count where theirs is positive. Default: all count.

    Raises
    ------
    ValueError
        If a level or an aligned environment has fewer than two rows, or there is one environment.
    """
    counts = np.bincount(arm if weight is None else arm[weight > 0], minlength=len(levels))
    if counts.min() < 2:
        raise ValueError(
            f"treatment has {counts.min()} rows of the level {levels[counts.argmin()].item()!r}"
            f"{'' if weight is None else ' with positive weight'}; every level needs at "
            "least 2. Drop the level, or add rows."
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
