"""
Which learner finds the graph, and with how many rows?
======================================================

Graph learners agree when rows are many. With a handful of rows per experiment they do not, and
experiments are where rows are dear. Here seven learners are asked for the graphs of the same random
systems, from two rows per experiment on, and for what they are wanted for: the means under pairs of
interventions that nobody has tried. In the end, the graphs that they find of one system.
"""

# %%
# Systems and experiments
# -----------------------
# Eight variables; rows without intervention, and as many with each variable set to 2. The last
# lines of the table are set aside: all pairs of interventions, whose means are known exactly.

import os
from itertools import combinations
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from skcausal.datasets import make_linear_scm
from skcausal.metrics import edge_average_precision, structural_hamming_distance
from skcausal.plotting import GraphDisplay
from skcausal.structure import GES, GIES, IGSP, PC, ExactGraphPosterior, ShiftOrder

FAST = bool(os.environ.get("SKCAUSAL_EXAMPLES_FAST"))  # tiny, for continuous integration

n_variables, n_systems, sizes = (4, 2, [5, 20]) if FAST else (8, 20, [2, 5, 10, 25, 50, 100])
pairs = list(combinations(range(n_variables), 2))
regimes = [(), *((j,) for j in range(n_variables)), *pairs]


def experiments(seed, n_rows):
    """Observational rows and single interventions of a random system, and pairs set aside."""
    return make_linear_scm(
        n_variables,
        n_samples=n_rows,
        regimes=regimes,
        n_heldout_pairs=len(pairs),
        edges_per_variable=1.5,
        noise_variance=0.5,
        random_state=seed,
    )


data = experiments(0, sizes[0])
print(data.regimes.value_counts(sort=False).to_string())

# %%
# Learners, and the same number of observations
# ---------------------------------------------
# PC and GES know no interventions and by default read the observational rows alone. To be fair to
# them they get as many rows as the others have in total, all of them observational. So whatever
# they lack is not rows.

learners = {
    "ExactGraphPosterior()": ExactGraphPosterior(random_state=0),
    'GIES(centering="pooled")': GIES(centering="pooled"),
    "GIES()": GIES(),
    "ShiftOrder()": ShiftOrder(),
    "IGSP()": IGSP(random_state=0),
    "GES(), observations": GES(),
    "PC(), observations": PC(),
}


def observations(seed, n_rows):
    """As many rows of the same system without any intervention."""
    return make_linear_scm(
        n_variables,
        n_samples=n_rows * (n_variables + 1),
        regimes="observational",
        edges_per_variable=1.5,
        noise_variance=0.5,
        random_state=seed,
    )


def fit_all(seed, n_rows):
    """All learners, fitted on one system."""
    rows = experiments(seed, n_rows), observations(seed, n_rows)
    for name, learner in learners.items():
        seen = rows["observations" in name]
        yield name, learner.fit(seen.X, interventions=seen.interventions)


def error_of_pairs(learner, data):
    """Root mean squared error of the means under unseen pairs, in standard deviations."""
    query, targets = (
        frame.groupby(data.regimes_test).first()
        for frame in (data.X_test.where(data.interventions_test), data.interventions_test)
    )
    means = data.means_test.groupby(data.regimes_test).first().to_numpy()
    error = (learner.predict(query, interventions=targets) - means) / data.X.std().to_numpy()
    return np.sqrt(np.mean(error[~targets.to_numpy()] ** 2))


results = []
for seed in range(n_systems):
    for n_rows in sizes:
        data = experiments(seed, n_rows)
        for name, learner in fit_all(seed, n_rows):
            scores = getattr(learner, "edge_probabilities_", learner.adjacency_)
            results.append(
                {
                    "learner": name,
                    "rows per regime": n_rows,
                    "average precision": edge_average_precision(data.adjacency, scores),
                    "error of unseen pairs": error_of_pairs(learner, data),
                }
            )
results = pd.DataFrame(results)

# %%
# Who finds what?
# ---------------
# Means over the systems. The systems are of the kind that all of these assume: linear, without
# feedback or hidden causes, with interventions that touch nothing but their targets. Where that
# holds, the exact posterior and `GIES(centering="pooled")` count shifts of the means and dependence
# inside regimes as evidence of one kind, and need few rows. `GIES()` subtracts the shifts. `IGSP()`
# decides by tests, which have no power with few rows; with many it is right. Observations alone
# leave the direction of many edges open, and more of them do not help. A learner that gives
# probabilities is judged by their order; one that gives a graph by an order of two ranks.

grouped = results.groupby(["learner", "rows per regime"], sort=False)
mean, half_width = grouped.mean(), 1.96 * grouped.sem()
for measure in mean.columns:
    print(f"\n{measure}:")
    print(mean[measure].unstack().round(2).to_string())

# %%
# One picture
# -----------
# Above, means with intervals of 95 %. Below, one system: what was found, and what is missing,
# extra or turned round.

shown_rows = sizes[min(2, len(sizes) - 1)]
colours = dict(zip(learners, ["#000000", "#0072B2", "#56B4E9", "#009E73", "#E69F00"]))
colours |= {name: "#888888" for name in learners if "observations" in name}
dashes = {"PC(), observations": ":", "GES(), observations": "--"}

figure = plt.figure(figsize=(14, 7.8), layout="constrained")
above, below = figure.subfigures(2, 1, height_ratios=[1.5, 1])
axes = above.subplots(1, 2)
for ax, measure in zip(axes, mean.columns):
    for position, name in enumerate(learners):
        ax.errorbar(
            np.array(sizes) * 1.02 ** (position - 3),
            mean.loc[name, measure],
            half_width.loc[name, measure],
            marker="o",
            markersize=4,
            linestyle=dashes.get(name, "-"),
            color=colours[name],
            label=name,
        )
    ax.set(xscale="log", xlabel="rows per regime", ylabel=measure)
    ax.set_xticks(sizes, sizes)
    ax.minorticks_off()
    ax.spines[["top", "right"]].set_visible(False)
axes[1].set(ylim=(0, None), ylabel="error of unseen pairs (standard deviations)")
above.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper", frameon=False)

fitted = dict(fit_all(1, shown_rows))
shown = [name for name in learners if name not in ("ShiftOrder()", "PC(), observations")]
truth = experiments(1, shown_rows).adjacency
for ax, name in zip(below.subplots(1, len(shown)), shown):
    display = GraphDisplay.from_estimator(fitted[name], reference=truth, ax=ax)
    legend = ax.get_legend()
    handles, labels = legend.legend_handles, [text.get_text() for text in legend.get_texts()]
    legend.remove()  # one for all, below
    wrong = structural_hamming_distance(truth, display.adjacency)
    ax.set_title(f"{name}\nwrong pairs: {wrong}", fontsize=11)
below.suptitle(f"One system, {shown_rows} rows per regime")
names = [label.rsplit(" (", 1)[0] for label in labels]
below.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False)
Path("output").mkdir(exist_ok=True)
figure.savefig("output/structure_learners.png", dpi=110)
print("Figure: output/structure_learners.png")
