"""Drawing of a graph, compared with a reference."""

from __future__ import annotations

from collections.abc import Collection, Sized
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from skcausal._typing import GraphLike
from skcausal.graphs import check_adjacency
from skcausal.plotting._graph_layout import bend_of_arrow, circular_layout, smallest_gap
from skcausal.plotting._palette import BLUE, GREY, INK, ORANGE, PURPLE
from skcausal.plotting._variables import fitted_result, names_of_variables

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Classes of edges in the order of the legend: label, colour and line style.
_EDGE_STYLES: dict[str, tuple[str, str, Any]] = {
    "edge": ("edge", INK, "-"),
    "correct": ("correct", BLUE, "-"),
    "reversed": ("differently oriented", ORANGE, "-"),
    "extra": ("extra", PURPLE, "-"),
    "missing": ("missing", GREY, (0, (4, 3))),
}
_FONT_SIZE, _SMALLEST_FONT_SIZE = 10.0, 7.0


class GraphDisplay:
    """Drawing of a causal graph, with its edges coloured by agreement with a reference.

    It is recommended to use :meth:`from_estimator` or :meth:`from_predictions`. Nodes stand on a
    circle in the order of the variables, so that displays over the same variables can be compared
    by eye.

    Parameters
    ----------
    adjacency : array-like of shape (n_variables, n_variables), DataFrame or networkx.DiGraph
        The graph to draw: 1 in entry (i, j) for i -> j, both entries for an undirected edge.
    reference : array-like of shape (n_variables, n_variables), DataFrame or networkx.DiGraph, \
            default=None
        Graph to compare with. It is aligned by name if it carries names and those of the
        variables are known.
    variables : sequence of str of length n_variables, default=None
        Names of the variables. Default: the names that the graphs carry, else x0, x1, ...
    reference_name : str, default=None
        Name of the reference, for the title.

    Attributes
    ----------
    adjacency : ndarray of int8 of shape (n_variables, n_variables)
        The graph drawn.
    reference : ndarray of int8 of shape (n_variables, n_variables) or None
        The graph compared with.
    variables : list of str
        Names of the variables.
    edges : dict of str to ndarray of int of shape (n_edges, 2)
        Pairs (cause, effect) by class. Without a reference the only class is "edge". With one:
        "correct"; "reversed", for pairs that both graphs join with different orientations, a
        directed against an undirected edge included; "extra"; and "missing". The last three
        together are the structural Hamming distance. An undirected edge appears once.
    ax_ : matplotlib Axes
        Axes with the drawing, after :meth:`plot`.
    figure_ : matplotlib Figure
        Figure with the drawing, after :meth:`plot`.
    edge_artists_ : dict of str to list of FancyArrowPatch
        The arrows by class, in the order of `edges`.
    text_ : list of matplotlib Text
        The labels of the nodes.

    See Also
    --------
    EdgeProbabilityDisplay : Heat map of the probabilities of edges.
    skcausal.metrics.structural_hamming_distance : The number of differing pairs.

    Examples
    --------
    >>> import numpy as np
    >>> from skcausal.plotting import GraphDisplay
    >>> true = np.array([[0, 1, 0], [0, 0, 1], [0, 0, 0]])
    >>> estimated = np.array([[0, 1, 1], [0, 0, 0], [0, 0, 0]])
    >>> display = GraphDisplay.from_predictions(true, estimated, variables=["raf", "mek", "erk"])
    >>> display.ax_.get_title()
    '2 edges, structural Hamming distance 2'
    """

    def __init__(
        self,
        adjacency: GraphLike,
        *,
        reference: GraphLike | None = None,
        variables: Collection[str] | None = None,
        reference_name: str | None = None,
    ) -> None:
        self.variables = names_of_variables(
            variables, len(cast("Sized", adjacency)), adjacency, reference
        )
        self.adjacency = check_adjacency(adjacency, variables=self.variables)
        self.reference = None
        if reference is not None:
            self.reference = check_adjacency(reference, variables=self.variables, name="reference")
        self.reference_name = reference_name
        self.edges = _classify_edges(self.adjacency, self.reference)

    def plot(
        self, ax: Axes | None = None, *, positions: ArrayLike | None = None, **kwargs: Any
    ) -> Self:
        """Draw the graph.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. Default: those of a new figure. In a figure of your own,
            ``layout="constrained"`` makes room for the legend below the axes.
        positions : array-like of shape (n_variables, 2), default=None
            Positions of the nodes. Default: on a circle, clockwise from the top.
        **kwargs : dict
            Passed to :class:`matplotlib.patches.FancyArrowPatch` for every edge, for instance
            ``linewidth``.

        Returns
        -------
        display : GraphDisplay
            This object, with `ax_`, `figure_`, `edge_artists_` and `text_`.
        """
        positions = self._check_positions(positions)
        if ax is None:
            ax = _new_axes(len(positions))
        self.ax_, self.figure_ = ax, ax.figure
        labels = [str(name) for name in self.variables]
        widest = max(map(_text_width, labels))
        font_size, radius = _fit_labels(positions, widest, _side_in_points(ax))
        outside = font_size < _SMALLEST_FONT_SIZE
        if outside:
            font_size, radius = _SMALLEST_FONT_SIZE, 0.2 * smallest_gap(positions)
        _frame(ax, positions, radius, widest * font_size if outside else 0.0)
        nodes = _draw_nodes(ax, positions, radius)
        draw_labels = _draw_labels_outside if outside else _draw_labels_inside
        self.text_ = draw_labels(ax, positions, radius, labels, font_size)
        self.edge_artists_ = {
            kind: [self._draw_edge(kind, i, j, positions, nodes, kwargs) for i, j in pairs]
            for kind, pairs in self.edges.items()
        }
        ax.set_title(self._title())
        if self.reference is not None:
            _draw_legend(ax, self.edges)
        return self

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        *,
        reference: GraphLike | None = None,
        variables: Collection[str] | None = None,
        reference_name: str | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the graph that a fitted estimator learned.

        Parameters
        ----------
        estimator : estimator instance
            Fitted estimator with `adjacency_`.
        reference : array-like of shape (n_variables, n_variables), DataFrame or \
                networkx.DiGraph, default=None
            Graph to compare with, aligned by name if it carries names and the estimator knows
            `feature_names_in_`.
        variables : sequence of str of length n_variables, default=None
            Names of the variables. Default: `feature_names_in_` of the estimator.
        reference_name : str, default=None
            Name of the reference, for the title.
        ax : matplotlib Axes, default=None
            Axes to draw on. Default: those of a new figure.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : GraphDisplay
            The display, already drawn.
        """
        adjacency, names = fitted_result(estimator, "adjacency_")
        display = cls(
            adjacency,
            reference=reference,
            variables=names if variables is None else variables,
            reference_name=reference_name,
        )
        return display.plot(ax=ax, **kwargs)

    @classmethod
    def from_predictions(
        cls,
        reference: GraphLike,
        adjacency: GraphLike,
        *,
        variables: Collection[str] | None = None,
        reference_name: str | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw an estimated graph against a reference.

        Parameters
        ----------
        reference : array-like of shape (n_variables, n_variables), DataFrame or networkx.DiGraph
            Graph to compare with. As in :mod:`skcausal.metrics` it comes first.
        adjacency : array-like of shape (n_variables, n_variables), DataFrame or networkx.DiGraph
            The graph to draw. If both graphs carry names, they are aligned by name.
        variables : sequence of str of length n_variables, default=None
            Names of the variables. Default: the names that the graphs carry, else x0, x1, ...
        reference_name : str, default=None
            Name of the reference, for the title.
        ax : matplotlib Axes, default=None
            Axes to draw on. Default: those of a new figure.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : GraphDisplay
            The display, already drawn.
        """
        display = cls(
            adjacency, reference=reference, variables=variables, reference_name=reference_name
        )
        return display.plot(ax=ax, **kwargs)

    def _check_positions(self, positions) -> np.ndarray:
        """Positions as a float array of shape (n_variables, 2)."""
        n_variables = len(self.adjacency)
        if positions is None:
            return circular_layout(n_variables)
        positions = np.asarray(positions, dtype=float)
        if positions.shape != (n_variables, 2):
            raise ValueError(
                f"positions must have shape {(n_variables, 2)}, one point for each variable; got "
                f"{positions.shape}."
            )
        return positions

    def _draw_edge(self, kind, i, j, positions, nodes, kwargs):
        """Draw one arrow from the rim of node i to that of node j, or a line if undirected."""
        from matplotlib.patches import FancyArrowPatch

        _, color, linestyle = _EDGE_STYLES[kind]
        graph = self.reference if kind == "missing" else self.adjacency
        bend = bend_of_arrow(positions, i, j, clearance=1.25 * nodes[0].radius)
        style = {
            "arrowstyle": "-" if graph[i, j] and graph[j, i] else "-|>",
            "connectionstyle": f"arc3,rad={bend}",
            "mutation_scale": 12,
            "linewidth": 1.5,
            "shrinkA": 1.5,
            "shrinkB": 1.5,
            "color": color,
            "linestyle": linestyle,
            "zorder": 1 if kind == "missing" else 1.5,
        }
        arrow = FancyArrowPatch(
            positions[i], positions[j], patchA=nodes[i], patchB=nodes[j], **(style | kwargs)
        )
        return self.ax_.add_patch(arrow)

    def _title(self) -> str:
        """Return the number of edges and, with a reference, the structural Hamming distance."""
        n_edges = sum(len(pairs) for kind, pairs in self.edges.items() if kind != "missing")
        title = f"{n_edges} edge{'' if n_edges == 1 else 's'}"
        if self.reference is None:
            return title
        distance = sum(len(self.edges[kind]) for kind in ("reversed", "extra", "missing"))
        title = f"{title}, structural Hamming distance {distance}"
        return title if self.reference_name is None else f"{title}\nto {self.reference_name}"


def _classify_edges(adjacency, reference) -> dict[str, np.ndarray]:
    """Pairs (n_edges, 2) of variables by class of edge; see the attribute `edges`."""
    drawn = _one_entry_per_edge(adjacency)
    if reference is None:
        return {"edge": np.argwhere(drawn)}
    joined = (adjacency | adjacency.T) == 1
    joined_in_reference = (reference | reference.T) == 1
    same = (adjacency == reference) & (adjacency.T == reference.T)
    return {
        "correct": np.argwhere(drawn & same),
        "reversed": np.argwhere(drawn & ~same & joined_in_reference),
        "extra": np.argwhere(drawn & ~joined_in_reference),
        "missing": np.argwhere(_one_entry_per_edge(reference) & ~joined),
    }


def _one_entry_per_edge(adjacency) -> np.ndarray:
    """Boolean adjacency in which an undirected edge has only its upper entry."""
    return (adjacency & ~np.tril(adjacency & adjacency.T)) == 1


def _new_axes(n_variables: int):
    """Axes of a new figure that grows with the number of variables."""
    import matplotlib.pyplot as plt

    side = float(np.clip(4.5 + 0.09 * n_variables, 5.0, 11.0))
    _, ax = plt.subplots(figsize=(side, side), layout="constrained")
    return ax


def _side_in_points(ax) -> float:
    """Length of the shorter side of the axes in points (1/72 inch)."""
    box = ax.get_window_extent()
    return min(box.width, box.height) * 72 / ax.figure.dpi


def _fit_labels(positions, widest: float, side: float) -> tuple[float, float]:
    """Font size, at most the standard one, and radius of the nodes that hold all names."""
    extent = np.ptp(positions, axis=0).max() or 2.0
    largest, standard = 0.3 * smallest_gap(positions), 0.075 * extent
    radius_per_size = widest / 1.75 * (extent + 3 * min(largest, standard)) / side
    radius = min(largest, max(standard, _FONT_SIZE * radius_per_size))
    return min(_FONT_SIZE, radius / radius_per_size), radius


def _frame(ax, positions, radius: float, label_width: float) -> None:
    """Set limits with room for the nodes and for labels of some width in points around them."""
    ax.axis("off")
    # The limits give way, not the box: constrained layouts keep titles inside the figure then.
    ax.set_aspect("equal", adjustable="datalim")
    low, high = positions.min(axis=0) - 1.5 * radius, positions.max(axis=0) + 1.5 * radius
    share = min(label_width / _side_in_points(ax), 0.3)  # of the final extent, at either end
    margin = (high - low).max() * share / (1 - 2 * share)
    ax.update_datalim([low - margin, high + margin])
    ax.margins(0)
    ax.autoscale_view()


def _draw_nodes(ax, positions, radius: float) -> list:
    """One circle for each variable."""
    from matplotlib.patches import Circle

    style = {"facecolor": "0.95", "edgecolor": INK, "linewidth": 1.0, "zorder": 2}
    return [ax.add_patch(Circle(position, radius, **style)) for position in positions]


def _draw_labels_inside(ax, positions, radius: float, labels: list[str], size: float) -> list:
    """Write the names into the nodes."""
    style = {"ha": "center", "va": "center", "fontsize": size, "zorder": 3}
    return [ax.text(*position, label, **style) for position, label in zip(positions, labels)]


def _draw_labels_outside(ax, positions, radius: float, labels: list[str], size: float) -> list:
    """Write each name beyond its node, along the ray from the centre of the drawing."""
    texts = []
    for position, label in zip(positions, labels):
        ray = position - positions.mean(axis=0)
        ray = ray / max(np.linalg.norm(ray), 1e-12)
        leftwards = ray[0] < -1e-9
        text = ax.text(
            *(position + 1.5 * radius * ray),
            label,
            rotation=np.degrees(np.arctan2(ray[1], ray[0])) + (180 if leftwards else 0),
            rotation_mode="anchor",
            ha="right" if leftwards else "left",
            va="center_baseline",
            fontsize=size,
        )
        texts.append(text)
    return texts


def _text_width(label: str) -> float:
    """Width of a label in points at a font size of one point."""
    from matplotlib.textpath import TextPath

    return max(TextPath((0, 0), label, size=1).get_extents().width, 1.0)


def _draw_legend(ax, edges) -> None:
    """Legend below the drawing, with the number of edges of each class."""
    from matplotlib.lines import Line2D

    handles = []
    for kind, pairs in edges.items():
        label, color, linestyle = _EDGE_STYLES[kind]
        line = Line2D([], [], color=color, linestyle=linestyle, label=f"{label} ({len(pairs)})")
        handles.append(line)
    ax.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, 0.0),
        ncols=2,
        frameon=False,
        columnspacing=1.2,
        handlelength=1.8,
    )
