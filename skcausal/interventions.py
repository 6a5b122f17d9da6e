"""Masks of intervened cells: build them, check them, group rows by them, and ask `do` queries.

An *intervention mask* is a boolean array aligned with X: True where the mechanism of a variable was
replaced in a row. A *regime* is a distinct set of targets; rows without any target form the
observational regime.
"""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from skcausal._anndata import from_anndata
from skcausal._typing import MatrixLike, Table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["check_interventions", "do", "from_anndata", "intervention_mask", "regime_labels"]


def intervention_mask(
    labels: Iterable[Any], variables: Collection[Any], *, sep: str = "+", control: str = "control"
) -> pd.DataFrame:
    """Turn one label per row into a boolean intervention mask.

    Parameters
    ----------
    labels : array-like of shape (n_samples,)
        The targets of each row: a string such as ``"STAT1+JAK2"``, or a tuple, list, set or array
        of variable names. The control label, an empty string, an empty collection, None, NaN and
        ``pandas.NA`` all mean that nothing was intervened on.
    variables : sequence of length n_variables
        Names of the variables, in the order of the columns of X (``X.columns`` of a DataFrame).
    sep : str, default="+"
        What separates several targets inside one label.
    control : str, default="control"
        The label of the observational regime. It is also ignored inside a combination
        (``"STAT1+control"``).

    Returns
    -------
    mask : DataFrame of bool of shape (n_samples, n_variables)
        True where the row's label names the variable. It keeps the index of `labels` if that is a
        Series.

    Raises
    ------
    ValueError
        If a label names something that is not in `variables`, or `variables` repeats a name or
        holds the control label.

    See Also
    --------
    regime_labels : The inverse.

    Examples
    --------
    >>> from skcausal.interventions import intervention_mask
    >>> intervention_mask(["control", "b", "a+c"], variables=["a", "b", "c"])
           a      b      c
    0  False  False  False
    1  False   True  False
    2   True  False   True
    """
    import pandas as pd

    variables = list(variables)
    position = {name: j for j, name in enumerate(variables)}
    if len(position) < len(variables):
        raise ValueError(
            f"variables must be unique names, got {variables}; rename the repeated ones."
        )
    if control in position:
        raise ValueError(
            f"One of the variables has the name of the control label, {control!r}, so labels "
            "cannot tell the two apart; rename it or pass another control."
        )
    if isinstance(labels, str):
        raise ValueError(
            f"labels must hold one label per row, got the single string {labels!r}; pass a list."
        )
    index = labels.index if isinstance(labels, pd.Series) else None
    rows = [_split_label(label, sep, control) for label in labels]
    unknown = sorted({str(name) for row in rows for name in row if name not in position})
    if unknown:
        raise ValueError(_unknown_names_message(unknown, variables, "labels"))
    mask = np.zeros((len(rows), len(variables)), dtype=bool)
    for i, row in enumerate(rows):
        mask[i, [position[name] for name in row]] = True
    return pd.DataFrame(mask, columns=variables, index=index)


def regime_labels(
    interventions: MatrixLike,
    *,
    variables: Collection[Any] | None = None,
    sep: str = "+",
    control: str = "control",
) -> np.ndarray:
    """Name the regime of every row: the inverse of :func:`intervention_mask`.

    The labels serve as `groups` for scikit-learn's group splitters, as keys of ``groupby`` and in
    plots.

    Parameters
    ----------
    interventions : array-like of bool of shape (n_samples, n_variables)
        The intervention mask.
    variables : sequence of length n_variables, default=None
        Names of the variables. Default: the mask's column names, else ``x0, x1, ...``.
    sep : str, default="+"
        Joins the targets of one row, in the order of the variables.
    control : str, default="control"
        Label of rows without any target.

    Returns
    -------
    labels : ndarray of object of shape (n_samples,)
        One string per row.

    Raises
    ------
    ValueError
        If the number of names is wrong, or two regimes would get the same label.

    Examples
    --------
    >>> from skcausal.interventions import regime_labels
    >>> mask = [[False, False], [True, False], [True, True]]
    >>> regime_labels(mask, variables=["raf", "mek"])
    array(['control', 'raf', 'raf+mek'], dtype=object)
    """
    if variables is None:
        variables = getattr(interventions, "columns", None)
    mask = _as_boolean(interventions)
    if variables is None:
        variables = [f"x{j}" for j in range(mask.shape[1])]
    variables = [str(name) for name in variables]
    if len(variables) != mask.shape[1]:
        raise ValueError(
            f"variables must name the {mask.shape[1]} columns of interventions, got "
            f"{len(variables)} names."
        )
    targets, regime = unique_regimes(mask)
    names = [sep.join(np.compress(row, variables)) if row.any() else control for row in targets]
    if len(set(names)) < len(names):
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(
            f"Different regimes would share the label {repeated!r}: a variable repeats a name, has "
            f"the name of the control, {control!r}, or contains the separator, {sep!r}; rename it "
            "or pass another control or sep."
        )
    return np.array(names, dtype=object)[regime]


def do(values: Mapping[Any, Any], *, variables: Collection[Any] | int) -> tuple[Table, Table]:
    """Build the query "what if these variables were set to these values?".

    Parameters
    ----------
    values : mapping of variable to float or array-like of shape (n_queries,)
        Do-values in the units of X. Scalars are repeated for every query; an empty mapping asks for
        the observational regime.
    variables : sequence of length n_variables, or int
        Names of the variables in the order of the training columns, usually
        ``estimator.feature_names_in_``; or, for an estimator that was fitted on an array, the
        number of variables (keys of `values` are then column indices).

    Returns
    -------
    X_query : DataFrame or ndarray of shape (n_queries, n_variables)
        The do-values; NaN, "unknown", in every cell that is not set.
    interventions : DataFrame or ndarray of bool of shape (n_queries, n_variables)
        True in the cells that are set.

    Raises
    ------
    ValueError
        If a key is not one of the variables, or a value is not finite.

    Examples
    --------
    >>> from skcausal.interventions import do
    >>> X_query, interventions = do({"pka": [0.0, 2.0]}, variables=["raf", "pka"])
    >>> X_query
       raf  pka
    0  NaN  0.0
    1  NaN  2.0
    >>> interventions
         raf   pka
    0  False  True
    1  False  True
    """
    if not isinstance(values, Mapping):
        raise TypeError(
            f"values must map variables to do-values, such as {{'pka': 2.0}}, got {values!r}."
        )
    named = not isinstance(variables, (int, np.integer))
    names: list[Any] = list(cast("Any", variables) if named else range(cast("int", variables)))
    unknown = [str(key) for key in values if key not in names]
    if unknown:
        raise ValueError(_unknown_names_message(unknown, names, "values"))
    columns = _do_columns(values)
    n_queries = len(columns[0]) if values else 1
    X_query = np.full((n_queries, len(names)), np.nan)
    interventions = np.zeros((n_queries, len(names)), dtype=bool)
    for key, column in zip(values, columns):
        X_query[:, names.index(key)] = column
        interventions[:, names.index(key)] = True
    if not named:
        return X_query, interventions
    import pandas as pd

    return pd.DataFrame(X_query, columns=names), pd.DataFrame(interventions, columns=names)


def _do_columns(values):
    """Do-values of each variable, repeated to one length."""
    columns = []
    for key, value in values.items():
        try:
            column = np.asarray(value, dtype=float)
        except (TypeError, ValueError):
            column = np.array(np.nan)
        if column.ndim > 1 or not np.isfinite(column).all():
            raise ValueError(
                f"The do-value of {key!r} must be a finite number or a one-dimensional array of "
                f"them, got {value!r}."
            )
        columns.append(column)
    try:
        return np.broadcast_arrays(np.zeros(1), *columns)[1:]
    except ValueError as error:
        raise ValueError(
            "values must be numbers, or arrays of one length (one entry per query); got shapes "
            f"{ {key: np.shape(value) for key, value in values.items()} }."
        ) from error


def check_interventions(
    interventions: MatrixLike | None, X: MatrixLike, *, variables: Collection[Any] | None = None
) -> np.ndarray:
    """Validate an intervention mask and align it with X.

    Parameters
    ----------
    interventions : array-like of bool of shape (n_samples, n_variables) or None
        The mask. None means that every row is observational.
    X : array-like of shape (n_samples, n_variables)
        The data that the mask belongs to.
    variables : sequence of length n_variables, default=None
        Names of the columns of X. Default: ``X.columns`` if X is a DataFrame. If these names and
        the mask's own column names are both known, the mask is reordered to the names; otherwise
        its columns are taken in order, with a warning if only the mask has names.

    Returns
    -------
    mask : ndarray of bool of shape (n_samples, n_variables)
        A new array.

    Raises
    ------
    TypeError
        If the mask is sparse, or not boolean.
    ValueError
        If its shape or its column names do not match X.

    Examples
    --------
    >>> import numpy as np
    >>> from skcausal.interventions import check_interventions
    >>> check_interventions(None, np.ones((1, 2)))
    array([[False, False]])
    >>> check_interventions([[1, 0]], np.ones((1, 2)))
    Traceback (most recent call last):
        ...
    TypeError: interventions must be a boolean mask, got dtype int64. If nonzero entries mark ...
    """
    shape = np.shape(X)
    if interventions is None:
        return np.zeros(shape, dtype=bool)
    if variables is None:
        variables = getattr(X, "columns", None)
    mask = _as_boolean(interventions)
    if mask.shape != shape:
        raise ValueError(
            f"interventions must have the shape of X, {shape}, got {mask.shape}: one row per row "
            "of X and one column per variable, intervened on or not."
        )
    _warn_of_row_order(interventions, X)
    mask_names = getattr(interventions, "columns", None)
    if variables is None and mask_names is not None and isinstance(mask_names[0], str):
        warnings.warn(
            "interventions has column names but X has none, perhaps because a transformer dropped "
            "them; the columns of interventions are taken in order. Keep the names with "
            "set_output(transform='pandas') on the transformer, or pass interventions.to_numpy() "
            "if the order is right.",
            UserWarning,
            stacklevel=3,
        )
    if variables is None or mask_names is None:
        return mask.copy()
    return mask[:, _column_order(list(mask_names), list(variables))]


def hide_free_cells(X, mask):
    """Copy X with NaN in every cell that no intervention set; a DataFrame keeps its names."""
    query = np.where(mask, np.asarray(X, dtype=float), np.nan)
    if not hasattr(X, "columns"):
        return query
    import pandas as pd

    return pd.DataFrame(query, columns=X.columns)


def check_regimes(regimes, mask):
    """Return the regime of each row as an integer (n_samples,); by default from its targets."""
    _, by_target = unique_regimes(mask)
    if regimes is None:
        return by_target
    labels = np.asarray(regimes)
    if labels.shape != (len(mask),):
        raise ValueError(
            f"regimes must hold one label for each of the {len(mask)} rows of X, got shape "
            f"{labels.shape}."
        )
    names, regime = np.unique(labels.astype(str), return_inverse=True)
    first = np.unique(regime, return_index=True)[1]
    mixed = by_target != by_target[first][regime]
    if mixed.any():
        raise ValueError(
            f"The rows of one regime must have the same targets, but those of regime "
            f"{str(names[regime[mixed.argmax()]])!r} differ; correct interventions or regimes."
        )
    return regime


def unique_regimes(mask):
    """Return distinct target sets (n_regimes, n_variables) and each row's regime (n_samples,).

    The observational regime comes first where it exists; the order does not depend on the rows'.
    """
    packed = np.packbits(mask, axis=1)
    targets, regime = np.unique(packed, axis=0, return_inverse=True)
    return np.unpackbits(targets, axis=1, count=mask.shape[1]).astype(bool), regime.reshape(-1)


def _split_label(label, sep, control):
    """Names of the targets in one label."""
    import pandas as pd

    if isinstance(label, str):
        names: Iterable = [part.strip() for part in label.split(sep)]
    elif isinstance(label, (tuple, list, set, frozenset, np.ndarray)):
        names = label
    else:
        names = [] if pd.isna(label) else [label]
    return [name for name in names if name not in ("", control)]


def _as_boolean(interventions):
    """Two-dimensional boolean array of a mask given as an array, DataFrame or nested list."""
    if hasattr(interventions, "toarray"):
        raise TypeError(
            "interventions must be a dense boolean mask, got a sparse one; pass "
            "interventions.toarray()."
        )
    try:
        mask = np.asarray(interventions)
    except ValueError:  # rows of different lengths, such as tuples of targets
        mask = np.empty(0, dtype=object)
    cells = mask.ravel().tolist() if mask.dtype == object else []
    if len(cells) and all(isinstance(cell, (bool, np.bool_)) for cell in cells):
        mask = mask.astype(bool)
    if mask.dtype != bool:
        raise TypeError(
            f"interventions must be a boolean mask, got dtype {mask.dtype}. If nonzero entries "
            "mark the targets, pass interventions != 0; labels or tuples of names become a mask "
            "through skcausal.interventions.intervention_mask. Features of perturbations that act "
            "on none of the variables in X, such as drugs and doses, are no mask."
        )
    if mask.ndim != 2:
        raise ValueError(
            "interventions must have two dimensions, (n_samples, n_variables), got shape "
            f"{mask.shape}."
        )
    return mask


def _warn_of_row_order(interventions, X):
    """Warn if two DataFrames hold the same index labels in another order: one was shuffled."""
    if not (hasattr(interventions, "index") and hasattr(X, "index") and hasattr(X, "columns")):
        return
    ours, theirs = interventions.index, X.index
    if not ours.equals(theirs) and ours.isin(theirs).all() and theirs.isin(ours).all():
        warnings.warn(
            "The rows of interventions and X have the same index labels in a different order; they "
            "are matched by position. If one of them was shuffled, pass "
            "interventions.loc[X.index]; if they do belong together, interventions.to_numpy().",
            UserWarning,
            stacklevel=4,
        )


def _column_order(mask_names, variables):
    """Positions in `mask_names` of each of `variables`."""
    if len(set(mask_names)) < len(mask_names) or set(mask_names) != set(variables):
        missing = [name for name in variables if name not in mask_names]
        extra = [name for name in mask_names if name not in variables]
        raise ValueError(
            "interventions and X must have the same column names: interventions lacks "
            f"{missing} and has {extra} besides. Rename its columns, or pass "
            "interventions.to_numpy() if they stand in the order of X."
        )
    position = {name: k for k, name in enumerate(mask_names)}
    return [position[name] for name in variables]


def _unknown_names_message(unknown, variables, argument):
    """Say which names are unknown and what was probably meant."""
    known = [str(name) for name in variables]
    close = difflib.get_close_matches(unknown[0], known, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    shown = ", ".join(known[:10]) + (", ..." if len(known) > 10 else "")
    return f"{argument} names {', '.join(unknown[:5])}, not among the variables {shown}.{hint}"
