"""What a display of dose responses needs from data: contexts, their means, and features between."""

from __future__ import annotations

import numpy as np

from skcausal.plotting._variables import names_of_variables


class DoseResponseSamples:
    """Rows observed under perturbations at doses, as validated arrays.

    Parameters
    ----------
    X : array-like or DataFrame of shape (n_samples, n_variables)
        Observed values.
    doses : array-like of shape (n_samples,)
        Dose of each row, 0 for controls.
    perturbations : array-like of shape (n_samples,)
        Perturbation of each row.
    heldout : array-like of bool of shape (n_samples,) or None
        Rows that were not used in training.

    Attributes
    ----------
    is_control : ndarray of bool of shape (n_samples,)
        Rows of dose 0.
    """

    def __init__(self, X, doses, perturbations, heldout):
        columns = getattr(X, "columns", None)
        self.X = np.asarray(X, dtype=float)
        if self.X.ndim != 2 or self.X.size == 0:
            raise ValueError(f"X must have shape (n_samples, n_variables); got {self.X.shape}.")
        if np.isnan(self.X).any():
            raise ValueError("X must be observed values; found NaN.")
        n_samples, n_variables = self.X.shape
        self.variables = names_of_variables(None if columns is None else list(columns), n_variables)
        self.doses = check_doses(doses, "doses", n_samples)
        self.perturbations = check_labels(perturbations, "perturbations", n_samples)
        self.heldout = check_heldout(heldout, n_samples)
        self.is_control = self.doses == 0
        names = dict.fromkeys(self.perturbations.tolist())
        self._numbers = {name: number for number, name in enumerate(names)}
        self._number_of_row = np.array([self._numbers[name] for name in self.perturbations])

    def rows_of(self, perturbation) -> np.ndarray:
        """Rows (n_rows,) of a perturbation at any dose but 0."""
        return np.flatnonzero(
            (self._number_of_row == self._numbers[perturbation]) & ~self.is_control
        )

    def contexts(self, perturbations) -> list[tuple]:
        """Tuples (perturbation, dose, whether held out, rows), sorted by dose in each perturbation.

        A context of which some rows are held out makes two.
        """
        found = []
        for name in perturbations:
            rows = self.rows_of(name)
            for dose in np.unique(self.doses[rows]):
                at_dose = rows[self.doses[rows] == dose]
                for is_heldout in (False, True):
                    chosen = at_dose[self.heldout[at_dose] == is_heldout]
                    if len(chosen):
                        found.append((name, dose, is_heldout, chosen))
        return found

    def choose_perturbations(self, shown, *, name: str, at_most: int) -> list:
        """Return those asked for, or those with the largest shift in the order of the data."""
        present = list(dict.fromkeys(self.perturbations[~self.is_control].tolist()))
        if not present:
            raise ValueError("doses must hold a dose above 0; found only controls.")
        if shown is None:
            shifts = [self._largest_shifts([name]).max() for name in present]
            return [present[k] for k in np.sort(_largest(shifts, at_most))]
        shown = [shown] if np.ndim(shown) == 0 else list(shown)
        unknown = [label for label in shown if label not in present]
        if unknown or not shown:
            raise ValueError(
                f"{name} must be perturbations in the data, such as {present[:5]}; got "
                f"{unknown or 'none'}."
            )
        return list(dict.fromkeys(shown))

    def choose_variables(self, variables, perturbations, *, at_most: int) -> list[int]:
        """Columns of the variables asked for, or of those with the largest shift, in order."""
        if variables is None:
            return np.sort(_largest(self._largest_shifts(perturbations), at_most)).tolist()
        variables = [variables] if isinstance(variables, str) else list(variables)
        unknown = [name for name in variables if name not in self.variables]
        if unknown or not variables:
            raise ValueError(
                f"variables must be columns of X, such as {self.variables[:5]}; got "
                f"{unknown or 'none'}."
            )
        return [self.variables.index(name) for name in variables]

    def _largest_shifts(self, perturbations) -> np.ndarray:
        """Largest shift (n_variables,) of a context's mean, in standard deviations of controls."""
        reference = self.X[self.is_control] if self.is_control.any() else self.X
        std = reference.std(axis=0)
        scale = np.where(std > 0, std, 1.0)
        means = [self.X[rows].mean(axis=0) for _, _, _, rows in self.contexts(perturbations)]
        return (np.abs(np.array(means) - reference.mean(axis=0)) / scale).max(axis=0)


def dose_grid(doses, n_doses: int, scale: str) -> np.ndarray:
    """Doses of a curve: from 0, or on a logarithmic scale from the smallest, to the largest."""
    low, high = float(doses.min()), float(doses.max())
    if scale == "log":
        return np.geomspace(low if low < high else high / 10, high, n_doses)
    return np.linspace(0.0, high, n_doses)


def interpolate_features(features, doses, grid, perturbation) -> np.ndarray:
    """Features (n_grid, n_features) of a perturbation at other doses.

    Linear between the doses; towards 0 at dose 0 if they change with the dose, or if there is no
    telling because there is one dose; else constant.
    """
    knots, first, knot = np.unique(doses, return_index=True, return_inverse=True)
    table = features[first]
    differs = (features != table[knot.reshape(-1)]).any(axis=1)
    if differs.any():
        raise ValueError(
            f"Rows of perturbation {perturbation!r} at dose {doses[differs.argmax()]:g} have "
            "different features, so the features at other doses are not determined; pass "
            "features_of, or rows of one kind."
        )
    changes = (table != table[0]).any(axis=0) | (len(knots) == 1)
    start = np.where(changes, 0.0, table[0])
    knots, table = np.append(0.0, knots), np.vstack([start, table])
    columns = [np.interp(grid, knots, column) for column in table.T]
    return np.stack(columns, axis=1) if columns else np.empty((len(grid), 0))


def check_doses(doses, name: str, n_rows: int) -> np.ndarray:
    """Return doses as a float array of shape (n_rows,)."""
    doses = np.asarray(doses, dtype=float)
    if doses.shape != (n_rows,):
        raise ValueError(
            f"{name} must have shape {(n_rows,)}, one for each row; got {doses.shape}."
        )
    if not (np.isfinite(doses) & (doses >= 0)).all():
        raise ValueError(
            f"{name} must be finite and not negative; pass 0 for controls, and doses themselves "
            "rather than their logarithms."
        )
    return doses


def check_labels(labels, name: str, n_rows: int) -> np.ndarray:
    """Return labels as an array of objects of shape (n_rows,)."""
    labels = np.asarray(labels, dtype=object)
    if labels.shape != (n_rows,):
        raise ValueError(
            f"{name} must have shape {(n_rows,)}, one for each row; got {labels.shape}."
        )
    return labels


def check_heldout(heldout, n_rows: int) -> np.ndarray:
    """Return a boolean array of shape (n_rows,), False throughout if there is none."""
    if heldout is None:
        return np.zeros(n_rows, dtype=bool)
    heldout = np.asarray(heldout)
    if heldout.shape != (n_rows,) or heldout.dtype != bool:
        raise ValueError(
            f"heldout must be boolean of shape {(n_rows,)}, one for each row; got "
            f"{heldout.dtype} of shape {heldout.shape}."
        )
    return heldout


def _largest(values, n: int) -> np.ndarray:
    """Positions of the n largest values; the first ones where values tie."""
    return np.argsort(-np.asarray(values), kind="stable")[:n]
