"""
A laboratory in the loop
========================

Experiments on genes are done one after the other, and each may depend on what those before it have
shown. Here a designer proposes which genes to knock out next, first for simulated single cells,
where the network is known, then for the signalling proteins of Sachs et al. (2005), where the
experiments have long been done and a designer can only choose their order.
"""

# %%
# The loop
# --------
# Fifty cells without intervention come first. Then the same is repeated: `propose` says what to do,
# somebody does it, and `partial_fit` takes in the cells, here one each time. The simulator, after
# SERGIO, returns counts as a 10x Chromium machine would; `log_cpm` is the usual transformation.

import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from skcausal.datasets import load_sachs
from skcausal.design import ActiveDesigner
from skcausal.metrics import edge_average_precision
from skcausal.plotting import DesignCurveDisplay
from skcausal.simulators import GeneNetworkPrior, log_cpm

FAST = bool(os.environ.get("SKCAUSAL_EXAMPLES_FAST"))  # tiny, for continuous integration

n_networks, n_initial, budget = (3, 50, 2) if FAST else (24, 50, 10)
prior = GeneNetworkPrior(10, technical_noise="10x_chromium")
networks = prior.sample(n_networks, random_state=1)
truth = networks.adjacency.numpy().astype(np.int8)
first_cells = log_cpm(networks.sample(n_initial, random_state=0)).double().numpy()

designer = ActiveDesigner(prior=prior, algorithm="distilled", random_state=0)
designer.fit(first_cells[0])
for experiment in range(3):
    design = designer.propose()
    knocked_out = np.isfinite(design)  # NaN: this gene is left alone
    cell = networks[:1].sample(
        1, interventions=knocked_out, kind="knock_out", random_state=1 + experiment
    )
    designer.partial_fit(log_cpm(cell)[0].double().numpy(), interventions=knocked_out)
    precision = edge_average_precision(truth[0], designer.edge_probabilities_)
    print(f"knocked out {np.flatnonzero(knocked_out[0])}: average precision {precision:.2f}")

# %%
# Is it better than a rule?
# -------------------------
# One network says little. In many, the policy, which was trained on simulated networks, stands
# beside two rules: knock out every gene with probability 1/2, or a random half, with those first
# that were knocked out least often. All of them meet the same networks and the same noise, and one
# posterior judges them all.


def run_episodes(algorithm):
    """Average precision (n_networks, budget + 1) of the edges after each experiment."""
    designers = [
        ActiveDesigner(prior=prior, algorithm=algorithm, random_state=k).fit(cells)
        for k, cells in enumerate(first_cells)
    ]
    found = [[designer.edge_probabilities_ for designer in designers]]
    for experiment in range(budget):
        knocked_out = np.isfinite([designer.propose() for designer in designers])
        cells = networks.sample(
            1, interventions=knocked_out, kind="knock_out", random_state=1 + experiment
        )
        for designer, X, mask in zip(designers, log_cpm(cells).double().numpy(), knocked_out):
            designer.partial_fit(X, interventions=mask)
        found.append([designer.edge_probabilities_ for designer in designers])
    return np.array(
        [[edge_average_precision(t, p) for p in edges] for t, edges in zip(truth, zip(*found))]
    )


def means_and_intervals(values):
    """Mean (n_designers, n_experiments) over the episodes on axis 1, and its interval of 95 %."""
    mean = values.mean(axis=1)
    half = 1.96 * values.std(axis=1, ddof=1) / np.sqrt(values.shape[1])
    return mean, mean - half, mean + half


algorithms = ["random", "balanced_half", "distilled"]
genes = np.stack([run_episodes(algorithm) for algorithm in algorithms])
for name, values in zip(algorithms, genes):
    gain = values[:, -1] - genes[1][:, -1]
    error = gain.std(ddof=1) / np.sqrt(n_networks)
    print(
        f"{name:13s} average precision {values[:, -1].mean():.3f} after {budget} experiments; "
        f"minus that of balanced_half: {gain.mean():+.3f} (standard error {error:.3f})"
    )

# %%
# Experiments that have been done
# -------------------------------
# In the data of Sachs et al., 5,711 cells were treated with one of seven reagents, each of which
# acts on one of six proteins. The designer starts with untreated cells, names one protein at a
# time, and gets twenty cells in which it was acted on. It may intervene on no others; the values
# that it proposes are ignored, as nobody can choose them here. No prior is given, so variables are
# standardised and the exact posterior of a linear model judges, and "auto" looks one step ahead.

sachs = load_sachs()
n_repeats, n_experiments, n_cells = (2, 2, 5) if FAST else (5, 8, 20)
proteins = list(sachs.X.columns[sachs.interventions.any()])
feasible = {"targets": proteins, "n_targets": 1}


def replay(algorithm, seed):
    """Average precision of the edges, by the consensus graph, after each experiment."""
    shuffled = sachs.X.sample(frac=1, random_state=seed).index
    treated = sachs.interventions.loc[shuffled]
    queues = {name: shuffled[treated[name]] for name in proteins}
    cells = shuffled[~treated.any(axis=1)][:n_initial]
    designer = ActiveDesigner(
        algorithm=algorithm, feasible=feasible, rows_per_design=n_cells, random_state=seed
    )
    curve = []
    for _ in range(n_experiments + 1):
        designer.partial_fit(sachs.X.loc[cells], interventions=sachs.interventions.loc[cells])
        curve.append(edge_average_precision(sachs.adjacency, designer.edge_probabilities_))
        name = designer.propose().iloc[0].dropna().index[0]
        cells, queues[name] = queues[name][:n_cells], queues[name][n_cells:]
    return curve


orders = ["random", "single_cycle", "auto"]
proteins_found = np.array(
    [[replay(algorithm, seed) for seed in range(n_repeats)] for algorithm in orders]
)

# %%
# A reference graph is rarely at hand. `score` needs none: it lets the designer choose from a pool
# of experiments, and compares what it knows in the end with what the whole pool says. It is minus a
# cross-entropy of edges, and higher is better. A grid search can choose the designer by it. Here
# the plain cycle wins: it does all experiments equally often, as the pool does.

pool = sachs.X.sample(500 if FAST else 2000, random_state=0)
treated = sachs.interventions.loc[pool.index]
scores = {}
for algorithm in orders:
    designer = ActiveDesigner(
        algorithm=algorithm,
        feasible=feasible,
        budget=n_experiments,
        rows_per_design=n_cells,
        n_replays=n_repeats,
        random_state=0,
    )
    scores[algorithm] = designer.fit(pool, interventions=treated).score(pool, interventions=treated)
print(f"Score after {n_experiments} experiments:")
print(pd.Series(scores).round(3).to_string())

# %%
# One picture
# -----------
# Left and centre, gene networks. The first experiment teaches most, and there the policy is ahead;
# later all three are close, random designs included. Networks differ more than designers do, so
# differences from the rule are taken network by network.
#
# Right, proteins. Bands tell how much depends on the cells that happen to be drawn. Lookahead is
# not ahead of the rules here: there are but six targets to choose from, and what it expects to
# learn, it expects of a linear model and of interventions that do nothing but set their target,
# which these reagents are not. The dotted line is the whole data set.

everything = ActiveDesigner().fit(sachs.X, interventions=sachs.interventions)
limit = edge_average_precision(sachs.adjacency, everything.edge_probabilities_)

figure, axes = plt.subplots(1, 3, figsize=(16, 4.6), layout="constrained", width_ratios=[4, 5, 5])
steps = np.arange(budget + 1)
mean = genes.mean(axis=1)
curves = DesignCurveDisplay(algorithms, steps, mean, mean, mean, score="auprc").plot(ax=axes[0])
curves.legend_.remove()
axes[0].legend(*axes[0].get_legend_handles_labels(), loc="lower right", frameon=False)
axes[0].set_title(f"{n_networks} gene networks: means", loc="left")
DesignCurveDisplay(
    algorithms,
    steps,
    *means_and_intervals(genes - genes[1]),
    score="auprc",
    reference="balanced_half",
).plot(ax=axes[1])
axes[1].set_title("The same, paired by network", loc="left")
DesignCurveDisplay(
    orders, np.arange(n_experiments + 1), *means_and_intervals(proteins_found), score="auprc"
).plot(ax=axes[2])
axes[2].set_title(f"Sachs et al.: {n_repeats} starts", loc="left")
axes[2].axhline(limit, color="0.4", linestyle=":", linewidth=1.4)
axes[2].annotate(
    "all cells", (0, limit), xytext=(0, 4), textcoords="offset points", color="0.4", fontsize=9
)
Path("output").mkdir(exist_ok=True)
figure.savefig("output/lab_loop.png", dpi=120)
print("Figure: output/lab_loop.png")
