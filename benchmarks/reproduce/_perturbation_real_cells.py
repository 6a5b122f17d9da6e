"""What perturbation_real.py says of whole cells and of targets."""

from time import perf_counter

import numpy as np
import pandas as pd
from _perturbation_real_models import SumOfSingles, fit_predict, gim
from scipy.spatial.distance import pdist
from scipy.stats import rankdata

from skcausal.metrics import energy_distance, maximum_mean_discrepancy
from skcausal.perturbation import UnknownTargetIGSP


def distances_of_cells(models, X, features, labels, train, test):
    """Distances of predicted from real cells, averaged over held-out pairs of genes.

    The baseline for distributions is control cells drawn with replacement and moved by the shift of
    the mean that a model predicts. The last lines are bounds: the mean of the real cells, and one
    half of the real cells against the other.
    """
    rng = np.random.RandomState(0)
    control = X[train][~features[train].any(axis=1)]
    # One width for all, so that values compare.
    bandwidth = float(np.median(pdist(control)))
    names = [name for name in models if name.startswith("GIM")]
    fitted = {}
    queries = np.unique(features[test], axis=0)
    for name, make in {"sum of singles": lambda n: SumOfSingles()}.items() | {
        (name, models[name]) for name in names
    }:
        means, model, _ = fit_predict(make, X[train], features[train], queries)
        fitted[name] = model, means
    lines = []
    for k, query in enumerate(queries):
        real = X[test][(features[test] == query).all(axis=1)]
        moved = control[rng.randint(len(control), size=len(real))] - control.mean(axis=0)
        draws = {"control cells": moved + control.mean(axis=0)}
        for name, (model, means) in fitted.items():
            draws[f"control cells moved by {name}"] = moved + means[k]
            if name in names:
                draws[f"sampled by {name}"] = model.sample(
                    len(real), interventions=query[None], random_state=k
                )
        draws["control cells moved to the real mean"] = moved + real.mean(axis=0)
        half = rng.permutation(len(real)) < len(real) // 2
        for name, cells in draws.items():
            lines.append({"cells": name, **_distances(real, cells, bandwidth)})
        lines.append(
            {"cells": "half of the real", **_distances(real[half], real[~half], bandwidth)}
        )
    return pd.DataFrame(lines).groupby("cells", sort=False).mean().reset_index()


def _distances(real, drawn, bandwidth):
    return {
        "energy_distance": energy_distance(real, drawn),
        "mmd": maximum_mean_discrepancy(real, drawn, bandwidth=bandwidth),
    }


def targets_recovered(X, interventions, labels, measured):
    """Rank of the knocked-out gene among all as a target of its own knock-out, by each method.

    Fitted on all cells. The baseline ranks genes by the size of their shift in standard errors.
    """
    features, values = interventions.to_numpy(), X.to_numpy()
    scores, seconds = {}, {}
    control = values[labels == "control"]
    shifts = {}
    for gene in measured:
        rows = values[labels == gene]
        error = np.sqrt(rows.var(axis=0) / len(rows) + control.var(axis=0) / len(control))
        shifts[gene] = np.abs(rows.mean(axis=0) - control.mean(axis=0)) / np.maximum(error, 1e-12)
    scores["shift in standard errors"], seconds["shift in standard errors"] = shifts, 0.0
    models = {
        "GIM kernel, graph learned": gim("kernel", "learned")(X.shape[1]),
        "GIM linear, graph learned": gim("linear", "learned")(X.shape[1]),
        "UnknownTargetIGSP": UnknownTargetIGSP(random_state=0),
    }
    for name, model in models.items():
        start = perf_counter()
        model.fit(values, interventions=features)
        seconds[name] = perf_counter() - start
        scores[name] = {}
        for gene in measured:
            one_hot = (interventions.columns == gene).astype(float)
            context = int((model.contexts_ == one_hot).all(axis=1).argmax())
            # Of equally probable targets, the one with the larger shift comes first.
            size = np.abs(model.intervention_shifts_[context]) / X.std().to_numpy()
            scores[name][gene] = model.intervention_targets_[context] + 1e-6 * size
    lines = []
    for name, by_gene in scores.items():
        ranks = {
            gene: int(rankdata(-score, method="min")[X.columns.get_loc(gene)])
            for gene, score in by_gene.items()
        }
        n_targets = np.nan
        if name != "shift in standard errors":
            n_targets = np.mean([(score > 0.5).sum() for score in by_gene.values()])
        lines.append(
            {
                "method": name,
                "first": np.mean([rank == 1 for rank in ranks.values()]),
                "in_first_3": np.mean([rank <= 3 for rank in ranks.values()]),
                "mean_targets": n_targets,
                "seconds": seconds[name],
                **{f"rank_{gene}": rank for gene, rank in ranks.items()},
            }
        )
    return pd.DataFrame(lines)
