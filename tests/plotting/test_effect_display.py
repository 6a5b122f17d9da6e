from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import same_color
from sklearn.base import BaseEstimator

from skcausal.plotting import EffectDisplay

EFFECTS = np.array([-1.0, 0.5, 0.6, 1.0, 2.0, 2.2])
LOWER, UPPER = EFFECTS - 0.8, EFFECTS + 0.8
EDGES = [-2.0, 0.0, 1.5, 3.0]


class Average(NamedTuple):
    estimate: float
    lower: float
    upper: float
    standard_error: float


class PlainEffects(BaseEstimator):
    """Effects that are proportional to the first covariate and to the contrast."""

    def effect(self, X, *, T0=0, T1=1):
        return (T1 - T0) * np.asarray(X)[:, 0]


class IntervalEffects(PlainEffects):
    """The same, with intervals whose half-width is the level."""

    def effect_interval(self, X, *, T0=0, T1=1, level=0.9):
        effect = self.effect(X, T0=T0, T1=T1)
        return effect - level, effect + level

    def ate(self, X, *, T0=0, T1=1, level=0.9):
        estimate = self.effect(X, T0=T0, T1=T1).mean() + 0.25  # not the mean of the unit effects
        return Average(estimate, estimate - level / 4, estimate + level / 4, 0.1)


def heights(bars):
    return [bar.get_height() for bar in bars]


def legend_of(display):
    return [text.get_text() for text in display.ax_.get_legend().get_texts()]


def test_bars_count_the_units_of_each_bin():
    display = EffectDisplay(EFFECTS).plot(bins=EDGES)
    assert heights(display.bars_) == [1, 3, 2]
    assert np.allclose([bar.get_x() for bar in display.bars_], EDGES[:-1])
    assert np.allclose([bar.get_width() for bar in display.bars_], np.diff(EDGES))
    assert display.nonzero_bars_ is None
    assert display.outline_ is None
    assert display.average_band_ is None
    assert display.share_nonzero is None
    assert legend_of(display) == ["predicted effects (n = 6)", "average effect 0.883"]
    assert display.ax_.get_xlabel() == "Unit effect"
    assert display.ax_.get_ylabel() == "Number of units"


def test_saturated_bars_count_the_units_whose_interval_excludes_zero():
    display = EffectDisplay(EFFECTS, interval=(LOWER, UPPER), level=0.95).plot(bins=EDGES)
    assert heights(display.bars_) == [1, 3, 2]
    assert heights(display.nonzero_bars_) == [1, 1, 2]
    assert display.share_nonzero == pytest.approx(4 / 6)
    assert "95% interval excludes zero (67% of units)" in legend_of(display)
    assert display.nonzero_bars_[0].get_zorder() > display.bars_[0].get_zorder()
    colors = [bars[0].get_facecolor() for bars in (display.bars_, display.nonzero_bars_)]
    assert not same_color(*colors)


def test_interval_that_touches_zero_does_not_exclude_it():
    display = EffectDisplay([1.0, -1.0, 1.0], interval=([0.0, -2.0, 0.5], [2.0, 0.0, 1.5]))
    assert display.share_nonzero == pytest.approx(1 / 3)


def test_average_is_a_line_in_the_band_of_its_interval():
    display = EffectDisplay(EFFECTS, average=(1.0, 0.75, 1.5)).plot()
    assert np.allclose(display.average_line_.get_xdata(), 1.0)
    band = display.average_band_.get_bbox()
    assert (band.x0, band.x1) == (0.75, 1.5)
    assert (band.y0, band.y1) == (0, 1)  # of the height of the axes
    assert display.average_band_.get_zorder() < display.bars_[0].get_zorder()
    assert display.ax_.get_ylim()[1] > 1.1 * max(heights(display.bars_))  # the band is in view
    assert "average effect 1 [0.75, 1.5]" in legend_of(display)
    alone = EffectDisplay(EFFECTS, average=1234.5).plot()
    assert np.allclose(alone.average_line_.get_xdata(), 1234.5)
    assert alone.average_band_ is None
    assert "average effect 1234" in legend_of(alone)


def test_zero_line_is_in_view():
    display = EffectDisplay(EFFECTS + 100).plot()
    assert np.allclose(display.zero_line_.get_xdata(), 0)
    low, high = display.ax_.get_xlim()
    assert low <= 0 < 100 < high


def test_true_effects_are_outlined_in_the_same_bins():
    effect = np.array([-1.5, -0.5, 0.2, 1.0, 1.2, 2.5])
    display = EffectDisplay(EFFECTS, effect=effect).plot(bins=EDGES)
    values, edges, _ = display.outline_.get_data()
    assert np.array_equal(values, [2, 3, 1])
    assert np.array_equal(edges, EDGES)
    assert legend_of(display)[-1] == "true effects (average 0.483)"


def test_default_bins_hold_all_effects():
    rng = np.random.default_rng(0)
    effect_pred, effect = rng.normal(size=200), rng.normal(scale=3, size=200)
    display = EffectDisplay(effect_pred, effect=effect).plot()
    assert sum(heights(display.bars_)) == 200
    values, edges, _ = display.outline_.get_data()
    assert values.sum() == 200
    assert np.array_equal(edges[:-1], [bar.get_x() for bar in display.bars_])


def test_outliers_do_not_ask_for_endless_bins():
    effect_pred = np.append(np.random.default_rng(0).normal(size=1000), [1e9, -1e9])
    assert len(EffectDisplay(effect_pred).plot().bars_) == 60


@pytest.mark.parametrize("bins", [None, 30])
@pytest.mark.parametrize("noise", [0.0, 1e-15])
def test_constant_effects_are_one_bar(noise, bins):
    effect_pred = 2.0 + noise * np.arange(10)
    (bar,) = EffectDisplay(effect_pred).plot(bins=bins).bars_
    assert bar.get_height() == 10
    assert bar.get_x() < 2.0 < bar.get_x() + bar.get_width()


def test_from_estimator_passes_contrast_and_level():
    X = EFFECTS[:, None]
    _, ax = plt.subplots()
    display = EffectDisplay.from_estimator(
        IntervalEffects(), X, T0=1, T1=3, level=0.8, effect=2 * EFFECTS, ax=ax, alpha=0.5
    )
    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    assert np.allclose(display.effect_pred, 2 * EFFECTS)
    assert np.allclose(display.interval, [2 * EFFECTS - 0.8, 2 * EFFECTS + 0.8])
    estimate = 2 * EFFECTS.mean() + 0.25
    assert display.average == pytest.approx(estimate)
    assert display.average_interval == pytest.approx((estimate - 0.2, estimate + 0.2))
    assert np.array_equal(display.effect, 2 * EFFECTS)
    assert display.ax_.get_xlabel() == "Effect of treatment 3 against 1"
    assert any(label.startswith("80% interval") for label in legend_of(display))
    assert display.bars_[0].get_alpha() == 0.5


@pytest.mark.parametrize(("estimator", "level"), [(PlainEffects(), 0.9), (IntervalEffects(), None)])
def test_from_estimator_without_intervals(estimator, level):
    display = EffectDisplay.from_estimator(estimator, EFFECTS[:, None], level=level)
    assert display.interval is None
    assert display.average_interval is None
    assert display.average == pytest.approx(EFFECTS.mean())


def test_estimators_without_effects_are_refused():
    with pytest.raises(TypeError, match="BaseEstimator has none"):
        EffectDisplay.from_estimator(BaseEstimator(), EFFECTS[:, None])


def test_display_can_be_drawn_again():
    display = EffectDisplay(EFFECTS, interval=(LOWER, UPPER)).plot()
    first = display.ax_
    _, ax = plt.subplots()
    assert display.plot(ax=ax, bins=2) is display
    assert display.ax_ is ax
    assert ax is not first
    assert len(display.bars_) == 2


def test_legend_stands_above_the_axes_in_the_figure():
    display = EffectDisplay.from_predictions(
        EFFECTS, interval=(LOWER, UPPER), average=(1, 0.5, 1.5), effect=EFFECTS, level=0.9
    )
    display.figure_.canvas.draw()
    box = display.ax_.get_legend().get_window_extent()
    assert box.y0 >= display.ax_.get_window_extent().y1 - 1
    assert box.y1 <= display.figure_.bbox.y1 + 1
    assert box.x1 <= display.figure_.bbox.x1 + 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"effect_pred": EFFECTS[:, None]}, r"effect_pred must have shape \(n_samples,\)"),
        ({"effect_pred": []}, "effect_pred must have shape"),
        ({"effect_pred": [0.0, np.nan]}, "effect_pred must be finite; unit 1 has nan"),
        ({"effect": EFFECTS[:3]}, r"effect must have shape \(6,\)"),
        ({"interval": EFFECTS}, "interval must be a tuple"),
        ({"interval": (LOWER, UPPER[:2])}, "upper end of interval must have shape"),
        ({"interval": (UPPER, LOWER)}, "must not exceed the upper one; unit 0"),
        ({"average": (1.0, 2.0)}, "average must be a finite number or a tuple"),
        ({"average": np.nan}, "average must be a finite number"),
        ({"average": (1.0, 2.0, 0.0)}, "must not exceed the upper one"),
        ({"level": 95}, "level must lie between 0 and 1; got 95"),
    ],
)
def test_invalid_input_is_refused_with_a_sentence(change, message):
    arguments = {"effect_pred": EFFECTS} | change
    with pytest.raises(ValueError, match=message):
        EffectDisplay.from_predictions(**arguments)
