"""Predicted against observed means under interventions."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from skcausal._typing import MatrixLike, PerRow
from skcausal.interventions import (
    check_interventions,
    check_regimes,
    hide_free_cells,
    regime_labels,
)
from skcausal.plotting._palette import CYCLE, GREY, LIGHT_GREY, MARKERS
from skcausal.plotting._std_error import std_error

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LEGEND_ROWS = 20


class InterventionEffectDisplay:
    """Predicted against observed means, one point for each variable and regime.

    It is recommended to use :meth:`from_estimator` or :meth:`from_predictions`. A perfect predictor
    puts all points on the diagonal, up to the standard errors of the observed means.

    Parameters
    ----------
    regimes : sequence of str of length n_regimes
        Names of the regimes.
    variables : sequence of str of length n_variables
        Names of the variables.
    observed : array-like of shape (n_regimes, n_variables)
        Observed mean of each variable in each regime.
    predicted : array-like of shape (n_regimes, n_variables)
        Predicted means.
    observed_std_error : array-like of shape (n_regimes, n_variables)
        Standard errors of the observed means; NaN where unknown.
    is_target : array-like of bool of shape (n_regimes, n_variables)
        True where the regime sets the variable. These cells are given, not predicted.
    baseline : array-like of shape (n_variables,) or (n_regimes, n_variables), default=None
        Means to compare with, for instance those of the control regime ("nothing has an effect").

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the points, after :meth:`plot`.
    figure_ : matplotlib Figure
        Figure with the points.
    points_ : list of matplotlib PathCollection
        The points of each regime.
    errorbars_ : list of matplotlib ErrorbarContainer
        The error bars of each regime.
    baseline_ : matplotlib PathCollection or None
        The light markers of the baseline, all regimes together.
    line_ : matplotlib Line2D
        The diagonal.

    See Also
    --------
    sklearn.metrics.PredictionErrorDisplay : Predicted against observed values of a regressor.

    Examples
    --------
    >>> import numpy as np
    >>> from skcausal.plotting import InterventionEffectDisplay
    >>> X = np.array([[0.1, 0.0], [-0.1, 0.2], [1.0, 1.9], [1.0, 2.3]])
    >>> X_pred = np.array([[0.0, 0.1], [0.0, 0.1], [1.0, 2.0], [1.0, 2.0]])
    >>> interventions = np.array([[False, False], [False, False], [True, False], [True, False]])
    >>> display = InterventionEffectDisplay.from_predictions(
    ...     X, X_pred, interventions=interventions
    ... )
    >>> display.regimes
    ['control', 'x0']
    >>> display.observed
    array([[0. , 0.1],
           [1. , 2.1]])
    """

    def __init__(
        self,
        *,
        regimes: Sequence[str],
        variables: Collection[str],
        observed: MatrixLike,
        predicted: MatrixLike,
        observed_std_error: MatrixLike,
        is_target: MatrixLike,
        baseline: ArrayLike | None = None,
    ) -> None:
        self.regimes = list(regimes)
        self.variables = list(variables)
        self.observed = self._check_table(observed, "observed")
        self.predicted = self._check_table(predicted, "predicted")
        self.observed_std_error = self._check_table(observed_std_error, "observed_std_error")
        self.is_target = self._check_table(is_target, "is_target").astype(bool)
        self.baseline = None
        if baseline is not None:
            if np.ndim(baseline) == 1:
                baseline = np.tile(baseline, (len(self.regimes), 1))
            self.baseline = self._check_table(baseline, "baseline")

    def plot(
        self,
        ax: Axes | None = None,
        *,
        kind: Literal["mean", "effect"] = "mean",
        show_targets: bool = False,
        **kwargs: Any,
    ) -> Self:
        """Draw predicted against observed means.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. Default: those of a new figure. In a figure of your own,
            ``layout="constrained"`` makes room for the legend beside the axes.
        kind : {"mean", "effect"}, default="mean"
            Whether to draw the means, with the baseline as light markers, or the differences of
            both from the baseline. Differences are telling where the variables' means differ much
            more than the effects are large; their error bars leave out the uncertainty of the
            baseline.
        show_targets : bool, default=False
            Whether to draw the cells that the regimes set, too.
        **kwargs : dict
            Passed to :meth:`matplotlib.axes.Axes.scatter` for the points of every regime.

        Returns
        -------
        display : InterventionEffectDisplay
            This object, with `ax_`, `figure_`, `points_`, `errorbars_`, `baseline_` and `line_`.
        """
        offset = self._check_offset(kind)
        if ax is None:
            ax = _new_axes(n_legend_columns=-(-len(self.regimes) // _LEGEND_ROWS))
        self.ax_, self.figure_ = ax, ax.figure
        shown = np.ones_like(self.is_target) if show_targets else ~self.is_target
        predicted, observed = self.predicted - offset, self.observed - offset
        self.baseline_ = None
        if self.baseline is not None:
            self.baseline_ = _draw_baseline(ax, (self.baseline - offset)[shown], observed[shown])
        self.points_: list[Any] = []
        self.errorbars_: list[Any] = []
        for k in range(len(self.regimes)):
            cells = k, shown[k]
            errors = self.observed_std_error[cells]
            self._draw_regime(k, predicted[cells], observed[cells], errors, kwargs)
        self.line_ = _draw_diagonal(ax)
        ax.set(xlabel=f"Predicted {kind}", ylabel=f"Observed {kind} (± standard error)")
        _draw_legend(ax, self.points_, self.baseline_)
        return self

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X: MatrixLike,
        *,
        interventions: MatrixLike,
        regimes: PerRow = None,
        baseline: str | ArrayLike | None = "control",
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Compare the predictions of a fitted estimator with data.

        The estimator sees the cells that an intervention set and nothing else: all other cells of
        X are NaN in the query. Means are taken over the rows of each regime.

        Parameters
        ----------
        estimator : estimator instance
            Fitted estimator with ``predict(X, interventions=...)``.
        X : array-like or DataFrame of shape (n_samples, n_variables)
            Observed values, preferably of rows that were not used in training.
        interventions : array-like of bool of shape (n_samples, n_variables)
            True where the mechanism of a variable was replaced.
        regimes : array-like of shape (n_samples,), default=None
            Regime of each row; its rows must share their targets. Default: the names of the
            targets, joined by "+", and "control" for rows without targets.
        baseline : {"control"}, array-like or None, default="control"
            Means to compare with, of shape (n_variables,) or (n_regimes, n_variables). "control":
            the observed mean of the rows without targets, if there are any.
        ax : matplotlib Axes, default=None
            Axes to draw on. Default: those of a new figure.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : InterventionEffectDisplay
            The display, already drawn.
        """
        mask = check_interventions(interventions, X)
        X_pred = estimator.predict(hide_free_cells(X, mask), interventions=mask)
        return cls.from_predictions(
            X,
            X_pred,
            interventions=mask,
            regimes=regimes,
            baseline=baseline,
            ax=ax,
            **kwargs,
        )

    @classmethod
    def from_predictions(
        cls,
        X: MatrixLike,
        X_pred: MatrixLike,
        *,
        interventions: MatrixLike,
        regimes: PerRow = None,
        baseline: str | ArrayLike | None = "control",
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Compare predictions with data.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_variables)
            Observed values.
        X_pred : array-like of shape (n_samples, n_variables)
            Predicted values, with the rows and columns of X.
        interventions : array-like of bool of shape (n_samples, n_variables)
            True where the mechanism of a variable was replaced.
        regimes : array-like of shape (n_samples,), default=None
            Regime of each row; its rows must share their targets. Default: the names of the
            targets, joined by "+", and "control" for rows without targets.
        baseline : {"control"}, array-like or None, default="control"
            Means to compare with, of shape (n_variables,) or (n_regimes, n_variables). "control":
            the observed mean of the rows without targets, if there are any.
        ax : matplotlib Axes, default=None
            Axes to draw on. Default: those of a new figure.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : InterventionEffectDisplay
            The display, already drawn.
        """
        mask = check_interventions(interventions, X)
        variables = getattr(X, "columns", [f"x{j}" for j in range(mask.shape[1])])
        X, X_pred = np.asarray(X, dtype=float), np.asarray(X_pred, dtype=float)
        if X.shape != X_pred.shape:
            raise ValueError(f"X_pred must have the shape of X, {X.shape}; got {X_pred.shape}.")
        if regimes is None:
            regimes = regime_labels(mask, variables=variables)
        names, rows_of = _rows_of_regimes(np.asarray(regimes), mask)
        if isinstance(baseline, str):
            baseline = _control_mean(X, mask, baseline)
        display = cls(
            regimes=names,
            variables=variables,
            observed=[X[rows].mean(axis=0) for rows in rows_of],
            predicted=[X_pred[rows].mean(axis=0) for rows in rows_of],
            observed_std_error=[std_error(X[rows]) for rows in rows_of],
            is_target=[mask[rows[0]] for rows in rows_of],
            baseline=baseline,
        )
        return display.plot(ax=ax, **kwargs)

    def _check_table(self, values, name: str) -> np.ndarray:
        """Return values as an array of shape (n_regimes, n_variables)."""
        values, shape = np.asarray(values), (len(self.regimes), len(self.variables))
        if values.shape != shape:
            raise ValueError(
                f"{name} must have shape {shape}, a row for each regime and a column for each "
                f"variable; got {values.shape}."
            )
        return values

    def _check_offset(self, kind: str):
        """Return what to subtract from all means."""
        if kind not in ("mean", "effect"):
            raise ValueError(f'kind must be "mean" or "effect"; got {kind!r}.')
        if kind == "mean":
            return 0.0
        if self.baseline is None:
            raise ValueError(
                'kind="effect" draws differences from a baseline, but baseline is None; pass the '
                "means of the control regime."
            )
        return self.baseline

    def _draw_regime(self, k: int, predicted, observed, errors, kwargs) -> None:
        """Draw the points of one regime in its colour and marker, with error bars behind them."""
        color = CYCLE[k % len(CYCLE)]
        style = {
            "marker": MARKERS[k % len(MARKERS)],
            "color": color,
            "s": 38,
            "linewidths": 0.4,
            "edgecolors": "white",
            "label": str(self.regimes[k]),
            "zorder": 3,
        }
        bars = self.ax_.errorbar(
            predicted, observed, yerr=errors, fmt="none", ecolor=color, elinewidth=1, zorder=2
        )
        self.errorbars_.append(bars)
        self.points_.append(self.ax_.scatter(predicted, observed, **(style | kwargs)))


def _rows_of_regimes(labels: np.ndarray, mask: np.ndarray) -> tuple[list, list[np.ndarray]]:
    """Names and row indices of the regimes, those without targets first, else as they appear."""
    check_regimes(labels, mask)
    names = list(dict.fromkeys(labels.tolist()))
    rows_of = [np.flatnonzero(labels == name) for name in names]
    order = sorted(range(len(names)), key=lambda k: mask[rows_of[k][0]].any())
    return [names[k] for k in order], [rows_of[k] for k in order]


def _control_mean(X: np.ndarray, mask: np.ndarray, baseline: str) -> np.ndarray | None:
    """Mean of the rows without targets; None if there are none."""
    if baseline != "control":
        raise ValueError(f'baseline must be "control", an array or None; got {baseline!r}.')
    control = ~mask.any(axis=1)
    return X[control].mean(axis=0) if control.any() else None


def _new_axes(n_legend_columns: int):
    """Axes of a new figure with room for the legend on the right."""
    import matplotlib.pyplot as plt

    width = min(5.2 + 1.3 * n_legend_columns, 12.0)
    _, ax = plt.subplots(figsize=(width, 5.0), layout="constrained")
    return ax


def _draw_baseline(ax, baseline, observed):
    """Light markers at what the baseline predicts."""
    return ax.scatter(baseline, observed, s=18, color=LIGHT_GREY, label="baseline", zorder=1)


def _draw_diagonal(ax):
    """Give both axes the same limits and mark where predicted equals observed."""
    low, high = min(ax.get_xlim()[0], ax.get_ylim()[0]), max(ax.get_xlim()[1], ax.get_ylim()[1])
    (line,) = ax.plot([low, high], [low, high], color=GREY, linestyle="--", linewidth=1, zorder=0)
    ax.set(xlim=(low, high), ylim=(low, high))
    ax.spines[["top", "right"]].set_visible(False)
    return line


def _draw_legend(ax, points, baseline) -> None:
    """Legend to the right of the axes, where it covers no point."""
    handles = points if baseline is None else [*points, baseline]
    ax.legend(
        handles=handles,
        title="Regime",
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
        ncols=-(-len(handles) // _LEGEND_ROWS),
        frameon=False,
    )
