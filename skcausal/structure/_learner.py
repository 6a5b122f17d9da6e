"""Base of the structure learners: learn a DAG, refit a linear-Gaussian SCM, predict with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skcausal.base import InterventionPredictor
from skcausal.graphs import to_networkx
from skcausal.structure._linear_scm import fit_linear_gaussian
from skcausal.structure._linear_scm_queries import LinearSCMQueries

if TYPE_CHECKING:
    import networkx


class StructureLearner(LinearSCMQueries, InterventionPredictor):
    """Base of the estimators that learn a graph and predict with the SCM refitted on it.

    A subclass writes ``_learn_graph(X, mask, regime)``, which returns a DAG.
    """

    def _fit(self, X, mask, regime):
        self.adjacency_ = np.asarray(self._learn_graph(X, mask, regime), dtype=np.int8)
        self.scm_ = fit_linear_gaussian(
            X, mask, self.adjacency_, names=getattr(self, "feature_names_in_", None)
        )

    def to_networkx(self) -> networkx.DiGraph:
        """Return the learned DAG as a graph with named nodes.

        Returns
        -------
        graph : networkx.DiGraph
            Nodes carry the names of the variables (column indices if there are none).
        """
        check_is_fitted(self)
        return to_networkx(self.adjacency_, getattr(self, "feature_names_in_", None))
