from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import same_color
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcausal.plotting import EffectErrorDisplay

ALPHAS = [0, 0.1, 1, 10]


@pytest.fixture
def errors():
    """Four weights, six repeats, two groups."""
    rng = np.random.default_rng(0)
    return {name: rng.uniform(1, 2, size=(4, 6)) for name in ("hidden", "observed")}


@pytest.fixture
def regression():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3))
    return X, X[:, 0] + 2 + rng.normal(size=40)


def legend_of(display):
    return [text.get_text() for text in display.ax_.get_legend().get_texts()]


def tick_labels(display):
    return [label.get_text() for label in display.ax_.get_xticklabels()]


def half_lengths(bars):
    """Half-lengths of drawn error bars."""
    segments = np.array(bars[2][0].get_segments())
    return np.ptp(segments[:, :, 1], axis=1) / 2


def test_lines_are_means_with_standard_errors(errors):
    display = EffectErrorDisplay.from_results(ALPHAS, errors, error_name="PEHE")
    assert list(display.lines_) == ["hidden", "observed"]
    for group, table in errors.items():
        assert np.allclose(display.lines_[group].get_xdata(), ALPHAS)
        assert np.allclose(display.lines_[group].get_ydata(), table.mean(axis=1))
        expected = table.std(axis=1, ddof=1) / np.sqrt(6)
        assert np.allclose(half_lengths(display.errorbars_[group]), expected)
    assert display.ax_.get_xlabel() == "Penalty weight"
    assert display.ax_.get_ylabel() == "PEHE (± standard error)"
    assert legend_of(display) == ["hidden", "observed"]
    hidden, observed = display.lines_.values()
    assert not same_color(hidden.get_color(), observed.get_color())
    assert hidden.get_marker() != observed.get_marker()


def test_without_repeats_there_are_no_standard_errors():
    display = EffectErrorDisplay.from_results(ALPHAS, [4, 3, 2, 1], error_name="PEHE")
    assert np.array_equal(display.errors["PEHE"], [4, 3, 2, 1])
    assert np.isnan(display.std_errors["PEHE"]).all()
    assert display.ax_.get_ylabel() == "PEHE"
    assert display.ax_.get_legend() is None


def test_numbers_of_repeats_may_differ():
    display = EffectErrorDisplay.from_results([0, 1], {"a": [1, 2], "b": [[1, 3], [2, 2]]})
    assert np.array_equal(display.errors["b"], [2, 2])
    assert np.array_equal(display.std_errors["b"], [1, 0])
    assert np.isnan(display.std_errors["a"]).all()


def test_weights_are_sorted_with_their_errors():
    display = EffectErrorDisplay(
        [10, 0, 1], {"a": [3, 1, 2]}, std_errors={"a": [0.3, 0.1, 0.2]}
    ).plot()
    assert np.array_equal(display.alphas, [0, 1, 10])
    assert np.array_equal(display.lines_["a"].get_ydata(), [1, 2, 3])
    assert np.allclose(half_lengths(display.errorbars_["a"]), [0.1, 0.2, 0.3])


def test_failed_repeats_leave_a_gap():
    errors = [[1, 2], [np.nan, 2], [3, 3], [4, 4]]
    display = EffectErrorDisplay.from_results(ALPHAS, errors)
    (line,) = display.lines_.values()
    assert np.array_equal(np.isnan(line.get_ydata()), [False, True, False, False])


@pytest.mark.parametrize(
    ("alphas", "scale"),
    [
        ([0.1, 1, 10], "log"),
        ([0, 0.1, 1, 10], "symlog"),
        ([0], "linear"),
        ([3], "linear"),
    ],
)
def test_axis_is_logarithmic_with_a_place_for_zero(alphas, scale):
    display = EffectErrorDisplay.from_results(alphas, np.ones(len(alphas)))
    assert display.ax_.get_xscale() == scale
    assert tick_labels(display) == [f"{alpha:g}" for alpha in alphas]
    low, high = display.ax_.get_xlim()
    assert low < alphas[0]
    assert high > alphas[-1]


def test_zero_stands_one_decade_before_the_smallest_weight(errors):
    display = EffectErrorDisplay.from_results(ALPHAS, errors)
    positions = display.ax_.transData.transform([(alpha, 1) for alpha in ALPHAS])[:, 0]
    assert np.allclose(np.diff(positions), np.diff(positions)[0])


@pytest.mark.parametrize("alphas", [np.logspace(-3, 3, 25), np.linspace(0, 1, 30), ALPHAS])
def test_tick_labels_do_not_overlap(alphas):
    display = EffectErrorDisplay.from_results(alphas, np.ones(len(alphas)))
    display.figure_.canvas.draw()
    boxes = [label.get_window_extent() for label in display.ax_.get_xticklabels()]
    assert len(boxes) >= 3
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


def test_round_weights_are_the_first_to_be_written():
    display = EffectErrorDisplay.from_results(np.logspace(-3, 3, 25), np.ones(25))
    assert tick_labels(display) == ["0.001", "0.01", "0.1", "1", "10", "100", "1000"]


def test_picked_weights_are_marked(errors):
    display = EffectErrorDisplay.from_results(ALPHAS, errors, picked={"observed": 1})
    (ring,) = display.picked_.values()
    assert np.allclose(ring.get_xydata(), [[1, errors["observed"][2].mean()]])
    assert same_color(ring.get_color(), display.lines_["observed"].get_color())
    assert legend_of(display) == ["hidden", "observed", "picked"]
    everywhere = EffectErrorDisplay.from_results(ALPHAS, errors, picked=0)
    assert everywhere.picked == {"hidden": 0.0, "observed": 0.0}
    assert all(ring.get_xdata() == [0] for ring in everywhere.picked_.values())


def test_baseline_of_all_groups_is_one_grey_line(errors):
    display = EffectErrorDisplay.from_results(
        ALPHAS, errors, baseline=1.75, baseline_name="T-learner"
    )
    (line,) = display.baselines_
    assert np.allclose(line.get_ydata(), 1.75)
    assert line.get_linestyle() == "--"
    assert legend_of(display)[-1] == "T-learner"
    group_colors = [group.get_color() for group in display.lines_.values()]
    assert not any(same_color(line.get_color(), color) for color in group_colors)


def test_baselines_of_groups_have_their_colours(errors):
    baseline = {"observed": 1.25, "hidden": 1.75}
    display = EffectErrorDisplay.from_results(ALPHAS, errors, baseline=baseline)
    for line, (group, error) in zip(display.baselines_, baseline.items()):
        assert np.allclose(line.get_ydata(), error)
        assert same_color(line.get_color(), display.lines_[group].get_color())
    assert legend_of(display) == ["hidden", "observed", "baseline"]


def test_search_gives_minus_its_scores(regression):
    grid = {"ridge__alpha": [100, 1, 0]}
    search = GridSearchCV(make_pipeline(StandardScaler(), Ridge()), grid, cv=4).fit(*regression)
    _, ax = plt.subplots()
    display = EffectErrorDisplay.from_search(search, error_name="MSE", ax=ax, linewidth=3)
    assert display.ax_ is ax
    assert np.array_equal(display.alphas, [0, 1, 100])
    results = search.cv_results_
    assert np.allclose(display.errors["MSE"], -results["mean_test_score"][::-1])
    expected = results["std_test_score"][::-1] / np.sqrt(3)  # ddof=1, four splits
    assert np.allclose(display.std_errors["MSE"], expected)
    assert display.picked == {"MSE": search.best_params_["ridge__alpha"]}
    assert display.ax_.get_xlabel() == "alpha"
    assert display.lines_["MSE"].get_linewidth() == 3


def test_search_over_other_parameters_gives_a_line_each(regression):
    grid = {"alpha": [0.0, 10.0], "fit_intercept": [True, False], "solver": ["auto"]}
    search = GridSearchCV(Ridge(), grid, cv=3).fit(*regression)
    display = EffectErrorDisplay.from_search(search)
    assert list(display.lines_) == ["fit_intercept=True", "fit_intercept=False"]
    for fit_intercept in (True, False):
        rows = search.cv_results_["param_fit_intercept"] == fit_intercept
        expected = -search.cv_results_["mean_test_score"][rows]
        assert np.allclose(display.errors[f"fit_intercept={fit_intercept}"], expected)
    assert display.picked == {"fit_intercept=True": search.best_params_["alpha"]}


def test_candidates_without_the_weight_are_left_out(regression):
    grid = [{"alpha": [1.0, 10.0]}, {"fit_intercept": [False]}]
    search = GridSearchCV(Ridge(), grid, cv=3).fit(*regression)
    display = EffectErrorDisplay.from_search(search)
    assert np.array_equal(display.alphas, [1, 10])
    assert np.isfinite(next(iter(display.errors.values()))).all()


def test_search_with_several_metrics_and_without_refit(regression):
    scoring = ["r2", "neg_mean_squared_error"]
    search = GridSearchCV(Ridge(), {"alpha": [0, 1]}, cv=3, scoring=scoring, refit=False)
    search.fit(*regression)
    display = EffectErrorDisplay.from_search(search, metric="neg_mean_squared_error")
    (errors,) = display.errors.values()
    assert np.allclose(errors, -search.cv_results_["mean_test_neg_mean_squared_error"])
    assert display.picked == {}
    with pytest.raises(ValueError, match="no metric 'score'; it has r2, neg_mean"):
        EffectErrorDisplay.from_search(search)


def test_search_parameters_are_found_by_their_last_parts(regression):
    grid = {"standardscaler__with_mean": [True], "ridge__alpha": [0.0, 1.0]}
    search = GridSearchCV(make_pipeline(StandardScaler(), Ridge()), grid, cv=3).fit(*regression)
    display = EffectErrorDisplay.from_search(search, "ridge__alpha")
    assert np.array_equal(display.alphas, [0, 1])
    with pytest.raises(ValueError, match="no parameter that ends with 'lpha'"):
        EffectErrorDisplay.from_search(search, "lpha")


def test_search_over_words_is_refused(regression):
    search = GridSearchCV(Ridge(), {"solver": ["svd", "lsqr"]}, cv=3).fit(*regression)
    with pytest.raises(ValueError, match="alphas must be numbers"):
        EffectErrorDisplay.from_search(search, "solver")


def test_ambiguous_parameters_are_refused():
    search = GridSearchCV(Ridge(), {})
    search.cv_results_ = {"params": [{"a__alpha": 1, "b__alpha": 1}]}
    with pytest.raises(ValueError, match="more than one parameter that ends with 'alpha'"):
        EffectErrorDisplay.from_search(search)


def test_successive_halving_is_refused(regression):
    search = HalvingGridSearchCV(Ridge(), {"alpha": [0, 1, 10]}, cv=2, random_state=0)
    search.fit(*regression)
    with pytest.raises(ValueError, match="more than once, as successive halving does"):
        EffectErrorDisplay.from_search(search)


def test_display_can_be_drawn_again(errors):
    display = EffectErrorDisplay.from_results(ALPHAS, errors, picked=1, baseline=1.0)
    fig, ax = plt.subplots()
    assert display.plot(ax=ax) is display
    assert display.ax_ is ax
    assert display.figure_ is fig
    assert len(display.lines_) == len(display.picked_) == 2
    assert len(display.baselines_) == 1


def test_legend_stands_beside_the_axes_in_the_figure(errors):
    display = EffectErrorDisplay.from_results(ALPHAS, errors, picked=1, baseline=1.0)
    display.figure_.canvas.draw()
    box = display.ax_.get_legend().get_window_extent()
    assert box.x0 >= display.ax_.get_window_extent().x1 - 1
    assert box.x1 <= display.figure_.bbox.x1 + 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alphas": [0, 1, 1, 2]}, "alphas must be distinct"),
        ({"alphas": [0, 1, 2, -3]}, "finite and not negative"),
        ({"alphas": [0, 1, 2, np.inf]}, "finite and not negative"),
        ({"alphas": ["auto", 1, 2, 3]}, "alphas must be numbers"),
        ({"alphas": [[0, 1, 2, 3]]}, r"alphas must have shape \(n_alphas,\)"),
        ({"errors": np.ones(3)}, r"must have shape \(4,\) or \(4, n_repeats\)"),
        ({"errors": {"a": np.ones((2, 4))}}, "errors of 'a' must have shape"),
        ({"errors": {}}, "at least one group"),
        ({"picked": 0.5}, "picked must be one of alphas; got 0.5"),
        ({"picked": {"c": 1}}, "picked has the group 'c'"),
        ({"baseline": {"c": 1}}, "baseline has the group 'c'"),
    ],
)
def test_invalid_input_is_refused_with_a_sentence(change, message):
    arguments = {"alphas": ALPHAS, "errors": {"a": np.ones(4)}} | change
    with pytest.raises(ValueError, match=message):
        EffectErrorDisplay.from_results(**arguments)


def test_constructor_takes_errors_by_group():
    with pytest.raises(ValueError, match="errors must be a dict"):
        EffectErrorDisplay(ALPHAS, np.ones(4))
    with pytest.raises(ValueError, match=r"errors of 'a' must have shape \(4,\)"):
        EffectErrorDisplay(ALPHAS, {"a": np.ones((4, 2))})
    with pytest.raises(ValueError, match="std_errors has the group 'b'"):
        EffectErrorDisplay(ALPHAS, {"a": np.ones(4)}, std_errors={"b": np.ones(4)})
