"""Histogram of the effects that a treatment is predicted to have on units."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from skcausal._typing import MatrixLike
from skcausal.plotting._palette import BLUE, GREY, INK, SKY_BLUE, VERMILLION

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_BINS = 60


class EffectDisplay:
    """Histogram of unit effects, with the average effect and its interval as a marked band.

    It is recommended to use :meth:`from_estimator` or :meth:`from_predictions`. The saturated part
    of each bar counts the units whose interval excludes zero.

    Parameters
    ----------
    effect_pred : array-like of shape (n_samples,)
        Predicted effect on each unit, in units of the outcome.
    interval : tuple of two array-likes of shape (n_samples,), default=None
        Lower and upper ends of an interval for each unit's effect.
    average : float or tuple of three floats, default=None
        Average effect, alone or with the lower and upper end of its interval. Default: the mean of
        `effect_pred`, without an interval.
    effect : array-like of shape (n_samples,), default=None
        True effects, where they are known. Their histogram is outlined.
    level : float, default=None
        Level of the intervals, between 0 and 1, for the legend.
    effect_name : str, default="Unit effect"
        Label of the horizontal axis.

    Attributes
    ----------
    effect_pred : ndarray of shape (n_samples,)
        The predicted effects.
    interval : tuple of two ndarrays of shape (n_samples,), or None
        Ends of the units' intervals.
    average : float
        The average effect.
    average_interval : tuple of two floats, or None
        Interval of the average effect.
    effect : ndarray of shape (n_samples,) or None
        The true effects.
    share_nonzero : float or None
        Share of units whose interval excludes zero.
    ax_ : matplotlib Axes
        Axes with the histogram, after :meth:`plot`.
    figure_ : matplotlib Figure
        Figure with the histogram.
    bars_ : matplotlib BarContainer
        Bars that count all units.
    nonzero_bars_ : matplotlib BarContainer or None
        Bars that count the units whose interval excludes zero.
    outline_ : matplotlib StepPatch or None
        Outline of the histogram of the true effects.
    average_line_ : matplotlib Line2D
        The average effect.
    average_band_ : matplotlib Rectangle or None
        The interval of the average effect.
    zero_line_ : matplotlib Line2D
        The line of no effect.

    See Also
    --------
    InterventionEffectDisplay : Predicted against observed means under interventions.
    RepresentationDisplay : Overlap of the arms in a learned representation.

    Examples
    --------
    >>> import numpy as np
    >>> from skcausal.plotting import EffectDisplay
    >>> effect_pred = np.array([0.2, 1.0, 1.4, 2.2])
    >>> display = EffectDisplay.from_predictions(
    ...     effect_pred, interval=(effect_pred - 0.5, effect_pred + 0.5), average=(1.2, 0.9, 1.5)
    ... )
    >>> display.share_nonzero
    0.75
    """

    def __init__(
        self,
        effect_pred: ArrayLike,
        *,
        interval: tuple[ArrayLike, ArrayLike] | None = None,
        average: float | tuple[float, float, float] | None = None,
        effect: ArrayLike | None = None,
        level: float | None = None,
        effect_name: str = "Unit effect",
    ) -> None:
        self.effect_pred = _check_effects(effect_pred, "effect_pred")
        self.interval: Any = None if interval is None else self._check_interval(interval)
        self.average, self.average_interval = _check_average(average, self.effect_pred)
        self.effect = None
        if effect is not None:
            self.effect = _check_effects(effect, "effect", n_units=len(self.effect_pred))
        if level is not None and not 0 < level < 1:
            raise ValueError(f"level must lie between 0 and 1; got {level!r}.")
        self.level = level
        self.effect_name = effect_name

    @property
    def share_nonzero(self) -> float | None:
        """Share of units whose interval excludes zero; None without intervals."""
        return None if self.interval is None else float(self._excludes_zero().mean())

    def plot(
        self, ax: Axes | None = None, *, bins: int | ArrayLike | None = None, **kwargs: Any
    ) -> Self:
        """Draw the histogram.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. Default: those of a new figure. In a figure of your own,
            ``layout="constrained"`` makes room for the legend above the axes.
        bins : int or array-like of shape (n_bins + 1,), default=None
            Number of bins, or their edges, for predicted and true effects alike. Default: by the
            rule of Freedman and Diaconis or that of Sturges, whichever asks for more bins, but at
            most 60.
        **kwargs : dict
            Passed to :meth:`matplotlib.axes.Axes.bar` for the bars that count all units.

        Returns
        -------
        display : EffectDisplay
            This object, with `ax_`, `figure_`, `bars_`, `nonzero_bars_`, `outline_`,
            `average_line_`, `average_band_` and `zero_line_`.
        """
        edges = _bin_edges(self.effect_pred, self.effect, bins)
        if ax is None:
            ax = _new_axes()
        self.ax_, self.figure_ = ax, ax.figure
        self._draw_bars(edges, kwargs)
        self.outline_ = None
        if self.effect is not None:
            counts = np.histogram(self.effect, edges)[0]
            label = f"true effects (average {_number(self.effect.mean())})"
            style: dict[str, Any] = {"color": INK, "linewidth": 1.4, "label": label, "zorder": 3}
            self.outline_ = ax.stairs(counts, edges, **style)
        self._draw_average()
        self.zero_line_ = ax.axvline(0.0, color=GREY, linestyle="--", linewidth=1.2, zorder=3)
        ax.set(xlabel=self.effect_name, ylabel="Number of units")
        ax.margins(y=0.12)  # where the band is in view above the bars
        ax.spines[["top", "right"]].set_visible(False)
        self._draw_legend()
        return self

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X: MatrixLike,
        *,
        T0: Any = 0,
        T1: Any = 1,
        level: float = 0.9,
        effect: ArrayLike | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the effects that a fitted estimator predicts.

        Parameters
        ----------
        estimator : estimator instance
            Fitted estimator with ``effect(X, T0=..., T1=...)``. Intervals are drawn where it has
            ``effect_interval`` and ``ate``, too; those of units need an ensemble.
        X : array-like or DataFrame of shape (n_samples, n_features)
            Covariates of the units.
        T0 : scalar, default=0
            Treatment to compare with.
        T1 : scalar, default=1
            Treatment whose effect is drawn.
        level : float, default=0.9
            Level of the intervals. None: no intervals.
        effect : array-like of shape (n_samples,), default=None
            True effects, where they are known. Their histogram is outlined.
        ax : matplotlib Axes, default=None
            Axes to draw on. Default: those of a new figure.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : EffectDisplay
            The display, already drawn.
        """
        if not hasattr(estimator, "effect"):
            raise TypeError(
                "estimator must have the method effect(X, T0=..., T1=...); "
                f"{type(estimator).__name__} has none. Of a Pipeline or a search, pass the step "
                "that estimates effects, and X as that step sees it."
            )
        contrast = {"T0": T0, "T1": T1}
        interval = average = None
        single = getattr(estimator, "n_ensemble", 2) < 2
        if level is not None and hasattr(estimator, "effect_interval") and not single:
            interval = estimator.effect_interval(X, **contrast, level=level)
        if level is not None and hasattr(estimator, "ate"):
            ate = estimator.ate(X, **contrast, level=level)
            average = ate.estimate, ate.lower, ate.upper
        return cls.from_predictions(
            estimator.effect(X, **contrast),
            interval=interval,
            average=average,
            effect=effect,
            level=level,
            effect_name=f"Effect of treatment {T1} against {T0}",
            ax=ax,
            **kwargs,
        )

    @classmethod
    def from_predictions(
        cls,
        effect_pred: ArrayLike,
        *,
        interval: tuple[ArrayLike, ArrayLike] | None = None,
        average: float | tuple[float, float, float] | None = None,
        effect: ArrayLike | None = None,
        level: float | None = None,
        effect_name: str = "Unit effect",
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw predicted effects.

        Parameters
        ----------
        effect_pred : array-like of shape (n_samples,)
            Predicted effect on each unit.
        interval : tuple of two array-likes of shape (n_samples,), default=None
            Lower and upper ends of an interval for each unit's effect.
        average : float or tuple of three floats, default=None
            Average effect, alone or with the lower and upper end of its interval. Default: the mean
            of `effect_pred`, without an interval.
        effect : array-like of shape (n_samples,), default=None
            True effects, where they are known. Their histogram is outlined.
        level : float, default=None
            Level of the intervals, between 0 and 1, for the legend.
        effect_name : str, default="Unit effect"
            Label of the horizontal axis.
        ax : matplotlib Axes, default=None
            Axes to draw on. Default: those of a new figure.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : EffectDisplay
            The display, already drawn.
        """
        display = cls(
            effect_pred,
            interval=interval,
            average=average,
            effect=effect,
            level=level,
            effect_name=effect_name,
        )
        return display.plot(ax=ax, **kwargs)

    def _check_interval(self, interval) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper ends, one for each unit and in this order."""
        if len(interval) != 2:
            raise ValueError(
                f"interval must be a tuple (lower, upper) of arrays; got {len(interval)} items."
            )
        n_units = len(self.effect_pred)
        lower = _check_effects(interval[0], "the lower end of interval", n_units=n_units)
        upper = _check_effects(interval[1], "the upper end of interval", n_units=n_units)
        if (lower > upper).any():
            unit = int(np.argmax(lower > upper))
            raise ValueError(
                f"The lower end of interval must not exceed the upper one; unit {unit} has "
                f"[{lower[unit]:g}, {upper[unit]:g}]."
            )
        return lower, upper

    def _excludes_zero(self) -> np.ndarray:
        """Whether each unit's interval lies on one side of zero."""
        lower, upper = self.interval
        return (lower > 0) | (upper < 0)

    def _draw_bars(self, edges, kwargs) -> None:
        """Draw bars that count all units and, in front, the units whose interval excludes zero."""
        style = {"align": "edge", "width": np.diff(edges), "edgecolor": "white", "linewidth": 0.5}
        counts = np.histogram(self.effect_pred, edges)[0]
        light = SKY_BLUE if self.interval is None else _lighter(SKY_BLUE)
        label = f"predicted effects (n = {len(self.effect_pred)})"
        all_units = {"color": light, "label": label, "zorder": 1.5}
        self.bars_ = self.ax_.bar(edges[:-1], counts, **(style | all_units | kwargs))
        self.nonzero_bars_ = None
        if self.interval is not None:
            counts = np.histogram(self.effect_pred[self._excludes_zero()], edges)[0]
            share = f"{self.share_nonzero:.0%} of units"
            label = f"{_percent(self.level)}interval excludes zero ({share})"
            style |= {"color": BLUE, "label": label, "zorder": 2}
            self.nonzero_bars_ = self.ax_.bar(edges[:-1], counts, **style)

    def _draw_average(self) -> None:
        """Draw the average effect as a line and its interval as a band behind the bars."""
        label, self.average_band_ = f"average effect {_number(self.average)}", None
        if self.average_interval is not None:
            low, high = self.average_interval
            style: dict[str, Any] = {"color": VERMILLION, "alpha": 0.3, "linewidth": 0}
            self.average_band_ = self.ax_.axvspan(low, high, **style, zorder=0.5)
            label += f" [{_number(low)}, {_number(high)}]"
        self.average_line_ = self.ax_.axvline(
            self.average, color=VERMILLION, linewidth=1.8, label=label, zorder=4
        )

    def _draw_legend(self) -> None:
        """Legend above the axes, where it covers no bar."""
        named = [self.bars_, self.nonzero_bars_, self.average_line_, self.outline_]
        handles = {artist: artist for artist in named if artist is not None}
        if self.average_band_ is not None:
            handles[self.average_line_] = self.average_band_, self.average_line_  # both in one
        self.ax_.legend(
            handles=list(handles.values()),
            labels=[artist.get_label() for artist in handles],
            loc="lower left",
            bbox_to_anchor=(0.0, 1.0),
            frameon=False,
            borderaxespad=0.2,
            labelspacing=0.35,
            handlelength=1.6,
        )


def _check_effects(values, name: str, n_units: int | None = None) -> np.ndarray:
    """Return finite values as a float array of shape (n_units,)."""
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or values.size == 0 or n_units not in (None, len(values)):
        shape = "(n_samples,)" if n_units is None else f"({n_units},)"
        raise ValueError(
            f"{name} must have shape {shape}, one value for each unit; got {values.shape}."
        )
    if not np.isfinite(values).all():
        unit = int(np.argmin(np.isfinite(values)))
        raise ValueError(f"{name} must be finite; unit {unit} has {values[unit]}.")
    return values


def _check_average(average, effect_pred) -> tuple[float, tuple[float, float] | None]:
    """Return the average effect and its interval, if there is one."""
    if average is None:
        average = effect_pred.mean()
    values = np.asarray(average, dtype=float)
    if values.shape not in ((), (3,)) or not np.isfinite(values).all():
        raise ValueError(
            "average must be a finite number or a tuple (estimate, lower, upper) of finite "
            f"numbers; got {average!r}."
        )
    if values.ndim == 0:
        return float(values), None
    estimate, lower, upper = values.tolist()
    if lower > upper:
        raise ValueError(
            f"The lower end of average's interval must not exceed the upper one; got {average!r}."
        )
    return estimate, (lower, upper)


def _bin_edges(effect_pred, effect, bins) -> np.ndarray:
    """Edges of bins that hold the predicted and the true effects."""
    values = effect_pred if effect is None else np.concatenate([effect_pred, effect])
    low, high = float(values.min()), float(values.max())
    if np.ndim(bins) == 0 and high - low <= 1e-9 * max(abs(low), abs(high)):  # one value: one bar
        half_width = 0.05 * max(abs(low), abs(high), 1.0)
        return np.array([low - half_width, high + half_width])
    if bins is not None:
        return np.histogram_bin_edges(values, bins)
    # The rule sees the predictions alone, or it would smooth them by the spread of the truth. Two
    # far outliers among many units ask for millions of bins, which only their number can tell.
    q25, q75 = np.percentile(effect_pred, [25, 75])
    width = 2 * (q75 - q25) / np.cbrt(len(effect_pred))
    n_bins = np.log2(len(effect_pred)) + 1
    if width > 0:
        n_bins = max(n_bins, (high - low) / width)
    return np.linspace(low, high, int(np.ceil(min(n_bins, _MOST_BINS))) + 1)


def _new_axes():
    """Axes of a new figure with room for the legend on top."""
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(5.6, 4.4), layout="constrained")
    return ax


def _lighter(color):
    """Blend a colour with as much white."""
    from matplotlib.colors import to_rgb

    return tuple(0.5 + 0.5 * np.array(to_rgb(color)))


def _number(value: float) -> str:
    """Three significant digits, or all those before the point."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def _percent(level: float | None) -> str:
    """Level in front of a noun."""
    return "" if level is None else f"{100 * level:g}% "
