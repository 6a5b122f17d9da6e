"""Heat map of the probabilities of edges."""

from __future__ import annotations

from collections.abc import Collection, Sized
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np
from sklearn.base import BaseEstimator

from skcausal._adjacency import align_frame, check_adjacency
from skcausal._typing import GraphLike, MatrixLike
from skcausal.plotting._cell_values import write_values
from skcausal.plotting._palette import LIGHT_GREY, VERMILLION
from skcausal.plotting._variables import fitted_result, names_of_variables

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_ANNOTATED_VARIABLES = 12


class EdgeProbabilityDisplay:
    """Heat map of edge probabilities: causes in rows, effects in columns.

    It is recommended to use :meth:`from_estimator` or :meth:`from_predictions`.

    Parameters
    ----------
    probabilities : array-like or DataFrame of shape (n_variables, n_variables)
        Probability of i -> j in entry (i, j), between 0 and 1. The diagonal is ignored.
    reference : array-like of shape (n_variables, n_variables), DataFrame or networkx.DiGraph, \
            default=None
        Graph whose edges are outlined. It is aligned by name if it carries names and those of
        the variables are known.
    variables : sequence of str of length n_variables, default=None
        Names of the variables. Default: the names that the arguments carry, else x0, x1, ...

    Attributes
    ----------
    probabilities : ndarray of shape (n_variables, n_variables)
        The probabilities, NaN on the diagonal.
    reference : ndarray of int8 of shape (n_variables, n_variables) or None
        The graph whose edges are outlined.
    variables : list of str
        Names of the variables.
    im_ : matplotlib AxesImage
        The heat map, after :meth:`plot`.
    text_ : ndarray of shape (n_variables, n_variables) of matplotlib Text, or None
        The written values (None on the diagonal), None if there are too many to be read.
    outlines_ : list of matplotlib Rectangle
        Outlines of the reference's edges, row by row.
    ax_ : matplotlib Axes
        Axes with the heat map.
    figure_ : matplotlib Figure
        Figure with the heat map.

    See Also
    --------
    GraphDisplay : Drawing of a single graph.
    skcausal.metrics.edge_average_precision : Score of edge probabilities.

    Examples
    --------
    >>> import numpy as np
    >>> from skcausal.plotting import EdgeProbabilityDisplay
    >>> true = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]])
    >>> probabilities = np.array([[0.0, 0.9, 0.3], [0.1, 0.0, 0.8], [0.0, 0.2, 0.0]])
    >>> display = EdgeProbabilityDisplay.from_predictions(true, probabilities)
    >>> len(display.outlines_)
    2
    """

    def __init__(
        self,
        probabilities: MatrixLike,
        *,
        reference: GraphLike | None = None,
        variables: Collection[str] | None = None,
    ) -> None:
        n_variables = len(cast("Sized", probabilities))
        self.variables = names_of_variables(variables, n_variables, probabilities, reference)
        self.probabilities = _check_probabilities(probabilities, self.variables)
        self.reference = None
        if reference is not None:
            self.reference = check_adjacency(reference, variables=self.variables, name="reference")

    def plot(
        self,
        ax: Axes | None = None,
        *,
        include_values: bool | None = None,
        colorbar: bool = True,
        **kwargs: Any,
    ) -> Self:
        """Draw the heat map.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. Default: those of a new figure.
        include_values : bool, default=None
            Whether to write the values into the cells. Default: up to 12 variables.
        colorbar : bool, default=True
            Whether to add a colour bar.
        **kwargs : dict
            Passed to :meth:`matplotlib.axes.Axes.imshow`, for instance ``cmap``.

        Returns
        -------
        display : EdgeProbabilityDisplay
            This object, with `ax_`, `figure_`, `im_`, `text_` and `outlines_`.
        """
        if ax is None:
            ax = _new_axes(len(self.variables))
        self.ax_, self.figure_ = ax, ax.figure
        ax.set_facecolor(LIGHT_GREY)  # shows on the diagonal
        style: dict[str, Any] = {
            "cmap": "Blues",
            "vmin": 0.0,
            "vmax": 1.0,
            "interpolation": "nearest",
        }
        self.im_ = cast("Any", ax).imshow(self.probabilities, **(style | kwargs))
        if colorbar:
            self.figure_.colorbar(self.im_, ax=ax, label="Probability of edge", shrink=0.8)
        if include_values is None:
            include_values = len(self.variables) <= _MOST_ANNOTATED_VARIABLES
        self.text_ = None
        if include_values:
            edges = ~np.isnan(np.ma.getdata(self.im_.get_array()))
            cells = np.argwhere(edges & ~np.eye(len(edges), dtype=bool))
            self.text_ = write_values(ax, self.im_, cells, fontsize=8)
        self.outlines_ = [] if self.reference is None else _outline(ax, self.reference)
        self._label_axes()
        return self

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        *,
        reference: GraphLike | None = None,
        variables: Collection[str] | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the edge probabilities of a fitted estimator.

        Parameters
        ----------
        estimator : estimator instance
            Fitted estimator with `edge_probabilities_`.
        reference : array-like of shape (n_variables, n_variables), DataFrame or \
                networkx.DiGraph, default=None
            Graph whose edges are outlined, aligned by name if it carries names and the estimator
            knows `feature_names_in_`.
        variables : sequence of str of length n_variables, default=None
            Names of the variables. Default: `feature_names_in_` of the estimator.
        ax : matplotlib Axes, default=None
            Axes to draw on. Default: those of a new figure.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : EdgeProbabilityDisplay
            The display, already drawn.
        """
        probabilities, names = fitted_result(estimator, "edge_probabilities_")
        display = cls(
            probabilities, reference=reference, variables=names if variables is None else variables
        )
        return display.plot(ax=ax, **kwargs)

    @classmethod
    def from_predictions(
        cls,
        reference: GraphLike,
        probabilities: MatrixLike,
        *,
        variables: Collection[str] | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw edge probabilities with the edges of a reference outlined.

        Parameters
        ----------
        reference : array-like of shape (n_variables, n_variables), DataFrame or networkx.DiGraph
            Graph whose edges are outlined. As in :mod:`skcausal.metrics` it comes first.
        probabilities : array-like or DataFrame of shape (n_variables, n_variables)
            Probability of i -> j in entry (i, j). If both arguments carry names, they are aligned
            by name.
        variables : sequence of str of length n_variables, default=None
            Names of the variables. Default: the names that the arguments carry, else x0, x1, ...
        ax : matplotlib Axes, default=None
            Axes to draw on. Default: those of a new figure.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : EdgeProbabilityDisplay
            The display, already drawn.
        """
        display = cls(probabilities, reference=reference, variables=variables)
        return display.plot(ax=ax, **kwargs)

    def _label_axes(self) -> None:
        """Name causes and effects, and explain the outlines."""
        ticks, labels = range(len(self.variables)), [str(name) for name in self.variables]
        self.ax_.set(xlabel="Effect", ylabel="Cause")
        self.ax_.set_xticks(ticks, labels, rotation=90 if max(map(len, labels)) > 3 else 0)
        self.ax_.set_yticks(ticks, labels)
        self.ax_.tick_params(length=0)
        self.ax_.spines[:].set_visible(False)
        if self.reference is not None:
            self.ax_.set_title("outlined: edges of the reference", fontsize="medium", loc="left")


def _check_probabilities(probabilities, variables) -> np.ndarray:
    """Probabilities as an array in the order of the variables, with NaN on the diagonal."""
    if hasattr(probabilities, "columns"):
        probabilities = align_frame(probabilities, variables, "probabilities")
    values = np.array(probabilities, dtype=float)
    if values.shape != (len(variables), len(variables)):
        raise ValueError(f"probabilities must be a square matrix; got shape {values.shape}.")
    np.fill_diagonal(values, np.nan)
    off_diagonal = values[~np.eye(len(values), dtype=bool)]
    if not ((off_diagonal >= 0) & (off_diagonal <= 1)).all():
        raise ValueError("probabilities must lie between 0 and 1; found entries outside, or NaN.")
    return values


def _new_axes(n_variables: int):
    """Axes of a new figure that grows with the number of variables."""
    import matplotlib.pyplot as plt

    side = float(np.clip(2.2 + 0.42 * n_variables, 3.6, 10.0))
    _, ax = plt.subplots(figsize=(side + 0.9, side), layout="constrained")
    return ax


def _outline(ax, reference) -> list:
    """One rectangle around the cell of each edge of the reference."""
    from matplotlib.patches import Rectangle

    rectangles = [
        Rectangle((j - 0.46, i - 0.46), 0.92, 0.92, fill=False, edgecolor=VERMILLION, linewidth=1.8)
        for i, j in np.argwhere(reference)
    ]
    return [ax.add_patch(rectangle) for rectangle in rectangles]
