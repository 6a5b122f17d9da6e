"""Features of perturbations: validation, and which contexts belong to one perturbation."""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.utils.validation import check_array

# Magnitudes whose squares, and sums of them, are numbers.
_SMALLEST, _LARGEST = 1e-100, 1e100


def is_mask(interventions, shape):
    """Whether interventions are a boolean mask of the shape of X, rather than numbers."""
    if interventions is None or np.shape(interventions) != tuple(shape):
        return False
    return np.asarray(interventions).dtype == bool


def check_features(interventions, n_samples, *, names=None, n_features=None):
    """Validate features of perturbations.

    Parameters
    ----------
    interventions : array-like of shape (n_samples, n_features)
        Numbers; booleans count as 0 and 1.
    n_samples : int
        Number of rows of X.
    names : sequence of str of length n_features, default=None
        Names that a DataFrame must have; its columns are brought into this order.
    n_features : int, default=None
        Number of columns that there must be.

    Returns
    -------
    features : ndarray of float64 of shape (n_samples, n_features)
        The features.

    Raises
    ------
    TypeError
        If they are sparse.
    ValueError
        If they are not numbers, not finite, of another shape or of other names.
    """
    if hasattr(interventions, "toarray"):
        raise TypeError("interventions must be dense; pass interventions.toarray().")
    columns = getattr(interventions, "columns", None)
    if names is not None and columns is not None:
        missing = [str(name) for name in names if name not in columns]
        if missing or len(columns) != len(names):
            extra = [str(name) for name in columns if name not in names]
            raise ValueError(
                f"interventions must have the columns that fit had: they lack {missing[:5]} and "
                f"have {extra[:5]} besides."
            )
        interventions = interventions[list(names)]
    if np.iscomplexobj(interventions):
        raise ValueError("interventions must be real numbers, found complex ones.")
    try:
        interventions = np.asarray(interventions, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            "interventions must be numbers, found something else: encode names of perturbations as "
            "columns, for instance by pandas.get_dummies, with rows of zeros for controls."
        ) from error
    features = check_array(interventions, ensure_min_features=0, input_name="interventions")
    magnitude = np.abs(features[features != 0])
    if magnitude.size and not _SMALLEST <= magnitude.min() <= magnitude.max() <= _LARGEST:
        raise ValueError(
            f"interventions hold numbers of magnitudes {magnitude.min():.3g} to "
            f"{magnitude.max():.3g}, whose squares are beyond float64; choose other units."
        )
    if len(features) != n_samples:
        raise ValueError(
            f"interventions must have one row for each of the {n_samples} rows of X, found "
            f"{len(features)}."
        )
    if n_features is not None and features.shape[1] != n_features:
        raise ValueError(
            f"interventions must have the {n_features} features that fit had, found "
            f"{features.shape[1]}."
        )
    return features


def perturbation_groups(features):
    """Tell which contexts are doses of one perturbation.

    Two contexts belong together if the same features are nonzero and all but one agree.

    Parameters
    ----------
    features : ndarray of shape (n_contexts, n_features)
        Distinct rows.

    Returns
    -------
    groups : ndarray of int of shape (n_contexts,)
        Number of the perturbation of each context.
    """
    n_contexts, n_features = features.shape
    edges = []
    for left_out in range(n_features):
        rest = np.column_stack([np.delete(features, left_out, axis=1), features[:, left_out] != 0])
        _, label = np.unique(rest, axis=0, return_inverse=True)
        order = np.argsort(label.reshape(-1), kind="stable")
        same = np.diff(label.reshape(-1)[order]) == 0
        edges.append(np.stack([order[:-1][same], order[1:][same]]))
    rows, columns = np.concatenate(edges, axis=1) if edges else np.zeros((2, 0), dtype=int)
    graph = coo_array((np.ones(len(rows)), (rows, columns)), shape=(n_contexts, n_contexts))
    return connected_components(graph, directed=False)[1]
