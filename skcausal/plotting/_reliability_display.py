"""Reliability diagram of edge probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike

from skcausal._typing import GraphLike, MatrixLike
from skcausal.metrics._calibration import edge_calibration_bins, error_of_bins
from skcausal.plotting._palette import CYCLE, GREY, MARKERS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DIAGONAL_LABEL = "perfectly calibrated"
_LARGEST_AREA = 400.0  # of a point that stands for all pairs, in square points
_SMALLEST_AREA = 30.0  # of any point, so that none is lost
_LEGEND_MARKER_SIZE = 4.0  # in points: hidden by the smallest point in the axes


class ReliabilityDisplay:
    """Reliability diagram: observed frequency of edges against their forecast probability.

    It is recommended to use :meth:`from_predictions`. There is a point for each bin of forecasts,
    with an area proportional to its share of the pairs (but never too small to be seen). Below the
    diagonal, edges are rarer than forecast; above it, they are more frequent [1]_. Draw several
    forecasts into the same axes to compare them.

    Parameters
    ----------
    mean_forecast : array-like of shape (n_bins,)
        Mean probability forecast in each bin that is not empty, between 0 and 1.
    frequency : array-like of shape (n_bins,)
        Share of the ordered pairs in each bin that are edges, between 0 and 1.
    count : array-like of shape (n_bins,)
        Number of ordered pairs in each bin, above 0.
    name : str, default=None
        Name of the forecast, for the legend.

    Attributes
    ----------
    mean_forecast : ndarray of shape (n_bins,)
        Mean forecasts, sorted.
    frequency : ndarray of shape (n_bins,)
        Observed frequencies, in the order of `mean_forecast`.
    count : ndarray of int of shape (n_bins,)
        Numbers of pairs, in the order of `mean_forecast`.
    name : str or None
        Name of the forecast.
    calibration_error : float
        Expected calibration error of the bins.
    ax_ : matplotlib Axes
        Axes with the diagram, after :meth:`plot`.
    figure_ : matplotlib Figure
        Figure with the diagram.
    line_ : matplotlib Line2D
        The curve.
    points_ : matplotlib PathCollection
        The points, with areas that tell the number of pairs.
    diagonal_ : matplotlib Line2D
        The diagonal; in axes that had one, that one.
    legend_ : matplotlib Legend
        Names the forecasts and tells their errors, above the axes.

    See Also
    --------
    EdgeProbabilityDisplay : Heat map of the probabilities of one graph.
    skcausal.metrics.edge_calibration_error : The error in the legend.
    sklearn.calibration.CalibrationDisplay : The same for classifiers.

    References
    ----------
    .. [1] DeGroot, M. H. & Fienberg, S. E. (1983). The comparison and evaluation of forecasters.
       Journal of the Royal Statistical Society D 32(1-2), 12-22.

    Examples
    --------
    >>> import numpy as np
    >>> from skcausal.plotting import ReliabilityDisplay
    >>> true = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]])
    >>> probabilities = np.array([[0.0, 0.9, 0.7], [0.1, 0.0, 0.8], [0.1, 0.1, 0.0]])
    >>> display = ReliabilityDisplay.from_predictions(true, probabilities, n_bins=2)
    >>> display.mean_forecast
    array([0.1, 0.8])
    >>> display.count
    array([3, 3])
    >>> round(display.calibration_error, 3)
    0.117
    """

    def __init__(
        self,
        mean_forecast: ArrayLike,
        frequency: ArrayLike,
        count: ArrayLike,
        *,
        name: str | None = None,
    ) -> None:
        mean_forecast = _check_shares(mean_forecast, "mean_forecast")
        frequency = _check_shares(frequency, "frequency", len(mean_forecast))
        count = _check_counts(count, len(mean_forecast))
        order = np.argsort(mean_forecast, kind="stable")
        self.mean_forecast = mean_forecast[order]
        self.frequency = frequency[order]
        self.count = count[order]
        self.name = name

    @property
    def calibration_error(self) -> float:
        """Expected calibration error of the bins."""
        return error_of_bins(self.mean_forecast, self.frequency, self.count)

    def plot(self, ax: Axes | None = None, *, name: str | None = None, **kwargs: Any) -> Self:
        """Draw the diagram.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on, for instance those of another ReliabilityDisplay. Default: those of a
            new figure. In a figure of your own, ``layout="compressed"`` makes room for the legend
            above the axes.
        name : str, default=None
            Name of the forecast, for the legend. Default: the attribute `name`.
        **kwargs : dict
            Passed to :meth:`matplotlib.axes.Axes.plot` for the curve, for instance ``color`` or
            ``marker``, which the points share.

        Returns
        -------
        display : ReliabilityDisplay
            This object, with `ax_`, `figure_`, `line_`, `points_`, `diagonal_` and `legend_`.
        """
        from matplotlib.cbook import normalize_kwargs
        from matplotlib.lines import Line2D

        if ax is None:
            ax = _new_axes()
        self.ax_, self.figure_ = ax, ax.figure
        self.diagonal_, n_drawn = self._draw_diagonal()
        style: dict[str, Any] = {
            "color": CYCLE[n_drawn % len(CYCLE)],
            "marker": MARKERS[n_drawn % len(MARKERS)],
            "markersize": _LEGEND_MARKER_SIZE,
            "linewidth": 1.4,
            "label": self._label(self.name if name is None else name),
            "clip_on": False,  # or the points in the corners were cut
            "zorder": 3,
        } | normalize_kwargs(kwargs, Line2D)
        self.line_: Any = ax.plot(self.mean_forecast, self.frequency, **style)[0]
        self.points_ = self._draw_points()
        self._label_axes()
        return self

    @classmethod
    def from_predictions(
        cls,
        true: GraphLike,
        probabilities: MatrixLike,
        *,
        n_bins: int = 10,
        name: str | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Compare edge probabilities with true graphs.

        Parameters
        ----------
        true : array-like of shape (n_variables, n_variables), DataFrame or networkx.DiGraph, or \
                array-like of shape (n_graphs, n_variables, n_variables)
            True graph, ``true[i, j] = 1`` for i -> j, or a stack of graphs over which the ordered
            pairs of variables are pooled. A stack may also be a list of graphs of different sizes.
        probabilities : array-like of shape (n_variables, n_variables) or DataFrame, or \
                array-like of shape (n_graphs, n_variables, n_variables)
            Probability of i -> j in entry (i, j), between 0 and 1; a matrix for each graph of a
            stack. The diagonal is ignored. Aligned by name if both arguments carry names.
        n_bins : int, default=10
            Number of bins of equal width between 0 and 1. Those without a pair have no point.
        name : str, default=None
            Name of the forecast, for the legend.
        ax : matplotlib Axes, default=None
            Axes to draw on. Default: those of a new figure.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : ReliabilityDisplay
            The display, already drawn.

        Raises
        ------
        ValueError
            If a probability is not between 0 and 1, `n_bins` is below 1, the arguments do not fit
            each other, or no graph has two variables.
        """
        display = cls(*edge_calibration_bins(true, probabilities, n_bins=n_bins), name=name)
        return display.plot(ax=ax, **kwargs)

    def _draw_diagonal(self):
        """Draw the diagonal, once, and return it with the number of curves drawn already."""
        drawn = {line.get_label(): line for line in self.ax_.get_lines()}
        if _DIAGONAL_LABEL in drawn:
            return drawn[_DIAGONAL_LABEL], len(self.ax_.get_lines()) - 1
        style = {"color": GREY, "linestyle": "--", "linewidth": 1.2, "zorder": 1}
        (line,) = self.ax_.plot([0, 1], [0, 1], label=_DIAGONAL_LABEL, **style)
        return line, 0

    def _draw_points(self):
        """Draw a point for each bin, in the style of the curve."""
        share = self.count / self.count.sum()
        return self.ax_.scatter(
            self.mean_forecast,
            self.frequency,
            s=np.maximum(_LARGEST_AREA * share, _SMALLEST_AREA),
            marker=self.line_.get_marker(),
            facecolor=self.line_.get_color(),
            alpha=self.line_.get_alpha(),
            edgecolor="white",
            linewidth=0.5,
            clip_on=False,
            zorder=self.line_.get_zorder(),
        )

    def _label(self, name) -> str:
        """Name of the forecast, its error and the number of pairs."""
        n_pairs = int(self.count.sum())
        error = f"ECE {self.calibration_error:.3f} ({n_pairs:,} pair{'s' if n_pairs > 1 else ''})"
        return error if name is None else f"{name}: {error}"

    def _label_axes(self) -> None:
        """Make the axes square, name them and put the legend where it covers no point."""
        self.ax_.set(
            xlabel="Forecast probability of an edge",
            ylabel="Observed frequency of edges",
            xlim=(0, 1),
            ylim=(0, 1),
            aspect="equal",
        )
        self.ax_.spines[["top", "right"]].set_visible(False)
        self.legend_ = self.ax_.legend(
            title="area of a point: its share of the pairs",
            title_fontsize="small",
            alignment="left",
            loc="lower left",
            bbox_to_anchor=(0.0, 1.02),
            frameon=False,
            borderaxespad=0.2,
            labelspacing=0.35,
        )


def _check_shares(values, name: str, n_bins: int | None = None) -> np.ndarray:
    """Return values between 0 and 1 as a float array of shape (n_bins,)."""
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or values.size == 0 or n_bins not in (None, len(values)):
        shape = "(n_bins,)" if n_bins is None else f"({n_bins},)"
        raise ValueError(
            f"{name} must have shape {shape}, one value for each bin that is not empty; got "
            f"{values.shape}."
        )
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError(
            f"{name} must lie between 0 and 1; found entries outside, or NaN. Leave out bins "
            "without a pair."
        )
    return values


def _check_counts(count, n_bins: int) -> np.ndarray:
    """Return positive whole numbers as an integer array of shape (n_bins,)."""
    count = np.asarray(count)
    if count.shape != (n_bins,):
        raise ValueError(
            f"count must have shape ({n_bins},), one number for each bin that is not empty; got "
            f"{count.shape}."
        )
    if not ((count > 0) & (count == np.round(count))).all():
        raise ValueError(
            "count must hold whole numbers above 0; found other entries. Leave out bins without a "
            "pair."
        )
    return count.astype(int)


def _new_axes():
    """Square axes of a new figure with room for the legend on top."""
    import matplotlib.pyplot as plt

    # "constrained" cuts the labels of axes with a fixed aspect
    _, ax = plt.subplots(figsize=(4.8, 5.4), layout="compressed")
    return ax
