"""Error of unit effects on ACIC 2016, data sets 1 to 5, one 80/20 split, against econml.

pip install econml
OMP_NUM_THREADS=1 python benchmarks/reproduce/effects_acic.py
"""

import argparse
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _effect_learners import OURS, PEERS
from _provenance import write_csv
from effects_ihdp import evaluate

from skcausal.datasets import load_acic2016

N_TEST = 960


def problem(number, seed):
    """Covariates as numbers, treatment, outcomes, effects, training and test rows."""
    data = load_acic2016(number)
    X = pd.get_dummies(data.X).to_numpy(dtype=float)
    order = np.random.default_rng(seed).permutation(len(X))
    effect, treatment = data.effect.to_numpy(), data.treatment.to_numpy()
    return X, treatment, data.y.to_numpy(), effect, order[N_TEST:], order[:N_TEST]


def main():
    """Parse the arguments, run, and write a CSV file next to this script."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="of the split")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    torch.set_num_threads(1)
    lines = []
    for number in range(1, 6):
        given = problem(number, args.seed)
        # Of a constant effect the deviation is zero, and widths have no unit.
        with np.errstate(divide="ignore", invalid="ignore"):
            for name, learn in (OURS | PEERS).items():
                line = {"learner": name, "data_set": number} | evaluate(learn, *given)
                lines.append(line)
                print(number, name, round(line["pehe_out"], 3), flush=True)
    lines = pd.DataFrame(lines).replace([np.inf, -np.inf], np.nan)
    errors = lines.pivot(index="learner", columns="data_set", values="pehe_out")
    errors.columns = [f"pehe_out_{number}" for number in errors.columns]
    grouped = lines.groupby("learner", sort=False)
    table = grouped[["pehe_out", "pehe_in", "ate_error_in", "plugin_ate_error_in"]].mean()
    table["coverage_out"] = grouped["coverage_out"].mean()
    table["coverage_out_worst"] = grouped["coverage_out"].min()
    table["seconds"] = grouped["seconds"].median()
    table = table.join(errors).reset_index()
    print(table.round(3).to_string())
    args.out.mkdir(parents=True, exist_ok=True)
    packages = {name: version(name) for name in ("econml", "torch")}
    write_csv(table.round(4), args.out / "effects_acic.csv", split_seed=args.seed, **packages)


if __name__ == "__main__":
    main()
