import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from sklearn.base import BaseEstimator

from skcausal.plotting import DoseResponseDisplay

pd = pytest.importorskip("pandas")

NAMES = ["raf", "mek", "pip2"]


class LinearInFeatures(BaseEstimator):
    """Predicts the features themselves, in which the outcomes of the experiment are linear."""

    def fit(self, X=None, y=None, *, interventions=None):
        self.fitted_ = True
        return self

    def predict(self, X, *, interventions):
        self.seen_ = X, interventions
        return np.asarray(interventions, dtype=float)


def experiment(n_rows=4):
    """Rows of controls and of two drugs at doses 1 and 2; features are the noiseless outcomes."""
    contexts = [("none", 0.0), ("a", 1.0), ("a", 2.0), ("b", 1.0), ("b", 2.0)]
    features = np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0], [0, 3, 0.5], [0, 6, 0.5]], dtype=float)
    rows = np.random.default_rng(0).permutation(np.repeat(np.arange(5), n_rows))
    noise = np.random.default_rng(1).normal(scale=0.1, size=(len(rows), 3))
    perturbations = np.array([contexts[k][0] for k in rows])
    doses = np.array([contexts[k][1] for k in rows])
    return features[rows] + noise, features[rows], {"doses": doses, "perturbations": perturbations}


def draw(**arguments):
    X, features, rows = experiment()
    return DoseResponseDisplay.from_estimator(
        LinearInFeatures().fit(), X, features, **(rows | arguments)
    )


def test_panels_are_perturbations_times_variables():
    display = draw(shown=["a", "b"])
    assert display.axes_.shape == (2, 3)
    assert display.perturbations == ["a", "b"]
    assert [ax.get_title() for ax in display.axes_[0]] == ["x0", "x1", "x2"]
    assert [ax.texts[0].get_text() for ax in display.axes_[:, -1]] == ["a", "b"]
    assert [ax.get_xlabel() for ax in display.axes_[-1]] == ["Dose"] * 3
    assert display.axes_[0, 0].get_ylabel() == "Mean"
    assert [text.get_text() for text in display.legend_.get_texts()] == [
        "observed mean ± standard error",
        "predicted",
        "control mean",
    ]


def test_points_are_means_with_their_standard_errors():
    X, _, rows = experiment()
    display = draw(shown="b", variables=["x1"])
    means, errors = [], []
    for dose in (1.0, 2.0):
        values = X[(rows["perturbations"] == "b") & (rows["doses"] == dose), 1]
        means.append(values.mean())
        errors.append(values.std(ddof=1) / 2)  # the root of 4 rows
    points, _, (bars,) = display.points_[0, 0]
    assert np.allclose(points.get_xdata(), [1, 2])
    assert np.allclose(points.get_ydata(), means)
    lengths = [np.ptp(segment[:, 1]) / 2 for segment in bars.get_segments()]
    assert np.allclose(lengths, errors)
    control = X[rows["doses"] == 0, 1].mean()
    assert np.allclose(display.control_lines_[0, 0].get_ydata(), control)


def test_curve_runs_from_dose_zero_to_the_largest():
    display = draw(shown=["b"], n_doses=5)
    for column, slope in enumerate([0, 3, 0]):
        doses, predicted = display.curves_[0, column].get_data()
        assert np.allclose(doses, [0, 0.5, 1, 1.5, 2])
        offset = 0.5 if column == 2 else 0.0  # the same at both doses: no part of the dose
        assert np.allclose(predicted, slope * doses + offset)


def test_features_run_to_zero_where_one_dose_does_not_tell():
    X, features, rows = experiment()
    kept = rows["doses"] < 2
    rows = {name: values[kept] for name, values in rows.items()}
    display = DoseResponseDisplay.from_estimator(
        LinearInFeatures().fit(), X[kept], features[kept], shown="b", n_doses=3, **rows
    )
    assert np.allclose(display.predicted, [[0, 0, 0], [0, 1.5, 0.25], [0, 3, 0.5]])


def test_estimator_sees_unknown_outcomes_and_the_names_of_fit():
    X, features, rows = experiment()
    estimator = LinearInFeatures().fit()
    X, features = pd.DataFrame(X, columns=NAMES), pd.DataFrame(features, columns=list("uvw"))
    DoseResponseDisplay.from_estimator(estimator, X, features, shown=["a", "b"], n_doses=7, **rows)
    X_query, query = estimator.seen_
    assert X_query.shape == (14, 3)
    assert X_query.isna().all(axis=None)
    assert list(X_query.columns) == NAMES
    assert list(query.columns) == ["u", "v", "w"]


def test_features_of_other_doses_can_be_given():
    calls = []

    def features_of(perturbation, doses):
        calls.append(perturbation)
        return np.stack([doses**2, doses, doses], axis=1)

    display = draw(shown=["a", "b"], features_of=features_of, n_doses=3)
    assert calls == ["a", "b"]
    assert np.allclose(display.curves_[1, 0].get_ydata(), [0, 1, 4])


def test_largest_shifts_are_drawn_by_default():
    rng = np.random.default_rng(0)
    doses = np.repeat(np.arange(7) > 0, 40).astype(float)
    perturbations = np.repeat(np.arange(7), 40)
    shifts = np.zeros((7, 6))
    shifts[[1, 2, 4, 6], [5, 0, 3, 1]] = 9.0
    X = rng.normal(size=(280, 6)) + shifts[perturbations]
    X[:, 2] = 1000 * rng.normal(size=280)  # in small units: large differences that mean nothing
    display = DoseResponseDisplay.from_estimator(
        LinearInFeatures().fit(), X, shifts[perturbations], doses=doses, perturbations=perturbations
    )
    assert display.perturbations == [1, 2, 4, 6]
    assert display.variables == ["x0", "x1", "x3", "x5"]


def test_heldout_contexts_have_open_markers():
    _, _, rows = experiment()
    display = draw(shown=["a", "b"], heldout=(rows["perturbations"] == "a") & (rows["doses"] == 2))
    points, heldout = display.points_[0, 0][0], display.heldout_points_[0, 0][0]
    assert points.get_xdata().tolist() == [1]
    assert heldout.get_xdata().tolist() == [2]
    assert to_rgb(heldout.get_markerfacecolor()) == (1, 1, 1)
    assert to_rgb(points.get_markerfacecolor()) != (1, 1, 1)
    assert display.heldout_points_[1, 0] is None
    assert display.legend_.get_texts()[1].get_text() == "held-out mean ± standard error"


def test_a_context_held_out_in_part_makes_two_points():
    _, _, rows = experiment()
    heldout = np.zeros(len(rows["doses"]), dtype=bool)
    heldout[np.flatnonzero(rows["perturbations"] == "a")[:3]] = True
    display = draw(shown="a", heldout=heldout)
    assert display.heldout.any()
    assert len(display.observed) > 2


def test_logarithmic_doses_have_plain_numbers():
    display = draw(shown="a", variables=["x0"], dose_scale="log", dose_name="Dose (µM)")
    ax = display.axes_[0, 0]
    assert ax.get_xscale() == "log"
    assert ax.get_xlabel() == "Dose (µM)"
    assert display.predicted_doses[[0, -1]].tolist() == pytest.approx([1, 2])
    display.figure_.draw_without_rendering()
    labels = {label.get_text() for label in ax.get_xticklabels()}
    assert {"1", "2"} <= labels


def test_axes_can_be_given():
    _, ax = plt.subplots()
    display = draw(shown="a", variables=["x0"], ax=ax, color="red")
    assert display.axes_[0, 0] is ax
    assert display.legend_ is ax.get_legend()
    assert display.curves_[0, 0].get_color() == "red"
    _, axes = plt.subplots(3, 2)
    assert draw(shown=["a", "b"], ax=axes).axes_.tolist() == axes.reshape(2, 3).tolist()


def test_without_controls_there_is_no_line():
    X, features, rows = experiment()
    kept = rows["doses"] > 0
    rows = {name: values[kept] for name, values in rows.items()}
    display = DoseResponseDisplay.from_estimator(
        LinearInFeatures().fit(), X[kept], features[kept], **rows
    )
    assert display.control is None
    assert display.control_lines_[0, 0] is None


def test_single_rows_have_no_error_bar():
    display = DoseResponseDisplay.from_predictions(
        [[0.0], [1.0]],
        [[0.0], [1.0]],
        doses=[0, 1],
        perturbations=["control", "a"],
        predicted_doses=[1, 0],  # in any order
        predicted_perturbations=["a", "a"],
    )
    assert np.isnan(display.observed_std_error).all()
    assert display.curves_[0, 0].get_xdata().tolist() == [0, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"doses": [1.0]}, r"doses must have shape \(20,\)"),
        ({"doses": np.full(20, -1.0)}, "rather than their logarithms"),
        ({"doses": np.full(20, np.nan)}, "pass 0 for controls"),
        ({"doses": np.zeros(20)}, "found only controls"),
        ({"perturbations": ["a"]}, r"perturbations must have shape \(20,\)"),
        ({"heldout": np.zeros(20)}, "heldout must be boolean"),
        ({"shown": "c"}, r"shown must be perturbations in the data.*got \['c'\]"),
        ({"shown": []}, "got none"),
        ({"shown": "none"}, "shown must be perturbations"),  # controls only
        ({"variables": ["raf"]}, r"variables must be columns of X.*got \['raf'\]"),
        ({"n_doses": 1}, "n_doses must be at least 2"),
        ({"dose_scale": "sqrt"}, 'dose_scale must be "linear" or "log"'),
        ({"features_of": lambda name, doses: doses}, "features_of must return features of shape"),
        ({"perturbations": np.full(20, "a")}, "different features.*pass features_of"),
        ({"ax": [None] * 4}, "ax must hold 6 axes"),
    ],
)
def test_invalid_arguments_are_refused_with_a_sentence(arguments, message):
    with pytest.raises(ValueError, match=message):
        draw(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"X": [[np.nan], [1.0]]}, "found NaN"),
        ({"X": [0.0, 1.0]}, r"X must have shape \(n_samples, n_variables\)"),
        ({"X_pred": [[1.0, 2.0]]}, "X_pred must have shape"),
        ({"predicted_doses": [1, 2]}, r"predicted_doses must have shape \(1,\)"),
        ({"predicted_perturbations": ["b"]}, "predicted_perturbations must be perturbations in"),
        ({"predicted_doses": [0], "dose_scale": "log"}, "predicted_doses must be above 0"),
    ],
)
def test_predictions_must_fit_the_data(arguments, message):
    valid = {
        "X": [[0.0], [1.0]],
        "X_pred": [[1.0]],
        "doses": [0, 1],
        "perturbations": ["control", "a"],
        "predicted_doses": [1],
        "predicted_perturbations": ["a"],
    }
    with pytest.raises(ValueError, match=message):
        DoseResponseDisplay.from_predictions(**(valid | arguments))


def test_interventions_have_a_row_for_each_row_of_x():
    X, features, rows = experiment()
    with pytest.raises(ValueError, match="interventions must have shape"):
        DoseResponseDisplay.from_estimator(LinearInFeatures().fit(), X, features[:3], **rows)
