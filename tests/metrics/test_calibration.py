import math
import subprocess
import sys
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skcausal.graphs import to_networkx, to_pandas
from skcausal.metrics import edge_calibration_error, edge_log_score
from skcausal.metrics._calibration import edge_calibration_bins

METRICS = [edge_log_score, edge_calibration_error]
NAMES = ["a", "b", "c", "d"]


def random_forecasts(rng, n_variables, n_graphs=None):
    """Graphs, cycles allowed, and probabilities that know something about them."""
    shape = (n_variables, n_variables) if n_graphs is None else (n_graphs, n_variables, n_variables)
    probabilities = rng.beta(0.5, 1.0, shape)
    true = (rng.random(shape) < probabilities) & ~np.eye(n_variables, dtype=bool)
    return true.astype(np.int8), probabilities


def ordered_pairs(true, probabilities):
    """Whether each pair of a stack is an edge, and its forecast, by a loop."""
    for graph, forecasts in zip(true, probabilities):
        for i, j in permutations(range(len(graph)), 2):
            yield bool(graph[i, j]), float(forecasts[i, j])


def slow_log_score(true, probabilities, clip):
    scores = []
    for is_edge, forecast in ordered_pairs(true, probabilities):
        forecast = min(max(forecast, clip), 1 - clip)
        scores.append(math.log(forecast) if is_edge else math.log(1 - forecast))
    return sum(scores) / len(scores)


def slow_bins(true, probabilities, n_bins):
    """Mean forecast, frequency and count of each bin that is not empty."""
    bins = []
    for k in range(n_bins):
        low, high = k / n_bins, (k + 1) / n_bins
        members = [
            (is_edge, forecast)
            for is_edge, forecast in ordered_pairs(true, probabilities)
            if low < forecast <= high or (k == 0 and forecast == 0)
        ]
        if members:
            edges, forecasts = zip(*members)
            bins.append((np.mean(forecasts), np.mean(edges), len(members)))
    return bins


def slow_calibration_error(true, probabilities, n_bins):
    bins = slow_bins(true, probabilities, n_bins)
    n_pairs = sum(count for *_, count in bins)
    return sum(count / n_pairs * abs(mean - share) for mean, share, count in bins)


@pytest.mark.parametrize("clip", [1e-6, 0.2])
@pytest.mark.parametrize("seed", range(3))
def test_log_score_is_that_of_a_slow_loop(seed, clip):
    true, probabilities = random_forecasts(np.random.default_rng(seed), 5, n_graphs=4)
    expected = slow_log_score(true, probabilities, clip)
    assert edge_log_score(true, probabilities, clip=clip) == pytest.approx(expected)
    first = slow_log_score(true[:1], probabilities[:1], clip)
    assert edge_log_score(true[0], probabilities[0], clip=clip) == pytest.approx(first)


@pytest.mark.parametrize("n_bins", [1, 3, 10, 1000])
@pytest.mark.parametrize("seed", range(3))
def test_calibration_error_is_that_of_a_slow_loop(seed, n_bins):
    true, probabilities = random_forecasts(np.random.default_rng(seed), 5, n_graphs=4)
    expected = slow_calibration_error(true, probabilities, n_bins)
    found = edge_calibration_error(true, probabilities, n_bins=n_bins)
    assert found == pytest.approx(expected)
    first = slow_calibration_error(true[:1], probabilities[:1], n_bins)
    found = edge_calibration_error(true[0], probabilities[0], n_bins=n_bins)
    assert found == pytest.approx(first)


@pytest.mark.parametrize("n_bins", [2, 7, 10, 100])
def test_bins_are_those_of_a_slow_loop_up_to_their_ends(n_bins):
    """Probabilities that are shares of resamples fall on the ends of bins."""
    rng = np.random.default_rng(5)
    true, _ = random_forecasts(rng, 8, n_graphs=20)
    probabilities = rng.integers(0, n_bins, true.shape, endpoint=True) / n_bins
    mean_forecast, frequency, count = edge_calibration_bins(true, probabilities, n_bins=n_bins)
    expected = np.array(slow_bins(true, probabilities, n_bins))
    assert np.allclose(np.column_stack([mean_forecast, frequency, count]), expected)
    assert count.sum() == 20 * 8 * 7


def test_literals_at_the_end_of_a_bin_belong_to_it():
    true = np.array([[0, 1], [0, 0]])
    for tenth in range(1, 11):
        probabilities = np.array([[0.0, float(f"{tenth / 10}")], [tenth / 10 - 0.05, 0.0]])
        assert len(edge_calibration_bins(true, probabilities)[2]) == 1


def test_bins_without_pairs_are_left_out():
    true = np.array([[0, 1], [0, 0]])
    mean_forecast, frequency, count = edge_calibration_bins(true, [[0.0, 0.92], [0.0, 0.0]])
    assert mean_forecast.tolist() == [0.0, 0.92]
    assert frequency.tolist() == [0.0, 1.0]
    assert count.tolist() == [1, 1]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 7), st.sampled_from([None, 3]))
def test_scores_do_not_depend_on_the_order_of_the_variables(seed, n_variables, n_graphs):
    rng = np.random.default_rng(seed)
    true, probabilities = random_forecasts(rng, n_variables, n_graphs)
    order = rng.permutation(n_variables)
    cells = (..., order[:, None], order)
    for metric in METRICS:
        expected = pytest.approx(metric(true, probabilities))
        assert metric(true[cells], probabilities[cells]) == expected


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 7))
def test_scores_lie_in_their_ranges(seed, n_variables):
    true, probabilities = random_forecasts(np.random.default_rng(seed), n_variables)
    assert 0 <= edge_calibration_error(true, probabilities) <= 1
    assert math.log(1e-6) <= edge_log_score(true, probabilities) < 0


def test_calibrated_forecasts_have_a_small_error_and_overconfident_ones_have_not():
    true, probabilities = random_forecasts(np.random.default_rng(0), 10, n_graphs=300)
    odds = (probabilities / (1 - probabilities)) ** 3
    overconfident = odds / (1 + odds)
    assert edge_calibration_error(true, probabilities) < 0.015
    assert edge_calibration_error(true, overconfident) > 0.08
    assert edge_log_score(true, probabilities) > edge_log_score(true, overconfident) + 0.05


def test_share_of_edges_is_calibrated_but_scores_below_the_probabilities():
    true, probabilities = random_forecasts(np.random.default_rng(1), 10, n_graphs=300)
    off_diagonal = ~np.eye(10, dtype=bool)
    share = np.full(true.shape, true[:, off_diagonal].mean())
    assert edge_calibration_error(true, share) == pytest.approx(0, abs=1e-12)
    assert edge_log_score(true, share) < edge_log_score(true, probabilities) - 0.05


@pytest.mark.parametrize("probability", [0.1, 0.37, 0.8])
def test_log_score_is_proper(probability):
    """With a share of edges equal to the probability, no other constant scores higher."""
    true = np.zeros((100, 2, 2), dtype=int)
    true[: round(100 * probability), 0, 1] = 1
    true[: round(100 * probability), 1, 0] = 1
    forecasts = np.linspace(0, 1, 101)
    scores = [edge_log_score(true, np.full(true.shape, forecast)) for forecast in forecasts]
    assert forecasts[np.argmax(scores)] == pytest.approx(probability)


@pytest.mark.parametrize("metric", METRICS)
def test_a_stack_pools_the_pairs_of_its_graphs(metric):
    rng = np.random.default_rng(2)
    true, probabilities = random_forecasts(rng, 4, n_graphs=6)
    assert metric(true[:1], probabilities[:1]) == metric(true[0], probabilities[0])
    expected = metric(true, probabilities)
    assert metric(list(true), list(probabilities)) == expected
    assert metric(true.tolist(), probabilities.tolist()) == expected
    assert metric(true[0].tolist(), probabilities[0].tolist()) == metric(true[0], probabilities[0])


def test_log_score_of_graphs_of_different_sizes_counts_pairs_alike():
    rng = np.random.default_rng(3)
    true, probabilities = zip(*(random_forecasts(rng, n_variables) for n_variables in (1, 2, 4)))
    expected = slow_log_score(true, probabilities, 1e-6)
    assert edge_log_score(true, probabilities) == pytest.approx(expected)
    expected = slow_calibration_error(true, probabilities, 10)
    assert edge_calibration_error(true, probabilities) == pytest.approx(expected)


@pytest.mark.parametrize("metric", METRICS)
def test_graphs_with_names_are_aligned(metric):
    true, probabilities = random_forecasts(np.random.default_rng(4), 4)
    expected = pytest.approx(metric(true, probabilities))
    order = [2, 0, 3, 1]
    frame = to_pandas(true, NAMES).astype(float)
    frame.loc[:, :] = probabilities
    shuffled = frame.iloc[order, order]
    for graph in (to_pandas(true, NAMES), to_networkx(true, NAMES)):
        assert metric(graph, shuffled) == expected
        assert metric([graph, graph], [shuffled, frame]) == expected
    assert metric(true, frame) == expected  # only one side carries names


@pytest.mark.parametrize("metric", METRICS)
def test_diagonal_is_ignored_and_input_is_not_changed(metric):
    true, probabilities = random_forecasts(np.random.default_rng(6), 4)
    expected = metric(true, probabilities)
    np.fill_diagonal(probabilities, np.nan)
    before = probabilities.copy()
    assert metric(true, probabilities) == expected
    assert np.array_equal(probabilities, before, equal_nan=True)


def test_certain_forecasts():
    true = np.array([[0, 1], [0, 0]])
    assert edge_log_score(true, true) == pytest.approx(0, abs=1e-5)
    assert edge_log_score(true, true, clip=0) == 0
    assert edge_log_score(true, true.T) == pytest.approx(math.log(1e-6))
    assert edge_log_score(true, true.T, clip=0) == -math.inf
    assert edge_log_score(true, true.T, clip=1e-30) == pytest.approx(math.log(1e-30))
    assert edge_calibration_error(true, true) == 0
    assert edge_calibration_error(true, true.T) == 1


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("true", "probabilities", "message"),
    [
        (np.zeros((2, 2)), np.full((2, 2), 1.5), r"probabilities must lie.*1\.5.*Turn scores"),
        (np.zeros((2, 2)), np.full((2, 2), -0.1), r"probabilities must lie between 0 and 1"),
        (np.zeros((2, 2)), np.full((2, 2), np.nan), r"probabilities must be finite"),
        (np.zeros((2, 2)), np.full((2, 2), np.inf), r"probabilities must be finite"),
        (np.zeros((2, 2)), np.zeros((3, 3)), r"probabilities must have the shape of true, \(2, 2"),
        (np.zeros((4, 2, 2)), np.zeros((4, 3, 3)), r"shape of true, \(2, 2\); got \(3, 3\)"),
        (np.zeros((4, 2, 2)), np.zeros((3, 2, 2)), r"each of the 4 graphs of true.*got 3"),
        (np.zeros((2, 2)), np.zeros((2, 2, 2)), r"got one graph as true and a stack of graphs as"),
        (np.zeros((2, 2, 2)), np.zeros((2, 2)), r"got a stack of graphs as true and one graph as"),
        (np.eye(2), np.zeros((2, 2)), r"true must have no self-loop"),
        (np.full((2, 2), 0.5), np.zeros((2, 2)), r"true must hold only zeros and ones"),
        (np.zeros(2), np.zeros(2), r"true must be a square matrix"),
        (np.zeros((1, 1)), np.zeros((1, 1)), r"true has no ordered pair.*at least two"),
        (np.zeros((3, 1, 1)), np.zeros((3, 1, 1)), r"true has no ordered pair.*at least two"),
        (np.zeros((0, 2, 2)), np.zeros((0, 2, 2)), r"true has no ordered pair.*at least two"),
    ],
)
def test_invalid_input_is_refused_with_a_sentence(metric, true, probabilities, message):
    with pytest.raises(ValueError, match=message):
        metric(true, probabilities)


@pytest.mark.parametrize("metric", METRICS)
def test_probabilities_with_other_names_are_refused(metric):
    true = to_pandas(np.array([[0, 1], [0, 0]]), ["a", "b"])
    probabilities = to_pandas(np.zeros((2, 2)), ["a", "x"])
    with pytest.raises(ValueError, match=r"index of the DataFrame probabilities"):
        metric(true, probabilities)


@pytest.mark.parametrize("n_bins", [0, -1, 2.5, "ten"])
def test_invalid_number_of_bins_is_refused(n_bins):
    with pytest.raises(ValueError, match=r"n_bins must be an integer of at least 1; got"):
        edge_calibration_error(np.zeros((2, 2)), np.zeros((2, 2)), n_bins=n_bins)


@pytest.mark.parametrize("clip", [-1e-9, 0.5, np.nan])
def test_invalid_clip_is_refused(clip):
    with pytest.raises(ValueError, match=r"clip must be at least 0 and below 0\.5; got"):
        edge_log_score(np.zeros((2, 2)), np.zeros((2, 2)), clip=clip)


def test_metrics_do_not_import_torch():
    code = "import sys, skcausal.metrics; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
