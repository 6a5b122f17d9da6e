"""Overlap of treatment arms and environments in a learned representation."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal, Self, cast

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import check_array, check_random_state, check_scalar

from skcausal._labels import check_labels
from skcausal._typing import MatrixLike, PerRow, RandomStateLike
from skcausal.plotting._palette import CYCLE, INK, MARKERS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FEWEST_UNITS = 4
_LARGEST_PERPLEXITY = 30.0
_LEGEND_ROWS = 14


class RepresentationDisplay:
    """Map of a representation in two dimensions, coloured by arm and by environment.

    It is recommended to use :meth:`from_estimator` or :meth:`from_predictions`. A representation
    that is balanced over the arms, or the environments, mixes their colours everywhere. Regions of
    one colour hold units that have no counterpart in the other groups.

    Parameters
    ----------
    embedding : array-like of shape (n_units, 2)
        Positions of the units.
    treatment : array-like of shape (n_units,)
        Arm of each unit. Its levels are told apart by colour and marker, up to 42 of them.
    environment : array-like of shape (n_units,), default=None
        Environment of each unit. A second panel shows the same positions, coloured by environment.
    axis_names : tuple of two str, default=("Component 1", "Component 2")
        Labels of the axes.

    Attributes
    ----------
    embedding : ndarray of shape (n_units, 2)
        Positions of the units.
    treatment : ndarray of shape (n_units,)
        Arms of the units.
    environment : ndarray of shape (n_units,) or None
        Environments of the units.
    ax_ : matplotlib Axes or ndarray of two Axes
        Axes with the map, after :meth:`plot`. Two of them if there are two panels.
    figure_ : matplotlib Figure
        Figure with the map.
    points_ : list of matplotlib PathCollection
        The units, one collection for each panel. They are drawn in random order, so that no group
        covers the others.
    legends_ : list of matplotlib Legend
        The legends, one for each grouping.

    See Also
    --------
    EffectDisplay : Histogram of the effects on units.
    sklearn.manifold.TSNE : The embedding that preserves neighbourhoods.

    Notes
    -----
    t-SNE keeps neighbours together, and nothing else: neither the distances between clusters nor
    their sizes mean anything. Use ``method="pca"`` where distances matter.

    Examples
    --------
    >>> import numpy as np
    >>> from skcausal.plotting import RepresentationDisplay
    >>> rng = np.random.default_rng(0)
    >>> representation = rng.normal(size=(40, 5))
    >>> display = RepresentationDisplay.from_predictions(
    ...     representation, treatment=np.arange(40) % 2, method="pca"
    ... )
    >>> display.embedding.shape
    (40, 2)
    """

    def __init__(
        self,
        embedding: ArrayLike,
        *,
        treatment: ArrayLike,
        environment: PerRow = None,
        axis_names: tuple[str, str] = ("Component 1", "Component 2"),
    ) -> None:
        self.embedding = check_array(embedding, dtype=np.float64, input_name="embedding")
        n_units = len(self.embedding)
        if self.embedding.shape[1] != 2:
            raise ValueError(
                f"embedding must have shape ({n_units}, 2); got {self.embedding.shape}. "
                "from_predictions embeds representations of more dimensions."
            )
        self.treatment = _check_groups(treatment, "treatment", n_units)
        self.environment = None
        if environment is not None:
            self.environment = _check_groups(environment, "environment", n_units)
        self.axis_names = tuple(axis_names)

    def plot(self, ax: Axes | ArrayLike | None = None, **kwargs: Any) -> Self:
        """Draw the map.

        Parameters
        ----------
        ax : matplotlib Axes or sequence of two Axes, default=None
            Axes to draw on. Default: those of a new figure. If there are environments, two axes
            show one panel for the arms and one for the environments; a single one shows arms by
            colour, up to 6, and environments by marker, up to 7. In a figure of your own,
            ``layout="constrained"`` makes room for the legends beside the axes.
        **kwargs : dict
            Passed to :meth:`matplotlib.axes.Axes.scatter`, for instance ``s`` or ``alpha``.

        Returns
        -------
        display : RepresentationDisplay
            This object, with `ax_`, `figure_`, `points_` and `legends_`.
        """
        groupings = {"Arm": self.treatment}
        if self.environment is not None:
            groupings["Environment"] = self.environment
        n_panels = len(groupings) if ax is None else np.size(cast("Any", ax))
        if n_panels not in (1, len(groupings)):
            raise ValueError(
                f"ax must be one Axes{', or two' if len(groupings) == 2 else ''}; got {n_panels}."
            )
        if n_panels == len(groupings):
            styles = [_joint_styles(name, groups) for name, groups in groupings.items()]
        else:
            styles = [_crossed_styles(groupings)]
        if ax is None:
            ax = _new_axes(n_panels)
        panels = np.ravel(cast("Any", ax))
        self.ax_ = ax if np.ndim(cast("Any", ax)) == 0 else panels
        self.figure_ = panels[0].figure
        self.points_, self.legends_ = [], []
        for panel, (colors, markers, legends) in zip(panels, styles):
            self.points_.append(self._draw_units(panel, colors, markers, kwargs))
            self.legends_ += _draw_legends(panel, legends)
        return self

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X: MatrixLike,
        *,
        treatment: ArrayLike,
        environment: PerRow = None,
        method: Literal["tsne", "pca"] = "tsne",
        max_units: int = 1000,
        random_state: RandomStateLike = 0,
        ax: Axes | ArrayLike | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the representation that a fitted estimator learned.

        Parameters
        ----------
        estimator : estimator instance
            Fitted estimator with ``transform(X)``.
        X : array-like or DataFrame of shape (n_samples, n_features)
            Covariates of the units.
        treatment : array-like of shape (n_samples,)
            Arm of each unit.
        environment : array-like of shape (n_samples,), default=None
            Environment of each unit.
        method : {"tsne", "pca"}, default="tsne"
            How to embed the representation in two dimensions.
        max_units : int, default=1000
            Most units to show. If there are more, units are drawn at random within each group of
            arm and environment, in proportion to its size and at least one.
        random_state : int, RandomState instance or None, default=0
            Randomness of that choice and of t-SNE.
        ax : matplotlib Axes or sequence of two Axes, default=None
            Axes to draw on. Default: those of a new figure.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : RepresentationDisplay
            The display, already drawn.
        """
        if not hasattr(estimator, "transform"):
            raise TypeError(
                "estimator must have the method transform(X), which gives the representation; "
                f"{type(estimator).__name__} has none."
            )
        return cls.from_predictions(
            estimator.transform(X),
            treatment=treatment,
            environment=environment,
            method=method,
            max_units=max_units,
            random_state=random_state,
            ax=ax,
            **kwargs,
        )

    @classmethod
    def from_predictions(
        cls,
        representation: MatrixLike,
        *,
        treatment: ArrayLike,
        environment: PerRow = None,
        method: Literal["tsne", "pca"] = "tsne",
        max_units: int = 1000,
        random_state: RandomStateLike = 0,
        ax: Axes | ArrayLike | None = None,
        **kwargs: Any,
    ) -> Self:
        """Embed a representation in two dimensions and draw it.

        Parameters
        ----------
        representation : array-like of shape (n_samples, n_components)
            Representation of the units, in at least two dimensions.
        treatment : array-like of shape (n_samples,)
            Arm of each unit.
        environment : array-like of shape (n_samples,), default=None
            Environment of each unit.
        method : {"tsne", "pca"}, default="tsne"
            How to embed the representation in two dimensions. The perplexity of t-SNE is 30, or a
            third of the number of units if that is less.
        max_units : int, default=1000
            Most units to show. If there are more, units are drawn at random within each group of
            arm and environment, in proportion to its size and at least one.
        random_state : int, RandomState instance or None, default=0
            Randomness of that choice and of t-SNE.
        ax : matplotlib Axes or sequence of two Axes, default=None
            Axes to draw on. Default: those of a new figure.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : RepresentationDisplay
            The display, already drawn.
        """
        if method not in ("tsne", "pca"):
            raise ValueError(f'method must be "tsne" or "pca"; got {method!r}.')
        representation = _check_representation(representation)
        n_units = len(representation)
        treatment = _check_groups(treatment, "treatment", n_units)
        strata = np.unique(treatment, return_inverse=True)[1]
        if environment is not None:
            environment = _check_groups(environment, "environment", n_units)
            codes = np.unique(environment, return_inverse=True)[1]
            strata = np.unique(np.stack([strata, codes]), axis=1, return_inverse=True)[1]
        random_state = check_random_state(random_state)
        units = _stratified_sample(strata, max_units, random_state)
        embed = _embed_by_tsne if method == "tsne" else _embed_by_pca
        embedding, axis_names = embed(representation[units], random_state)
        display = cls(
            embedding,
            treatment=treatment[units],
            environment=None if environment is None else environment[units],
            axis_names=axis_names,
        )
        return display.plot(ax=ax, **kwargs)

    def _draw_units(self, ax, colors, markers, kwargs):
        """Draw all units of a panel, in an order that favours no group."""
        from matplotlib.markers import MarkerStyle

        n_units = len(self.embedding)
        order = np.random.default_rng(0).permutation(n_units)
        size = float(np.clip(10_000 / n_units, 14, 40))
        style = {"s": size, "linewidths": 0.3, "edgecolors": "white", "alpha": 0.85, "zorder": 2}
        colors = np.array(colors)[order]
        points = ax.scatter(*self.embedding[order].T, c=colors, **(style | kwargs))
        if "marker" not in kwargs:
            shapes = [MarkerStyle(marker) for marker in np.array(markers)[order]]
            points.set_paths([s.get_path().transformed(s.get_transform()) for s in shapes])
        ax.set(xlabel=self.axis_names[0], ylabel=self.axis_names[1], xticks=[], yticks=[])
        ax.spines[["top", "right"]].set_visible(False)
        return points


def _check_representation(representation) -> np.ndarray:
    """Finite representation of at least four units, in at least two dimensions, not constant."""
    values = check_array(
        representation,
        dtype=np.float64,
        ensure_min_samples=_FEWEST_UNITS,
        input_name="representation",
    )
    if values.shape[1] < 2:
        raise ValueError(
            "representation must have at least two columns to be embedded in two dimensions; got "
            "one. Draw histograms by arm instead."
        )
    if (values == values[0]).all():
        raise ValueError(
            "representation is the same for all units, so that there is nothing to draw; the "
            "penalties of the model may be too strong."
        )
    return values


def _check_groups(groups, name: str, n_units: int) -> np.ndarray:
    """Return labels as an array of shape (n_units,)."""
    codes, levels = check_labels(groups, n_units, name=name)
    return levels[codes]


def _stratified_sample(strata: np.ndarray, max_units: int, random_state) -> np.ndarray:
    """Sorted rows of at most max_units units, of each stratum in proportion to its size."""
    sizes = np.bincount(strata.ravel())
    fewest = max(_FEWEST_UNITS, len(sizes))
    check_scalar(max_units, "max_units", Integral)
    if max_units < fewest:
        raise ValueError(
            f"max_units must be at least {fewest}, which allows one unit for each of the "
            f"{len(sizes)} groups of arm and environment; got {max_units}."
        )
    # The r-th unit of a stratum of size n comes at time r / n: all first units, then in proportion.
    shuffled = random_state.permutation(len(strata))
    by_stratum = shuffled[np.argsort(strata.ravel()[shuffled], kind="stable")]
    times = np.concatenate([np.arange(size) / size for size in sizes])
    ties = random_state.permutation(len(strata))
    return np.sort(by_stratum[np.lexsort([ties, times])[:max_units]])


def _embed_by_tsne(representation: np.ndarray, random_state) -> tuple[np.ndarray, tuple[str, str]]:
    """Embedding that keeps neighbours together, with the names of its axes."""
    from sklearn.manifold import TSNE

    centered = representation - representation.mean(axis=0)
    tsne = TSNE(
        perplexity=min(_LARGEST_PERPLEXITY, len(representation) / 3),
        init="pca",
        random_state=random_state,
    )
    return tsne.fit_transform(centered / centered.std()), ("t-SNE 1", "t-SNE 2")


def _embed_by_pca(representation: np.ndarray, random_state) -> tuple[np.ndarray, tuple[str, str]]:
    """Principal components, with the names of their axes."""
    from sklearn.decomposition import PCA

    pca = PCA(n_components=2, svd_solver="full")
    embedding = pca.fit_transform(representation)
    shares = pca.explained_variance_ratio_
    first, second = (f"Component {k + 1} ({shares[k]:.0%} of variance)" for k in range(2))
    return embedding, (first, second)


def _joint_styles(name: str, groups: np.ndarray) -> tuple[list, list, dict]:
    """Colours and markers of units by one grouping, which both show, with the legend's entries."""
    levels, codes = np.unique(groups, return_inverse=True)
    most = len(CYCLE) * len(MARKERS)  # their lengths have no common divisor
    if len(levels) > most:
        raise ValueError(
            f"{name} has {len(levels)} levels, but only {most} can be told apart by colour and "
            "marker; merge levels, for instance doses, first."
        )
    entries = [
        (str(level), CYCLE[k % len(CYCLE)], MARKERS[k % len(MARKERS)])
        for k, level in enumerate(levels)
    ]
    colors, markers = ([entries[k][item] for k in codes] for item in (1, 2))
    return colors, markers, {name: entries}


def _crossed_styles(groupings: dict[str, np.ndarray]) -> tuple[list, list, dict]:
    """Colours of units by arm and markers by environment, with the entries of two legends."""
    (arm, arms), (environment, environments) = groupings.items()
    arm_levels, arm_codes = np.unique(arms, return_inverse=True)
    levels, codes = np.unique(environments, return_inverse=True)
    if len(arm_levels) > len(CYCLE) or len(levels) > len(MARKERS):
        raise ValueError(
            f"A single Axes shows up to {len(CYCLE)} arms by colour and {len(MARKERS)} "
            f"environments by marker; got {len(arm_levels)} and {len(levels)}. Pass two Axes."
        )
    legends = {
        arm: [(str(level), CYCLE[k], "o") for k, level in enumerate(arm_levels)],
        environment: [(str(level), INK, MARKERS[k]) for k, level in enumerate(levels)],
    }
    return [CYCLE[k] for k in arm_codes], [MARKERS[k] for k in codes], legends


def _new_axes(n_panels: int):
    """One or two axes of a new figure with room for the legends on the right."""
    import matplotlib.pyplot as plt

    size = (5.2 * n_panels, 4.2)
    return plt.subplots(1, n_panels, figsize=size, layout="constrained")[1]


def _draw_legends(ax, legends: dict) -> list:
    """Legends to the right of the axes, one below the other, where they cover no point."""
    from matplotlib import rcParams
    from matplotlib.font_manager import FontProperties
    from matplotlib.lines import Line2D

    row = 1.55 * FontProperties(size=rcParams["legend.fontsize"]).get_size_in_points()
    row_share = row / (ax.get_window_extent().height * 72 / ax.figure.dpi)
    drawn, top = [], 1.0
    for title, entries in legends.items():
        handles = [
            Line2D([], [], color=color, marker=marker, linestyle="none", label=label)
            for label, color, marker in entries
        ]
        legend = ax.legend(
            handles=handles,
            title=title,
            loc="upper left",
            bbox_to_anchor=(1.0, top),
            ncols=-(-len(handles) // _LEGEND_ROWS),
            frameon=False,
            alignment="left",
            borderaxespad=0.2,
            handletextpad=0.3,
        )
        drawn.append(legend)
        top -= (len(handles) + 1.2) * row_share  # title, entries and a gap
    for legend in drawn[:-1]:
        ax.add_artist(legend)  # Axes.legend keeps the last one alone
    return drawn
