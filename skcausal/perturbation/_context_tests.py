"""Gaussian tests of edges, and of what differs between contexts and the controls.

All are read off one Gram matrix per context, and those of all contexts are made at once.
"""

import numpy as np
from scipy.special import fdtr, fdtrc, stdtr

from skcausal.base import is_constant
from skcausal.structure._gaussian_tests import centred, coefficient_tests

# Relative to the overall variance of a standardised variable: below it a variance counts as zero.
_ZERO_VARIANCE = 1e-10


class ContextTests:
    """Tests of edges within contexts, and of invariance between each context and the controls.

    A test that the data cannot decide has p-value 1: independence and invariance stand.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_variables)
        Outcomes.
    context_of_row : ndarray of int of shape (n_samples,)
        Context of each row; 0 for controls.
    ci_data : {"pooled", "observational"}
        Rows that tests of edges use: those of all contexts, with an intercept for each, or the
        controls.
    """

    def __init__(self, X, context_of_row, *, ci_data):
        self.n_variables = X.shape[1]
        self._grams = _context_grams(X, context_of_row)
        scatters, n_rows = centred(self._grams)
        used = slice(None) if ci_data == "pooled" else slice(1)
        self._scatter, self._dof = scatters[used].sum(axis=0), (n_rows[used] - 1.0).sum()

    def edge_pvalues(self, j, candidates):
        """Test for every candidate parent i whether i and j are independent given the others.

        Parameters
        ----------
        j : int
            The child.
        candidates : ndarray of bool of shape (n_variables,)
            Its candidate parents.

        Returns
        -------
        pvalues : ndarray of shape (n_variables,)
            P-values of the partial correlations; 1 for the other variables.
        """
        parents = np.flatnonzero(candidates)
        pvalues = np.ones(len(candidates))
        t, dof = coefficient_tests(self._scatter, self._dof, j, parents)
        if dof >= 1:
            pvalues[parents] = 2.0 * stdtr(dof, -np.abs(t))
        return pvalues

    def invariance_pvalues(self, j, parents):
        """Test for every context whether p(j | parents) is that of the controls.

        Parameters
        ----------
        j : int
            The variable.
        parents : ndarray of bool of shape (n_variables,)
            What it is regressed on.

        Returns
        -------
        pvalues : ndarray of shape (n_contexts,)
            P-values; 1 for the control.
        """
        cells = np.concatenate([[0], np.flatnonzero(parents) + 1, [j + 1]])
        grams = self._grams[:, cells[:, None], cells]
        return np.append(1.0, invariance_tests(grams[1:], grams[0]))


def invariance_tests(first, second):
    """Test whether samples share the linear Gaussian conditional distribution of another one.

    Twice the smaller of two p-values (Bonferroni): Chow's F-test that intercept and coefficients
    are equal, and the F-test that the residual variances are.

    Parameters
    ----------
    first : ndarray of shape (n_tests, k + 2, k + 2)
        Gram matrix of each sample: a constant, the k regressors, the response.
    second : ndarray of shape (k + 2, k + 2)
        Gram matrix of the sample that all are compared with.

    Returns
    -------
    pvalues : ndarray of shape (n_tests,)
        1 where a test has no degrees of freedom.
    """
    (rss1, dof1), (rss2, dof2), (rss, dof) = map(_regress, (first, second[None], first + second))
    within = dof1 + dof2
    restrictions = dof - within
    decided = (within >= 1) & (restrictions >= 1)
    noise = np.maximum(rss1 + rss2, _ZERO_VARIANCE * within) / np.maximum(within, 1)
    rise = np.maximum(rss - rss1 - rss2, 0.0) / np.maximum(restrictions, 1)
    chow = fdtrc(np.maximum(restrictions, 1), np.maximum(within, 1), rise / noise.clip(1e-300))
    variance1, variance2 = (
        np.maximum(rss / np.maximum(dof, 1), _ZERO_VARIANCE)
        for rss, dof in ((rss1, dof1), (rss2, dof2))
    )
    dofs = np.maximum(dof1, 1), np.maximum(dof2, 1)
    ratio = variance1 / variance2
    spread = 2.0 * np.minimum(fdtr(*dofs, ratio), fdtrc(*dofs, ratio))
    # Without degrees of freedom inside a sample Chow's test is his predictive one, on its own.
    both = 2.0 * np.minimum(chow, spread)
    pvalues = np.where(np.minimum(dof1, dof2) < 1, chow, both)
    return np.where(decided, np.minimum(pvalues, 1.0), 1.0)


def _context_grams(X, context_of_row):
    """Gram matrices (n_contexts, d + 1, d + 1) of a constant and the standardised columns."""
    constant = is_constant(X)
    Z = np.where(constant, 0.0, X - X.mean(axis=0)) / np.where(constant, 1.0, X.std(axis=0))
    Z = np.column_stack([np.ones(len(Z)), Z])
    order = np.argsort(context_of_row, kind="stable")
    ends = np.cumsum(np.bincount(context_of_row))
    return np.stack([rows.T @ rows for rows in np.split(Z[order], ends[:-1])])


def _regress(grams):
    """Residual sums of squares and degrees of freedom (n_tests,) of the last on the others."""
    scatter, n_rows = centred(grams)
    variance = np.diagonal(scatter, axis1=1, axis2=2)[:, :-1]
    varies = variance > _ZERO_VARIANCE * np.maximum(n_rows, 1.0)[:, None]
    scale = np.where(varies, 1.0 / np.sqrt(np.where(varies, variance, 1.0)), 0.0)
    scaled = scatter[:, :-1, :-1] * scale[:, :, None] * scale[:, None, :]
    eigenvalues, vectors = np.linalg.eigh(scaled)
    keep = eigenvalues > _ZERO_VARIANCE
    projection = np.einsum("tpq,tp->tq", vectors, scale * scatter[:, :-1, -1])
    explained = np.where(keep, projection**2 / np.where(keep, eigenvalues, 1.0), 0.0).sum(axis=1)
    rss = np.maximum(scatter[:, -1, -1] - explained, 0.0)
    return rss, n_rows - 1.0 - keep.sum(axis=1)
