"""Graphs, targets and predictions of generative intervention models on dose-response tasks.

OMP_NUM_THREADS=1 python benchmarks/reproduce/perturbation_synthetic.py --problem shift
Problems: shift, do, networks, fourier, prediction, size, rows, gradient.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _provenance import write_csv

from skcausal.datasets import make_dose_response
from skcausal.metrics import (
    delta_correlation,
    edge_average_precision,
    structural_hamming_distance,
    target_average_precision,
    target_f1,
)
from skcausal.perturbation import (
    FeatureRegression,
    GenerativeInterventionModel,
    MeanTreated,
    NoChange,
    UnknownTargetIGSP,
)
from skcausal.simulators import DoseResponsePrior, LinearPrior, NonlinearPrior

OOD = ("partly_ood", "fully_ood")


def linear_prior(n_variables=20, **options):
    """Systems of two edges per variable, every variable of variance 1 without perturbation."""
    systems = LinearPrior(n_variables, edges_per_variable=2.0, standardize="observational")
    return DoseResponsePrior(systems, **options)


def fit(model, data):
    """Fitted model and seconds."""
    started = time.perf_counter()
    model.fit(data.X, interventions=data.interventions)
    return model, time.perf_counter() - started


def structure(model, data):
    """Errors of the graph and of the targets of the training contexts."""
    adjacency = data.adjacency.to_numpy()
    # Perturbation of each context; the control comes first.
    contexts = pd.DataFrame(data.interventions.to_numpy() + 0.0)
    first = contexts.drop_duplicates().index
    place = {tuple(row): k for k, row in enumerate(model.contexts_)}
    order = [place[tuple(contexts.loc[i])] for i in first]
    found = model.intervention_targets_[order][1:]
    truth = data.targets.to_numpy()[data.perturbations.loc[first[1:]]]
    line = {
        "edges": int(adjacency.sum()),
        "shd": structural_hamming_distance(adjacency, model.adjacency_),
        "target_f1": target_f1(truth, found > 0.5),
        "target_ap": target_average_precision(truth, found),
    }
    if hasattr(model, "edge_probabilities_"):
        line["edge_ap"] = edge_average_precision(adjacency, model.edge_probabilities_)
    return line


def prediction(model, data):
    """Root mean squared error, and correlation of shifts, of the true means of both test sets."""
    line = {}
    control = data.X[data.perturbations < 0].to_numpy()
    for split in OOD:
        contexts = ~data[f"regimes_{split}"].duplicated()
        means = data[f"means_{split}"][contexts].to_numpy()
        features = data[f"interventions_{split}"][contexts]
        unknown = pd.DataFrame(np.full(means.shape, np.nan), columns=data.feature_names)
        predicted = model.predict(unknown, interventions=features)
        labels = data[f"regimes_{split}"][contexts].to_numpy()
        line[f"rmse_{split}"] = float(np.sqrt(((predicted - means) ** 2).mean()))
        line[f"correlation_{split}"] = delta_correlation(
            means, predicted, control=control, regimes=labels
        )
    return line


def learners(kind, seed):
    """The model, and the causal baseline from two kinds of starting orders."""
    return {
        "GIM": GenerativeInterventionModel(intervention=kind, random_state=seed),
        "UT-IGSP": UnknownTargetIGSP(random_state=seed),
        "UT-IGSP, random starts": UnknownTargetIGSP(start="random", random_state=seed),
    }


def compare_structure(kind, seeds, n_variables=20):
    """Structure learned from shifts or from hard interventions."""
    simulated = {"shift": "shift", "do": "hard"}[kind]
    for seed in seeds:
        for features in ("mixed", "raw"):
            prior = linear_prior(n_variables, features=features, kind=simulated)
            data = make_dose_response(prior, random_state=seed)
            for name, model in learners(kind, seed).items():
                model, seconds = fit(model, data)
                yield {
                    "problem": kind,
                    "features": features,
                    "learner": name,
                    "seed": seed,
                    "seconds": seconds,
                } | structure(model, data)


def compare_nonlinear(mechanism, seeds):
    """Random nonlinear systems: linear mechanisms, perceptrons, and the causal baseline."""
    for seed in seeds:
        systems = NonlinearPrior(20, mechanism=mechanism, edges_per_variable=2.0)
        data = make_dose_response(DoseResponsePrior(systems, features="mixed"), random_state=seed)
        models = {
            "GIM, linear": GenerativeInterventionModel(random_state=seed),
            "GIM, mlp": GenerativeInterventionModel("mlp", random_state=seed),
            "UT-IGSP": UnknownTargetIGSP(random_state=seed),
        }
        for name, model in models.items():
            model, seconds = fit(model, data)
            yield {
                "problem": mechanism,
                "learner": name,
                "seed": seed,
                "seconds": seconds,
            } | structure(model, data)


def compare_prediction(seeds):
    """Means of perturbations at new doses, and of new perturbations."""
    models = {
        "no change": lambda seed: NoChange(),
        "mean treated": lambda seed: MeanTreated(),
        "UT-IGSP": lambda seed: UnknownTargetIGSP(random_state=seed),
    }
    for name in ("ridge", "lasso", "kernel_ridge", "mlp"):
        for degree in (1, 2) if name in ("ridge", "lasso") else (1,):
            models[f"{name}, degree {degree}"] = lambda seed, name=name, degree=degree: (
                FeatureRegression(name, degree=degree, random_state=seed)
            )
    for generator in ("kernel", "linear", "mlp"):
        models[f"GIM, {generator}"] = lambda seed, generator=generator: GenerativeInterventionModel(
            generator=generator, random_state=seed
        )
    for seed in seeds:
        for features in ("mixed", "raw"):
            data = make_dose_response(linear_prior(features=features), random_state=seed)
            for name, make in models.items():
                model, seconds = fit(make(seed), data)
                yield {
                    "features": features,
                    "learner": name,
                    "seed": seed,
                    "seconds": seconds,
                } | prediction(model, data)


def compare_sizes(seeds):
    """Time and errors as the number of variables grows."""
    for n_variables in (20, 50, 100):
        for seed in seeds:
            data = make_dose_response(
                linear_prior(n_variables, features="mixed"), random_state=seed
            )
            model, seconds = fit(GenerativeInterventionModel(random_state=seed), data)
            yield {"n_variables": n_variables, "seed": seed, "seconds": seconds} | structure(
                model, data
            )


def compare_rows(seeds):
    """Time as the number of rows grows; the fastest of three fits."""
    for n_variables in (20, 50):
        for seed in seeds:
            for factor in (1, 2, 4):
                data = make_dose_response(
                    linear_prior(n_variables, features="mixed"),
                    n_samples=50 * factor,
                    n_controls=800 * factor,
                    random_state=seed,
                )
                fits = [
                    fit(GenerativeInterventionModel(random_state=seed), data)[1] for _ in range(3)
                ]
                yield {
                    "n_variables": n_variables,
                    "seed": seed,
                    "n_rows": len(data.X),
                    "seconds": min(fits),
                }


def compare_gradient(seeds):
    """The published recipe beside the search over orders."""
    for seed in seeds:
        data = make_dose_response(linear_prior(features="mixed"), random_state=seed)
        for solver in ("order", "gradient"):
            model = GenerativeInterventionModel(
                solver=solver, generator="linear", random_state=seed
            )
            model, seconds = fit(model, data)
            yield (
                {"solver": solver, "seed": seed, "seconds": seconds}
                | structure(model, data)
                | prediction(model, data)
            )


PROBLEMS = {
    "shift": lambda seeds: compare_structure("shift", seeds),
    "do": lambda seeds: compare_structure("do", seeds),
    "networks": lambda seeds: compare_nonlinear("mlp", seeds),
    "fourier": lambda seeds: compare_nonlinear("fourier", seeds),
    "prediction": compare_prediction,
    "size": compare_sizes,
    "rows": compare_rows,
    "gradient": compare_gradient,
}


def summary(lines):
    """Medians over seeds."""
    given = ("problem", "features", "learner", "solver", "n_variables", "n_rows")
    keys = [column for column in given if column in lines]
    return lines.drop(columns="seed").groupby(keys, sort=False).median().reset_index()


def main():
    """Parse the arguments, run, and write CSV files next to this script."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--problem", choices=list(PROBLEMS), required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    torch.set_num_threads(1)
    lines = []
    for line in PROBLEMS[args.problem](args.seeds):
        lines.append(line)
        print({k: round(v, 3) if isinstance(v, float) else v for k, v in line.items()}, flush=True)
    lines = pd.DataFrame(lines)
    print(summary(lines).round(3).to_string())
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / f"perturbation_{args.problem}.csv"
    write_csv(lines.round(4), path, torch=torch.__version__)


if __name__ == "__main__":
    main()
