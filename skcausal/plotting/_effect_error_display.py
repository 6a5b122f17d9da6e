"""Error of estimated effects against the weight of a penalty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from skcausal.plotting._palette import CYCLE, GREY, MARKERS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_CHARACTERS_OF_AXIS = 55  # which fit side by side under the axis
_LEGEND_ROWS = 14


class EffectErrorDisplay:
    """Error against the weight of a penalty, one line for each group.

    It is recommended to use :meth:`from_results` or :meth:`from_search`. The horizontal axis is
    logarithmic, with a place for zero: no penalty.

    Parameters
    ----------
    alphas : array-like of shape (n_alphas,)
        Weights of the penalty, distinct and not negative.
    errors : dict of str to array-like of shape (n_alphas,)
        Error at each weight, by group. NaN leaves a gap.
    std_errors : dict of str to array-like of shape (n_alphas,), default=None
        Standard errors of the errors; NaN where unknown.
    picked : float or dict of str to float, default=None
        Weights to mark, for instance those that cross-validation picked: of all groups, or by
        group.
    baseline : float or dict of str to float, default=None
        Errors to compare with, for instance those of a method without the penalty: of all groups,
        or by group.
    baseline_name : str, default="baseline"
        Name of the baseline, for the legend.
    alpha_name : str, default="Penalty weight"
        Label of the horizontal axis.
    error_name : str, default="Effect error"
        Label of the vertical axis, for instance "PEHE".

    Attributes
    ----------
    alphas : ndarray of shape (n_alphas,)
        The weights, sorted.
    errors : dict of str to ndarray of shape (n_alphas,)
        Errors in the order of `alphas`.
    std_errors : dict of str to ndarray of shape (n_alphas,)
        Standard errors in the order of `alphas`; NaN where unknown.
    picked : dict of str to float
        Weights to mark, by group.
    baseline : float, dict of str to float, or None
        Errors to compare with.
    ax_ : matplotlib Axes
        Axes with the lines, after :meth:`plot`.
    figure_ : matplotlib Figure
        Figure with the lines.
    lines_ : dict of str to matplotlib Line2D
        Errors of each group.
    errorbars_ : dict of str to matplotlib ErrorbarContainer
        Standard errors of each group.
    picked_ : dict of str to matplotlib Line2D
        Marks of the picked weights.
    baselines_ : list of matplotlib Line2D
        Horizontal lines of the baseline.

    See Also
    --------
    EffectDisplay : Histogram of the effects on units.
    sklearn.model_selection.ValidationCurveDisplay : Training and test scores against a parameter.

    Examples
    --------
    >>> from skcausal.plotting import EffectErrorDisplay
    >>> display = EffectErrorDisplay.from_results(
    ...     [0, 0.1, 1], [[1.0, 1.2], [0.8, 0.6], [1.1, 0.9]], picked=0.1, error_name="PEHE"
    ... )
    >>> display.errors["PEHE"]
    array([1.1, 0.7, 1. ])
    """

    def __init__(
        self,
        alphas: ArrayLike,
        errors: Mapping[str, ArrayLike],
        *,
        std_errors: Mapping[str, ArrayLike] | None = None,
        picked: float | Mapping[str, float] | None = None,
        baseline: float | Mapping[str, float] | None = None,
        baseline_name: str = "baseline",
        alpha_name: str = "Penalty weight",
        error_name: str = "Effect error",
    ) -> None:
        alphas = _check_alphas(alphas)
        order = np.argsort(alphas)
        self.alphas = alphas[order]
        self.errors = {
            group: _check_row(values, f"errors of {group!r}", len(alphas))[order]
            for group, values in _check_mapping(errors, "errors").items()
        }
        if not self.errors:
            raise ValueError("errors must hold at least one group; got none.")
        self.std_errors = {group: np.full(len(alphas), np.nan) for group in self.errors}
        for group, values in _check_mapping(std_errors or {}, "std_errors").items():
            self._check_group(group, "std_errors")
            row = _check_row(values, f"std_errors of {group!r}", len(alphas))
            self.std_errors[group] = row[order]
        self.picked = self._check_picked(picked)
        self.baseline = baseline
        if isinstance(baseline, Mapping):
            for group in baseline:
                self._check_group(group, "baseline")
        self.baseline_name = baseline_name
        self.alpha_name = alpha_name
        self.error_name = error_name

    def plot(self, ax: Axes | None = None, **kwargs: Any) -> Self:
        """Draw the lines.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on. Default: those of a new figure. In a figure of your own,
            ``layout="constrained"`` makes room for the legend beside the axes.
        **kwargs : dict
            Passed to :meth:`matplotlib.axes.Axes.plot` for the line of every group.

        Returns
        -------
        display : EffectErrorDisplay
            This object, with `ax_`, `figure_`, `lines_`, `errorbars_`, `picked_` and `baselines_`.
        """
        if ax is None:
            ax = _new_axes()
        self.ax_, self.figure_ = ax, ax.figure
        self.lines_: dict[str, Any] = {}
        self.errorbars_: dict[str, Any] = {}
        self.picked_: dict[str, Any] = {}
        self._scale_axis()
        for k, group in enumerate(self.errors):
            self._draw_group(k, group, kwargs)
        self.baselines_ = self._draw_baselines()
        has_bars = any(np.isfinite(values).any() for values in self.std_errors.values())
        suffix = " (± standard error)" if has_bars else ""
        ax.set(xlabel=self.alpha_name, ylabel=f"{self.error_name}{suffix}")
        ax.spines[["top", "right"]].set_visible(False)
        self._draw_legend()
        return self

    @classmethod
    def from_results(
        cls,
        alphas: ArrayLike,
        errors: ArrayLike | Mapping[str, ArrayLike],
        *,
        picked: float | Mapping[str, float] | None = None,
        baseline: float | Mapping[str, float] | None = None,
        baseline_name: str = "baseline",
        alpha_name: str = "Penalty weight",
        error_name: str = "Effect error",
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the mean and standard error of repeated experiments.

        Parameters
        ----------
        alphas : array-like of shape (n_alphas,)
            Weights of the penalty, distinct and not negative.
        errors : array-like of shape (n_alphas,) or (n_alphas, n_repeats), or dict of str to such
            Error at each weight in each repeat. In a dict, of each group, whose numbers of repeats
            may differ. A repeat that failed (NaN) leaves a gap.
        picked : float or dict of str to float, default=None
            Weights to mark: of all groups, or by group.
        baseline : float or dict of str to float, default=None
            Errors to compare with: of all groups, or by group.
        baseline_name : str, default="baseline"
            Name of the baseline, for the legend.
        alpha_name : str, default="Penalty weight"
            Label of the horizontal axis.
        error_name : str, default="Effect error"
            Label of the vertical axis, and name of the group if `errors` is an array.
        ax : matplotlib Axes, default=None
            Axes to draw on. Default: those of a new figure.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : EffectErrorDisplay
            The display, already drawn.
        """
        n_alphas = len(_check_alphas(alphas))
        groups = errors if isinstance(errors, Mapping) else {error_name: errors}
        tables = {group: _check_repeats(table, group, n_alphas) for group, table in groups.items()}
        display = cls(
            alphas,
            {group: table.mean(axis=1) for group, table in tables.items()},
            std_errors={group: _std_error(table) for group, table in tables.items()},
            picked=picked,
            baseline=baseline,
            baseline_name=baseline_name,
            alpha_name=alpha_name,
            error_name=error_name,
        )
        return display.plot(ax=ax, **kwargs)

    @classmethod
    def from_search(
        cls,
        search: BaseEstimator,
        param: str = "alpha",
        *,
        metric: str = "score",
        baseline: float | Mapping[str, float] | None = None,
        baseline_name: str = "baseline",
        alpha_name: str | None = None,
        error_name: str = "Minus mean test score",
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw minus the cross-validated score of a grid search.

        There is one line for each combination of the other parameters of the grid. The standard
        errors are those over the splits, and the weight of `best_params_` is marked.

        Parameters
        ----------
        search : GridSearchCV instance
            Fitted search over the grid of a penalty weight.
        param : str, default="alpha"
            Name of the weight in the grid, or its last part: "alpha" finds "cfrregressor__alpha",
            too.
        metric : str, default="score"
            Name of the metric in `cv_results_`, where the search has several.
        baseline : float or dict of str to float, default=None
            Errors to compare with: of all groups, or by group.
        baseline_name : str, default="baseline"
            Name of the baseline, for the legend.
        alpha_name : str, default=None
            Label of the horizontal axis. Default: the last part of its name.
        error_name : str, default="Minus mean test score"
            Label of the vertical axis.
        ax : matplotlib Axes, default=None
            Axes to draw on. Default: those of a new figure.
        **kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : EffectErrorDisplay
            The display, already drawn.
        """
        check_is_fitted(search, "cv_results_")
        results = search.cv_results_
        name = _find_param(results["params"], param)
        scores = _split_scores(results, metric)
        alphas, tables = _tables_of_search(results["params"], name, scores)
        picked = None
        best = getattr(search, "best_params_", {})
        if name in best:
            picked = {_group_of(best, results["params"], name): best[name]}
        if list(tables) == [""]:
            tables = {error_name: tables[""]}
            picked = None if picked is None else {error_name: picked[""]}
        return cls.from_results(
            alphas,
            tables,
            picked=picked,
            baseline=baseline,
            baseline_name=baseline_name,
            alpha_name=name.split("__")[-1] if alpha_name is None else alpha_name,
            error_name=error_name,
            ax=ax,
            **kwargs,
        )

    def _check_group(self, group, name: str) -> None:
        """Raise if there is no such group."""
        if group not in self.errors:
            raise ValueError(
                f"{name} has the group {group!r}, but errors has {sorted(map(str, self.errors))}."
            )

    def _check_picked(self, picked) -> dict:
        """Return the picked weights by group, each one of alphas."""
        if picked is None:
            return {}
        if not isinstance(picked, Mapping):
            picked = dict.fromkeys(self.errors, picked)
        for group, alpha in picked.items():
            self._check_group(group, "picked")
            if not np.isclose(self.alphas, alpha, rtol=1e-9, atol=0).any():
                raise ValueError(
                    f"picked must be one of alphas; got {alpha:g} for {group!r}, while alphas are "
                    f"{', '.join(f'{a:g}' for a in self.alphas)}."
                )
        return {group: float(alpha) for group, alpha in picked.items()}

    def _scale_axis(self) -> None:
        """Logarithmic axis with zero one decade before the smallest weight; ticks at weights."""
        positive = self.alphas[self.alphas > 0]
        if len(positive) == len(self.alphas) > 1:
            self.ax_.set_xscale("log")
        elif len(positive) > 0 and len(self.alphas) > 1:
            self.ax_.set_xscale("symlog", linthresh=positive[0], linscale=0.9)
        positions = self.ax_.xaxis.get_transform().transform(self.alphas)
        labels = [f"{alpha:.3g}" if alpha < 1000 else f"{alpha:g}" for alpha in self.alphas]
        ticks = _legible_ticks(positions, labels)
        self.ax_.set_xticks(self.alphas[ticks], [labels[k] for k in ticks])
        self.ax_.minorticks_off()

    def _draw_group(self, k: int, group, kwargs) -> None:
        """Draw the line of one group, its error bars and the mark of its picked weight."""
        color, errors = CYCLE[k % len(CYCLE)], self.errors[group]
        style = {
            "color": color,
            "marker": MARKERS[k % len(MARKERS)],
            "markersize": 5.5,
            "markeredgecolor": "white",
            "markeredgewidth": 0.5,
            "linewidth": 1.5,
            "label": str(group),
            "zorder": 3,
        }
        (self.lines_[group],) = self.ax_.plot(self.alphas, errors, **(style | kwargs))
        self.errorbars_[group] = self.ax_.errorbar(
            self.alphas,
            errors,
            yerr=self.std_errors[group],
            fmt="none",
            ecolor=color,
            elinewidth=1,
            capsize=2,
            zorder=2,
        )
        if group in self.picked:
            row = np.argmin(np.abs(self.alphas - self.picked[group]))
            ring = _ring_style(color) | {"zorder": 4}
            (self.picked_[group],) = self.ax_.plot(self.alphas[row], errors[row], **ring)

    def _draw_baselines(self) -> list:
        """Draw dashed lines at the errors of the baseline, in the colours of their groups."""
        if self.baseline is None:
            return []
        style: dict[str, Any] = {"linestyle": "--", "linewidth": 1.2, "zorder": 1}
        if not isinstance(self.baseline, Mapping):
            return [self.ax_.axhline(self.baseline, color=GREY, **style)]
        return [
            self.ax_.axhline(error, color=self.lines_[group].get_color(), **style)
            for group, error in self.baseline.items()
        ]

    def _draw_legend(self) -> None:
        """Legend to the right of the axes, where it covers no line; none for a line alone."""
        from matplotlib.lines import Line2D

        handles = list(self.lines_.values())
        if self.picked_:
            handles.append(Line2D([], [], label="picked", **_ring_style(GREY)))
        if self.baselines_:
            dashes = Line2D([], [], color=GREY, linestyle="--", label=self.baseline_name)
            handles.append(dashes)
        if len(handles) == 1:
            return
        self.ax_.legend(
            handles=handles,
            loc="upper left",
            bbox_to_anchor=(1.0, 1.0),
            ncols=-(-len(handles) // _LEGEND_ROWS),
            frameon=False,
        )


def _check_alphas(alphas, *, distinct: bool = True) -> np.ndarray:
    """Weights as a float array of shape (n_alphas,), finite and not negative."""
    try:
        values = np.asarray(alphas, dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"alphas must be numbers; got {alphas!r}.") from error
    if values.ndim != 1 or values.size == 0:
        raise ValueError(f"alphas must have shape (n_alphas,); got {values.shape}.")
    if not (np.isfinite(values) & (values >= 0)).all():
        raise ValueError(f"alphas must be finite and not negative; got {values.tolist()}.")
    if distinct and len(np.unique(values)) < len(values):
        raise ValueError(f"alphas must be distinct; got {values.tolist()}.")
    return values


def _check_mapping(values, name: str) -> Mapping:
    """Return values if they are given by group."""
    if not isinstance(values, Mapping):
        raise ValueError(
            f"{name} must be a dict from the names of groups to arrays; got "
            f"{type(values).__name__}. from_results takes arrays."
        )
    return values


def _check_row(values, name: str, n_alphas: int) -> np.ndarray:
    """Return values as a float array of shape (n_alphas,)."""
    values = np.asarray(values, dtype=float)
    if values.shape != (n_alphas,):
        raise ValueError(
            f"{name} must have shape ({n_alphas},), one value for each of alphas; got "
            f"{values.shape}."
        )
    return values


def _check_repeats(table, group, n_alphas: int) -> np.ndarray:
    """Errors of one group as a float array of shape (n_alphas, n_repeats)."""
    table = np.asarray(table, dtype=float)
    if table.ndim == 1:
        table = table[:, np.newaxis]
    if table.ndim != 2 or len(table) != n_alphas or table.shape[1] == 0:
        raise ValueError(
            f"errors of {group!r} must have shape ({n_alphas},) or ({n_alphas}, n_repeats), a row "
            f"for each of alphas; got {table.shape}."
        )
    return table


def _std_error(table: np.ndarray) -> np.ndarray:
    """Divide the standard deviations of the rows by √n; NaN for a single repeat."""
    n_repeats = table.shape[1]
    if n_repeats < 2:
        return np.full(len(table), np.nan)
    return table.std(axis=1, ddof=1) / np.sqrt(n_repeats)


def _legible_ticks(positions: np.ndarray, labels: list[str]) -> list[int]:
    """Ticks whose labels do not touch; short ones, which are round numbers, come first."""
    gap = (max(map(len, labels)) + 1) / _CHARACTERS_OF_AXIS * np.ptp(positions)
    ticks: list[int] = []
    for k in sorted(range(len(labels)), key=lambda k: len(labels[k])):
        if (np.abs(positions[ticks] - positions[k]) >= gap).all():
            ticks.append(k)
    return sorted(ticks)


def _find_param(candidates, param: str) -> str:
    """Full name of the parameter that is called `param` or ends with it after two underscores."""
    names = sorted({name for params in candidates for name in params})
    found = [name for name in names if name == param or name.endswith(f"__{param}")]
    if len(found) != 1:
        number = "no parameter" if not found else "more than one parameter"
        raise ValueError(
            f"The search has {number} that ends with {param!r}; its grid has {', '.join(names)}."
        )
    return found[0]


def _split_scores(results, metric: str) -> np.ndarray:
    """Scores of shape (n_candidates, n_splits)."""
    splits: list[np.ndarray] = []
    while f"split{len(splits)}_test_{metric}" in results:
        splits.append(results[f"split{len(splits)}_test_{metric}"])
    if not splits:
        metrics = [key[len("mean_test_") :] for key in results if key.startswith("mean_test_")]
        raise ValueError(f"The search has no metric {metric!r}; it has {', '.join(metrics)}.")
    return np.stack(splits, axis=1)


def _tables_of_search(candidates, name: str, scores) -> tuple[np.ndarray, dict]:
    """Weights, and minus the scores of shape (n_alphas, n_splits) by group."""
    rows = [k for k in range(len(candidates)) if name in candidates[k]]
    weights = _check_alphas([candidates[k][name] for k in rows], distinct=False)
    alphas = np.unique(weights)
    tables: dict[str, np.ndarray] = {}
    seen = set()
    for k, weight in zip(rows, weights):
        group = _group_of(candidates[k], candidates, name)
        if (group, weight) in seen:
            raise ValueError(
                f"The search has scored {name}={weight:g} more than once, as successive halving "
                "does; pass the scores to draw to from_results."
            )
        seen.add((group, weight))
        table = tables.setdefault(group, np.full((len(alphas), scores.shape[1]), np.nan))
        table[np.searchsorted(alphas, weight)] = -scores[k]
    return alphas, tables


def _group_of(params: dict, candidates, name: str) -> str:
    """Values of the other parameters that vary over the candidates, in words."""
    others = [
        key
        for key in dict.fromkeys(key for candidate in candidates for key in candidate)
        if key != name and len({repr(candidate.get(key)) for candidate in candidates}) > 1
    ]
    return ", ".join(f"{key.split('__')[-1]}={params[key]}" for key in others if key in params)


def _ring_style(color) -> dict[str, Any]:
    """Style of the mark around a picked weight."""
    return {
        "color": color,
        "linestyle": "none",
        "marker": "o",
        "markersize": 12,
        "markerfacecolor": "none",
        "markeredgewidth": 1.6,
    }


def _new_axes():
    """Axes of a new figure with room for the legend on the right."""
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
    return ax
