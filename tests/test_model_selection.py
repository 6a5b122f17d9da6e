"""Splits over interventions and environments: what trains, what tests, and what is refused."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_validate

from skcausal.interventions import intervention_mask, regime_labels
from skcausal.model_selection import LeaveInterventionsOut, LeaveOneEnvironmentOut
from skcausal.perturbation import FeatureRegression
from skcausal.prediction import NoEffect

LABELS = ["control", "a", "b", "a+b", "a", "c", "b+c", "control", "a+b", "a+b+c"]
MASK = intervention_mask(LABELS, variables=["a", "b", "c", "d"])
HOLDOUTS = ["regimes", "targets", "combinations"]

masks = hnp.arrays(bool, st.tuples(st.integers(2, 30), st.integers(2, 4)))


def split(mask, *args, regimes=None, **kwargs):
    """Folds of a mask, which stands for X as well."""
    splitter = LeaveInterventionsOut(*args, **kwargs)
    return list(splitter.split(mask, interventions=mask, regimes=regimes))


def split_or_discard(mask, holdout, n_splits=None, **kwargs):
    """Folds of a random mask; none if it has too little to hold out."""
    n_units = {
        "regimes": len({tuple(row) for row in mask if row.any()}),
        "targets": mask.any(axis=0).sum(),
        "combinations": len({tuple(row) for row in mask if row.sum() > 1}),
    }[holdout]
    if n_units < max(2, n_splits or 2):
        with pytest.raises(ValueError, match="that can be held out"):
            split(mask, n_splits, holdout=holdout, **kwargs)
        return []
    folds = split(mask, n_splits, holdout=holdout, **kwargs)
    assert len(folds) == (n_splits or n_units)
    return folds


def labels_of(rows, labels=LABELS):
    """Labels of the rows of a fold."""
    return [labels[i] for i in rows]


@pytest.mark.parametrize("holdout", HOLDOUTS)
@pytest.mark.parametrize("n_splits", [None, 2, 3])
@pytest.mark.parametrize("shuffle", [False, True])
@given(mask=masks)
def test_every_row_trains_or_tests_and_controls_train(holdout, n_splits, shuffle, mask):
    for train, test in split_or_discard(mask, holdout, n_splits, shuffle=shuffle, random_state=0):
        np.testing.assert_array_equal(np.sort(np.r_[train, test]), np.arange(len(mask)))
        assert len(test) > 0
        assert mask[test].any(axis=1).all()


@pytest.mark.parametrize("n_splits", [None, 2, 3])
@given(mask=masks)
def test_regimes_are_tested_once_and_unseen(n_splits, mask):
    folds = split_or_discard(mask, "regimes", n_splits)
    for train, test in folds:
        seen = {tuple(row) for row in mask[train]}
        assert not seen & {tuple(row) for row in mask[test]}
    if folds:
        tested = np.concatenate([test for _, test in folds])
        np.testing.assert_array_equal(np.sort(tested), np.flatnonzero(mask.any(axis=1)))


@pytest.mark.parametrize("n_splits", [None, 2, 3])
@given(mask=masks)
def test_held_out_targets_are_unseen(n_splits, mask):
    """The targets that a fold holds out, those unseen in training, occur in every test row."""
    folds = split_or_discard(mask, "targets", n_splits)
    held_out = [mask.any(axis=0) & ~mask[train].any(axis=0) for train, _ in folds]
    for unseen, (_, test) in zip(held_out, folds):
        assert (mask[test] & unseen).any(axis=1).all()
        assert mask[:, unseen].any(axis=1).sum() == len(test)
    if folds:
        np.testing.assert_array_equal(np.any(held_out, axis=0), mask.any(axis=0))


@pytest.mark.parametrize("n_splits", [None, 2, 3])
@given(mask=masks)
def test_combinations_are_tested_once_and_singles_train(n_splits, mask):
    folds = split_or_discard(mask, "combinations", n_splits)
    for train, test in folds:
        seen = {tuple(row) for row in mask[train]}
        assert not seen & {tuple(row) for row in mask[test]}
        assert (mask[test].sum(axis=1) > 1).all()
    if folds:
        tested = np.concatenate([test for _, test in folds])
        np.testing.assert_array_equal(np.sort(tested), np.flatnonzero(mask.sum(axis=1) > 1))


@pytest.mark.parametrize(
    ("holdout", "tested"),
    [
        ("regimes", ["c", "b", "b+c", "a", "a+b", "a+b+c"]),
        ("targets", ["a", "b", "c"]),
        ("combinations", ["b+c", "a+b", "a+b+c"]),
    ],
)
def test_units(holdout, tested):
    """Without a number of folds every unit is one."""
    folds = [set(labels_of(test)) for _, test in split(MASK, None, holdout=holdout)]
    if holdout == "targets":
        expected = [{label for label in LABELS if unit in label.split("+")} for unit in tested]
    else:
        expected = [{unit} for unit in tested]
    assert folds == expected


def test_folds_are_of_even_size():
    """Numbers of units per fold differ by one at most."""
    sizes = [len(set(labels_of(test))) for _, test in split(MASK, 4)]
    assert sorted(sizes) == [1, 1, 2, 2]


@given(st.permutations(range(len(LABELS))))
def test_order_of_rows_does_not_matter(order):
    shuffled = MASK.iloc[order]
    labels = labels_of(order)
    folds = [sorted(labels_of(test)) for _, test in split(MASK, 3)]
    assert [sorted(labels_of(test, labels)) for _, test in split(shuffled, 3)] == folds


class TestShuffle:
    def test_is_reproducible_and_changes_the_folds(self):
        def folds(**kwargs):
            return [sorted(labels_of(test)) for _, test in split(MASK, 3, **kwargs)]

        assert folds(shuffle=True, random_state=1) == folds(shuffle=True, random_state=1)
        assert folds(shuffle=True, random_state=1) != folds(shuffle=True, random_state=2)
        assert folds(shuffle=True, random_state=1) != folds()


class TestRegimes:
    """Labels of conditions that share targets."""

    CONDITIONS = [f"{label}, batch {i % 2}" for i, label in enumerate(LABELS)]

    def test_are_held_out_one_at_a_time(self):
        folds = split(MASK, None, regimes=self.CONDITIONS)
        tested = [set(labels_of(test, self.CONDITIONS)) for _, test in folds]
        expected = {c for c in self.CONDITIONS if not c.startswith("control")}
        assert sorted(map(list, tested)) == sorted([c] for c in expected)

    def test_of_combinations(self):
        folds = split(MASK, None, holdout="combinations", regimes=self.CONDITIONS)
        tested = {c for _, test in folds for c in labels_of(test, self.CONDITIONS)}
        assert tested == {c for c in self.CONDITIONS if "+" in c}

    def test_labels_of_the_targets_change_nothing_but_the_order(self):
        def tested(folds):
            return sorted(tuple(test) for _, test in folds)

        assert tested(split(MASK, None, regimes=regime_labels(MASK))) == tested(split(MASK, None))

    def test_must_agree_with_the_mask(self):
        with pytest.raises(ValueError, match="rows of one regime must have the same targets"):
            split(MASK, None, regimes=["one"] * len(LABELS))

    def test_must_have_one_label_per_row(self):
        with pytest.raises(ValueError, match="regimes must hold one label for each of the 10 rows"):
            split(MASK, None, regimes=self.CONDITIONS[1:])


class TestNumberOfSplits:
    @pytest.mark.parametrize("holdout", HOLDOUTS)
    @pytest.mark.parametrize("n_splits", [None, 2, np.int64(3)])
    def test_agrees_with_split(self, holdout, n_splits):
        splitter = LeaveInterventionsOut(n_splits, holdout=holdout)
        for X in (MASK, None):
            n_folds = splitter.get_n_splits(X, interventions=MASK)
            assert n_folds == len(split(MASK, n_splits, holdout=holdout))

    def test_needs_no_data_if_it_is_given(self):
        assert LeaveInterventionsOut(4).get_n_splits() == 4

    @pytest.mark.parametrize("n_splits", [0, 1, -1, 7, 2.5, True, "two", np.nan])
    def test_bad_values_are_refused(self, n_splits):
        with pytest.raises(ValueError, match="n_splits must be None or an integer from 2 to 6"):
            split(MASK, n_splits)

    def test_two_units_are_needed(self):
        with pytest.raises(ValueError, match="at least 2 regimes that can be held out, found 1"):
            split(MASK.iloc[:2], None)
        with pytest.raises(ValueError, match="at least 2 targets that can be held out, found 0"):
            split(MASK.iloc[[0, 7]], None, holdout="targets")


class TestBadInput:
    def test_missing_mask(self):
        for method in (
            lambda s: list(s.split(MASK)),
            lambda s: s.get_n_splits(MASK),
            lambda s: s.get_n_splits(),
        ):
            with pytest.raises(ValueError, match="LeaveInterventionsOut needs interventions"):
                method(LeaveInterventionsOut(None))

    @pytest.mark.parametrize("holdout", ["rows", None, ["regimes"]])
    def test_unknown_holdout(self, holdout):
        with pytest.raises(ValueError, match="holdout must be 'regimes', 'targets' or"):
            split(MASK, 2, holdout=holdout)

    def test_mask_of_another_shape(self):
        with pytest.raises(ValueError, match="interventions must have the shape of X"):
            list(LeaveInterventionsOut(2).split(MASK.iloc[1:], interventions=MASK))


def test_mask_is_aligned_with_x_by_name():
    """Which target is the first one depends on the order of the columns of X."""
    X = MASK.astype(float)
    splitter = LeaveInterventionsOut(None, holdout="targets")
    straight = list(splitter.split(X, interventions=MASK))
    aligned = list(splitter.split(X, interventions=MASK[["d", "c", "a", "b"]]))
    for (_, expected), (_, test) in zip(straight, aligned):
        np.testing.assert_array_equal(test, expected)


def test_representation():
    splitter = LeaveInterventionsOut(3, holdout="targets")
    assert repr(splitter).startswith("LeaveInterventionsOut(holdout='targets', n_splits=3, ")


@pytest.mark.parametrize("holdout", HOLDOUTS)
def test_in_a_search(holdout):
    """Searches pass the mask to the splitter, and a clone of the search keeps its settings."""
    X = np.random.default_rng(0).normal(size=MASK.shape)
    with sklearn.config_context(enable_metadata_routing=True):
        search = clone(GridSearchCV(NoEffect(), {}, cv=LeaveInterventionsOut(2, holdout=holdout)))
        search.fit(X, interventions=MASK)
        scores = cross_validate(
            NoEffect(),
            X,
            cv=LeaveInterventionsOut(2, holdout=holdout),
            params={"interventions": MASK},
            return_indices=True,
        )
    np.testing.assert_array_equal(search.cv_results_["split1_test_score"], scores["test_score"][1])
    for test, (_, expected) in zip(scores["indices"]["test"], split(MASK, 2, holdout=holdout)):
        np.testing.assert_array_equal(test, expected)


class TestFeatures:
    """Numbers instead of a mask: drugs times doses, of which the targets are unknown."""

    DOSES = np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0], [0, 1, 0], [1, 1, 0], [1, 2, 0], [0, 0, 3]])
    FEATURES = np.repeat(DOSES, 2, axis=0).astype(float)
    X = np.zeros((14, 2))

    def folds_of(self, holdout="regimes", regimes=None, features=FEATURES, n_splits=None):
        """Test sets as lists of contexts, rows of DOSES."""
        splitter = LeaveInterventionsOut(n_splits, holdout=holdout)
        folds = list(splitter.split(self.X, interventions=features, regimes=regimes))
        for train, test in folds:
            np.testing.assert_array_equal(np.sort(np.r_[train, test]), np.arange(14))
            assert {0, 1} <= set(train)  # the controls
        assert splitter.get_n_splits(self.X, interventions=features, regimes=regimes) == len(folds)
        return sorted(np.unique(test // 2).tolist() for _, test in folds)

    def test_distinct_rows(self):
        assert self.folds_of() == [[1], [2], [3], [4], [5], [6]]
        assert len(self.folds_of(n_splits=3)) == 3

    def test_labels_may_stand_for_several_doses(self):
        drugs = np.repeat(["control", "a", "a", "b", "a+b", "a+b", "c"], 2)
        assert self.folds_of(regimes=drugs) == [[1, 2], [3], [4, 5], [6]]

    def test_controls_train_whatever_their_label(self):
        plates = np.repeat(["one", "one", "one", "one", "two", "two", "two"], 2)
        assert self.folds_of(regimes=plates) == [[1, 2, 3], [4, 5, 6]]

    def test_nonzero_features(self):
        assert self.folds_of("targets") == [[1, 2, 4, 5], [3, 4, 5], [6]]

    def test_combinations_of_all_doses(self):
        features = self.FEATURES.copy()
        features[12:, 1] = 1.0
        assert self.folds_of("combinations", features=features) == [[4, 5], [6]]
        drugs = np.arange(14)  # read by "regimes" only
        assert self.folds_of("combinations", drugs, features) == [[4, 5], [6]]

    @pytest.mark.parametrize(
        "convert",
        [
            lambda F: F.tolist(),
            lambda F: F.astype(int),
            lambda F: F.astype(np.float32),
            lambda F: F.astype(object),
            lambda F: np.where(F == 0, -0.0, F),
            lambda F: pd.DataFrame(F, columns=["a", "b", "c"]),
            lambda F: pd.DataFrame({"a": F[:, 0], "b": F[:, 1].astype(int), "c": F[:, 2]}),
            lambda F: pd.DataFrame({"a": F[:, 0], "b": F[:, 1], "c": F[:, 2] > 0}),
        ],
    )
    def test_numbers_of_any_type(self, convert):
        assert self.folds_of(features=convert(self.FEATURES)) == self.folds_of()

    def test_a_mask_of_ones_and_zeros_is_split_as_the_mask(self):
        numbers = MASK.to_numpy().astype(int)
        for holdout in HOLDOUTS:
            splitter = LeaveInterventionsOut(None, holdout=holdout)
            folds = [test.tolist() for _, test in splitter.split(MASK, interventions=numbers)]
            masked = [test.tolist() for _, test in split(MASK, None, holdout=holdout)]
            assert sorted(folds) == sorted(masked)

    @pytest.mark.parametrize(
        ("features", "message"),
        [
            (
                FEATURES[1:],
                "interventions must have one row for each of the 14 rows of X, found 13",
            ),
            (FEATURES * np.nan, "interventions contains NaN"),
            (FEATURES[:, 0], "Expected 2D array, got 1D array"),
            (FEATURES * 0.0, "at least 2 regimes that can be held out, found 0"),
        ],
    )
    def test_bad_features(self, features, message):
        with pytest.raises(ValueError, match=message):
            self.folds_of(features=features)

    @pytest.mark.parametrize("features", [FEATURES.astype(str), FEATURES + 1j])
    def test_what_is_neither_numbers_nor_a_mask(self, features):
        with pytest.raises(TypeError, match="interventions must be a boolean mask"):
            self.folds_of(features=features)

    def test_one_label_per_row(self):
        with pytest.raises(ValueError, match="regimes must hold one label for each of the 14 rows"):
            self.folds_of(regimes=["a"])

    def test_in_a_search(self):
        """New drugs at known doses, the penalty chosen on drugs held out inside of the training."""
        rng = np.random.default_rng(0)
        drug = np.repeat(np.arange(-1, 6), 4)
        features = np.where(drug[:, None] == np.arange(6), 1.0 + np.arange(28)[:, None] % 2, 0.0)
        X = rng.normal(size=(28, 2)) + features[:, :2]
        cv = LeaveInterventionsOut(3)
        with sklearn.config_context(enable_metadata_routing=True):
            search = GridSearchCV(FeatureRegression(random_state=0), {"degree": [1, 2]}, cv=cv)
            search.fit(X, interventions=features, regimes=drug)
        for k, (train, test) in enumerate(cv.split(X, interventions=features, regimes=drug)):
            model = FeatureRegression(random_state=0)
            model.fit(X[train], interventions=features[train], regimes=drug[train])
            expected = model.score(X[test], interventions=features[test])
            assert search.cv_results_[f"split{k}_test_score"][0] == expected


class TestLeaveOneEnvironmentOut:
    X = np.zeros((7, 2))
    SITES = ["b", "a", "a", "c", "b", "a", "c"]

    def folds_of(self, environment):
        return [
            test.tolist()
            for _, test in LeaveOneEnvironmentOut().split(self.X, environment=environment)
        ]

    @given(st.lists(st.integers(-3, 3), min_size=1, max_size=20))
    def test_partition(self, environment):
        X, splitter = np.zeros((len(environment), 1)), LeaveOneEnvironmentOut()
        if len(set(environment)) < 2:
            with pytest.raises(ValueError, match=r"at least two levels, .* found \[-?\d\]"):
                list(splitter.split(X, environment=environment))
            return
        folds = list(splitter.split(X, environment=environment))
        assert splitter.get_n_splits(environment=environment) == len(folds)
        for level, (train, test) in zip(sorted(set(environment)), folds, strict=True):
            np.testing.assert_array_equal(np.sort(np.r_[train, test]), np.arange(len(X)))
            assert {environment[i] for i in test} == {level}
            assert level not in {environment[i] for i in train}

    @pytest.mark.parametrize(
        "convert",
        [
            list,
            np.array,
            lambda sites: np.array(sites, dtype=object),
            lambda sites: pd.Series(sites, index=range(7, 0, -1)),
            lambda sites: pd.Series(sites, dtype="category"),
            lambda sites: pd.Series(sites, dtype="string"),
            lambda sites: pd.DataFrame({"site": sites}),
            lambda sites: pd.to_datetime([f"2020-01-{ord(s) - 96:02}" for s in sites]),
            lambda sites: pd.Series([ord(s) for s in sites], dtype="Int64"),
            lambda sites: [float(ord(s)) for s in sites],
        ],
    )
    def test_labels_of_any_type(self, convert):
        assert self.folds_of(convert(self.SITES)) == [[1, 2, 5], [0, 4], [3, 6]]

    def test_two_environments_of_booleans(self):
        assert self.folds_of([s == "a" for s in self.SITES]) == [[0, 3, 4, 6], [1, 2, 5]]

    @pytest.mark.parametrize("column", ["site", 1, -2])
    def test_column(self, column):
        X = pd.DataFrame({"x0": 1.0, "site": self.SITES, "x1": 2.0})
        X = X if column == "site" else X.to_numpy()
        splitter = LeaveOneEnvironmentOut(environment_column=column)
        assert [test.tolist() for _, test in splitter.split(X)] == [[1, 2, 5], [0, 4], [3, 6]]
        assert splitter.get_n_splits(X) == 3

    def test_integer_names_come_before_positions(self):
        X = pd.DataFrame({1: range(7), 0: self.SITES})
        splitter = LeaveOneEnvironmentOut(environment_column=0)
        assert splitter.get_n_splits(X) == 3

    @pytest.mark.parametrize("column", ["place", 3, -4, True, 1.5])
    def test_unknown_column(self, column):
        X = pd.DataFrame({"x0": 1.0, "site": self.SITES, "x1": 2.0})
        for data in (X, X.to_numpy()):
            with pytest.raises(ValueError, match=r"environment_column=.* must be one column of X"):
                LeaveOneEnvironmentOut(environment_column=column).get_n_splits(data)

    def test_column_of_a_repeated_name(self):
        X = pd.DataFrame([["a", "b"]] * 3, columns=["site", "site"])
        with pytest.raises(ValueError, match=r"must be one column of X, which has the columns \["):
            LeaveOneEnvironmentOut(environment_column="site").get_n_splits(X)

    def test_column_needs_x(self):
        with pytest.raises(ValueError, match="X must have two dimensions for environment_column=0"):
            LeaveOneEnvironmentOut(environment_column=0).get_n_splits()

    def test_given_twice(self):
        with pytest.raises(ValueError, match="environment is given twice"):
            LeaveOneEnvironmentOut(environment_column=0).get_n_splits(
                self.X, environment=self.SITES
            )

    def test_missing(self):
        with pytest.raises(ValueError, match="LeaveOneEnvironmentOut needs environment"):
            self.folds_of(None)
        with pytest.raises(ValueError, match="LeaveOneEnvironmentOut needs environment"):
            LeaveOneEnvironmentOut().get_n_splits(self.X)

    @pytest.mark.parametrize("missing", [np.nan, None, pd.NA, pd.NaT])
    def test_missing_in_some_rows(self, missing):
        for environment in (
            np.array([*self.SITES[1:], missing], dtype=object),
            pd.Series([*self.SITES[1:], missing]),
        ):
            with pytest.raises(ValueError, match=r"environment is missing .* in 1 of 7 rows"):
                self.folds_of(environment)

    @pytest.mark.parametrize("environment", [SITES[1:], [SITES] * 2, "a", np.zeros((7, 2))])
    def test_wrong_shape(self, environment):
        with pytest.raises(ValueError, match="environment must hold one label for each of the 7"):
            self.folds_of(environment)

    def test_representation_and_clone(self):
        splitter = LeaveOneEnvironmentOut(environment_column="site")
        assert repr(splitter) == "LeaveOneEnvironmentOut(environment_column='site')"

    def test_in_a_search(self):
        """Searches pass the environment on to the splitter."""
        rng = np.random.default_rng(0)
        X, y = rng.normal(size=(7, 2)), rng.normal(size=7)
        with sklearn.config_context(enable_metadata_routing=True):
            search = clone(
                GridSearchCV(Ridge(), {}, cv=LeaveOneEnvironmentOut(), scoring="neg_max_error")
            )
            search.fit(X, y, environment=self.SITES)
        sites = np.array(self.SITES)
        for k, site in enumerate("abc"):
            model = Ridge().fit(X[sites != site], y[sites != site])
            worst = np.abs(y - model.predict(X))[sites == site].max()
            assert search.cv_results_[f"split{k}_test_score"][0] == pytest.approx(-worst)

    def test_without_routing(self):
        X = np.c_[np.arange(6.0), [0, 0, 1, 1, 2, 2]]
        splitter = LeaveOneEnvironmentOut(environment_column=1)
        scores = cross_validate(Ridge(), X, X[:, 0], cv=splitter, return_indices=True)
        assert [test.tolist() for test in scores["indices"]["test"]] == [[0, 1], [2, 3], [4, 5]]
