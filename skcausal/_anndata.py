"""Tables for the estimators out of an annotated matrix of cells."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils import Bunch

if TYPE_CHECKING:
    from anndata import AnnData


def from_anndata(
    adata: AnnData,
    *,
    perturbation: str,
    control: str = "control",
    dose: str | None = None,
    sep: str = "+",
    layer: str | None = None,
    variables: str | Collection[str] | None = None,
) -> Bunch:
    """Read expression, perturbation features and regimes out of an AnnData object.

    Parameters
    ----------
    adata : AnnData of shape (n_obs, n_vars)
        Annotated cells. Only its attributes `X`, `layers`, `obs` and `var_names` are read, so
        the anndata package need not be installed; backed data are read into memory.
    perturbation : str
        Column of ``adata.obs`` with the label of each cell: the name of what perturbs it, or
        several names joined by `sep`.
    control : str, default="control"
        Label of the unperturbed cells. It is ignored inside a combination (``"STAT1+control"``).
    dose : str, default=None
        Column of ``adata.obs`` with the dose of each cell: a positive number, the same for all
        names of a combination, or one number for each, joined by `sep`. Doses of control cells are
        not read. None: no doses.
    sep : str, default="+"
        What separates the names, and the doses, of a combination.
    layer : str, default=None
        Which of ``adata.layers`` holds the values. None: ``adata.X``.
    variables : str or sequence of str, default=None
        Variables to keep, in this order; a sparse matrix is made dense only in these. None: all.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object with the following attributes, all of them indexed by the names of
        the cells.

        X : DataFrame of float of shape (n_obs, n_variables)
            Values of the variables.
        interventions : DataFrame of float of shape (n_obs, n_perturbations)
            Perturbation features, one column per name in sorted order: the dose, 1 without doses,
            where the cell is perturbed, else 0. Control cells are zero rows.
        regimes : Series of str of shape (n_obs,)
            Names in sorted order, joined by `sep`, each with its dose where there are doses, such
            as "nutlin@0.5"; or "control", whatever `control` is.
        obs : DataFrame of shape (n_obs, n_columns)
            A copy of the table of the cells.

    Raises
    ------
    ValueError
        If a column, layer or variable does not exist or a variable's name is repeated, a label is
        missing, no cell or every cell is a control, or a perturbed cell has no positive, finite
        dose for each of its names.

    See Also
    --------
    intervention_mask : Where the perturbations set variables of X, as knock-outs do.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from types import SimpleNamespace
    >>> from skcausal.interventions import from_anndata
    >>> obs = pd.DataFrame({"drug": ["vehicle", "b+a", "b"], "um": [0.0, 2.0, 0.5]})
    >>> adata = SimpleNamespace(
    ...     X=np.eye(3), layers={}, obs=obs, var_names=["g1", "g2", "g3"]
    ... )
    >>> data = from_anndata(adata, perturbation="drug", control="vehicle", dose="um")
    >>> data.interventions
         a    b
    0  0.0  0.0
    1  2.0  2.0
    2  0.0  0.5
    >>> data.regimes.tolist()
    ['control', 'a@2+b@2', 'b@0.5']
    """
    import pandas as pd

    if getattr(adata, "isbacked", False):
        adata = adata.to_memory()
    labels = _obs_column(adata, perturbation, "perturbation").astype(object)
    if labels.isna().any():
        raise ValueError(
            f"Column {perturbation!r} of adata.obs has no label in {labels.isna().sum()} of "
            f"{len(labels)} cells; drop these cells or fill in the label of the control, "
            f"{control!r}."
        )
    labels, control, index = labels.astype(str), str(control), adata.obs.index
    codes, conditions = pd.factorize(pd.MultiIndex.from_arrays([labels, _doses(adata, dose)]))
    parsed = [_parse(*condition, control=control, sep=sep) for condition in conditions]
    _check_controls(labels, parsed, perturbation, control)
    names = sorted({name for features in parsed for name in features})
    interventions = pd.DataFrame(parsed, columns=names, dtype=np.float64).fillna(0.0)
    regimes = pd.Series(
        [_regime(features, sep, with_dose=dose is not None) for features in parsed], dtype=str
    )
    return Bunch(
        X=_expression(adata, layer, variables).set_axis(index, axis=0),
        interventions=interventions.iloc[codes].set_axis(index, axis=0),
        regimes=regimes.iloc[codes].set_axis(index, axis=0).rename("regime"),
        obs=adata.obs.copy(),
    )


def _obs_column(adata, name, argument):
    """Column of adata.obs that an argument names."""
    columns = list(adata.obs.columns)
    if name not in columns:
        raise ValueError(
            f"{argument}={name!r} is not among the columns of adata.obs: "
            f"{_shown(columns)}.{_hint(name, columns)}"
        )
    return adata.obs[name]


def _doses(adata, dose):
    """Dose of each cell as a string: strings can hold one number for each name."""
    if dose is None:
        return ["1"] * len(adata.obs)
    return [str(value) for value in _obs_column(adata, dose, "dose").to_numpy()]


def _parse(label, doses, *, control, sep):
    """Dose of each name in one label; empty for the control."""
    label = label.strip()
    names = [label] if label == control else [name.strip() for name in label.split(sep)]
    if not all(names):
        raise ValueError(
            f"The label {label!r} has an empty name; correct it, or pass another sep than {sep!r}."
        )
    if all(name == control for name in names):
        return {}
    single = _positive(doses)
    values = [_positive(part) for part in doses.split(sep)] if single is None else [single]
    values = values * len(names) if len(values) == 1 else values
    perturbed = [(name, value) for name, value in zip(names, values) if name != control]
    if len(values) != len(names) or any(value is None for _, value in perturbed):
        raise ValueError(
            f"Cells with the label {label!r} have the dose {doses!r}; give a positive, finite "
            f"number, or one for each name joined by {sep!r}, or drop these cells."
        )
    features = dict(perturbed)
    if any(features[name] != value for name, value in perturbed):
        raise ValueError(
            f"Cells with the label {label!r} and the dose {doses!r} have two doses of one name; "
            "name it once, with the total dose."
        )
    return features


def _positive(text):
    """Return the number if it is positive and finite, else None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0.0 < value < np.inf else None


def _regime(features, sep, *, with_dose):
    """Label of the regime: names in sorted order, with the shortest exact form of the dose."""
    labels = []
    for name, dose in sorted(features.items()):
        number = np.format_float_positional(dose, trim="-")
        labels.append(f"{name}@{number}" if with_dose else name)
    return sep.join(labels) or "control"


def _check_controls(labels, parsed, perturbation, control):
    """Raise if there is no control cell, or no other."""
    if all(parsed):
        present = sorted(set(labels))
        raise ValueError(
            f"No cell has the label of the control, {control!r}: column {perturbation!r} of "
            f"adata.obs holds {_shown(present)}. Pass one of them as control."
            f"{_hint(control, present)}"
        )
    if not any(parsed):
        raise ValueError(
            f"Every cell has the label of the control, {control!r}: column {perturbation!r} of "
            "adata.obs names no perturbation; pass another column."
        )


def _expression(adata, layer, variables):
    """Values of the variables as a dense DataFrame of float64."""
    import pandas as pd

    if layer is not None and layer not in adata.layers:
        known = list(adata.layers)
        raise ValueError(
            f"layer={layer!r} is not among adata.layers: {_shown(known)}.{_hint(layer, known)}"
        )
    values = adata.X if layer is None else adata.layers[layer]
    if values is None:
        raise ValueError("adata.X is None; name the layer that holds the values, layer=...")
    names = pd.Index(adata.var_names)
    chosen = names if variables is None else pd.Index(np.atleast_1d(variables))
    unknown = chosen[~chosen.isin(names)]
    if len(unknown):
        raise ValueError(
            f"variables must be names out of adata.var_names, found {unknown[0]!r} and "
            f"{len(unknown) - 1} others that are not.{_hint(unknown[0], names)}"
        )
    repeated = chosen[chosen.duplicated() | chosen.isin(names[names.duplicated()])]
    if len(repeated):
        raise ValueError(
            f"Several variables have the name {repeated[0]!r}; call "
            "adata.var_names_make_unique(), or name each variable once in variables."
        )
    if variables is not None:
        values = values[:, names.get_indexer_for(chosen)]
    dense = values.toarray() if hasattr(values, "toarray") else values
    return pd.DataFrame(np.array(dense, dtype=np.float64), columns=chosen)


def _shown(names):
    """Return the first names, for a message."""
    return ", ".join(map(str, names[:10])) + (", ..." if len(names) > 10 else "") or "none"


def _hint(name, known):
    """Say which known name was probably meant."""
    close = difflib.get_close_matches(str(name), [str(other) for other in known], n=1)
    return f" Did you mean {close[0]!r}?" if close else ""
