"""Features of perturbations: what is refused, and which contexts are doses of one perturbation."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array

from skcausal.perturbation._features import check_features, is_mask, perturbation_groups

NAMES = ["drug", "dose"]
VALUES = np.array([[0.0, 0.0], [1.0, 0.5], [1.0, 2.0]])


class TestIsMask:
    def test_booleans_of_the_shape_of_X(self):
        mask = np.eye(3, dtype=bool)
        assert is_mask(mask, (3, 3))
        assert is_mask(mask.tolist(), (3, 3))
        assert is_mask(pd.DataFrame(mask), (3, 3))

    def test_anything_else(self):
        assert not is_mask(None, (3, 3))
        assert not is_mask(np.eye(3), (3, 3))
        assert not is_mask(np.eye(3, dtype=int), (3, 3))
        assert not is_mask(np.eye(3, dtype=bool)[:, :2], (3, 3))
        assert not is_mask(pd.DataFrame({"a": [True, False], "b": [0, 1]}), (2, 2))


class TestCheckFeatures:
    def test_columns_are_brought_into_order(self):
        frame = pd.DataFrame(VALUES, columns=NAMES)
        found = check_features(frame[["dose", "drug"]], 3, names=NAMES, n_features=2)
        np.testing.assert_array_equal(found, VALUES)

    def test_booleans_count(self):
        found = check_features([[True, False], [False, True]], 2)
        np.testing.assert_array_equal(found, np.eye(2))
        assert found.dtype == np.float64

    def test_no_features_at_all(self):
        assert check_features(np.zeros((3, 0)), 3).shape == (3, 0)

    @pytest.mark.parametrize(
        ("interventions", "error", "message"),
        [
            (csr_array(VALUES), TypeError, r"must be dense; pass interventions.toarray\(\)"),
            (VALUES[:2], ValueError, r"one row for each of the 3 rows of X, found 2"),
            (VALUES[:, :1], ValueError, r"must have the 2 features that fit had, found 1"),
            (VALUES * [1.0, np.nan], ValueError, r"interventions contains NaN"),
            (VALUES + np.inf, ValueError, r"interventions contains infinity"),
            (VALUES[:, 0], ValueError, r"Expected 2D array"),
            (
                [["1mg", "2"]] * 3,
                ValueError,
                r"interventions must be numbers, found something else",
            ),
        ],
        ids=["sparse", "rows", "columns", "nan", "infinity", "vector", "strings"],
    )
    def test_refused(self, interventions, error, message):
        with pytest.raises(error, match=message):
            check_features(interventions, 3, n_features=2)

    @pytest.mark.parametrize(
        ("columns", "message"),
        [
            (["drug", "mg"], r"they lack \['dose'\] and have \['mg'\] besides"),
            (["drug"], r"they lack \['dose'\] and have \[\] besides"),
            (["drug", "dose", "mg"], r"they lack \[\] and have \['mg'\] besides"),
        ],
        ids=["renamed", "missing", "extra"],
    )
    def test_names_that_fit_did_not_see(self, columns, message):
        frame = pd.DataFrame(1.0, index=range(3), columns=columns)
        with pytest.raises(ValueError, match=message):
            check_features(frame, 3, names=NAMES)


class TestGroups:
    @pytest.mark.parametrize("seed", range(5))
    def test_pairs_one_by_one(self, seed):
        rng = np.random.default_rng(seed)
        features = np.unique(rng.integers(0, 3, size=(12, 3)).astype(float), axis=0)
        groups = np.arange(len(features))
        for a, b in combinations(range(len(features)), 2):
            same_nonzero = ((features[a] != 0) == (features[b] != 0)).all()
            if same_nonzero and (features[a] != features[b]).sum() == 1:
                groups[groups == groups[b]] = groups[a]
        found = perturbation_groups(features)
        np.testing.assert_array_equal(
            found[:, None] == found, groups[:, None] == groups, err_msg=str(features)
        )

    def test_doses_of_one_drug(self):
        """And two drugs together, of which both doses change, are linked by what lies between."""
        drugs = [[1, 0], [2, 0], [0, 1], [0, 3], [1, 1], [2, 1], [2, 2]]
        assert perturbation_groups(np.array(drugs, float)).tolist() == [0, 0, 1, 1, 2, 2, 2]
        assert len(set(perturbation_groups(np.array([[1.0, 1.0], [2.0, 2.0]])))) == 2

    @pytest.mark.parametrize("shape", [(0, 3), (1, 3), (1, 0)], ids=str)
    def test_nothing_to_join(self, shape):
        assert perturbation_groups(np.ones(shape)).tolist() == [0] * shape[0]
