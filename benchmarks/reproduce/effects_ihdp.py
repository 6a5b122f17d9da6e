"""Error of unit effects on IHDP, realizations 1 to 30, canonical split, against econml.

The data may not be redistributed; `skcausal.datasets.fetch_ihdp` says where to put them. With
``--simulated`` the outcomes are drawn anew by the published law on the same covariates, and the
split at random: realizations that nothing has been tuned on.

    pip install econml
    OMP_NUM_THREADS=1 python benchmarks/reproduce/effects_ihdp.py --data-home FOLDER
"""

import argparse
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _effect_learners import OURS, PEERS, fit_timed
from _provenance import write_csv

from skcausal.datasets import fetch_ihdp
from skcausal.metrics import ate_error, pehe

COEFFICIENTS, CHANCES = np.array([0.0, 0.1, 0.2, 0.3, 0.4]), np.array([0.6, 0.1, 0.1, 0.1, 0.1])


def simulate(data, rng):
    """Outcomes by Hill (2011), response surface B: the same law, other coefficients and noise."""
    X, treatment = data.X.to_numpy(), data.treatment.to_numpy()
    beta = rng.choice(COEFFICIENTS, X.shape[1], p=CHANCES)
    mu_0 = np.exp((X + 0.5) @ beta)
    mu_1 = X @ beta
    mu_1 += 4.0 - (mu_1 - mu_0)[treatment == 1].mean()
    y = np.where(treatment == 1, mu_1, mu_0) + rng.normal(size=len(X))
    order = rng.permutation(len(X))
    return X, treatment, y, mu_1 - mu_0, order[75:], order[:75]


def realizations(n, data_home, simulated):
    """Yield covariates, treatment, outcomes, effects, training and test rows."""
    for number in range(1, n + 1):
        data = fetch_ihdp(1 if simulated else number, data_home=data_home)
        if simulated:
            yield simulate(data, np.random.default_rng((2024, number)))
        else:
            yield (
                data.X.to_numpy(),
                data.treatment.to_numpy(),
                data.y.to_numpy(),
                data.effect.to_numpy(),
                data.train_index,
                data.test_index,
            )


def evaluate(learn, X, treatment, y, effect, train, test):
    """Errors of one learner on one realization."""
    estimate, seconds = fit_timed(learn, X[train], y[train], treatment[train])
    line = {"seconds": seconds}
    for name, rows in (("in", train), ("out", test)):
        found = estimate(X[rows])
        true = effect[rows]
        line[f"pehe_{name}"] = pehe(true, found.effect)
        line[f"ate_error_{name}"] = abs(found.average - true.mean())
        line[f"plugin_ate_error_{name}"] = ate_error(true, found.effect)
        if found.lower is not None:
            covered = (found.lower <= true) & (true <= found.upper)
            line[f"coverage_{name}"] = covered.mean()
            line[f"width_{name}"] = (found.upper - found.lower).mean() / effect.std()
            low, high = found.average_interval
            line[f"ate_coverage_{name}"] = float(low <= true.mean() <= high)
    return line


def summarize(lines):
    """One row per learner: means, medians, geometric means and standard errors."""
    table = []
    for name, own in lines.groupby("learner", sort=False):
        row = {"learner": name, "seconds": own["seconds"].median()}
        for where in ("in", "out"):
            errors = own[f"pehe_{where}"]
            row[f"pehe_{where}_mean"] = errors.mean()
            row[f"pehe_{where}_se"] = errors.std() / np.sqrt(len(errors))
            row[f"pehe_{where}_median"] = errors.median()
            row[f"pehe_{where}_geometric"] = np.exp(np.log(errors).mean())
            row[f"pehe_{where}_mean_1_10"] = errors[own["realization"] <= 10].mean()
            row[f"pehe_{where}_median_1_10"] = errors[own["realization"] <= 10].median()
            row[f"ate_error_{where}"] = own[f"ate_error_{where}"].mean()
            row[f"plugin_ate_error_{where}"] = own[f"plugin_ate_error_{where}"].mean()
            row[f"coverage_{where}"] = own[f"coverage_{where}"].mean()
            row[f"coverage_{where}_worst"] = own[f"coverage_{where}"].min()
            row[f"ate_coverage_{where}"] = own[f"ate_coverage_{where}"].mean()
        table.append(row)
    return pd.DataFrame(table)


def main():
    """Parse the arguments, run, and write two CSV files next to this script."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data-home", default=None)
    parser.add_argument("--realizations", type=int, default=30)
    parser.add_argument("--simulated", action="store_true")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    torch.set_num_threads(1)
    lines = []
    problems = realizations(args.realizations, args.data_home, args.simulated)
    for number, problem in enumerate(problems, start=1):
        for name, learn in (OURS | PEERS).items():
            line = {"realization": number, "learner": name} | evaluate(learn, *problem)
            lines.append(line)
            print(number, name, round(line["pehe_in"], 3), round(line["pehe_out"], 3), flush=True)
    lines = pd.DataFrame(lines)
    suffix = "_simulated" if args.simulated else ""
    packages = {name: version(name) for name in ("econml", "torch")}
    table = summarize(lines)
    print(table.round(3).T.to_string())
    args.out.mkdir(parents=True, exist_ok=True)
    for stem, frame in (("", table), ("_realizations", lines)):
        path = args.out / f"effects_ihdp{suffix}{stem}.csv"
        write_csv(frame.round(4), path, realizations=args.realizations, **packages)


if __name__ == "__main__":
    main()
