import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb, to_rgba

from skcausal.graphs import to_pandas
from skcausal.metrics import edge_calibration_error
from skcausal.plotting import ReliabilityDisplay
from skcausal.plotting._palette import CYCLE

NAMES = ["raf", "mek", "pip2"]
TRUE = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]])
PROBABILITIES = np.array([[0.0, 0.96, 0.32], [0.04, 0.0, 0.84], [0.0, 0.36, 0.0]])
BINS = ([0.1, 0.5, 0.9], [0.2, 0.5, 1.0], [6, 3, 1])


def random_forecasts(n_graphs, n_variables=6, seed=0):
    """A stack of graphs and the probabilities of their edges."""
    rng = np.random.default_rng(seed)
    probabilities = rng.beta(0.3, 1.0, (n_graphs, n_variables, n_variables))
    true = (rng.random(probabilities.shape) < probabilities) & ~np.eye(n_variables, dtype=bool)
    return true, probabilities


def curve_labels(display):
    return [text.get_text() for text in display.legend_.get_texts()]


def test_curve_and_points_lie_at_the_bins():
    display = ReliabilityDisplay(*BINS).plot()
    expected = np.column_stack(BINS[:2])
    assert np.array_equal(display.line_.get_xydata(), expected)
    assert np.array_equal(np.asarray(display.points_.get_offsets()), expected)
    assert display.ax_.get_xlabel() == "Forecast probability of an edge"
    assert display.ax_.get_ylabel() == "Observed frequency of edges"


def test_axes_are_square_from_zero_to_one_with_the_diagonal():
    display = ReliabilityDisplay(*BINS).plot()
    assert display.ax_.get_xlim() == display.ax_.get_ylim() == (0.0, 1.0)
    assert display.ax_.get_aspect() == 1.0
    assert np.array_equal(display.diagonal_.get_xydata(), [[0, 0], [1, 1]])
    assert curve_labels(display)[0] == "perfectly calibrated"


def test_nothing_is_cut_off_at_the_edge_of_an_own_figure():
    display = ReliabilityDisplay(*BINS, name="a long name of an estimator").plot()
    ReliabilityDisplay(*BINS, name="a second forecast").plot(ax=display.ax_)
    display.figure_.canvas.draw()
    extents = display.figure_.get_tightbbox().extents
    assert (extents[:2] >= 0).all()
    assert (extents[2:] <= display.figure_.get_size_inches()).all()


def test_areas_tell_the_numbers_of_pairs():
    display = ReliabilityDisplay([0.1, 0.5, 0.9], [0.1, 0.5, 0.9], [600, 300, 1]).plot()
    areas = display.points_.get_sizes()
    assert areas[0] == pytest.approx(2 * areas[1])
    assert 20 < areas[2] < areas[1]  # a single pair of many is seen
    assert "share of the pairs" in display.legend_.get_title().get_text()


def test_areas_of_forecasts_of_different_numbers_of_pairs_are_comparable():
    few = ReliabilityDisplay([0.1, 0.9], [0.1, 0.9], [6, 4]).plot()
    many = ReliabilityDisplay([0.1, 0.9], [0.1, 0.9], [600, 400]).plot()
    assert np.allclose(few.points_.get_sizes(), many.points_.get_sizes())


def test_bins_are_sorted():
    display = ReliabilityDisplay([0.9, 0.1], [0.8, 0.2], [3, 5])
    assert display.mean_forecast.tolist() == [0.1, 0.9]
    assert display.frequency.tolist() == [0.2, 0.8]
    assert display.count.tolist() == [5, 3]


def test_error_is_that_of_the_metric_and_stands_in_the_legend():
    true, probabilities = random_forecasts(n_graphs=40)
    display = ReliabilityDisplay.from_predictions(true, probabilities, n_bins=7)
    expected = edge_calibration_error(true, probabilities, n_bins=7)
    assert display.calibration_error == pytest.approx(expected)
    assert display.line_.get_label() == f"ECE {expected:.3f} (1,200 pairs)"
    assert display.count.sum() == 40 * 6 * 5
    assert len(display.count) == 7


def test_from_predictions_takes_one_graph():
    display = ReliabilityDisplay.from_predictions(TRUE, PROBABILITIES)
    assert np.allclose(display.mean_forecast, [0.02, 0.34, 0.84, 0.96])
    assert np.allclose(display.frequency, [0, 0, 1, 1])
    assert display.count.tolist() == [2, 2, 1, 1]
    stack = ReliabilityDisplay.from_predictions(TRUE[np.newaxis], PROBABILITIES[np.newaxis])
    assert np.array_equal(stack.mean_forecast, display.mean_forecast)
    pooled = ReliabilityDisplay.from_predictions([TRUE] * 3, [PROBABILITIES] * 3)
    assert np.array_equal(pooled.count, 3 * display.count)


def test_names_of_variables_are_aligned():
    order = [2, 0, 1]
    frame = to_pandas(TRUE, NAMES).astype(float)
    frame.loc[:, :] = PROBABILITIES
    shuffled = frame.iloc[order, order]
    display = ReliabilityDisplay.from_predictions(to_pandas(TRUE, NAMES), shuffled)
    assert display.frequency.tolist() == [0, 0, 1, 1]


def test_forecasts_share_axes_with_one_diagonal_and_differ_in_style():
    _, ax = plt.subplots()
    first = ReliabilityDisplay(*BINS).plot(ax, name="first")
    second = ReliabilityDisplay(*BINS, name="second").plot(ax)
    assert first.ax_ is second.ax_ is ax
    assert first.diagonal_ is second.diagonal_
    assert len(ax.get_lines()) == 3
    labels = ["perfectly calibrated", "first: ECE 0.070 (10 pairs)", "second: ECE 0.070 (10 pairs)"]
    assert curve_labels(second) == labels
    for display, color in ((first, CYCLE[0]), (second, CYCLE[1])):
        assert display.line_.get_color() == color
        assert np.allclose(display.points_.get_facecolor(), to_rgba(color))
    assert first.line_.get_marker() != second.line_.get_marker()


def test_name_of_the_plot_replaces_that_of_the_display():
    display = ReliabilityDisplay.from_predictions(TRUE, PROBABILITIES, name="posterior")
    assert display.name == "posterior"
    assert display.line_.get_label().startswith("posterior: ECE")
    assert display.plot(name="other").line_.get_label().startswith("other: ECE")


def test_keywords_style_the_curve_and_the_points():
    _, ax = plt.subplots()
    display = ReliabilityDisplay.from_predictions(
        TRUE, PROBABILITIES, ax=ax, c="black", marker="D", ls=":", alpha=0.5
    )
    assert display.ax_ is ax
    assert to_rgb(display.line_.get_color()) == (0, 0, 0)
    assert display.line_.get_linestyle() == ":"
    assert np.allclose(display.points_.get_facecolor(), (0, 0, 0, 0.5))
    assert ReliabilityDisplay(*BINS).plot(label="mine").line_.get_label() == "mine"


def test_one_pair_is_not_counted_in_the_plural():
    display = ReliabilityDisplay([0.5], [1.0], [1]).plot()
    assert display.line_.get_label() == "ECE 0.500 (1 pair)"


def test_input_is_not_changed():
    mean_forecast, frequency, count = (np.array(values)[::-1].copy() for values in BINS)
    ReliabilityDisplay(mean_forecast, frequency, count).plot()
    assert mean_forecast.tolist() == BINS[0][::-1]
    assert count.tolist() == BINS[2][::-1]


@pytest.mark.parametrize(
    ("mean_forecast", "frequency", "count", "message"),
    [
        ([], [], [], r"mean_forecast must have shape \(n_bins,\).*got \(0,\)"),
        ([[0.5]], [0.5], [1], r"mean_forecast must have shape \(n_bins,\).*got \(1, 1\)"),
        ([0.1, 0.5], [0.5], [1, 2], r"frequency must have shape \(2,\).*got \(1,\)"),
        ([0.1, 0.5], [0.1, 0.5], [1], r"count must have shape \(2,\).*got \(1,\)"),
        ([0.1, 1.5], [0.1, 0.5], [1, 2], r"mean_forecast must lie between 0 and 1"),
        ([0.1, 0.5], [0.1, np.nan], [1, 2], r"frequency must lie.*Leave out bins"),
        ([0.1, 0.5], [0.1, 0.5], [1, 0], r"count must hold whole numbers above 0.*Leave out"),
        ([0.1, 0.5], [0.1, 0.5], [1, 2.5], r"count must hold whole numbers above 0"),
        ([0.1, 0.5], [0.1, 0.5], [1, np.nan], r"count must hold whole numbers above 0"),
    ],
)
def test_invalid_bins_are_refused_with_a_sentence(mean_forecast, frequency, count, message):
    with pytest.raises(ValueError, match=message):
        ReliabilityDisplay(mean_forecast, frequency, count)


@pytest.mark.parametrize(
    ("true", "probabilities", "n_bins", "message"),
    [
        (TRUE, 2 * PROBABILITIES, 10, r"probabilities must lie between 0 and 1"),
        (TRUE, np.full((3, 3), np.nan), 10, r"probabilities must be finite"),
        (TRUE, PROBABILITIES[:2], 10, r"probabilities must have the shape of true"),
        (TRUE, PROBABILITIES, 0, r"n_bins must be an integer of at least 1; got 0"),
    ],
)
def test_invalid_predictions_are_refused_before_a_figure_opens(
    true, probabilities, n_bins, message
):
    with pytest.raises(ValueError, match=message):
        ReliabilityDisplay.from_predictions(true, probabilities, n_bins=n_bins)
    assert plt.get_fignums() == []
