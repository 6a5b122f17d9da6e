"""Do scores without counterfactuals find the learner with the smallest effect error? On IHDP.

Twelve settings of CFRRegressor are cross-validated on the training rows with each scorer, and
compared with their error of unit effects on the test rows.

    OMP_NUM_THREADS=1 python benchmarks/reproduce/effects_scorers.py --data-home FOLDER
"""

import argparse
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _provenance import write_csv
from effects_ihdp import realizations
from scipy.stats import spearmanr
from sklearn.model_selection import StratifiedKFold

from skcausal.effects import CFRRegressor
from skcausal.metrics import (
    neg_arm_balanced_error_scorer,
    neg_nearest_neighbor_pehe_scorer,
    pehe,
    r_score_scorer,
)

SETTINGS = {
    "default": {},
    "alpha=0": {"alpha": 0.0},
    "alpha=1": {"alpha": 1.0},
    "alpha=100": {"alpha": 100.0},
    "alpha=0, weight_decay=0": {"alpha": 0.0, "weight_decay": 0.0},
    "weight_decay=10": {"weight_decay": 10.0},
    "effect_head": {"effect_head": True},
    "rbf_mmd, alpha=10": {"ipm": "rbf_mmd", "alpha": 10.0},
    "relu, alpha=0": {"activation": "relu", "alpha": 0.0},
    "8 epochs": {"max_epochs": 8},
    "free representation, alpha=0": {"normalize": False, "alpha": 0.0},
    "free representation": {"normalize": False},
}
SCORERS = {
    "factual R2 (score)": None,
    "arm-balanced error": neg_arm_balanced_error_scorer,
    "nearest-neighbour PEHE": neg_nearest_neighbor_pehe_scorer,
    "R-score": r_score_scorer,
}


def scores_and_error(setting, problem, n_ensemble, seed):
    """Cross-validated scores by scorer, and the error on the test rows."""
    X, treatment, y, effect, train, test = problem
    model = CFRRegressor(n_ensemble=n_ensemble, device="cpu", random_state=seed, **setting)
    folds = StratifiedKFold(5, shuffle=True, random_state=seed).split(X[train], treatment[train])
    own = {name: scorer for name, scorer in SCORERS.items() if scorer is not None}
    totals = dict.fromkeys(SCORERS, 0.0)
    for learn, check in folds:
        rows, held = train[learn], train[check]
        model.fit(X[rows], y[rows], treatment=treatment[rows])
        totals["factual R2 (score)"] += model.score(X[held], y[held], treatment=treatment[held]) / 5
        for name, scorer in own.items():
            totals[name] += scorer(model, X[held], y[held], treatment=treatment[held]) / 5
    model.fit(X[train], y[train], treatment=treatment[train])
    return totals, pehe(effect[test], model.effect(X[test]))


def main():
    """Parse the arguments, run, and write a CSV file next to this script."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data-home", default=None)
    parser.add_argument("--realizations", type=int, default=5)
    parser.add_argument("--simulated", action="store_true")
    parser.add_argument("--n-ensemble", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    torch.set_num_threads(1)
    lines = []
    problems = realizations(args.realizations, args.data_home, args.simulated)
    for number, problem in enumerate(problems, start=1):
        for name, setting in SETTINGS.items():
            scores, error = scores_and_error(setting, problem, args.n_ensemble, number)
            lines.append({"realization": number, "setting": name, "pehe": error} | scores)
        print(number, flush=True)
    lines = pd.DataFrame(lines)
    errors = lines.pivot(index="realization", columns="setting", values="pehe")[list(SETTINGS)]
    table = [
        {
            "scorer": "always the default",
            "picked_over_best": geometric(errors["default"] / errors.min(axis=1)),
        }
    ]
    for scorer in SCORERS:
        scores = lines.pivot(index="realization", columns="setting", values=scorer)[list(SETTINGS)]
        ranks = [spearmanr(-scores.loc[n], errors.loc[n])[0] for n in errors.index]
        picked = np.array([errors.loc[n, scores.loc[n].idxmax()] for n in errors.index])
        table.append(
            {
                "scorer": scorer,
                "spearman": np.mean(ranks),
                "spearman_se": np.std(ranks, ddof=1) / np.sqrt(len(ranks)),
                "picked_over_best": geometric(picked / errors.min(axis=1)),
                "picked_over_default": geometric(picked / errors["default"]),
            }
        )
    table = pd.DataFrame(table)
    print(np.exp(np.log(errors).mean()).round(3).to_string())
    print(table.round(3).to_string())
    args.out.mkdir(parents=True, exist_ok=True)
    suffix = "_simulated" if args.simulated else ""
    settings = {"realizations": args.realizations, "n_ensemble": args.n_ensemble}
    path = args.out / f"effects_scorers{suffix}.csv"
    write_csv(table.round(4), path, **settings, torch=version("torch"))


def geometric(ratios):
    """Geometric mean."""
    return float(np.exp(np.log(ratios).mean()))


if __name__ == "__main__":
    main()
