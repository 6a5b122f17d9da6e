"""Policy risk on Jobs and error of the average effect on Twins, against econml.

Jobs has no counterfactuals: policy risk is estimated on the randomised units of each test split,
with the lines "treat everyone" and "treat no one" beside it. In Twins the assignment depends on the
outcome beyond what the covariates explain, so that no learner can recover the average effect from
them; "inverse-propensity weighting" with the shipped true propensity and with a fitted one shows
it.

    pip install econml
    OMP_NUM_THREADS=1 python benchmarks/reproduce/effects_jobs_twins.py
"""

import argparse
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _effect_learners import OURS, PEERS, fit_timed
from _provenance import write_csv
from sklearn.linear_model import LogisticRegression

from skcausal.datasets import load_jobs, load_twins
from skcausal.metrics import ate_error, pehe, policy_risk


def jobs(learners):
    """Policy risk in the ten canonical splits."""
    lines = []
    for split in range(1, 11):
        data = load_jobs(split)
        X, y, treatment = (data[name].to_numpy() for name in ("X", "y", "treatment"))
        experimental = data.experimental.to_numpy()
        effects = {"treat everyone": (np.ones(len(y)), 0.0), "treat no one": (-np.ones(len(y)), 0)}
        for name, learn in learners.items():
            train = data.train_index
            estimate, seconds = fit_timed(learn, X[train], y[train], treatment[train], binary=True)
            effects[name] = (estimate(X).effect, seconds)
        for name, (effect, seconds) in effects.items():
            line = {"learner": name, "split": split, "seconds": seconds}
            for where, rows in (("in", data.train_index), ("out", data.test_index)):
                line[f"policy_risk_{where}"] = policy_risk(
                    y[rows], treatment[rows], effect[rows], experimental=experimental[rows]
                )
            lines.append(line)
        print(
            split,
            [round(line["policy_risk_out"], 3) for line in lines[-len(effects) :]],
            flush=True,
        )
    grouped = pd.DataFrame(lines).groupby("learner", sort=False)
    table = grouped[["policy_risk_in", "policy_risk_out", "seconds"]].mean()
    table["policy_risk_out_se"] = grouped["policy_risk_out"].sem()
    return table.reset_index()


def twins(learners):
    """Errors on the shipped test rows."""
    data = load_twins()
    X, y, treatment = (data[name].to_numpy() for name in ("X", "y", "treatment"))
    effect, train, test = data.effect.to_numpy(), data.train_index, data.test_index
    lines = []
    for name, learn in learners.items():
        estimate, seconds = fit_timed(learn, X[train], y[train], treatment[train], binary=True)
        found = estimate(X[test])
        lines.append(
            {
                "learner": name,
                "seconds": seconds,
                "ate_error_out": abs(found.average - effect[test].mean()),
                "plugin_ate_error_out": ate_error(effect[test], found.effect),
                "pehe_out": pehe(effect[test], found.effect),
            }
        )
        print(lines[-1], flush=True)
    fitted = LogisticRegression(C=0.1, max_iter=1000).fit(X[train], treatment[train])
    propensities = {"true": data.propensity.to_numpy(), "fitted": fitted.predict_proba(X)[:, 1]}
    for name, propensity in propensities.items():
        signed = np.where(treatment == 1, 1 / propensity, -1 / (1 - propensity))
        weights = np.abs(signed)[train]
        arms = [weights * (treatment[train] == arm) for arm in (0, 1)]
        low, high = (np.average(y[train], weights=arm) for arm in arms)
        lines.append(
            {
                "learner": f"inverse-propensity weighting, {name} propensity",
                "ate_error_out": abs(high - low - effect[test].mean()),
            }
        )
    return pd.DataFrame(lines)


def main():
    """Parse the arguments, run, and write two CSV files next to this script."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    packages = {name: version(name) for name in ("econml", "torch")}
    for name, run in (("jobs", jobs), ("twins", twins)):
        table = run(OURS | PEERS)
        print(table.round(4).to_string())
        write_csv(table.round(4), args.out / f"effects_{name}.csv", **packages)


if __name__ == "__main__":
    main()
