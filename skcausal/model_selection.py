"""Cross-validation over interventions or environments: test on those training has not seen."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral, Real
from typing import Literal

import numpy as np
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import _num_samples

from skcausal._labels import check_labels, split_columns
from skcausal._typing import MatrixLike, PerRow, RandomStateLike
from skcausal.interventions import check_interventions, check_regimes

__all__ = ["LeaveInterventionsOut", "LeaveOneEnvironmentOut"]


class LeaveInterventionsOut(BaseCrossValidator):
    """Hold out interventions; observational rows always train.

    Parameters
    ----------
    n_splits : int or None, default=5
        Number of folds. None: one fold per held-out unit.
    holdout : {"regimes", "targets", "combinations"}, default="regimes"
        The unit that is held out.

        - "regimes": distinct sets of targets, or distinct labels if `regimes` is given.
        - "targets": single variables. A fold tests on every row that intervenes on one of its
          variables, alone or with others, so the tested targets are new to the model. A row whose
          targets fall into several folds is tested in each of them.
        - "combinations": sets of two or more targets; single interventions always train.

        Only "regimes" reads the metadata `regimes`: the other two hold out all conditions that act
        on a target, or on a set of targets, together.

        Where `interventions` are features of perturbations, such as drugs times doses, a nonzero
        feature takes the part of a target, and "regimes" are distinct rows of features, or labels:
        with a label for each drug, all its doses are held out together.
    shuffle : bool, default=False
        Assign units to folds in random order instead of their sorted order.
    random_state : int, RandomState instance or None, default=None
        Seed of the shuffling.

    Notes
    -----
    The splitter reads the metadata `interventions`, which searches and ``cross_validate`` pass on
    when metadata routing is enabled. The metadata `regimes`, names of experimental conditions, may
    refine the sets of targets: two conditions with one target are then held out one at a time.

    ``cross_val_predict`` refuses this splitter, because its test sets are no partition of the rows,
    and hands no metadata to ``predict`` in any case; write the loop over ``split`` instead.

    Examples
    --------
    >>> import numpy as np
    >>> from skcausal.interventions import intervention_mask
    >>> from skcausal.model_selection import LeaveInterventionsOut
    >>> mask = intervention_mask(["control", "a", "b", "a+b", "a"], variables=["a", "b"])
    >>> for train, test in LeaveInterventionsOut(n_splits=None).split(mask, interventions=mask):
    ...     print(train, test)
    [0 1 3 4] [2]
    [0 2 3] [1 4]
    [0 1 2 4] [3]

    Two drugs at two doses, held out one dose at a time and one drug at a time.

    >>> doses = np.array([[0, 0], [0.5, 0], [2, 0], [0, 0.5], [0, 2]])
    >>> splitter = LeaveInterventionsOut(n_splits=None)
    >>> [test.tolist() for _, test in splitter.split(doses, interventions=doses)]
    [[3], [4], [1], [2]]
    >>> drugs = ["none", "a", "a", "b", "b"]
    >>> folds = splitter.split(doses, interventions=doses, regimes=drugs)
    >>> [test.tolist() for _, test in folds]
    [[1, 2], [3, 4]]
    """

    __metadata_request__split = {"interventions": True, "regimes": True}

    def __init__(
        self,
        n_splits: int | None = 5,
        *,
        holdout: Literal["regimes", "targets", "combinations"] = "regimes",
        shuffle: bool = False,
        random_state: RandomStateLike = None,
    ) -> None:
        self.n_splits = n_splits
        self.holdout = holdout
        self.shuffle = shuffle
        self.random_state = random_state

    def get_n_splits(
        self,
        X: MatrixLike | None = None,
        y: object = None,
        groups: object = None,
        *,
        interventions: PerRow = None,
        regimes: PerRow = None,
    ) -> int:
        """Return the number of folds.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_variables), default=None
            The data; needed with ``n_splits=None``.
        y : None
            Ignored.
        groups : None
            Ignored.
        interventions : array-like of shape (n_samples, n_features), default=None
            As in :meth:`split`; needed with ``n_splits=None``.
        regimes : array-like of shape (n_samples,), default=None
            As in :meth:`split`.

        Returns
        -------
        n_splits : int
            The number of folds.
        """
        if self.n_splits is not None:
            return self.n_splits
        return len(self._test_units(interventions if X is None else X, interventions, regimes))

    def split(
        self,
        X: MatrixLike,
        y: object = None,
        groups: object = None,
        *,
        interventions: MatrixLike | None = None,
        regimes: PerRow = None,
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield row indices of training and test set of each fold.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_variables)
            The data.
        y : None
            Ignored.
        groups : None
            Ignored.
        interventions : array-like of shape (n_samples, n_variables) or (n_samples, n_features)
            Booleans: True where the mechanism of a variable was replaced in a row. Numbers:
            features of the perturbation of each row; rows of zeros mark controls.
        regimes : array-like of shape (n_samples,), default=None
            Label of the experimental condition of each row. Default: distinct sets of targets, or
            distinct rows of features.

        Yields
        ------
        train : ndarray of int
            Row indices of the training set.
        test : ndarray of int
            Row indices of the test set.

        Raises
        ------
        ValueError
            If `interventions` is missing, or holds fewer units than there are folds.
        """
        units = self._test_units(X, interventions, regimes)
        n_splits = len(units) if self.n_splits is None else self.n_splits
        if len(units) < 2:
            raise ValueError(
                f"interventions must hold at least 2 {self.holdout} that can be held out, found "
                f"{len(units)}."
            )
        if not (isinstance(n_splits, Integral) and 2 <= n_splits <= len(units)):
            raise ValueError(
                f"n_splits must be None or an integer from 2 to {len(units)}, the number of "
                f"{self.holdout} that can be held out, got {n_splits!r}."
            )
        order = np.arange(len(units))
        if self.shuffle:
            order = check_random_state(self.random_state).permutation(order)
        rows = np.arange(_num_samples(X))
        for fold in np.array_split(order, n_splits):
            test = np.any([units[u] for u in fold], axis=0)
            yield rows[~test], rows[test]

    def _test_units(self, X, interventions, regimes):
        """Boolean row selections (n_samples,), one per unit that can be held out."""
        if interventions is None:
            raise ValueError(
                "LeaveInterventionsOut needs interventions: pass them to split, or as metadata "
                "with sklearn.set_config(enable_metadata_routing=True), e.g. "
                "search.fit(X, interventions=mask)."
            )
        features = None
        if _are_features(interventions):
            features = _check_features(interventions, _num_samples(X))
            mask = features != 0
        else:
            mask = check_interventions(interventions, X)
        if self.holdout == "targets":
            return [column for column in mask.T if column.any()]
        if self.holdout not in ("regimes", "combinations"):
            raise ValueError(
                f"holdout must be 'regimes', 'targets' or 'combinations', got {self.holdout!r}."
            )
        if self.holdout == "combinations":
            unit, fewest_targets = check_regimes(None, mask), 2
        elif features is None:
            unit, fewest_targets = check_regimes(regimes, mask), 1
        else:
            unit, fewest_targets = _regimes_of_features(regimes, features), 1
        eligible = mask.sum(axis=1) >= fewest_targets
        return [eligible & (unit == u) for u in np.unique(unit[eligible])]


def _are_features(interventions):
    """Whether interventions are numbers, perhaps beside booleans, and no mask."""
    values = np.asarray(interventions)
    if values.dtype == object:
        return any(isinstance(cell, Real) and not isinstance(cell, bool) for cell in values.flat)
    return values.dtype.kind in "iuf"


def _check_features(interventions, n_samples):
    """Features of perturbations (n_samples, n_features) as floating point numbers."""
    features = check_array(interventions, dtype=np.float64, input_name="interventions")
    if len(features) != n_samples:
        raise ValueError(
            f"interventions must have one row for each of the {n_samples} rows of X, found "
            f"{len(features)}."
        )
    return features


def _regimes_of_features(regimes, features):
    """Label, or else distinct row of features, of each row as an integer (n_samples,)."""
    if regimes is not None:
        # A label may stand for several rows of features, so there is no mask to agree with.
        return check_regimes(regimes, np.zeros((len(features), 1), dtype=bool))
    # Adding 0 turns -0.0 into 0.0, which np.unique tells apart.
    return np.unique(features + 0.0, axis=0, return_inverse=True)[1].reshape(-1)


class LeaveOneEnvironmentOut(BaseCrossValidator):
    """Hold out one environment at a time.

    Environments (sites, batches, machines, years) share the mechanism of interest and differ in
    others. A model that does well in environments it was not trained on does not lean on what is
    particular to one.

    Parameters
    ----------
    environment_column : str or int, default=None
        Name or position of the column of X that holds the environment. None: read the metadata
        `environment` instead.

    Notes
    -----
    The splitter reads the metadata `environment`, which searches and ``cross_validate`` pass on
    when metadata routing is enabled. Without routing, keep the environment in X and name its
    column. It stays in X: an estimator for which it is no covariate has to leave it out.

    Examples
    --------
    >>> import numpy as np
    >>> from skcausal.model_selection import LeaveOneEnvironmentOut
    >>> X, site = np.zeros((5, 2)), ["a", "b", "b", "c", "a"]
    >>> for train, test in LeaveOneEnvironmentOut().split(X, environment=site):
    ...     print(train, test)
    [1 2 3] [0 4]
    [0 3 4] [1 2]
    [0 1 2 4] [3]
    """

    __metadata_request__split = {"environment": True}

    def __init__(self, *, environment_column: str | int | None = None) -> None:
        self.environment_column = environment_column

    def get_n_splits(
        self,
        X: MatrixLike | None = None,
        y: object = None,
        groups: object = None,
        *,
        environment: PerRow = None,
    ) -> int:
        """Return the number of folds: that of the environments.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), default=None
            The data; needed with `environment_column`.
        y : None
            Ignored.
        groups : None
            Ignored.
        environment : array-like of shape (n_samples,), default=None
            As in :meth:`split`.

        Returns
        -------
        n_splits : int
            The number of folds.
        """
        return int(self._environments(X, environment).max()) + 1

    def split(
        self, X: MatrixLike, y: object = None, groups: object = None, *, environment: PerRow = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield row indices of training and test set of each fold.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The data.
        y : None
            Ignored.
        groups : None
            Ignored.
        environment : array-like of shape (n_samples,), default=None
            Environment of each row, labels of any type. Required without `environment_column`.

        Yields
        ------
        train : ndarray of int
            Row indices of all other environments.
        test : ndarray of int
            Row indices of one environment; environments come in sorted order.

        Raises
        ------
        ValueError
            If the environment is missing, for all rows or some, is given twice, or there are fewer
            than two.
        """
        environments = self._environments(X, environment)
        for held_out in range(environments.max() + 1):
            yield np.flatnonzero(environments != held_out), np.flatnonzero(environments == held_out)

    def _environments(self, X, environment):
        """Each row's environment (n_samples,) as an integer from 0 on."""
        if self.environment_column is not None:
            if environment is not None:
                raise ValueError(
                    "environment is given twice, as metadata and as environment_column="
                    f"{self.environment_column!r}; leave one of them out."
                )
            column = {"environment_column": self.environment_column}
            environment = split_columns(X, column)[0]["environment_column"]
        elif environment is None:
            raise ValueError(
                "LeaveOneEnvironmentOut needs environment: pass it to split, or as metadata with "
                "sklearn.set_config(enable_metadata_routing=True), e.g. "
                "search.fit(X, y, environment=e); or keep it in X and name its column with "
                "environment_column."
            )
        n_samples = _num_samples(environment if X is None else X)
        codes, levels = check_labels(environment, n_samples, name="environment")
        if len(levels) < 2:
            raise ValueError(
                "environment must have at least two levels, one to test on and one to train on, "
                f"found {levels.tolist()}."
            )
        return codes
