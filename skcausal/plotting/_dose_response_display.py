"""Observed and predicted outcomes against the dose of a perturbation."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from skcausal._typing import MatrixLike
from skcausal.plotting._dose_response_contexts import (
    DoseResponseSamples,
    check_doses,
    check_heldout,
    check_labels,
    dose_grid,
    interpolate_features,
)
from skcausal.plotting._palette import BLUE, GREY, INK, VERMILLION
from skcausal.plotting._std_error import std_error

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_PANELS = 4  # rows, and columns, by default


class DoseResponseDisplay:
    """Outcomes against dose: a row of panels for each perturbation, a column for each variable.

    It is recommended to use :meth:`from_estimator` or :meth:`from_predictions`. Every panel shows
    the observed means at the doses tried, with one standard error to either side, the predicted
    curve, and the mean of the controls as a horizontal line.

    Parameters
    ----------
    variables : sequence of str of length n_variables
        Names of the variables, one column of panels each.
    observed : array-like of shape (n_contexts, n_variables)
        Observed mean of each variable in each context, which is a perturbation at a dose.
    observed_std_error : array-like of shape (n_contexts, n_variables)
        Standard errors of the observed means; NaN where unknown.
    observed_doses : array-like of shape (n_contexts,)
        Dose of each context.
    observed_perturbations : array-like of shape (n_contexts,)
        Perturbation of each context.
    predicted : array-like of shape (n_predictions, n_variables)
        Predicted means: the points of the curves, in any order.
    predicted_doses : array-like of shape (n_predictions,)
        Dose of each prediction.
    predicted_perturbations : array-like of shape (n_predictions,)
        Perturbation of each prediction. Every perturbation gets a row of panels.
    heldout : array-like of bool of shape (n_contexts,), default=None
        True where the context was not used in training; its markers are open.
    control : array-like of shape (n_variables,), default=None
        Mean of the controls.
    dose_scale : {"linear", "log"}, default="linear"
        Scale of the horizontal axes.
    dose_name : str, default="Dose"
        Label of the horizontal axes, for instance with the unit.

    Attributes
    ----------
    perturbations : list
        Names of the perturbations, one row of panels each.
    variables : list
        Names of the variables, one column of panels each.
    axes_ : ndarray of shape (n_perturbations, n_variables) of matplotlib Axes
        The panels, after :meth:`plot`.
    figure_ : matplotlib Figure
        Figure with the panels.
    curves_ : ndarray of shape (n_perturbations, n_variables) of matplotlib Line2D
        The predicted curves.
    points_ : ndarray of shape (n_perturbations, n_variables) of ErrorbarContainer or None
        The observed means of contexts seen in training.
    heldout_points_ : ndarray of shape (n_perturbations, n_variables) of ErrorbarContainer or None
        The observed means of contexts held out.
    control_lines_ : ndarray of shape (n_perturbations, n_variables) of matplotlib Line2D or None
        The means of the controls.
    legend_ : matplotlib Legend
        Explains the markers and lines, above the panels.

    See Also
    --------
    InterventionEffectDisplay : Predicted against observed means of all variables.
    TargetProbabilityDisplay : What the perturbations act on.

    Examples
    --------
    >>> import numpy as np
    >>> from skcausal.plotting import DoseResponseDisplay
    >>> X = np.array([[0.1, 0.9], [-0.1, 1.1], [0.6, 1.0], [0.4, 0.8], [1.1, 1.2], [0.9, 1.0]])
    >>> display = DoseResponseDisplay.from_predictions(
    ...     X,
    ...     [[0.0, 1.0], [0.5, 1.0], [1.0, 1.0]],
    ...     doses=[0, 0, 1, 1, 2, 2],
    ...     perturbations=["control", "control", "drug", "drug", "drug", "drug"],
    ...     predicted_doses=[0, 1, 2],
    ...     predicted_perturbations=["drug", "drug", "drug"],
    ... )
    >>> display.axes_.shape
    (1, 2)
    >>> display.observed
    array([[0.5, 0.9],
           [1. , 1.1]])

    A fitted model draws its own curves:

    >>> from skcausal.datasets import make_dose_response
    >>> from skcausal.perturbation import GenerativeInterventionModel  # doctest: +SKIP
    >>> data = make_dose_response(random_state=0)  # doctest: +SKIP
    >>> model = GenerativeInterventionModel()  # doctest: +SKIP
    >>> model.fit(data.X, interventions=data.interventions)  # doctest: +SKIP
    >>> display = DoseResponseDisplay.from_estimator(  # doctest: +SKIP
    ...     model,
    ...     data.X,
    ...     data.interventions,
    ...     doses=data.doses,
    ...     perturbations=data.perturbations,
    ...     shown=[3, 7],
    ... )
    """

    def __init__(
        self,
        *,
        variables: Collection[str],
        observed: MatrixLike,
        observed_std_error: MatrixLike,
        observed_doses: ArrayLike,
        observed_perturbations: ArrayLike,
        predicted: MatrixLike,
        predicted_doses: ArrayLike,
        predicted_perturbations: ArrayLike,
        heldout: ArrayLike | None = None,
        control: ArrayLike | None = None,
        dose_scale: Literal["linear", "log"] = "linear",
        dose_name: str = "Dose",
    ) -> None:
        if dose_scale not in ("linear", "log"):
            raise ValueError(f'dose_scale must be "linear" or "log"; got {dose_scale!r}.')
        self.variables = list(variables)
        n_variables = len(self.variables)
        self.observed = _check_table(observed, "observed", n_variables)
        n_contexts = len(self.observed)
        self.observed_std_error = _check_table(
            observed_std_error, "observed_std_error", n_variables, n_contexts
        )
        self.observed_doses = check_doses(observed_doses, "observed_doses", n_contexts)
        self.observed_perturbations = check_labels(
            observed_perturbations, "observed_perturbations", n_contexts
        )
        self.predicted = _check_table(predicted, "predicted", n_variables)
        n_predictions = len(self.predicted)
        self.predicted_doses = check_doses(predicted_doses, "predicted_doses", n_predictions)
        self.predicted_perturbations = check_labels(
            predicted_perturbations, "predicted_perturbations", n_predictions
        )
        if dose_scale == "log" and not self.predicted_doses.all():
            raise ValueError('With dose_scale="log", predicted_doses must be above 0; found 0.')
        self.perturbations = list(dict.fromkeys(self.predicted_perturbations.tolist()))
        self.heldout = check_heldout(heldout, n_contexts)
        self.control = None
        if control is not None:
            self.control = _check_table([control], "control", n_variables)[0]
        self.dose_scale = dose_scale
        self.dose_name = dose_name

    def plot(self, ax: Axes | ArrayLike | None = None, **kwargs: Any) -> Self:
        """Draw the panels.

        Parameters
        ----------
        ax : matplotlib Axes or array-like of Axes, default=None
            The axes to draw on, as many as there are perturbations times variables, row by row; a
            single one for a single panel. Default: those of a new figure.
        **kwargs : dict
            Passed to :meth:`matplotlib.axes.Axes.plot` for every curve, for instance ``color``.

        Returns
        -------
        display : DoseResponseDisplay
            This object, with `axes_`, `figure_`, `curves_`, `points_`, `heldout_points_`,
            `control_lines_` and `legend_`.
        """
        shape = len(self.perturbations), len(self.variables)
        self.axes_ = self._new_axes() if ax is None else _check_axes(ax, shape)
        self.figure_ = self.axes_[0, 0].figure
        artists = np.full((4, *shape), None, dtype=object)
        for row, column in np.ndindex(shape):
            artists[:, row, column] = self._draw_panel(row, column, kwargs)
        self.curves_, self.points_, self.heldout_points_, self.control_lines_ = artists
        self._label_axes()
        self.legend_ = self._draw_legend(is_own_figure=ax is None)
        return self

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X: MatrixLike,
        interventions: MatrixLike,
        *,
        doses: ArrayLike,
        perturbations: ArrayLike,
        shown: str | int | Sequence[Any] | None = None,
        variables: Collection[str] | None = None,
        n_doses: int = 50,
        features_of: Callable[..., Any] | None = None,
        heldout: ArrayLike | None = None,
        dose_scale: Literal["linear", "log"] = "linear",
        dose_name: str = "Dose",
        ax: Axes | ArrayLike | None = None,
        **kwargs: Any,
    ) -> Self:
        """Compare the curves that a fitted estimator predicts with data.

        The curve of a perturbation runs from dose 0 (on a logarithmic scale, from the smallest
        dose) to the largest dose. The estimator sees features, not doses, so a curve needs features
        at doses that were not tried. By default they are interpolated linearly between those of
        the doses in the data. Below the smallest dose, features that change with the dose run to 0
        at dose 0, and features that are the same at two or more doses stay. This is exact where one
        feature is the dose, or is proportional to it, and the others describe the perturbation; it
        is not where a feature is, say, the logarithm of the dose: pass `features_of`.

        Parameters
        ----------
        estimator : estimator instance
            Fitted estimator with ``predict(X, interventions=...)`` that takes features of
            perturbations, such as a GenerativeInterventionModel.
        X : array-like or DataFrame of shape (n_samples, n_variables)
            Observed values.
        interventions : array-like or DataFrame of shape (n_samples, n_features)
            Features of the perturbation of each row.
        doses : array-like of shape (n_samples,)
            Dose of each row's perturbation, 0 for controls.
        perturbations : array-like of shape (n_samples,)
            Name of each row's perturbation, whatever its dose. Those of controls are not used.
        shown : str, int or sequence of them, default=None
            The perturbations to draw. Default: the 4 with the largest observed shift.
        variables : sequence of str, default=None
            Names of the variables to draw. Default: the 4 with the largest observed shift: the
            difference of a context's mean from that of the controls, in standard deviations of the
            controls; without controls, those of all rows.
        n_doses : int, default=50
            Number of points of each curve.
        features_of : callable, default=None
            Called as ``features_of(perturbation, doses)`` with an element of `shown` and an ndarray
            of shape (n_doses,); returns the features, of shape (n_doses, n_features). Default: the
            interpolation described above.
        heldout : array-like of bool of shape (n_samples,), default=None
            True for rows that were not used in training. The markers of their means are open.
        dose_scale : {"linear", "log"}, default="linear"
            Scale of the horizontal axes.
        dose_name : str, default="Dose"
            Label of the horizontal axes, for instance with the unit.
        ax : matplotlib Axes or array-like of Axes, default=None
            The axes to draw on, row by row. Default: those of a new figure.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : DoseResponseDisplay
            The display, already drawn.

        Raises
        ------
        ValueError
            If arguments do not fit each other, `shown` or `variables` are not in the data, or the
            features of a perturbation at one dose differ.
        """
        check_is_fitted(estimator)
        samples = DoseResponseSamples(X, doses, perturbations, heldout)
        features = np.asarray(interventions, dtype=float)
        if features.ndim != 2 or len(features) != len(samples.X):
            raise ValueError(
                "interventions must have shape (n_samples, n_features), with a row for each of the "
                f"{len(samples.X)} rows of X; got {features.shape}."
            )
        if n_doses < 2:
            raise ValueError(f"n_doses must be at least 2; got {n_doses!r}.")
        shown = samples.choose_perturbations(shown, name="shown", at_most=_MOST_PANELS)
        grids, queries = [], []
        for name in shown:
            rows = samples.rows_of(name)
            grids.append(dose_grid(samples.doses[rows], n_doses, dose_scale))
            if features_of is None:
                query = interpolate_features(features[rows], samples.doses[rows], grids[-1], name)
            else:
                query = _check_query(features_of(name, grids[-1]), n_doses, features.shape[1])
            queries.append(query)
        unknown = np.full((n_doses * len(shown), samples.X.shape[1]), np.nan)
        return cls.from_predictions(
            X,
            estimator.predict(
                _like(X, unknown), interventions=_like(interventions, np.concatenate(queries))
            ),
            doses=doses,
            perturbations=perturbations,
            predicted_doses=np.concatenate(grids),
            predicted_perturbations=np.repeat(np.array(shown, dtype=object), n_doses),
            variables=variables,
            heldout=heldout,
            dose_scale=dose_scale,
            dose_name=dose_name,
            ax=ax,
            **kwargs,
        )

    @classmethod
    def from_predictions(
        cls,
        X: MatrixLike,
        X_pred: MatrixLike,
        *,
        doses: ArrayLike,
        perturbations: ArrayLike,
        predicted_doses: ArrayLike,
        predicted_perturbations: ArrayLike,
        variables: Collection[str] | None = None,
        heldout: ArrayLike | None = None,
        dose_scale: Literal["linear", "log"] = "linear",
        dose_name: str = "Dose",
        ax: Axes | ArrayLike | None = None,
        **kwargs: Any,
    ) -> Self:
        """Compare predicted curves with data.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_samples, n_variables)
            Observed values.
        X_pred : array-like of shape (n_predictions, n_variables)
            Predicted means of all variables: the points of the curves.
        doses : array-like of shape (n_samples,)
            Dose of each row's perturbation, 0 for controls.
        perturbations : array-like of shape (n_samples,)
            Name of each row's perturbation, whatever its dose. Those of controls are not used.
        predicted_doses : array-like of shape (n_predictions,)
            Dose of each prediction.
        predicted_perturbations : array-like of shape (n_predictions,)
            Perturbation of each prediction. These are the perturbations to draw.
        variables : sequence of str, default=None
            Names of the variables to draw. Default: the 4 with the largest observed shift, as in
            :meth:`from_estimator`.
        heldout : array-like of bool of shape (n_samples,), default=None
            True for rows that were not used in training. The markers of their means are open.
        dose_scale : {"linear", "log"}, default="linear"
            Scale of the horizontal axes.
        dose_name : str, default="Dose"
            Label of the horizontal axes, for instance with the unit.
        ax : matplotlib Axes or array-like of Axes, default=None
            The axes to draw on, row by row. Default: those of a new figure.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : DoseResponseDisplay
            The display, already drawn.
        """
        samples = DoseResponseSamples(X, doses, perturbations, heldout)
        X_pred = _check_table(X_pred, "X_pred", samples.X.shape[1])
        predicted_perturbations = np.asarray(predicted_perturbations, dtype=object)
        shown = samples.choose_perturbations(
            predicted_perturbations, name="predicted_perturbations", at_most=_MOST_PANELS
        )
        columns = samples.choose_variables(variables, shown, at_most=_MOST_PANELS)
        contexts = samples.contexts(shown)
        X_shown = samples.X[:, columns]
        display = cls(
            variables=[samples.variables[j] for j in columns],
            observed=[X_shown[rows].mean(axis=0) for _, _, _, rows in contexts],
            observed_std_error=[std_error(X_shown[rows]) for _, _, _, rows in contexts],
            observed_doses=[dose for _, dose, _, _ in contexts],
            observed_perturbations=[name for name, _, _, _ in contexts],
            predicted=X_pred[:, columns],
            predicted_doses=predicted_doses,
            predicted_perturbations=predicted_perturbations,
            heldout=[is_heldout for _, _, is_heldout, _ in contexts],
            control=X_shown[samples.is_control].mean(axis=0) if samples.is_control.any() else None,
            dose_scale=dose_scale,
            dose_name=dose_name,
        )
        return display.plot(ax=ax, **kwargs)

    def _new_axes(self) -> np.ndarray:
        """Panels of a new figure; those of a variable share their vertical axis."""
        import matplotlib.pyplot as plt

        n_rows, n_columns = len(self.perturbations), len(self.variables)
        largest = [self._points_of(name)[0].max() for name in self.perturbations]
        _, axes = plt.subplots(
            n_rows,
            n_columns,
            figsize=(max(2.1 * n_columns + 0.9, 4.2), max(1.7 * n_rows + 1.0, 3.6)),
            sharex="all" if len(set(largest)) == 1 else "row",
            sharey="col",
            squeeze=False,
            layout="constrained",
        )
        return axes

    def _points_of(self, perturbation) -> tuple[np.ndarray, np.ndarray]:
        """Doses and predicted means of a perturbation, sorted by dose."""
        rows = np.flatnonzero(self.predicted_perturbations == perturbation)
        rows = rows[np.argsort(self.predicted_doses[rows], kind="stable")]
        return self.predicted_doses[rows], self.predicted[rows]

    def _draw_panel(self, row: int, column: int, kwargs) -> tuple:
        """Draw one variable under one perturbation; return the artists."""
        ax, name = self.axes_[row, column], self.perturbations[row]
        control_line = None
        if self.control is not None:
            style = {"color": GREY, "linestyle": "--", "linewidth": 1.2, "label": "control mean"}
            control_line = ax.axhline(self.control[column], zorder=1, **style)
        doses, predicted = self._points_of(name)
        style = {"color": BLUE, "linewidth": 1.8, "label": "predicted", "zorder": 2}
        (curve,) = ax.plot(doses, predicted[:, column], **(style | kwargs))
        of_name = self.observed_perturbations == name
        points = self._draw_points(ax, column, of_name & ~self.heldout, INK, INK, "observed mean")
        heldout = self._draw_points(
            ax, column, of_name & self.heldout, VERMILLION, "white", "held-out mean"
        )
        if self.dose_scale == "log":
            _use_log_scale(ax, doses)
        ax.spines[["top", "right"]].set_visible(False)
        ax.locator_params(axis="y", nbins=5)
        return curve, points, heldout, control_line

    def _draw_points(self, ax, column: int, contexts, color, face, label: str):
        """Markers with error bars at the observed means of some contexts."""
        if not contexts.any():
            return None
        return ax.errorbar(
            self.observed_doses[contexts],
            self.observed[contexts, column],
            yerr=self.observed_std_error[contexts, column],
            fmt="o",
            color=color,
            markerfacecolor=face,
            markersize=4.5,
            elinewidth=1.2,
            label=f"{label} ± standard error",
            zorder=3,
        )

    def _label_axes(self) -> None:
        """Name the variables on top, the perturbations on the right, and the axes."""
        for ax, variable in zip(self.axes_[0], self.variables):
            ax.set_title(str(variable), fontsize="medium")
        for ax in self.axes_[-1]:
            ax.set_xlabel(self.dose_name)
        for ax in self.axes_[:, 0]:
            ax.set_ylabel("Mean")
        for ax, name in zip(self.axes_[:, -1], self.perturbations):
            style = {"rotation": 270 if len(str(name)) > 4 else 0, "ha": "left", "va": "center"}
            ax.annotate(str(name), (1.03, 0.5), xycoords="axes fraction", **style)

    def _draw_legend(self, *, is_own_figure: bool):
        """Legend above all panels, or in the first one where the figure is not ours to fill."""
        handles: dict[str, Any] = {}
        for artists in (self.points_, self.heldout_points_, self.curves_, self.control_lines_):
            drawn = [artist for artist in artists.flat if artist is not None]
            handles |= {artist.get_label(): artist for artist in drawn[:1]}
        style = {"handles": list(handles.values()), "labels": list(handles), "frameon": False}
        if not is_own_figure:
            return self.axes_[0, 0].legend(**style, fontsize="small")
        n_columns = max(int(self.figure_.get_figwidth() / 2.4), 1)
        return self.figure_.legend(**style, loc="outside upper center", ncols=n_columns)


def _use_log_scale(ax, doses) -> None:
    """Logarithmic doses with plain numbers at the ticks, as many as there is room for."""
    from matplotlib.ticker import LogLocator, NullFormatter

    decades = np.log10(doses.max() / doses.min())
    steps = (1.0, 2.0, 5.0) if decades < 1.5 else (1.0, 3.0) if decades < 2.5 else (1.0,)
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=steps, numticks=5))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())


def _check_table(values, name: str, n_variables: int, n_rows: int | None = None) -> np.ndarray:
    """Return values as a float array of shape (n_rows, n_variables)."""
    values = np.asarray(values, dtype=float)
    is_table = values.ndim == 2 and values.shape[1] == n_variables and values.size > 0
    if not is_table or n_rows not in (None, len(values)):
        rows = "n" if n_rows is None else n_rows
        raise ValueError(
            f"{name} must have shape ({rows}, {n_variables}), a column for each variable; got "
            f"{values.shape}."
        )
    return values


def _check_axes(ax, shape) -> np.ndarray:
    """Return the given axes as an array of the shape of the panels."""
    axes = np.array(ax, dtype=object)
    if axes.size != shape[0] * shape[1]:
        raise ValueError(
            f"ax must hold {shape[0] * shape[1]} axes, {shape[0]} perturbations times {shape[1]} "
            f"variables; got {axes.size}."
        )
    return axes.reshape(shape)


def _check_query(features, n_doses: int, n_features: int) -> np.ndarray:
    """Return what features_of returned as an array of shape (n_doses, n_features)."""
    features = np.asarray(features, dtype=float)
    if features.shape != (n_doses, n_features):
        raise ValueError(
            f"features_of must return features of shape {(n_doses, n_features)}, a row for each "
            f"dose; got {features.shape}."
        )
    return features


def _like(data, values: np.ndarray):
    """Return values, as a DataFrame with the columns of the data if it is one."""
    return type(data)(values, columns=data.columns) if hasattr(data, "iloc") else values
