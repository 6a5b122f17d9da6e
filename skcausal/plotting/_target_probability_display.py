"""Heat map of the probabilities that perturbations act on variables."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from skcausal._typing import MatrixLike
from skcausal.plotting._cell_values import write_values
from skcausal.plotting._palette import GREY, VERMILLION
from skcausal.plotting._variables import names_of_variables

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_ANNOTATED = 12  # rows, and columns
_POINTS_PER_LABEL = 11.0  # what a line of tick labels takes
_FONT_SIZE = 8


class TargetProbabilityDisplay:
    """Heat map of the probabilities of targets: perturbations in rows, variables in columns.

    It is recommended to use :meth:`from_estimator` or :meth:`from_predictions`.

    Parameters
    ----------
    probabilities : array-like or DataFrame of shape (n_contexts, n_variables)
        Probability that the perturbation of context i acts on variable j in entry (i, j), between 0
        and 1.
    labels : sequence of str of length n_contexts, default=None
        Names of the contexts, for instance "p7@0.5". Default: the index of a DataFrame, else
        0, 1, ...
    variables : sequence of str of length n_variables, default=None
        Names of the variables. Default: the columns of a DataFrame, else x0, x1, ...
    true_targets : array-like of bool or DataFrame of shape (n_contexts, n_variables), default=None
        True where the perturbation does act on the variable. These cells are marked. A DataFrame
        must have the columns `variables`, in any order.
    groups : sequence of length n_contexts, default=None
        Perturbation of each context, whatever its dose. Contexts of a perturbation are brought
        together, in the order of first appearance, and lines are drawn between the perturbations.

    Attributes
    ----------
    probabilities : ndarray of shape (n_contexts, n_variables)
        The probabilities in the order of `labels`.
    labels : list of str
        Names of the contexts, sorted by group if there are groups.
    variables : list
        Names of the variables.
    true_targets : ndarray of bool of shape (n_contexts, n_variables) or None
        The true targets in the order of `labels`.
    groups : list of str or None
        Perturbation of each context in the order of `labels`.
    shown_ : ndarray of int of shape (n_shown_variables,)
        Numbers of the variables that :meth:`plot` drew.
    im_ : matplotlib AxesImage
        The heat map, after :meth:`plot`.
    text_ : ndarray of shape (n_contexts, n_shown_variables) of matplotlib Text, or None
        The written values, None if there are too many to be read.
    marks_ : matplotlib PathCollection or None
        Dots on the true targets.
    separators_ : list of matplotlib Line2D
        Lines between perturbations.
    ax_ : matplotlib Axes
        Axes with the heat map.
    figure_ : matplotlib Figure
        Figure with the heat map.

    See Also
    --------
    DoseResponseDisplay : What the perturbations do at other doses.
    EdgeProbabilityDisplay : Heat map of the probabilities of edges.
    skcausal.metrics.target_average_precision : Score of target probabilities.

    Examples
    --------
    >>> import numpy as np
    >>> from skcausal.plotting import TargetProbabilityDisplay
    >>> probabilities = np.array([[0.7, 0.1, 0.0], [0.9, 0.1, 0.1], [0.0, 0.2, 0.8]])
    >>> display = TargetProbabilityDisplay.from_predictions(
    ...     probabilities,
    ...     labels=["drug a@0.5", "drug a@1", "drug b@1"],
    ...     groups=["drug a", "drug a", "drug b"],
    ...     variables=["raf", "mek", "erk"],
    ... )
    >>> len(display.separators_)
    1

    Of a fitted model:

    >>> from skcausal.datasets import make_dose_response
    >>> from skcausal.perturbation import GenerativeInterventionModel  # doctest: +SKIP
    >>> data = make_dose_response(random_state=0)  # doctest: +SKIP
    >>> model = GenerativeInterventionModel()  # doctest: +SKIP
    >>> model.fit(data.X, interventions=data.interventions)  # doctest: +SKIP
    >>> display = TargetProbabilityDisplay.from_estimator(  # doctest: +SKIP
    ...     model,
    ...     data.interventions,
    ...     labels=data.regimes,
    ...     groups=data.perturbations,
    ...     true_targets=data.targets.to_numpy()[data.perturbations],
    ... )
    """

    def __init__(
        self,
        probabilities: MatrixLike,
        *,
        labels: Collection[Any] | None = None,
        variables: Collection[str] | None = None,
        true_targets: MatrixLike | None = None,
        groups: Collection[Any] | None = None,
    ) -> None:
        names = getattr(probabilities, "columns", None)
        index = getattr(probabilities, "index", None)
        values = _check_probabilities(probabilities)
        n_contexts, n_variables = values.shape
        if variables is None and names is not None:
            variables = list(names)
        self.variables = names_of_variables(variables, n_variables)
        if labels is None:
            labels = range(n_contexts) if index is None else list(index)
        labels = _check_per_context(labels, "labels", n_contexts)
        order = np.arange(n_contexts)
        self.groups = None
        if groups is not None:
            groups = _check_per_context(groups, "groups", n_contexts)
            rank = {group: k for k, group in enumerate(dict.fromkeys(groups))}
            order = np.argsort([rank[group] for group in groups], kind="stable")
            self.groups = [groups[i] for i in order]
        self.probabilities = values[order]
        self.labels = [labels[i] for i in order]
        self.true_targets = None
        if true_targets is not None:
            self.true_targets = _check_targets(true_targets, self.variables, n_contexts)[order]

    def plot(
        self,
        ax: Axes | None = None,
        *,
        max_variables: int | None = None,
        min_probability: float | None = None,
        include_values: bool | None = None,
        colorbar: bool = True,
        **kwargs: Any,
    ) -> Self:
        """Draw the heat map.

        Labels that would overlap are thinned out: of many contexts, first all but the names of the
        perturbations are left out, if there are groups.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. Default: those of a new figure.
        max_variables : int, default=None
            Show at most this many variables, those with the largest probability in any context.
            Default: all.
        min_probability : float, default=None
            Show only the variables whose probability is at least this in any context. Default: all.
        include_values : bool, default=None
            Whether to write the values into the cells. Default: up to 12 contexts and variables.
        colorbar : bool, default=True
            Whether to add a colour bar.
        **kwargs : dict
            Passed to :meth:`matplotlib.axes.Axes.imshow`, for instance ``cmap``.

        Returns
        -------
        display : TargetProbabilityDisplay
            This object, with `ax_`, `figure_`, `im_`, `shown_`, `text_`, `marks_` and
            `separators_`.

        Raises
        ------
        ValueError
            If `max_variables` or `min_probability` leave no variable to show.
        """
        self.shown_ = _largest_columns(self.probabilities, max_variables, min_probability)
        shown = self.probabilities[:, self.shown_]
        if ax is None:
            ax = _new_axes(*shown.shape)
        self.ax_, self.figure_ = ax, ax.figure
        style: dict[str, Any] = {"cmap": "Blues", "vmin": 0.0, "vmax": 1.0, "aspect": "auto"}
        self.im_ = cast("Any", ax).imshow(shown, **(style | {"interpolation": "nearest"} | kwargs))
        if colorbar:
            bar = self.figure_.colorbar(self.im_, ax=ax, label="Probability of target", aspect=30)
            bar.outline.set_visible(False)
        if include_values is None:
            include_values = max(shown.shape) <= _MOST_ANNOTATED
        self.text_ = None
        if include_values:
            cells = np.ndindex(self.im_.get_array().shape)
            self.text_ = write_values(ax, self.im_, cells, fontsize=_FONT_SIZE)
        self.separators_ = self._draw_separators()
        self.marks_ = self._mark_targets(in_corner=include_values)
        self._label_axes()
        return self

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        interventions: MatrixLike,
        *,
        labels: ArrayLike | None = None,
        variables: Collection[str] | None = None,
        true_targets: MatrixLike | None = None,
        groups: ArrayLike | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw what a fitted estimator takes perturbations to act on.

        There is one row for each distinct row of `interventions`, in the order of first appearance.
        Controls, which are rows of zeros, have no targets and are left out.

        Parameters
        ----------
        estimator : estimator instance
            Fitted estimator with ``predict_targets(interventions)``, which returns the
            probabilities of targets, of shape (n_contexts, n_variables), and their shifts.
        interventions : array-like or DataFrame of shape (n_samples, n_features)
            Features of perturbations, as they were in `fit`. Rows may repeat.
        labels : array-like of shape (n_samples,), default=None
            Name of the context of each row, for instance its regime, "p7@0.5". Default: the number
            of the first row of the context.
        variables : sequence of str of length n_variables, default=None
            Names of the variables. Default: `feature_names_in_` of the estimator, else x0, x1, ...
        true_targets : array-like of bool or DataFrame of shape (n_samples, n_variables), \
                default=None
            True where the perturbation of the row does act on the variable. These cells are marked.
        groups : array-like of shape (n_samples,), default=None
            Perturbation of each row, whatever its dose. Contexts of a perturbation are brought
            together, and lines are drawn between the perturbations.
        ax : matplotlib Axes, default=None
            Axes to draw on. Default: those of a new figure.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : TargetProbabilityDisplay
            The display, already drawn.

        Raises
        ------
        TypeError
            If the estimator has no ``predict_targets``.
        ValueError
            If rows of the same features differ in `labels`, `true_targets` or `groups`, or if all
            rows are controls.
        """
        check_is_fitted(estimator)
        if not hasattr(estimator, "predict_targets"):
            raise TypeError(
                "estimator must have the method predict_targets(interventions); "
                f"{type(estimator).__name__} has none. Of a Pipeline or a search, pass the step "
                "that infers targets, and interventions as that step sees them."
            )
        first, context = _first_rows(interventions)
        names = getattr(estimator, "feature_names_in_", None)
        probabilities = np.asarray(estimator.predict_targets(_take(interventions, first))[0])
        if variables is None:
            variables = names_of_variables(names, probabilities.shape[1])
        per_context: dict[str, Any] = {
            "labels": labels,
            "true_targets": true_targets,
            "groups": groups,
        }
        for name, values in per_context.items():
            if values is not None:
                _check_constant(values, name, first, context)
                per_context[name] = _take(values, first)
        if labels is None:
            per_context["labels"] = first
        display = cls(probabilities, variables=variables, **per_context)
        return display.plot(ax=ax, **kwargs)

    @classmethod
    def from_predictions(
        cls,
        probabilities: MatrixLike,
        *,
        labels: Collection[Any] | None = None,
        variables: Collection[str] | None = None,
        true_targets: MatrixLike | None = None,
        groups: Collection[Any] | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw probabilities of targets.

        Parameters
        ----------
        probabilities : array-like or DataFrame of shape (n_contexts, n_variables)
            Probability that the perturbation of context i acts on variable j in entry (i, j).
        labels : sequence of str of length n_contexts, default=None
            Names of the contexts. Default: the index of a DataFrame, else 0, 1, ...
        variables : sequence of str of length n_variables, default=None
            Names of the variables. Default: the columns of a DataFrame, else x0, x1, ...
        true_targets : array-like of bool or DataFrame of shape (n_contexts, n_variables), \
                default=None
            True where the perturbation does act on the variable. These cells are marked.
        groups : sequence of length n_contexts, default=None
            Perturbation of each context, whatever its dose. Contexts of a perturbation are brought
            together, and lines are drawn between the perturbations.
        ax : matplotlib Axes, default=None
            Axes to draw on. Default: those of a new figure.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : TargetProbabilityDisplay
            The display, already drawn.
        """
        display = cls(
            probabilities,
            labels=labels,
            variables=variables,
            true_targets=true_targets,
            groups=groups,
        )
        return display.plot(ax=ax, **kwargs)

    def _draw_separators(self) -> list:
        """Thin lines between contexts of different perturbations."""
        if self.groups is None:
            return []
        return [
            self.ax_.axhline(i - 0.5, color=GREY, linewidth=0.6)
            for i in range(1, len(self.groups))
            if self.groups[i] != self.groups[i - 1]
        ]

    def _mark_targets(self, *, in_corner: bool):
        """Dots on the true targets, or in the corners of their cells where values are written."""
        if self.true_targets is None:
            return None
        rows, columns = np.nonzero(self.true_targets[:, self.shown_])
        n_hidden = int(self.true_targets.sum()) - len(rows)
        label = "true target" + (f" ({n_hidden} in variables not shown)" if n_hidden else "")
        shift = 0.36 if in_corner else 0.0
        height = _size_in_points(self.ax_)[1] / len(self.labels)
        diameter = float(np.clip(0.6 * height, 4.0, 7.0))
        marks = self.ax_.scatter(
            columns + shift,
            rows - shift,
            s=diameter**2,
            color=VERMILLION,
            edgecolors="white",
            linewidths=min(0.12 * diameter, 0.8),
            label=label,
            zorder=3,
        )
        self.ax_.legend(
            handles=[marks],
            loc="lower left",
            bbox_to_anchor=(0.0, 1.0),
            frameon=False,
            borderaxespad=0.2,
            borderpad=0.2,
            handletextpad=0.2,
            markerscale=max(5.0 / diameter, 1.0),
        )
        return marks

    def _label_axes(self) -> None:
        """Name contexts, or else perturbations, and variables, as far as there is room."""
        ax, (width, height) = self.ax_, _size_in_points(self.ax_)
        n_shown, n_variables = len(self.shown_), len(self.variables)
        suffix = f" ({n_shown} of {n_variables})" if n_shown < n_variables else ""
        ax.set_xlabel(f"Variable{suffix}")
        names = [str(self.variables[j]) for j in self.shown_]
        columns = _thin_out(n_shown, width)
        longest = max(len(name) for name in names) * 0.6 * _FONT_SIZE
        ax.set_xticks(
            columns,
            [names[j] for j in columns],
            rotation=0 if longest < 0.8 * width / n_shown else 90,
            fontsize=_FONT_SIZE,
        )
        positions, labels = np.arange(len(self.labels)), self.labels
        ax.set_ylabel("Perturbation")
        if self.groups is not None and len(positions) * _POINTS_PER_LABEL > height:
            positions, labels = _centers(self.groups)
        ticks = _thin_out(len(positions), height)
        ax.set_yticks(
            [positions[i] for i in ticks], [labels[i] for i in ticks], fontsize=_FONT_SIZE
        )
        ax.tick_params(length=0)
        ax.spines[:].set(color=GREY, linewidth=0.6)


def _check_probabilities(probabilities) -> np.ndarray:
    """Probabilities as an array (n_contexts, n_variables)."""
    values = np.array(probabilities, dtype=float)
    if values.ndim != 2 or values.size == 0:
        raise ValueError(
            "probabilities must have shape (n_contexts, n_variables), a row for each perturbation; "
            f"got {values.shape}."
        )
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("probabilities must lie between 0 and 1; found entries outside, or NaN.")
    return values


def _check_per_context(values, name: str, n_contexts: int) -> list[str]:
    """Return one string for each context."""
    values = [str(value) for value in values]
    if len(values) != n_contexts:
        raise ValueError(
            f"{name} must have one entry for each of the {n_contexts} rows of probabilities; got "
            f"{len(values)}."
        )
    return values


def _check_targets(true_targets, variables, n_contexts: int) -> np.ndarray:
    """Return a boolean array (n_contexts, n_variables) in the order of the variables."""
    columns = getattr(true_targets, "columns", None)
    if columns is not None:
        if set(columns) != set(variables) or len(columns) != len(variables):
            raise ValueError(
                "The columns of the DataFrame true_targets must be the variables, in any order; "
                f"got {list(columns)[:5]}, and variables {list(variables)[:5]}."
            )
        true_targets = true_targets[list(variables)]
    targets = np.asarray(true_targets)
    if targets.shape != (n_contexts, len(variables)):
        raise ValueError(
            f"true_targets must have the shape of probabilities, {(n_contexts, len(variables))}; "
            f"got {targets.shape}."
        )
    if not np.isin(targets, (0, 1)).all():
        raise ValueError("true_targets must be boolean; found entries other than True and False.")
    return targets.astype(bool)


def _largest_columns(values, max_variables, min_probability) -> np.ndarray:
    """Numbers of the columns to show, in their order."""
    largest = values.max(axis=0)
    shown = np.arange(len(largest))
    if min_probability is not None:
        shown = shown[largest >= min_probability]
        if not len(shown):
            raise ValueError(
                f"No probability reaches min_probability={min_probability!r}; the largest is "
                f"{largest.max():.3g}."
            )
    if max_variables is not None:
        if max_variables < 1:
            raise ValueError(f"max_variables must be at least 1; got {max_variables!r}.")
        shown = np.sort(shown[np.argsort(-largest[shown], kind="stable")[:max_variables]])
    return shown


def _first_rows(interventions) -> tuple[np.ndarray, np.ndarray]:
    """First row (n_contexts,) of each distinct row that is not 0, and each row's context or -1."""
    features = np.asarray(interventions, dtype=float)
    if features.ndim != 2:
        raise ValueError(
            f"interventions must have shape (n_samples, n_features); got {features.shape}."
        )
    _, first, context = np.unique(features, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    order = order[(features[first[order]] != 0).any(axis=1)]
    if not len(order):
        raise ValueError(
            "interventions must have a row that is not a control; found only rows of zeros."
        )
    number = np.full(len(first), -1)
    number[order] = np.arange(len(order))
    return first[order], number[context.reshape(-1)]


def _take(values, rows):
    """Rows of an array, a sequence, or a DataFrame, which remains one."""
    return values.iloc[rows] if hasattr(values, "iloc") else np.asarray(values)[rows]


def _check_constant(values, name: str, first, context) -> None:
    """Refuse values that differ between rows of a context."""
    values = np.asarray(values)
    if len(values) != len(context):
        raise ValueError(
            f"{name} must have one entry for each of the {len(context)} rows of interventions; got "
            f"{len(values)}."
        )
    rows = np.flatnonzero(context >= 0)
    differs = values[rows] != values[first[context[rows]]]
    if differs.ndim > 1:
        differs = differs.any(axis=1)
    if differs.any():
        row = rows[differs.argmax()]
        raise ValueError(
            f"Rows {first[context[row]]} and {row} of interventions are the same, but their "
            f"entries in {name} differ; correct one of them."
        )


def _new_axes(n_contexts: int, n_variables: int):
    """Axes of a new figure that grows with the numbers of contexts and variables."""
    import matplotlib.pyplot as plt

    width = float(np.clip(2.6 + 0.3 * n_variables, 4.4, 11.0))
    height = float(np.clip(1.4 + 0.3 * n_contexts, 2.8, 9.0))
    _, ax = plt.subplots(figsize=(width, height), layout="constrained")
    return ax


def _size_in_points(ax) -> tuple[float, float]:
    """Width and height of the axes in points."""
    box = ax.get_window_extent()
    points = 72 / ax.figure.dpi
    return box.width * points, box.height * points


def _thin_out(n_labels: int, length: float) -> np.ndarray:
    """Numbers of the labels that fit along an axis of so many points: every k-th."""
    step = int(np.ceil(n_labels * _POINTS_PER_LABEL / length))
    return np.arange(0, n_labels, max(step, 1))


def _centers(groups) -> tuple[np.ndarray, list[str]]:
    """Middle row of each group, and its name; the groups are contiguous."""
    names = list(dict.fromkeys(groups))
    rows = np.asarray(groups, dtype=object)
    return np.array([np.flatnonzero(rows == name).mean() for name in names]), names
