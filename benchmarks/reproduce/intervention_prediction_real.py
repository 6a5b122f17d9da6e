"""Prediction of unseen interventions on real data: the meta-learned predictor and baselines.

Three tables, each with all baselines in the same run.

- Sachs: log levels of 11 proteins in 7,466 cells; each of the seven regimes with a target is left
  out in turn, conditions with one target told apart (`regimes`). "effect" is the squared error of
  predicted means in standard deviations of the untreated cells, "cell" that of single cells in
  standard deviations of the training rows, which is minus `score`; both over the ten proteins that
  are no target, given the values of the target. Tuned models search inside each training set.
- Melanoma: 66 pairs of drugs from 23 single drugs. Drugs are variables that are set, beside the
  readouts, which are free. Encodings differ in whether a drug counts as set where it is not given
  ("given", "always"), and in whether one model has all readouts, one each, or the first ten
  principal components of the training rows. "chosen" marks, for each model, the encoding with the
  least error in a validation on single drugs (one of the two doses of each).
- Norman fitness: growth under pairs of genes; genes are variables that are set. Training rows are
  the 112 single genes, or these and a random tenth of the pairs.

Untreated rows of the last two tables are zeros, which their values are relative to. Graph learners
are left out where a search takes minutes. Neither table is shipped; give the folders, see
load_melanoma_combo and load_norman_fitness, else they are skipped.

    OMP_NUM_THREADS=1 python benchmarks/reproduce/intervention_prediction_real.py \
        --melanoma CellBox/data --norman Perturbseq_GI/final_emaps
"""

import argparse
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import sklearn
import torch
from _perturbation_real_models import RidgeThroughControl
from _provenance import write_csv
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from skcausal.datasets import load_melanoma_combo, load_norman_fitness, load_sachs
from skcausal.metrics import interventional_mean_error
from skcausal.model_selection import LeaveInterventionsOut
from skcausal.prediction import (
    AdditiveShift,
    ConditionalRidge,
    InterventionRidge,
    MetaInterventionPredictor,
    NoEffect,
)
from skcausal.structure import GIES, IGSP, ShiftOrder

STEM = "intervention_prediction_real"
SEED = 0
# Zero rows of the tables whose values are relative to untreated cells.
N_ZERO_ROWS = 4
N_COMPONENTS = 10
ALPHAS = [0.1, 1, 10, 100, 1000, 10_000]

META = {
    "meta": MetaInterventionPredictor(),
    "meta, 10 gradient steps": MetaInterventionPredictor(n_finetune_steps=10),
}
TRIVIAL = {"no effect": NoEffect(), "additive shifts": AdditiveShift()}
RIDGES = {"additive ridge": InterventionRidge(), "conditional ridge": ConditionalRidge()}
GRAPHS = {
    "GIES": GIES(),
    "GIES, pooled intercept": GIES(centering="pooled"),
    "IGSP": IGSP(random_state=SEED),
    "ShiftOrder": ShiftOrder(),
}


def sachs():
    """Leave each regime with a target out: one line for each model and regime."""
    data = load_sachs()
    X, interventions, regimes = data.X, data.interventions, data.regimes
    treated = interventions.any(axis=1)
    unit = X[~treated].std(ddof=0).to_numpy()
    splitter = LeaveInterventionsOut(n_splits=None)

    def tuned(model, **grid):
        return GridSearchCV(model, grid, cv=splitter, error_score="raise")

    models = TRIVIAL | RIDGES
    models |= {
        "additive ridge, tuned": tuned(InterventionRidge(), alpha=ALPHAS),
        "conditional ridge, tuned": tuned(ConditionalRidge(), alpha=ALPHAS),
    }
    models |= GRAPHS
    models["GIES, tuned"] = tuned(GIES(), centering=["regime", "pooled"], penalty=[1, 10, 100])
    models["ShiftOrder, tuned"] = tuned(ShiftOrder(), penalty=[1, 10, 100])
    lines = []
    for name, model in (models | META).items():
        for train, test in splitter.split(X, interventions=interventions, regimes=regimes):
            start = time.perf_counter()
            fitted = clone(model).fit(
                X.iloc[train], interventions=interventions.iloc[train], regimes=regimes.iloc[train]
            )
            seconds = time.perf_counter() - start
            fitted = getattr(fitted, "best_estimator_", fitted)
            rows = {"interventions": interventions.iloc[test]}
            predicted = fitted.predict(X.iloc[test].where(interventions.iloc[test]), **rows)
            lines.append(
                {
                    "model": name,
                    "regime": regimes.iloc[test[0]].removeprefix("cd3_cd28+"),
                    "effect": interventional_mean_error(
                        X.iloc[test], predicted, scale=unit, **rows
                    ),
                    "cell": -fitted.score(X.iloc[test], **rows),
                    "seconds": seconds,
                }
            )
    return pd.DataFrame(lines)


def summarise_sachs(lines):
    """Errors of each model by regime (effect), with means and medians over regimes."""
    effect = lines.pivot(index="model", columns="regime", values="effect")
    cell = lines.groupby("model")["cell"]
    table = effect.assign(
        mean=effect.mean(axis=1),
        median=effect.median(axis=1),
        cell_mean=cell.mean(),
        cell_median=cell.median(),
        seconds=lines.groupby("model")["seconds"].sum(),
    )
    return table.loc[lines["model"].unique()].reset_index()


def predict_readouts(model, readouts, train, test, *, given, outputs):
    """Fit a model on set variables and free readouts, and predict the readouts of other rows.

    Parameters
    ----------
    model : estimator
        The model, which is cloned.
    readouts : ndarray of shape (n_train, n_readouts)
        Readouts of the training rows.
    train, test : ndarray of shape (n_train, n_features) and (n_test, n_features)
        Strengths of what was given; 0 where it was not.
    given : bool
        Whether only what was given counts as set; otherwise zeros are set, too.
    outputs : {"all", "one", "components"}
        Readouts that a model has.

    Returns
    -------
    predicted : ndarray of shape (n_test, n_readouts)
        The predicted readouts.
    """
    arguments = (model, train, test, given)
    if outputs == "one":
        columns = [_fit_predict(readouts[:, [j]], *arguments) for j in range(readouts.shape[1])]
        return np.hstack(columns)
    if outputs == "components":
        # Through the origin: untreated rows are zeros.
        axes = np.linalg.svd(readouts, full_matrices=False)[2][:N_COMPONENTS]
        return _fit_predict(readouts @ axes.T, *arguments) @ axes
    return _fit_predict(readouts, *arguments)


def _fit_predict(free, model, train, test, given):
    """Predict what is free (n_train, n_free) for other rows."""
    k = train.shape[1]
    X = np.hstack([train, free])
    X_query = np.hstack([test, np.full((len(test), free.shape[1]), np.nan)])
    mask, mask_query = np.zeros(X.shape, dtype=bool), np.zeros(X_query.shape, dtype=bool)
    mask[:, :k], mask_query[:, :k] = (train != 0) | (not given), (test != 0) | (not given)
    # Doses of a drug share their targets.
    condition = np.unique(train, axis=0, return_inverse=True)[1].reshape(-1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*target in every row")
        fitted = clone(model).fit(X, interventions=mask, regimes=condition)
    X_query = np.where(mask_query, X_query, np.nan)
    return fitted.predict(X_query, interventions=mask_query)[:, k:]


def melanoma(folder):
    """Pairs of drugs from singles: one line for each model and encoding."""
    combo = load_melanoma_combo(folder)
    X = np.vstack([np.zeros((N_ZERO_ROWS, combo.X.shape[1])), combo.X])
    strengths = np.vstack(
        [np.zeros((N_ZERO_ROWS, combo.interventions.shape[1])), combo.interventions]
    )
    n_drugs = (strengths != 0).sum(axis=1)
    singles, pairs = np.flatnonzero(n_drugs < 2), np.flatnonzero(n_drugs == 2)
    drug = np.where(n_drugs == 1, (strengths != 0).argmax(axis=1), -1)
    folds = []
    for place in (0, -1):
        held_out = [rows[place] for k in range(12) if len(rows := np.flatnonzero(drug == k)) > 1]
        folds.append((np.setdiff1d(singles, held_out), np.array(held_out)))

    def line(name, encoding, predict):
        start = time.perf_counter()
        errors = [np.mean((predict(train, test) - X[test]) ** 2) for train, test in folds]
        predicted = predict(singles, pairs)
        result = {
            "model": name,
            "encoding": encoding,
            "validation_mse": np.mean(errors),
            "mse": np.mean((predicted - X[pairs]) ** 2),
            # The shift of an untreated row is 0, which makes a correlation of shifts.
            "correlation": np.mean([_correlation(a, b) for a, b in zip(X[pairs], predicted)]),
            "seconds": time.perf_counter() - start,
        }
        print(result, flush=True)
        return result

    def through_control(train, test):
        ridge = RidgeThroughControl().fit(X[train], interventions=strengths[train])
        return ridge.predict(X[test], interventions=strengths[test])

    lines = [line("ridge without intercept, tuned", "", through_control)]
    for name, model, given, outputs in _melanoma_models():
        options = {"given": given, "outputs": outputs}

        def predict(train, test, model=model, options=options):
            return predict_readouts(model, X[train], strengths[train], strengths[test], **options)

        encoding = f"{'given' if given else 'always'}, {outputs}"
        if "ridge" in name:
            penalty = {k: v for k, v in model.get_params().items() if k in ("alpha", "encoding")}
            encoding += "".join(f", {value}" for value in penalty.values())
        lines.append(line(name, encoding, predict))
    table = pd.DataFrame(lines)
    least = table.groupby("model")["validation_mse"].transform("min")
    table["chosen"] = (table["validation_mse"] == least) & ~table.duplicated(
        ["model", "validation_mse"]
    )
    return table


def _melanoma_models():
    """Name, model, whether only drugs given are set, and the readouts that a model has."""
    for name, model in TRIVIAL.items():
        yield name, model, True, "all"
    # The penalty counts as part of the encoding: both are chosen together.
    for alpha in (0.1, 0.3, 1, 3, 10):
        yield "additive ridge", InterventionRidge(alpha), True, "all"
        yield "additive ridge", InterventionRidge(alpha, encoding="values"), True, "all"
    for alpha in (0.3, 1, 3, 10):
        yield "conditional ridge", ConditionalRidge(alpha), True, "all"
    for given in (True, False):
        for outputs in ("one", "components"):
            for name, model in GRAPHS.items():
                if name != "IGSP" or (given and outputs == "components"):
                    yield name, model, given, outputs
            yield "meta", META["meta"], given, outputs
        yield "meta", META["meta"], given, "all"
    for outputs in ("one", "components"):
        yield "meta, 10 gradient steps", META["meta, 10 gradient steps"], False, outputs


def _correlation(a, b):
    """Correlation of two vectors, 0 for a constant one."""
    return np.corrcoef(a, b)[0, 1] if np.ptp(a) * np.ptp(b) > 0 else 0.0


def norman(folder):
    """Growth under pairs of genes: one line for each training set, model and encoding."""
    growth = load_norman_fitness(folder)
    fitness = np.vstack([np.zeros((N_ZERO_ROWS, 1)), growth.X])
    genes = np.vstack(
        [np.zeros((N_ZERO_ROWS, growth.interventions.shape[1])), growth.interventions]
    )
    n_genes = genes.sum(axis=1)
    singles, pairs = np.flatnonzero(n_genes < 2), np.flatnonzero(n_genes == 2)
    some = np.random.default_rng(SEED).choice(pairs, len(pairs) // 10, replace=False)
    lines = []
    for task, train in (("singles", singles), ("a tenth of the pairs", np.append(singles, some))):
        test = np.setdiff1d(pairs, train)
        models = [(name, model, True) for name, model in TRIVIAL.items()]
        for alpha in (1, 3, 10):
            ridge = InterventionRidge(alpha, encoding="values")
            models.append((f"additive ridge, alpha={alpha}", ridge, True))
        for given in (True, False):
            models += [("ShiftOrder", ShiftOrder(), given), ("meta", META["meta"], given)]
        for name, model, given in models:
            start = time.perf_counter()
            arguments = (fitness[train], genes[train], genes[test])
            predicted = predict_readouts(model, *arguments, given=given, outputs="all")
            error = np.mean((predicted - fitness[test]) ** 2)
            line = {
                "training": task,
                "model": name,
                "encoding": "given" if given else "always",
                "mse": error,
                "r2": 1 - error / fitness[test].var(),
                "correlation": _correlation(fitness[test][:, 0], predicted[:, 0]),
                "seconds": time.perf_counter() - start,
            }
            print(line, flush=True)
            lines.append(line)
    return pd.DataFrame(lines)


def plot(tables, path):
    """Draw the errors: of each regime of Sachs, of pairs of drugs, of pairs of genes."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, len(tables), figsize=(6 * len(tables), 6), layout="constrained")
    draw = {"sachs": _plot_sachs, "melanoma": _plot_melanoma, "norman": _plot_norman}
    for ax, (task, table) in zip(np.atleast_1d(axes), tables.items()):
        draw[task](table, ax)
    fig.savefig(path, dpi=130)


def _colours(names):
    """Blue for the meta-learned predictor."""
    return ["#0072B2" if "meta" in name else "0.65" for name in names]


def _plot_sachs(table, ax):
    """A dot for each regime; their mean and their median."""
    table = table.iloc[::-1].set_index("model")
    regimes = table.columns[: table.columns.get_loc("mean")]
    colours = ("#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#0072B2", "0.5")
    for regime, colour in zip(regimes, colours):
        ax.plot(table[regime], table.index, "o", markersize=5, color=colour, label=regime)
    ax.plot(table["median"], table.index, "|", markersize=16, color="black", label="median")
    ax.plot(table["mean"], table.index, "D", markersize=6, color="black", label="mean")
    for position, name in enumerate(table.index):
        if "meta" in name:
            ax.axhspan(position - 0.45, position + 0.45, color="#0072B2", alpha=0.12, linewidth=0)
    ax.set(xscale="log", title="Sachs: each regime unseen")
    ax.set_xlabel("squared error of means (control standard deviations)")
    ax.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.1), ncol=5)


def _plot_melanoma(table, ax):
    """A bar for each model's chosen encoding, dots for the others."""
    chosen = table[table["chosen"]].iloc[::-1]
    ax.barh(chosen["model"], chosen["mse"], color=_colours(chosen["model"]), height=0.65)
    others = table[~table["chosen"]]
    ax.plot(others["mse"], others["model"], "o", color="black", markersize=3, alpha=0.6)
    ax.set(xlim=(0, 0.1), title="Melanoma: 66 pairs of drugs from singles")
    ax.set_xlabel("mean squared error; axis cut\n(dots: encodings not chosen)")


def _plot_norman(table, ax):
    """A bar for each model, encoding and training set."""
    table = table.iloc[::-1]
    name = table["model"] + np.where(table["encoding"] == "given", "", " (always set)")
    height = {"singles": 0.2, "a tenth of the pairs": -0.2}
    position = {label: k for k, label in enumerate(name.unique())}
    for task, offset in height.items():
        rows = table["training"] == task
        ax.barh(
            name[rows].map(position) + offset,
            np.sqrt(table.loc[rows, "mse"]),
            height=0.38,
            color=_colours(name[rows]),
            alpha=0.5 if task == "singles" else 1.0,
        )
    ax.set_yticks(list(position.values()), list(position))
    ax.set(xlim=(0, 0.4), title="Norman: growth under pairs of genes")
    ax.set_xlabel(
        "root mean squared error; axis cut\n(pale: from singles; full: and a tenth of pairs)"
    )


def main():
    """Parse the arguments, run, and write CSV and PNG files next to this script."""
    tasks = ("sachs", "melanoma", "norman")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--melanoma", type=Path, help="folder of the melanoma table")
    parser.add_argument("--norman", type=Path, help="folder of the table of growth phenotypes")
    parser.add_argument("--tasks", nargs="+", choices=tasks, default=tasks)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    torch.set_num_threads(1)
    sklearn.set_config(enable_metadata_routing=True)
    args.out.mkdir(parents=True, exist_ok=True)
    run = {"sachs": lambda: summarise_sachs(sachs())}
    if args.melanoma:
        run["melanoma"] = partial(melanoma, args.melanoma)
    if args.norman:
        run["norman"] = partial(norman, args.norman)
    for task in args.tasks:
        if task in run:
            table = run[task]()
            write_csv(table.round(5), args.out / f"{STEM}_{task}.csv", torch=torch.__version__)
            print(table.round(4).to_string())
    files = {task: args.out / f"{STEM}_{task}.csv" for task in tasks}
    tables = {k: pd.read_csv(f, comment="#") for k, f in files.items() if f.is_file()}
    plot(tables, args.out / f"{STEM}.png")


if __name__ == "__main__":
    main()
