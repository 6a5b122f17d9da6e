"""Prediction of perturbations on real data: a generative intervention model and baselines.

Four tables, each with all baselines in the same run.

- L1000 A375: the highest dose of all drugs, or of one drug at a time, from the lower doses.
- Melanoma: pairs of drugs from single drugs, and a drug left out.
- Norman Perturb-seq: pairs of genes from single genes and other pairs; cells too, not only means.
- Papalexi ECCITE-seq: effects in a third replicate from two, and whether the knocked-out gene is
  recovered as the target.

Every model is scored with every set of features. "chosen" marks, for each family of models, the
line with the least error in a validation inside the training data ("validation_rmse"): the next
lower dose; one of the two doses of each drug; other pairs. Test data choose nothing. "graph none"
is a model without mechanisms, for tables with more variables than rows inside contexts allow.

The melanoma table is not shipped; give the folder (see load_melanoma_combo), else it is skipped.

    OMP_NUM_THREADS=1 python benchmarks/reproduce/perturbation_real.py --melanoma CellBox/data
"""

import argparse
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _perturbation_real_cells import distances_of_cells, targets_recovered
from _perturbation_real_models import (
    REGRESSIONS,
    SUM_OF_SINGLES,
    TRIVIAL,
    fit_predict,
    gims,
)
from _provenance import write_csv

from skcausal.datasets import (
    load_l1000_a375,
    load_melanoma_combo,
    load_norman_perturbseq,
    load_papalexi,
)
from skcausal.metrics import delta_correlation, delta_rmse

# Zero rows of the melanoma table, whose values are log ratios to untreated cells.
N_ZERO_ROWS = 4


def compare(models, settings, X, labels, train, test, validation=()):
    """Score models on held-out rows; one line for each setting and model.

    Settings are pairs of features and of labels that hyperparameters hold out together, by name;
    rows whose features are all 0 are controls. The folds of the validation hold rows of training.
    """
    lines = []
    for setting, (features, groups) in settings.items():
        for name, make in models.items():
            if setting != next(iter(settings)) and name in TRIVIAL | SUM_OF_SINGLES:
                continue
            line = {"model": name, "features": setting}
            errors = [
                _scores(make, features, groups, X, labels, *fold)["rmse"] for fold in validation
            ]
            if errors:
                line["validation_rmse"] = np.sqrt(np.mean(np.square(errors)))
            line |= _scores(make, features, groups, X, labels, train, test)
            print({k: v if isinstance(v, str) else round(float(v), 4) for k, v in line.items()})
            lines.append(line)
    return _choose(pd.DataFrame(lines))


def _choose(table):
    """Mark the least error in the validation of each family: the first word of the name."""
    if "validation_rmse" in table:
        model = table["model"]
        family = model.where(model.isin(TRIVIAL | SUM_OF_SINGLES), model.str.split().str[0])
        least = table.groupby(family)["validation_rmse"].transform("min")
        table["chosen"] = (table["validation_rmse"] == least) & ~table.duplicated("validation_rmse")
    return table


def _scores(make, features, groups, X, labels, train, test):
    """Metrics of one model fitted on training rows."""
    queries, query = np.unique(features[test], axis=0, return_inverse=True)
    means, _, seconds = fit_predict(make, X[train], features[train], queries, groups[train])
    predicted = means[query.reshape(-1)]
    control = X[train][~features[train].any(axis=1)].mean(axis=0)
    rmse = delta_rmse(X[test], predicted, regimes=labels[test])
    correlation = delta_correlation(X[test], predicted, control=control, regimes=labels[test])
    return {"pearson_delta": correlation, "rmse": rmse, "mse": rmse**2, "seconds": seconds}


def l1000():
    """Highest dose of all drugs at once; then of one drug at a time, for every tenth, as chosen."""
    plate = load_l1000_a375()
    X, log_dose = plate.X.to_numpy(), plate.interventions.to_numpy()
    drugs, labels = plate.drugs.to_numpy(), plate.regimes.to_numpy()
    dose = plate.doses.to_numpy().max(axis=1)
    treated = (log_dose > 0).any(axis=1, keepdims=True).astype(float)
    shared = np.hstack([treated, log_dose.sum(axis=1, keepdims=True)])
    full = np.hstack([shared, log_dose > 0, log_dose])
    settings = {
        "log doses; drugs held out": (log_dose, drugs),
        "treated, total, drugs, log doses; conditions held out": (full, labels),
    }
    below, second, highest = (
        np.flatnonzero(rows) for rows in (dose < 3, (dose > 3) & (dose < 9), dose > 9)
    )
    lower = np.flatnonzero(dose < 9)
    models = TRIVIAL | REGRESSIONS | gims("none")
    # The second set is collinear, on which the lasso of 978 outputs takes over five minutes.
    lasso = {"FeatureRegression lasso": models.pop("FeatureRegression lasso")}
    validation = [(below, second)]
    table = compare(models, settings, X, labels, lower, highest, validation)
    line = compare(lasso, _first(settings), X, labels, lower, highest, validation)
    models |= lasso
    table = _choose(pd.concat([table, line], ignore_index=True))
    yield "l1000", table
    lines = []
    chosen = table[table["chosen"]]
    for position in highest[::10]:
        train = np.setdiff1d(np.arange(len(X)), [position])
        for _, row in chosen.iterrows():
            features, groups = settings[row["features"]]
            scores = _scores(models[row["model"]], features, groups, X, labels, train, [position])
            lines.append({"model": row["model"], "features": row["features"], **scores})
    yield "l1000_one_drug", _mean_over_folds(lines)


def melanoma(folder):
    """Pairs from singles; and pairs with a drug of which nothing was seen."""
    combo = load_melanoma_combo(folder)
    X = np.vstack([np.zeros((N_ZERO_ROWS, combo.X.shape[1])), combo.X])
    features = np.vstack(
        [np.zeros((N_ZERO_ROWS, combo.interventions.shape[1])), combo.interventions]
    )
    labels = np.append(["control"] * N_ZERO_ROWS, combo.regimes)
    n_drugs = (features != 0).sum(axis=1)
    shared = np.hstack([(n_drugs > 0)[:, None], features])
    # P6|20 and P6|40 have the same strength, so that labels are no conditions.
    drugs, conditions = (_row_labels(rows) for rows in (features != 0, features))
    settings = {
        "strengths; drugs held out": (features, drugs),
        "strengths; conditions held out": (features, conditions),
        "treated, strengths; drugs held out": (shared, drugs),
    }
    singles, pairs = np.flatnonzero(n_drugs < 2), np.flatnonzero(n_drugs == 2)
    # Each drug's first condition, and its second, of those with two.
    drug = np.where(n_drugs == 1, (features != 0).argmax(axis=1), -1)
    folds = []
    for place in (0, -1):
        held_out = [rows[place] for k in range(12) if len(rows := np.flatnonzero(drug == k)) > 1]
        folds.append((np.setdiff1d(singles, held_out), np.array(held_out)))
    models = TRIVIAL | SUM_OF_SINGLES | REGRESSIONS | gims("none", "learned")
    table = compare(models, settings, X, labels, singles, pairs, folds)
    table.insert(0, "task", "66 pairs from 23 singles")
    # With a graph that is learned, a fit to singles and pairs takes half a minute.
    models = {name: make for name, make in models.items() if "learned" not in name}
    lines = []
    for k in range(features.shape[1]):
        with_drug = features[:, k] != 0
        train, test = np.flatnonzero(~with_drug), np.flatnonzero(with_drug & (n_drugs == 2))
        if len(test):
            one = compare(models, _first(settings), X, labels, train, test)
            lines += one.assign(n_test=len(test)).to_dict("records")
    left_out = _mean_over_folds(lines, weights="n_test")
    left_out.insert(0, "task", "pairs with a drug left out")
    yield "melanoma", pd.concat([table, left_out])


def norman():
    """Pairs of genes: means and cells."""
    screen = load_norman_perturbseq("norman19")
    X, features = screen.X.to_numpy(), screen.interventions.to_numpy()
    labels = screen.regimes.to_numpy()
    n_genes = features.sum(axis=1)
    shared = np.hstack([(n_genes > 0)[:, None], features])
    settings = {"genes": (features, labels), "treated, genes": (shared, labels)}
    alone = features[n_genes == 1].any(axis=0)
    both_alone = (n_genes == 2) & (features[:, ~alone].sum(axis=1) == 0)
    train, test = np.flatnonzero(~both_alone), np.flatnonzero(both_alone)
    other_pairs = np.flatnonzero((n_genes == 2) & ~both_alone)
    validation = [(np.flatnonzero(n_genes < 2), other_pairs)]
    models = TRIVIAL | SUM_OF_SINGLES | REGRESSIONS | gims("none")
    table = compare(models, settings, X, labels, train, test, validation)
    # A graph of 250 genes takes a minute: with one generator, and not for each pair below.
    graphs = {name: make for name, make in gims("learned").items() if "linear" in name}
    learned = compare(graphs, _first(settings), X, labels, train, test, validation)
    table = _choose(pd.concat([table, learned], ignore_index=True))
    table.insert(0, "task", "5 pairs with both singles")
    lines = []
    for label in np.unique(labels[n_genes == 2]):
        train_one, test_one = np.flatnonzero(labels != label), np.flatnonzero(labels == label)
        one = compare(models, _first(settings), X, labels, train_one, test_one)
        lines += one.to_dict("records")
    left_out = _mean_over_folds(lines)
    left_out.insert(0, "task", "one of 15 pairs left out")
    yield "norman", pd.concat([table, left_out])
    yield "norman_cells", distances_of_cells(models | graphs, X, features, labels, train, test)


def papalexi():
    """Means in the third replicate, and recovered targets."""
    screen = load_papalexi(targets="all")
    features, labels = screen.interventions.to_numpy(), screen.regimes.to_numpy()
    replicate = screen.environments.to_numpy()
    X = screen.X.copy()
    # Replicates differ; each is measured from its own control cells.
    for name in np.unique(replicate):
        rows = replicate == name
        X[rows] -= X[rows & (labels == "control")].mean()
    train, test = np.flatnonzero(replicate != "rep_3"), np.flatnonzero(replicate == "rep_3")
    test = test[labels[test] != "control"]
    measured = [gene for gene in screen.interventions if gene in X]
    variable = X.iloc[train].var().sort_values(ascending=False).index[:40]
    genes = [gene for gene in X if gene in measured or gene in variable]
    settings = {"genes": (features, labels)}
    models = TRIVIAL | REGRESSIONS | gims("none", "learned")
    small = X[genes].to_numpy()
    table = compare(models, settings, small, labels, train, test)
    table.insert(0, "task", f"third replicate, {len(genes)} genes")
    models = TRIVIAL | REGRESSIONS | gims("none")
    whole = compare(models, settings, X.to_numpy(), labels, train, test)
    whole.insert(0, "task", f"third replicate, {X.shape[1]} genes")
    yield "papalexi", pd.concat([table, whole])
    recovered = targets_recovered(X[genes], screen.interventions, labels, measured)
    yield "papalexi_targets", recovered


def _first(settings):
    """Keep the first of several settings."""
    return dict(list(settings.items())[:1])


def _row_labels(features):
    """One label (n_rows,) for each distinct row."""
    return np.unique(features, axis=0, return_inverse=True)[1].reshape(-1).astype(str)


def _mean_over_folds(lines, weights=None):
    """Average the scores of each model over folds; the error over all of them pooled."""
    table = pd.DataFrame(lines)
    weight = np.ones(len(table)) if weights is None else table[weights].to_numpy(float)
    numbers = ["pearson_delta", "mse", "seconds"]
    keys = [table["model"], table["features"]]
    total = table[numbers].mul(weight, axis=0).groupby(keys, sort=False).sum()
    mean = total.div(pd.Series(weight).groupby(keys, sort=False).sum(), axis=0).reset_index()
    mean.insert(3, "rmse", np.sqrt(mean["mse"]))
    return mean


def main():
    """Parse the arguments, run, and write CSV files next to this script."""
    tasks = ("l1000", "melanoma", "norman", "papalexi")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--melanoma", type=Path, help="folder of the melanoma table")
    parser.add_argument("--tasks", nargs="+", choices=tasks, default=tasks)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)

    run = {"l1000": l1000, "norman": norman, "papalexi": papalexi}
    if args.melanoma:
        run["melanoma"] = partial(melanoma, args.melanoma)
    for task in args.tasks:
        for name, table in run[task]() if task in run else ():
            path = args.out / f"perturbation_real_{name}.csv"
            write_csv(table.round(5), path, torch=torch.__version__)
            print(table.round(4).to_string())


if __name__ == "__main__":
    main()
