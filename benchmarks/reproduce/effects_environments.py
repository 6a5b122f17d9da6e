"""Alignment between environments: the leaky hum, and a sensor whose noise differs.

Leaky hum: error of unit effects over `env_alpha`, in two training environments, for units of these
and of a third one; then the choice of `env_alpha` without a true effect, in three training
environments, by leaving one out. Sensor noise: alignment should neither help nor harm. The network
has the defaults of CFRRegressor (ELU, 60 epochs) but for ``alpha=0``, two layers of 100 units in
the representation, and a single member.

    OMP_NUM_THREADS=1 python benchmarks/reproduce/effects_environments.py
"""

import argparse
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import torch
from _provenance import write_csv
from sklearn.metrics import mean_squared_error

from skcausal.datasets import make_leaky_hum, make_sensor_noise
from skcausal.effects import CFRRegressor
from skcausal.metrics import (
    ate_error,
    neg_arm_balanced_error_scorer,
    neg_nearest_neighbor_pehe_scorer,
    pehe,
    r_score_scorer,
)
from skcausal.model_selection import LeaveOneEnvironmentOut

ENV_ALPHAS = (0.0, 1.0, 3.0, 10.0, 30.0, 100.0)
SHIFTS = (0.0, 0.25)
SCORERS = {
    "R2": None,
    "arm-balanced error": neg_arm_balanced_error_scorer,
    "nearest-neighbour PEHE": neg_nearest_neighbor_pehe_scorer,
    "R-score": r_score_scorer,
}


def fit(X, y, treatment, environment, env_alpha, seed, **parameters):
    """Fit one network."""
    given = {"alpha": 0.0, "n_ensemble": 1, "representation_layers": (100, 100)}
    given |= {"device": "cpu", "random_state": seed} | parameters
    model = CFRRegressor(env_alpha=env_alpha, **given)
    return model.fit(X, y, treatment=treatment, environment=environment)


def sweep(seeds):
    """Errors over env_alpha in two training environments."""
    lines = []
    for shift in SHIFTS:
        for seed in seeds:
            data = make_leaky_hum(3000, covariate_shift=shift, random_state=seed)
            fresh = make_leaky_hum(2000, covariate_shift=shift, random_state=10_000 + seed)
            given = data.X, data.y, data.treatment, data.environment
            models = {f"env_alpha={a:g}": fit(*given, a, seed) for a in ENV_ALPHAS}
            models["treatment alignment, alpha=30"] = fit(
                *given, 0.0, seed, alpha=30.0, ipm="rbf_mmd", normalize=False
            )
            for name, model in models.items():
                lines.append(_errors(model, fresh) | {"shift": shift, "seed": seed, "model": name})
            without = data.X.drop(columns="s")
            oracle = fit(without, *given[1:], 0.0, seed, normalize=False)
            errors = _errors(oracle, fresh, columns=without.columns)
            lines.append(errors | {"shift": shift, "seed": seed, "model": "without the hum"})
            print(shift, seed, [round(line["pehe"], 3) for line in lines[-8:]], flush=True)
    grouped = pd.DataFrame(lines).groupby(["shift", "model"], sort=False)
    table = grouped.mean().drop(columns="seed")
    table["pehe_sd"] = grouped["pehe"].std()
    return table.reset_index()


def _errors(model, fresh, columns=None):
    """Errors for fresh units of the training environments and of the third."""
    line = {}
    for suffix in ("", "_heldout"):
        X = fresh[f"X{suffix}"]
        X = X if columns is None else X[columns]
        effect = model.effect(X)
        y_pred = model.predict(X, treatment=fresh[f"treatment{suffix}"])
        line |= {
            f"pehe{suffix}": pehe(fresh[f"effect{suffix}"], effect),
            f"ate_error{suffix}": ate_error(fresh[f"effect{suffix}"], effect),
            f"factual_mse{suffix}": mean_squared_error(fresh[f"y{suffix}"], y_pred),
        }
    return line


def selection(seeds):
    """What leaving one of three environments out picks, and what that costs."""
    lines = []
    for shift in SHIFTS:
        for seed in seeds:
            options = {"offsets": (-6.0, 0.0, 6.0), "covariate_shift": shift}
            data = make_leaky_hum(3000, **options, random_state=seed)
            fresh = make_leaky_hum(2000, **options, random_state=10_000 + seed)
            X, y, t, e = (data[name] for name in ("X", "y", "treatment", "environment"))
            errors, scores = {}, {name: dict.fromkeys(ENV_ALPHAS[:-1], 0.0) for name in SCORERS}
            for a in ENV_ALPHAS[:-1]:
                for rows, held in LeaveOneEnvironmentOut().split(X, environment=e):
                    model = fit(X.iloc[rows], y.iloc[rows], t.iloc[rows], e.iloc[rows], a, seed)
                    given = (X.iloc[held], y.iloc[held])
                    for name, scorer in SCORERS.items():
                        scores[name][a] += (
                            model.score(*given, treatment=t.iloc[held])
                            if scorer is None
                            else scorer(model, *given, treatment=t.iloc[held])
                        )
                errors[a] = pehe(fresh.effect, fit(X, y, t, e, a, seed).effect(fresh.X))
            best = min(errors, key=errors.get)
            for name, by_alpha in scores.items():
                picked = max(by_alpha, key=by_alpha.get)
                lines.append(
                    {
                        "shift": shift,
                        "seed": seed,
                        "scorer": name,
                        "picked": picked,
                        "pehe_picked": errors[picked],
                        "best": best,
                        "pehe_best": errors[best],
                        "pehe_0": errors[0.0],
                    }
                )
                print(lines[-1], flush=True)
    return pd.DataFrame(lines)


def sensor_noise(seeds):
    """Errors on randomised data whose environments differ in the noise of a sensor."""
    lines = []
    for seed in seeds:
        data = make_sensor_noise(10_000, random_state=seed)
        train, test = slice(0, 8000), slice(8000, None)
        parts = [data[name][train] for name in ("X", "y", "treatment", "environment")]
        X, y, t, effect = (data[name][test] for name in ("X", "y", "treatment", "effect"))
        arms = [data.y[train][data.treatment[train] == arm].mean() for arm in (0, 1)]
        lines.append({"model": "difference of means", "pehe": abs(arms[1] - arms[0] - 1)})
        for env_alpha in (0.0, 1.0):
            model = fit(*parts, env_alpha, seed, normalize=False)
            lines.append(
                {
                    "model": f"env_alpha={env_alpha:g}",
                    "pehe": pehe(effect, model.effect(X)),
                    "factual_mse": mean_squared_error(y, model.predict(X, treatment=t)),
                }
            )
            print(lines[-1], flush=True)
    grouped = pd.DataFrame(lines).groupby("model", sort=False)
    table = grouped.mean()
    table["pehe_worst"] = grouped["pehe"].max()
    return table.reset_index()


# The choice takes four fits for each weight; three seeds of it.
N_SEEDS = {"sweep": 5, "selection": 3, "sensor_noise": 5}
PARTS = {"sweep": sweep, "selection": selection, "sensor_noise": sensor_noise}


def main():
    """Parse the arguments, run, and write CSV files next to this script."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    for name in args.parts:
        table = PARTS[name](range(N_SEEDS[name]))
        print(table.round(3).to_string())
        path = args.out / f"effects_environments_{name}.csv"
        write_csv(table.round(4), path, seeds=N_SEEDS[name], torch=version("torch"))


if __name__ == "__main__":
    main()
