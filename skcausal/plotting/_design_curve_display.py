"""Scores of designers against the number of experiments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike

from skcausal._typing import MatrixLike
from skcausal.plotting._palette import CYCLE, MARKERS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from skcausal.design import DesignEvaluation

_NAMES = {
    "edges": "Expected number of correct entries",
    "log_score": "Log score (nats per ordered pair)",
    "auprc": "Average precision of the edges",
    "f1": "F1 of the edges",
    "shd": "Expected structural Hamming distance (low is good)",
}


class DesignCurveDisplay:
    """Curves of a score over the experiments done, one for each designer.

    It is recommended to use :meth:`from_evaluation`. Lines are means over the systems, bands their
    intervals of 95 %. With a reference, lines are mean differences from one of the designers,
    paired by system, which is the zero line. A designer has the same colour in both.

    Parameters
    ----------
    designers : sequence of str of length n_designers
        Names of the designers.
    n_designs : array-like of int of shape (n_checkpoints,)
        Numbers of experiments, increasing.
    mean : array-like of shape (n_designers, n_checkpoints)
        Mean score, or mean difference, of each designer after so many experiments.
    low, high : array-like of shape (n_designers, n_checkpoints)
        Ends of the intervals.
    score : str, default="edges"
        What the score is; names the vertical axis.
    reference : str, default=None
        The designer that was subtracted. Its own row is not drawn.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the curves, after :meth:`plot`.
    figure_ : matplotlib Figure
        Figure with the curves.
    lines_ : dict of str to matplotlib Line2D
        The curves, by designer; without that of the reference.
    bands_ : dict of str to matplotlib PolyCollection
        The intervals, by designer.
    zero_line_ : matplotlib Line2D or None
        The line of the reference, if there is one.
    legend_ : matplotlib Legend
        Names the designers, in the order in which the curves end; right of the axes.

    See Also
    --------
    skcausal.design.evaluate : Compares designers.
    ReliabilityDisplay : Whether the probabilities behind the scores hold.

    Examples
    --------
    >>> from skcausal.design import evaluate
    >>> from skcausal.plotting import DesignCurveDisplay
    >>> from skcausal.simulators import LinearPrior
    >>> prior = LinearPrior.preset("caasl", n_variables=4, edges_per_variable=1.0)
    >>> result = evaluate(["random", "balanced_half"], prior, 20, budget=3, random_state=0)
    >>> display = DesignCurveDisplay.from_evaluation(result, reference="random")
    >>> display.mean.shape
    (2, 4)
    >>> list(display.lines_)
    ['balanced_half']
    """

    def __init__(
        self,
        designers: Sequence[str],
        n_designs: ArrayLike,
        mean: MatrixLike,
        low: MatrixLike,
        high: MatrixLike,
        *,
        score: str = "edges",
        reference: str | None = None,
    ) -> None:
        self.designers = list(designers)
        self.n_designs = np.asarray(n_designs)
        if self.n_designs.ndim != 1 or not (np.diff(self.n_designs) > 0).all():
            raise ValueError(
                f"n_designs must be increasing numbers of experiments; got {n_designs!r}."
            )
        self.mean = self._check_table(mean, "mean")
        self.low = self._check_table(low, "low")
        self.high = self._check_table(high, "high")
        if reference is not None and reference not in self.designers:
            raise ValueError(f"reference must be one of {self.designers}; got {reference!r}.")
        self.score = score
        self.reference = reference

    def plot(self, ax: Axes | None = None, **kwargs: Any) -> Self:
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. Default: those of a new figure. In a figure of your own,
            ``layout="constrained"`` makes room for the legend beside the axes.
        **kwargs : dict
            Passed to :meth:`matplotlib.axes.Axes.plot` for every curve, for instance ``linewidth``.

        Returns
        -------
        display : DesignCurveDisplay
            This object, with `ax_`, `figure_`, `lines_`, `bands_`, `zero_line_` and `legend_`.
        """
        if ax is None:
            ax = _new_axes()
        self.ax_, self.figure_ = ax, ax.figure
        self.zero_line_ = None
        if self.reference is not None:
            self.zero_line_ = self._draw_zero_line()
        self.lines_, self.bands_ = {}, {}
        for k, designer in enumerate(self.designers):
            if designer != self.reference:
                self.lines_[designer], self.bands_[designer] = self._draw_curve(k, kwargs)
        self._label_axes()
        self.legend_ = self._draw_legend()
        return self

    @classmethod
    def from_evaluation(
        cls,
        evaluation: DesignEvaluation,
        *,
        score: str = "edges",
        reference: str | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw what an evaluation found.

        Parameters
        ----------
        evaluation : DesignEvaluation
            Result of :func:`skcausal.design.evaluate`.
        score : str, default="edges"
            Which score to draw, a key of ``evaluation.scores``.
        reference : str, default=None
            Name of a designer: draw the differences from it, paired by system, instead.
        ax : matplotlib Axes, default=None
            Axes to draw on. Default: those of a new figure.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : DesignCurveDisplay
            The display, already drawn.

        Raises
        ------
        ValueError
            If the evaluation has no such score, or no such designer.
        """
        if score not in evaluation.scores:
            raise ValueError(f"score must be one of {list(evaluation.scores)}; got {score!r}.")
        table = evaluation.curves() if reference is None else evaluation.differences(reference)
        table = table[table["score"] == score]
        mean, low, high = (
            table.pivot(index="designer", columns="n_designs", values=column)
            .reindex(evaluation.designers, fill_value=0.0)  # the reference, minus itself
            .to_numpy()
            for column in ("mean", "low", "high")
        )
        display = cls(
            evaluation.designers,
            evaluation.n_designs,
            mean,
            low,
            high,
            score=score,
            reference=reference,
        )
        return display.plot(ax=ax, **kwargs)

    def _check_table(self, values, name: str) -> np.ndarray:
        """Return values as a float array of shape (n_designers, n_checkpoints)."""
        values, shape = np.asarray(values, dtype=float), (len(self.designers), len(self.n_designs))
        if values.shape != shape:
            raise ValueError(
                f"{name} must have shape {shape}, a row for each designer and a column for each "
                f"number of experiments; got {values.shape}."
            )
        return values

    def _draw_curve(self, k: int, kwargs):
        """Draw the curve of a designer, and its interval behind it."""
        from matplotlib.cbook import normalize_kwargs
        from matplotlib.lines import Line2D

        style: dict[str, Any] = {
            "color": CYCLE[k % len(CYCLE)],
            "marker": MARKERS[k % len(MARKERS)],
            "markersize": 4.5,
            "linewidth": 1.6,
            "label": self.designers[k],
            "zorder": 3,
        } | normalize_kwargs(kwargs, Line2D)
        (line,) = self.ax_.plot(self.n_designs, self.mean[k], **style)
        band = self.ax_.fill_between(
            self.n_designs,
            self.low[k],
            self.high[k],
            color=line.get_color(),
            alpha=0.15,
            linewidth=0,
            zorder=2,
        )
        return line, band

    def _draw_zero_line(self):
        """Draw the reference, minus itself, in its own colour."""
        color = CYCLE[self.designers.index(self.reference) % len(CYCLE)]
        style = {"linestyle": "--", "linewidth": 1.2, "zorder": 1}
        return self.ax_.axhline(0.0, color=color, label=self.reference, **style)

    def _label_axes(self) -> None:
        """Name the axes; experiments are whole."""
        from matplotlib.ticker import MaxNLocator

        name = _NAMES.get(self.score, self.score)
        if self.reference is not None:
            name += f"\nminus that of {self.reference}"
        self.ax_.set(xlabel="Number of experiments", ylabel=name)
        self.ax_.xaxis.set_major_locator(MaxNLocator(integer=True))
        self.ax_.spines[["top", "right"]].set_visible(False)

    def _draw_legend(self):
        """Legend to the right of the axes, in the order in which the curves end."""
        ends = {name: line.get_ydata()[-1] for name, line in self.lines_.items()}
        handles = dict(self.lines_)
        if self.zero_line_ is not None:
            ends[self.reference] = 0.0
            handles[self.reference] = self.zero_line_
        order = sorted(handles, key=lambda name: -ends[name])
        return self.ax_.legend(
            handles=[handles[name] for name in order],
            title="Designer\n(bands: 95 %)",
            alignment="left",
            loc="upper left",
            bbox_to_anchor=(1.0, 1.0),
            frameon=False,
        )


def _new_axes():
    """Axes of a new figure with room for the legend on the right."""
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(6.8, 4.4), layout="constrained")
    return ax
