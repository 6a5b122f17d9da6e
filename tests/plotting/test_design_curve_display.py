import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from skcausal.design import DesignEvaluation, evaluate
from skcausal.plotting import DesignCurveDisplay
from skcausal.plotting._palette import CYCLE
from skcausal.simulators import LinearPrior

DESIGNERS = ["random", "balanced_half", "lookahead"]
N_DESIGNS = np.array([0, 2, 5])


@pytest.fixture
def evaluation():
    """Scores of three designers in 40 systems that differ more than the designers do."""
    rng = np.random.default_rng(0)
    systems = rng.normal(70.0, 5.0, (1, 40, 1))
    gains = np.array([0.0, 0.5, 1.0])[:, None, None] * N_DESIGNS
    edges = systems + gains + rng.normal(0.0, 1.0, (3, 40, 3)) * (N_DESIGNS > 0)
    return DesignEvaluation({"edges": edges, "auprc": edges / 100}, DESIGNERS, N_DESIGNS)


def legend_labels(display):
    return [text.get_text() for text in display.legend_.get_texts()]


def test_curves_are_means_over_the_systems(evaluation):
    display = DesignCurveDisplay.from_evaluation(evaluation)
    assert list(display.lines_) == DESIGNERS
    for k, designer in enumerate(DESIGNERS):
        x, y = display.lines_[designer].get_data()
        assert np.array_equal(x, N_DESIGNS)
        assert np.allclose(y, evaluation.scores["edges"][k].mean(axis=0))
    assert display.zero_line_ is None


def test_bands_are_intervals_of_95_percent(evaluation):
    display = DesignCurveDisplay.from_evaluation(evaluation)
    values = evaluation.scores["edges"]
    half = 1.959964 * values.std(axis=1, ddof=1) / np.sqrt(values.shape[1])
    for k, designer in enumerate(DESIGNERS):
        drawn = display.bands_[designer].get_paths()[0].vertices
        for n, mean, width in zip(N_DESIGNS, values[k].mean(axis=0), half[k]):
            ends = drawn[drawn[:, 0] == n, 1]
            assert ends.min() == pytest.approx(mean - width)
            assert ends.max() == pytest.approx(mean + width)


def test_differences_are_paired_and_the_reference_is_the_zero_line(evaluation):
    display = DesignCurveDisplay.from_evaluation(evaluation, reference="balanced_half")
    assert list(display.lines_) == ["random", "lookahead"]
    assert np.array_equal(display.zero_line_.get_ydata(), [0.0, 0.0])
    values = evaluation.scores["edges"]
    gain = values[2] - values[1]
    assert np.allclose(display.lines_["lookahead"].get_ydata(), gain.mean(axis=0))
    unpaired = DesignCurveDisplay.from_evaluation(evaluation)
    width, wide = (d.high[2] - d.low[2] for d in (display, unpaired))
    assert (width < 0.5 * wide).all()
    assert np.array_equal(display.mean[1], np.zeros(3))


def test_a_designer_has_the_same_colour_with_and_without_reference(evaluation):
    figure, axes = plt.subplots(1, 2)
    curves = DesignCurveDisplay.from_evaluation(evaluation, ax=axes[0])
    gains = DesignCurveDisplay.from_evaluation(evaluation, reference="random", ax=axes[1])
    assert curves.figure_ is gains.figure_ is figure
    for designer in DESIGNERS[1:]:
        colours = [to_rgb(d.lines_[designer].get_color()) for d in (curves, gains)]
        assert colours == [to_rgb(CYCLE[DESIGNERS.index(designer)])] * 2
    line = curves.lines_["random"]
    assert to_rgb(gains.zero_line_.get_color()) == to_rgb(line.get_color())


def test_legend_has_the_order_in_which_the_curves_end(evaluation):
    display = DesignCurveDisplay.from_evaluation(evaluation)
    assert legend_labels(display) == ["lookahead", "balanced_half", "random"]
    gains = DesignCurveDisplay.from_evaluation(evaluation, reference="balanced_half")
    assert legend_labels(gains) == ["lookahead", "balanced_half", "random"]


def test_axes_are_named_after_score_and_reference(evaluation):
    display = DesignCurveDisplay.from_evaluation(evaluation, score="auprc", reference="random")
    assert display.ax_.get_xlabel() == "Number of experiments"
    assert display.ax_.get_ylabel() == "Average precision of the edges\nminus that of random"
    assert np.allclose(
        display.mean[2], np.diff(evaluation.scores["auprc"][[0, 2]], axis=0)[0].mean(axis=0)
    )
    ticks = display.ax_.get_xticks()
    assert np.array_equal(ticks, np.round(ticks))


def test_style_is_passed_on_and_aliases_count(evaluation):
    display = DesignCurveDisplay.from_evaluation(evaluation, lw=3.0, c="black")
    for designer in DESIGNERS:
        line = display.lines_[designer]
        assert line.get_linewidth() == 3.0
        assert line.get_color() == "black"
        assert to_rgb(display.bands_[designer].get_facecolor()[0][:3]) == (0.0, 0.0, 0.0)


def test_nothing_is_cut_off_at_the_edge_of_an_own_figure(evaluation):
    display = DesignCurveDisplay.from_evaluation(evaluation, reference="random")
    display.figure_.canvas.draw()
    extents = display.figure_.get_tightbbox().extents
    assert (extents[:2] >= 0).all()
    assert (extents[2:] <= display.figure_.get_size_inches()).all()


def test_draws_every_score_of_an_evaluation_of_designers():
    prior = LinearPrior.preset("caasl", n_variables=3, edges_per_variable=1.0)
    evaluation = evaluate(["random", "balanced_half"], prior, 3, budget=2, random_state=0)
    for score in evaluation.scores:
        display = DesignCurveDisplay.from_evaluation(evaluation, score=score)
        assert display.ax_.get_ylabel() != score
        assert np.isfinite(display.mean).all()


def test_unknown_scores_and_references_are_refused_before_a_figure_opens(evaluation):
    with pytest.raises(ValueError, match=r"score must be one of \['edges', 'auprc'\]; got 'sid'"):
        DesignCurveDisplay.from_evaluation(evaluation, score="sid")
    with pytest.raises(ValueError, match="reference must be one of"):
        DesignCurveDisplay.from_evaluation(evaluation, reference="nobody")
    assert plt.get_fignums() == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean": [[1.0, 2.0]]}, r"mean must have shape \(1, 3\).*got \(1, 2\)"),
        ({"low": [1.0, 2.0, 3.0]}, r"low must have shape \(1, 3\).*got \(3,\)"),
        ({"n_designs": [0, 2, 1]}, "n_designs must be increasing"),
        ({"reference": "nobody"}, r"reference must be one of \['a'\]; got 'nobody'"),
    ],
)
def test_invalid_arguments_are_refused(change, message):
    arguments = {"designers": ["a"], "n_designs": [0, 1, 2]}
    arguments |= {name: [[1.0, 2.0, 3.0]] for name in ("mean", "low", "high")}
    with pytest.raises(ValueError, match=message):
        DesignCurveDisplay(**(arguments | change))
