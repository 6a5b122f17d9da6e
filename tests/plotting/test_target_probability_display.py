from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from sklearn.base import BaseEstimator

from skcausal.plotting import TargetProbabilityDisplay

pd = pytest.importorskip("pandas")

NAMES = ["raf", "mek", "pip2"]
LABELS = ["a@1", "b@1", "a@2", "b@2"]
GROUPS = ["a", "b", "a", "b"]
PROBABILITIES = np.array([[0.95, 0.2, 0.0], [0.1, 0.0, 0.6], [0.9, 0.25, 0.0], [0.1, 0.3, 0.7]])
TARGETS = np.array([[1, 0, 0], [0, 0, 1], [1, 0, 0], [0, 0, 1]], dtype=bool)


class TargetsAreFeatures(BaseEstimator):
    """Takes the features of perturbations for the probabilities of their targets."""

    def fit(self, X=None, y=None, *, interventions=None):
        self.feature_names_in_ = np.array(NAMES, dtype=object)
        return self

    def predict_targets(self, interventions):
        self.seen_ = interventions
        probabilities = np.asarray(interventions, dtype=float)
        return probabilities, np.ones_like(probabilities)


def tick_labels(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def many_contexts(n_groups=40, n_doses=4, n_variables=20):
    """Arguments for a heat map that has no room for a label on each row."""
    groups = [f"p{k}" for k in range(n_groups) for _ in range(n_doses)]
    labels = [f"{group}@{i % n_doses + 1}" for i, group in enumerate(groups)]
    probabilities = np.random.default_rng(0).uniform(size=(len(groups), n_variables))
    return probabilities, {"labels": labels, "groups": groups}


def test_rows_of_the_heat_map_are_perturbations():
    display = TargetProbabilityDisplay(PROBABILITIES, labels=LABELS, variables=NAMES).plot()
    assert np.array_equal(display.im_.get_array(), PROBABILITIES)
    assert display.im_.get_clim() == (0.0, 1.0)
    assert display.ax_.get_ylabel() == "Perturbation"
    assert display.ax_.get_xlabel() == "Variable"
    assert tick_labels(display.ax_.yaxis) == LABELS
    assert tick_labels(display.ax_.xaxis) == NAMES
    assert display.separators_ == []
    assert display.marks_ is None
    assert [ax.get_ylabel() for ax in display.figure_.axes[1:]] == ["Probability of target"]


def test_contexts_of_a_perturbation_are_brought_together():
    display = TargetProbabilityDisplay.from_predictions(
        PROBABILITIES, labels=LABELS, groups=GROUPS, true_targets=TARGETS
    )
    order = [0, 2, 1, 3]
    assert display.labels == [LABELS[i] for i in order]
    assert display.groups == ["a", "a", "b", "b"]
    assert np.array_equal(display.probabilities, PROBABILITIES[order])
    assert np.array_equal(display.true_targets, TARGETS[order])
    (line,) = display.separators_
    assert set(line.get_ydata()) == {1.5}


@pytest.mark.parametrize("include_values", [False, True])
def test_true_targets_are_marked_in_their_cells(include_values):
    display = TargetProbabilityDisplay.from_predictions(
        PROBABILITIES, true_targets=TARGETS, include_values=include_values
    )
    columns, rows = np.asarray(display.marks_.get_offsets()).T
    assert np.array_equal(np.stack([rows.round(), columns.round()], axis=1), np.argwhere(TARGETS))
    assert np.array_equal(rows, rows.round()) != include_values  # beside the value, if there is one
    assert display.ax_.get_legend().get_texts()[0].get_text() == "true target"


def test_targets_are_aligned_by_name():
    frame = pd.DataFrame(TARGETS, columns=NAMES)[NAMES[::-1]]
    display = TargetProbabilityDisplay(PROBABILITIES, variables=NAMES, true_targets=frame)
    assert np.array_equal(display.true_targets, TARGETS)


def test_names_of_a_frame_are_used():
    frame = pd.DataFrame(PROBABILITIES, index=LABELS, columns=NAMES)
    display = TargetProbabilityDisplay(frame)
    assert display.labels == LABELS
    assert display.variables == NAMES
    assert TargetProbabilityDisplay(PROBABILITIES).labels == ["0", "1", "2", "3"]


def test_values_are_legible():
    display = TargetProbabilityDisplay(PROBABILITIES).plot()
    assert display.text_[0, 0].get_text() == "0.95"
    assert to_rgb(display.text_[0, 0].get_color()) == (1, 1, 1)
    assert to_rgb(display.text_[0, 1].get_color()) == (0, 0, 0)
    assert TargetProbabilityDisplay(np.zeros((13, 2))).plot().text_ is None


def test_variables_without_large_probabilities_are_left_out():
    display = TargetProbabilityDisplay(PROBABILITIES, variables=NAMES, true_targets=TARGETS)
    display.plot(min_probability=0.65)
    assert display.shown_.tolist() == [0, 2]
    assert tick_labels(display.ax_.xaxis) == ["raf", "pip2"]
    assert display.ax_.get_xlabel() == "Variable (2 of 3)"
    display.plot(max_variables=1)
    assert display.shown_.tolist() == [0]
    assert np.array_equal(display.im_.get_array(), PROBABILITIES[:, :1])
    assert display.marks_.get_label() == "true target (2 in variables not shown)"
    assert display.plot(max_variables=2, min_probability=0.1).shown_.tolist() == [0, 2]
    assert display.plot(max_variables=9).shown_.tolist() == [0, 1, 2]


def test_labels_of_many_rows_do_not_overlap():
    probabilities, names = many_contexts()
    display = TargetProbabilityDisplay(probabilities, **names).plot()
    assert tick_labels(display.ax_.yaxis) == [f"p{k}" for k in range(40)]  # perturbations
    assert display.ax_.get_yticks()[:2].tolist() == [1.5, 5.5]
    assert len(display.separators_) == 39
    ungrouped = TargetProbabilityDisplay(probabilities, labels=names["labels"]).plot()
    for drawn in (display, ungrouped):
        drawn.figure_.draw_without_rendering()
        boxes = [label.get_window_extent() for label in drawn.ax_.yaxis.get_ticklabels()]
        assert len(boxes) > 10
        assert all(above.y0 >= below.y1 for above, below in pairwise(boxes))


def test_many_variables_are_thinned_out():
    display = TargetProbabilityDisplay(np.zeros((3, 300))).plot()
    assert 20 < len(display.ax_.get_xticks()) < 100


@pytest.mark.parametrize("as_frame", [False, True])
def test_from_estimator_draws_each_perturbation_once_and_no_controls(as_frame):
    rows = np.array([2, 0, 0, 1, 2, 3])
    features = np.vstack([PROBABILITIES[rows], np.zeros((2, 3))])[[6, 0, 1, 2, 7, 3, 4, 5]]
    labels = np.array(["control", *np.array(LABELS)[rows], "control"])[[0, 1, 2, 3, 7, 4, 5, 6]]
    targets = np.vstack([TARGETS[rows], np.zeros((2, 3), dtype=bool)])[[6, 0, 1, 2, 7, 3, 4, 5]]
    if as_frame:
        index = [f"cell {i}" for i in range(8)]
        features = pd.DataFrame(features, columns=["f0", "f1", "f2"], index=index)
        labels = pd.Series(labels, index=index)
        targets = pd.DataFrame(targets, columns=NAMES, index=index)
    estimator = TargetsAreFeatures().fit()
    _, ax = plt.subplots()
    display = TargetProbabilityDisplay.from_estimator(
        estimator, features, labels=labels, true_targets=targets, ax=ax, colorbar=False
    )
    assert display.labels == [LABELS[i] for i in [2, 0, 1, 3]]  # by first appearance
    assert np.array_equal(display.probabilities, PROBABILITIES[[2, 0, 1, 3]])
    assert np.array_equal(display.true_targets, TARGETS[[2, 0, 1, 3]])
    assert display.variables == NAMES
    assert display.figure_.axes == [ax]
    assert isinstance(estimator.seen_, pd.DataFrame) == as_frame


def test_contexts_are_numbered_by_their_first_row():
    features = np.array([[0, 0], [1, 0], [1, 0], [0, 1]])
    estimator = TargetsAreFeatures().fit()
    display = TargetProbabilityDisplay.from_estimator(estimator, features, variables=["a", "b"])
    assert display.labels == ["1", "3"]
    assert display.variables == ["a", "b"]


def test_rows_of_one_perturbation_must_agree():
    features = np.array([[1.0, 0, 0], [1.0, 0, 0]])
    estimator = TargetsAreFeatures().fit()
    with pytest.raises(ValueError, match=r"Rows 0 and 1 .* entries in labels differ"):
        TargetProbabilityDisplay.from_estimator(estimator, features, labels=["a", "b"])
    with pytest.raises(ValueError, match="entries in true_targets differ"):
        TargetProbabilityDisplay.from_estimator(estimator, features, true_targets=np.eye(3)[:2])
    with pytest.raises(ValueError, match="groups must have one entry for each of the 2 rows"):
        TargetProbabilityDisplay.from_estimator(estimator, features, groups=["a"])


def test_estimator_must_infer_targets():
    class Other(BaseEstimator):
        def fit(self):
            self.fitted_ = True
            return self

    with pytest.raises(TypeError, match="must have the method predict_targets"):
        TargetProbabilityDisplay.from_estimator(Other().fit(), np.eye(3))
    with pytest.raises(ValueError, match="found only rows of zeros"):
        TargetProbabilityDisplay.from_estimator(TargetsAreFeatures().fit(), np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"must have shape \(n_samples, n_features\)"):
        TargetProbabilityDisplay.from_estimator(TargetsAreFeatures().fit(), np.ones(3))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"probabilities": np.zeros(3)}, r"must have shape \(n_contexts, n_variables\)"),
        ({"probabilities": PROBABILITIES + 0.1}, "between 0 and 1"),
        ({"probabilities": np.full((2, 2), np.nan)}, "between 0 and 1"),
        ({"labels": LABELS[:2]}, "labels must have one entry for each of the 4 rows"),
        ({"groups": GROUPS[:2]}, "groups must have one entry for each of the 4 rows"),
        ({"variables": NAMES[:2]}, "variables must name the 3 variables"),
        ({"true_targets": TARGETS[:2]}, "true_targets must have the shape of probabilities"),
        ({"true_targets": PROBABILITIES}, "true_targets must be boolean"),
        ({"true_targets": pd.DataFrame(TARGETS, columns=list("abc"))}, "must be the variables"),
        ({"max_variables": 0}, "max_variables must be at least 1"),
        ({"min_probability": 0.99}, "No probability reaches min_probability=0.99"),
    ],
)
def test_invalid_arguments_are_refused_with_a_sentence(arguments, message):
    with pytest.raises(ValueError, match=message):
        TargetProbabilityDisplay.from_predictions(**({"probabilities": PROBABILITIES} | arguments))


def test_input_is_not_changed():
    probabilities = PROBABILITIES.copy()
    TargetProbabilityDisplay.from_predictions(probabilities, groups=GROUPS)
    assert np.array_equal(probabilities, PROBABILITIES)
