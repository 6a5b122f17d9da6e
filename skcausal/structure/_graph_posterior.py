"""What posteriors over graphs share: edges, draws of graphs, and predictions averaged over them."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real

import numpy as np
import torch
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skcausal._adjacency import threshold_to_dag
from skcausal._typing import RandomStateLike
from skcausal.simulators._parameters import check_count
from skcausal.structure._bootstrap import LinearGaussianEnsemble
from skcausal.structure._free_sums import FreeSums
from skcausal.structure._graph_refit import refit_on_graphs
from skcausal.structure._learner import StructureLearner


class GraphPosterior(StructureLearner):
    """Base of the estimators of a distribution over graphs.

    A subclass has the attributes `threshold`, `acyclic`, `n_draws` and `random_state`, and writes
    ``_infer(X, mask, regime)``, which returns the edge probabilities (n_variables, n_variables),
    and ``_sample_graphs(n_graphs, rng)``.
    """

    def sample_graphs(
        self, n_graphs: int = 1, *, random_state: RandomStateLike = None
    ) -> np.ndarray:
        """Draw graphs from the posterior.

        Parameters
        ----------
        n_graphs : int, default=1
            Number of graphs.
        random_state : int, RandomState instance or None, default=None
            Seed of the draws.

        Returns
        -------
        graphs : ndarray of int8 of shape (n_graphs, n_variables, n_variables)
            Entry (k, i, j) = 1 means that graph k has an edge i -> j.
        """
        check_is_fitted(self)
        check_count("n_graphs", n_graphs)
        return self._sample_graphs(n_graphs, check_random_state(random_state))

    def _check_training_X(self, X):
        # A fit that fails or is interrupted leaves no mixture of two models behind.
        self._complete = False
        return super()._check_training_X(X)

    def __sklearn_is_fitted__(self):
        return getattr(self, "_complete", False)

    def _fit(self, X, mask, regime):
        check_count("n_draws", self.n_draws)
        threshold = self.threshold
        if not (isinstance(threshold, Real) and 0 <= float(threshold) <= 1):
            raise ValueError(f"threshold must be a probability, from 0 to 1; found {threshold!r}.")
        rng = check_random_state(self.random_state)
        self.edge_probabilities_ = self._infer(X, mask, regime)
        self.adjacency_ = edges_above(self.edge_probabilities_, threshold, acyclic=self.acyclic)
        graphs = self._sample_graphs(self.n_draws, rng)
        Z = (X - self.mean_) / self.scale_
        sums = FreeSums.from_rows(*(torch.from_numpy(array)[None] for array in (Z, mask)))
        scms = refit_on_graphs(sums, Z, mask, graphs, self._variable_name)
        self.scm_ = LinearGaussianEnsemble(
            tuple(scm.in_units(self.mean_, self.scale_) for scm in scms)
        )
        self._complete = True


@dataclass(frozen=True, eq=False)
class EdgeDraws:
    """Draws of graphs from independent edges.

    Parameters
    ----------
    probabilities : ndarray of shape (n_variables, n_variables)
        Probability of the edge i -> j in entry (i, j).
    acyclic : bool
        Whether edges that would close a cycle are left out, those of lower probability first.
    """

    probabilities: np.ndarray
    acyclic: bool

    def sample(self, n_graphs: int, rng: np.random.RandomState) -> np.ndarray:
        """Draw int8 graphs (n_graphs, n_variables, n_variables)."""
        drawn = rng.random_sample((n_graphs, *self.probabilities.shape)) < self.probabilities
        if not self.acyclic:
            return drawn.astype(np.int8)
        return np.stack([threshold_to_dag(graph * self.probabilities, 0.0) for graph in drawn])


def edges_above(probabilities, threshold, *, acyclic):
    """Return the int8 graph of edges that are more probable than the threshold."""
    if acyclic:
        return threshold_to_dag(probabilities, threshold)
    return (probabilities > threshold).astype(np.int8)
