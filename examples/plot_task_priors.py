"""
Drawing causal systems, and intervening on them
===============================================

A task prior is a distribution over causal systems. One call draws as many as are wanted, one more
simulates them all, under any intervention, and the truth comes along: the graph, and the mean of
every variable under every intervention. Learned estimators are trained on such systems, and any
estimator can be checked on them.
"""

# %%
# A thousand linear systems at once
# ---------------------------------
# Five variables, about seven edges, one hidden confounder, and units in which every variable has
# variance 1. In all systems alike, the first variable is held at 2.

import os
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

from skcausal.datasets import make_gene_network
from skcausal.plotting import GraphDisplay
from skcausal.simulators import LinearPrior, log_cpm

FAST = bool(os.environ.get("SKCAUSAL_EXAMPLES_FAST"))  # tiny, for continuous integration

prior = LinearPrior(5, edges_per_variable=1.4, n_confounders=1, standardize="observational")
systems = prior.sample(1000, random_state=3)
mask = torch.tensor([True, False, False, False, False])

start = time.perf_counter()
X = systems.sample(1, interventions=mask, values=2.0, random_state=0)
seconds = time.perf_counter() - start
mean = systems.interventional_mean(interventions=mask, values=2.0)
print(f"Rows {tuple(X.shape)}, exact means {tuple(mean.shape)}")
print(f"One row of each of 1,000 systems in {1000 * seconds:.1f} ms")

# %%
# One system up close
# -------------------
# Each kind of intervention on one and the same variable: replace its mechanism by a value, add a
# value, or multiply its noise. With the same random state the noise is the same, so whatever is not
# downstream of the target stays as it is, row by row. Dotted lines are the exact means.

two_effects = (systems.adjacency.sum(dim=2) == 2) & (systems.adjacency.sum(dim=1) == 1)
system = systems[int(two_effects.any(dim=1).int().argmax())]
target = int(two_effects[two_effects.any(dim=1)][0].int().argmax())
mask = torch.arange(5) == target
variables = [f"x{i}" for i in range(5)]
n_rows = 500 if FAST else 20_000

cases = {
    "no intervention": {},
    "hard: do(x = 2)": {"interventions": mask, "values": 2.0, "kind": "hard"},
    "shift by 2": {"interventions": mask, "values": 2.0, "kind": "shift"},
    "noise times 3": {"interventions": mask, "values": 3.0, "kind": "noise"},
}
colours = dict(zip(cases, ["0.45", "#D55E00", "#0072B2", "#009E73"]))

figure = plt.figure(figsize=(13, 4.4), layout="constrained")
axes = figure.subplots(1, 6, width_ratios=[2.2, 1, 1, 1, 1, 1])
GraphDisplay(system.adjacency[0].numpy().astype(int), variables=variables).plot(ax=axes[0])
axes[0].set_title(f"The graph; {variables[target]} is the target")
for name, options in cases.items():
    rows = system.sample(n_rows, random_state=0, **options)[0].numpy()
    means = system.interventional_mean(**options)[0, 0].numpy()
    for j, ax in enumerate(axes[1:]):
        constant = rows[:, j].std() == 0
        if not constant:
            density, edges = np.histogram(rows[:, j], bins=np.linspace(-5, 5, 61), density=True)
            ax.stairs(density, edges, color=colours[name])
        line = "-" if constant else ":"
        ax.axvline(means[j], color=colours[name], linestyle=line, linewidth=1.5)
for j, ax in enumerate(axes[1:]):
    ax.set(title=variables[j], yticks=[], xlim=(-5, 5), ylim=(0, 1.2), xlabel="value")
axes[target + 1].set_title(f"{variables[target]} (target)")
handles = [plt.Line2D([], [], color=colour, label=name) for name, colour in colours.items()]
figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
Path("output").mkdir(exist_ok=True)
figure.savefig("output/task_prior_linear.png", dpi=120)

# %%
# Knock-outs in a gene network
# ----------------------------
# A gene network follows stochastic differential equations at their steady state, and is measured by
# a simulated sequencing platform. Each gene is knocked out in turn. Left: the network. Middle: how
# each knock-out changes the mean expression of every gene, before the measurement; a frame marks
# genes that the knocked-out one regulates. Right: the same from counts, in which dropout and
# library size blur the picture.

n_cells = 50 if FAST else 1000
options = {"n_genes": 8, "n_samples": n_cells, "edges_per_gene": 1.25, "random_state": 4}
clean = make_gene_network(technical_noise=None, **options)
counted = make_gene_network(technical_noise="10x_chromium", **options)
genes = clean.feature_names


def knock_out_effects(expression, regimes):
    """Mean of each regime minus that of the controls, knocked-out genes in rows."""
    means = expression.groupby(regimes).mean()
    return (means.loc[genes] - means.loc["control"])[genes].to_numpy()


figure, axes = plt.subplots(
    1, 3, figsize=(14, 4.6), layout="constrained", width_ratios=[1.15, 1, 1]
)
GraphDisplay(clean.adjacency).plot(ax=axes[0])
axes[0].set_title("Regulations")
panels = [
    ("Expression: knock-out minus control", np.log2(1 + clean.X), clean),
    ("Counts on 10X Chromium: log2 CPM", log_cpm(counted.X), counted),
]
for ax, (title, values, data) in zip(axes[1:], panels):
    effects = knock_out_effects(values, data.regimes)
    limit = np.abs(effects[~np.eye(len(genes), dtype=bool)]).max()
    image = ax.imshow(effects, cmap="RdBu_r", vmin=-limit, vmax=limit)
    for i, j in zip(*np.nonzero(data.adjacency.to_numpy())):
        ax.add_patch(plt.Rectangle((j - 0.5, i - 0.5), 1, 1, fill=False, linewidth=1.6))
    ticks = range(len(genes))
    ax.set(title=title, xticks=ticks, yticks=ticks, xticklabels=genes, yticklabels=genes)
    ax.set(xlabel="measured gene", ylabel="knocked-out gene")
    figure.colorbar(image, ax=ax, shrink=0.8, label="difference in mean log2")
figure.savefig("output/task_prior_gene_network.png", dpi=120)

zeros = (counted.X == 0).to_numpy().mean()
print(f"{100 * zeros:.0f} % of the counts are zero")
