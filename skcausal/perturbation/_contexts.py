"""Contexts: rows that share the features of a perturbation, and what is kept of them."""

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True, eq=False)
class Contexts:
    """Sufficient statistics of the rows of each context; the control comes first.

    Parameters
    ----------
    features : ndarray of shape (n_contexts, n_features)
        Distinct rows of features; the first one is 0 throughout.
    n_rows : ndarray of int of shape (n_contexts,)
        Number of rows.
    means : ndarray of shape (n_contexts, n_variables)
        Means of the rows.
    scatter : ndarray of shape (n_variables, n_variables)
        Sum of the outer products of deviations from the means of their contexts.
    scatters : ndarray of shape (n_contexts, n_variables, n_variables) or None
        The same for each context; None unless asked for.
    context_of_row : ndarray of int of shape (n_samples,)
        Context of each row.
    """

    features: np.ndarray
    n_rows: np.ndarray
    means: np.ndarray
    scatter: np.ndarray
    scatters: np.ndarray | None
    context_of_row: np.ndarray

    @property
    def n_within(self):
        """Degrees of freedom of the scatter."""
        return int(self.n_rows.sum() - len(self.n_rows))

    def standardised(self):
        """Bring variables to control mean 0 and deviation 1 inside contexts.

        Returns
        -------
        contexts : Contexts
            The statistics of the standardised variables.
        centre, scale : ndarray of shape (n_variables,)
            What was subtracted, and what divided by; 1 for a variable that is constant inside all
            contexts.
        """
        variance = np.diag(self.scatter) / max(self.n_within, 1)
        spread = np.abs(self.means).max(axis=0)
        scale = np.sqrt(variance)
        # Rounding errors of a constant column are no variance.
        flat = scale <= 1e-10 * np.maximum(spread, 1e-140)
        scale = np.where(flat, 1.0, scale)
        outer = np.outer(scale, scale)
        standardised = replace(
            self,
            means=(self.means - self.means[0]) / scale,
            scatter=self.scatter / outer,
            scatters=None if self.scatters is None else self.scatters / outer,
        )
        return standardised, self.means[0], scale


def summarise_contexts(X, features, *, separately=False):
    """Group rows by their features.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_variables)
        Outcomes.
    features : ndarray of shape (n_samples, n_features)
        Features of perturbations.
    separately : bool, default=False
        Whether to keep the scatter of each context.

    Returns
    -------
    contexts : Contexts
        Their statistics. The order of the contexts does not depend on that of the rows.

    Raises
    ------
    ValueError
        If no row is a control, that is, has features that are all 0.
    """
    distinct, context = distinct_rows(features)
    control = ~distinct.any(axis=1)
    if not control.any():
        raise ValueError(
            "interventions hold no control: no row of features is 0 throughout, so there is "
            "nothing that perturbations could be compared with. Mark controls by rows of zeros "
            "(and leave constant columns out: the model has an intercept)."
        )
    # The control first, the others in the order of their features.
    place = np.argsort(~control, kind="stable")
    rank = np.empty_like(place)
    rank[place] = np.arange(len(place))
    context = rank[context]
    n_rows = np.bincount(context)
    means = sum_by_group(X, context, len(n_rows)) / n_rows[:, None]
    within = X - means[context]
    scatters = None
    if separately:
        order = np.argsort(context, kind="stable")
        parts = np.split(within[order], np.cumsum(n_rows)[:-1])
        scatters = np.stack([part.T @ part for part in parts])
    return Contexts(distinct[place], n_rows, means, within.T @ within, scatters, context)


def distinct_rows(features):
    """Distinct rows (n_contexts, n_features), sorted, and the number of each row's."""
    # Adding 0 turns -0.0 into 0.0, which np.unique tells apart in the view that it sorts.
    distinct, context = np.unique(features + 0.0, axis=0, return_inverse=True)
    return distinct, context.reshape(-1)


def sum_by_group(X, group, n_groups):
    """Sum the rows of each group: (n_groups, n_variables)."""
    order = np.argsort(group, kind="stable")
    counts = np.bincount(group, minlength=n_groups)
    starts = np.cumsum(counts) - counts
    # reduceat gives an empty group the row at its start: no group is empty here.
    return np.add.reduceat(X[order], starts, axis=0)
