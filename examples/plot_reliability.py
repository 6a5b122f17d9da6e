"""
Do probabilities and intervals hold what they say?
==================================================

An edge that is called 80 % probable should exist four times in five, and an interval of 90 % should
hold the truth nine times in ten. Whether that is so depends on whether the data are of the kind
that the estimator has in mind. Each of five estimators is asked twice: about data of its kind, and
about data that are not, and do not say so.
"""

# %%
# Linear systems, and nonlinear ones
# ----------------------------------
# Dense linear systems, and systems of as many edges whose mechanisms are random smooth functions.
# Of each there are rows without intervention, and some with each variable set to 1.

import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.stats import norm

from skcausal import CFRRegressor, MetaInterventionPredictor
from skcausal.metrics import edge_calibration_error, edge_log_score
from skcausal.plotting import ReliabilityDisplay
from skcausal.simulators import LinearPrior, NonlinearPrior
from skcausal.structure import (
    GIES,
    AmortizedGraphPosterior,
    BootstrapEnsemble,
    ExactGraphPosterior,
)

FAST = bool(os.environ.get("SKCAUSAL_EXAMPLES_FAST"))  # tiny, for continuous integration

d, n_systems, n_bootstrap = (4, 4, 3) if FAST else (8, 60, 15)
edges_per_variable = 1.5 if FAST else 3.0
prior = LinearPrior.preset("caasl", n_variables=d, edges_per_variable=edges_per_variable)
beyond = NonlinearPrior(d, edges_per_variable=edges_per_variable)
mask = np.vstack([np.zeros((50, d), dtype=bool), np.repeat(np.eye(d, dtype=bool), 5, axis=0)])


def draw(prior, mask, value):
    """Systems of a prior, and rows of each."""
    systems = prior.sample(n_systems, random_state=0)
    rows = systems.sample(len(mask), interventions=mask, values=value, random_state=1)
    return systems, rows.double().numpy()


# %%
# Probabilities of edges
# ----------------------
# The exact posterior is given the prior of the linear systems, and the network was trained on it:
# on these systems they should be right. The bootstrap has no prior; its frequencies say how stable
# the search is, and nobody promised that they are probabilities of edges.

estimators = {
    "exact posterior": ExactGraphPosterior.from_prior(prior, random_state=0),
    "pretrained network": AmortizedGraphPosterior(pretrained="caasl", random_state=0),
    "bootstrapped GIES": BootstrapEnsemble(
        GIES(centering="pooled"), n_bootstrap=n_bootstrap, random_state=0
    ),
}
kinds = {"linear": prior, "nonlinear": beyond}
truth, forecasts, scores = {}, {}, {}
for kind, systems_prior in kinds.items():
    systems, rows = draw(systems_prior, mask, 1.0)
    truth[kind] = systems.adjacency.numpy().astype(np.int8)
    for name, estimator in estimators.items():
        edges = np.stack([estimator.fit(X, interventions=mask).edge_probabilities_ for X in rows])
        forecasts[kind, name] = edges
        scores[kind, name] = {
            "calibration error": edge_calibration_error(truth[kind], edges),
            "log score": edge_log_score(truth[kind], edges, clip=0.01),
        }
print(pd.DataFrame(scores).T.round(3).to_string())

# %%
# Intervals of interventional means
# ---------------------------------
# The pretrained predictor of interventions says how far off its means may be. It was trained on
# linear systems of many kinds, with hidden confounders among them. It predicts all pairs of
# interventions, of which it saw none. The cells of one system share their errors: the unit of the
# statistics is the system.

levels = np.array([0.5, 0.6, 0.7, 0.8, 0.9, 0.95])
pairs = np.array([np.bincount(pair, minlength=d) > 0 for pair in zip(*np.triu_indices(d, k=1))])
singles = np.vstack([np.zeros((10, d), dtype=bool), np.repeat(np.eye(d, dtype=bool), 10, axis=0)])


def coverage_of_means(prior):
    """Share (n_systems, n_levels) of the unseen means that intervals of each level hold."""
    systems, rows = draw(prior, singles, 2.0)
    means = systems.interventional_mean(pairs, 2.0, n_samples=1000).double().numpy()
    query = np.where(pairs, 2.0, np.nan)
    held = []
    for X, mean in zip(rows, means):
        model = MetaInterventionPredictor().fit(X, interventions=singles)
        guess, std = model.predict(query, interventions=pairs, return_std=True)
        z = (np.abs(guess - mean) / std.clip(1e-12))[~pairs]
        held.append((z[:, None] <= norm.ppf(0.5 + levels / 2)).mean(axis=0))
    return np.array(held)


coverage = {
    "MetaInterventionPredictor": {
        "linear, hidden confounders": coverage_of_means(LinearPrior(d, n_confounders=2)),
        "nonlinear": coverage_of_means(NonlinearPrior(d)),
    }
}

# %%
# Intervals of effects on single units
# ------------------------------------
# The effect of a treatment depends on two of five covariates, and who is treated depends on one.
# That can be learned. Then the covariate that decides about the treatment is lost: intervals cannot
# know of a confounder that is not in the table. With all covariates, too, intervals of low levels
# hold less than they say.

n_units, n_tables = (60, 2) if FAST else (200, 8)
settings = {"max_epochs": 3, "representation_layers": (16,)} if FAST else {}


def coverage_of_effects(is_complete):
    """Share (n_tables, n_levels) of the units' effects that intervals of each level hold."""
    held = []
    for seed in range(n_tables):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(n_units, 5))
        treatment = (rng.random(n_units) < 1 / (1 + np.exp(-1.5 * X[:, 0]))).astype(int)
        effect = 1.0 + X[:, 1] + np.sin(2 * X[:, 2])
        y = 2 * X[:, 0] + X[:, 3] + treatment * effect + rng.normal(size=n_units)
        seen = X if is_complete else X[:, 1:]
        model = CFRRegressor(random_state=seed, **settings).fit(seen, y, treatment=treatment)
        bounds = (model.effect_interval(seen, level=level) for level in levels)
        held.append([np.mean((low <= effect) & (effect <= high)) for low, high in bounds])
    return np.array(held)


coverage["CFRRegressor"] = {
    "all confounders in the table": coverage_of_effects(True),
    "one confounder lost": coverage_of_effects(False),
}
for name, kinds_of_data in coverage.items():
    shares = {kind: held.mean(axis=0) for kind, held in kinds_of_data.items()}
    print(f"\n{name}: share of truths in intervals of each level")
    print(pd.DataFrame(shares, index=levels).T.round(2).to_string())

# %%
# One picture
# -----------
# Above, edges: what was said against what was found. Below, intervals: their level against the
# share of truths that they hold, with 95 % intervals over systems and tables. Nothing told the
# estimators that the systems were nonlinear or that a confounder was lost: a probability is worth
# what its assumptions are worth.

figure = plt.figure(figsize=(11.5, 11), layout="constrained")
above, below = figure.subfigures(2, 1, height_ratios=[1.15, 1])
for ax, kind in zip(above.subplots(1, 2), kinds):
    for name in estimators:
        ReliabilityDisplay.from_predictions(truth[kind], forecasts[kind, name], name=name, ax=ax)
    ax.text(1, 0.03, f"{kind} systems", ha="right", fontsize=12)
for ax, (name, kinds_of_data) in zip(below.subplots(1, 2), coverage.items()):
    ax.plot([0, 1], [0, 1], "--", color="0.6", linewidth=1.2)
    for (kind, held), colour, marker in zip(kinds_of_data.items(), ("#0072B2", "#D55E00"), "os"):
        half_width = 1.96 * held.std(axis=0, ddof=1) / np.sqrt(len(held))
        style = {"color": colour, "marker": marker, "markersize": 5, "capsize": 2}
        ax.errorbar(levels, held.mean(axis=0), half_width, label=kind, **style)
    ax.set(xlim=(0.4, 1.0), ylim=(0.0, 1.02), title=f"intervals of {name}")
    ax.set(xlabel="level of the intervals", ylabel="share of truths inside")
    ax.legend(frameon=False, loc="lower right")
    ax.spines[["top", "right"]].set_visible(False)
Path("output").mkdir(exist_ok=True)
figure.savefig("output/reliability.png", dpi=110)
print("Figure: output/reliability.png")
