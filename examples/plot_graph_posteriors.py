"""
How sure is each edge?
======================

Thirty observations and a few interventions do not determine a graph. A search returns one all the
same, and a bootstrap of it says how stable the search is. A posterior says how probable each edge
is, and that can be put to the test: of all edges that it calls 80 % probable, four in five should
exist. Here the exact posterior, a pretrained network and a bootstrapped search are asked for the
same systems.
"""

# %%
# Systems and experiments
# -----------------------
# Noise as large as the effects, 30 rows without intervention, and one row for each variable that
# was set to a value.

import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from skcausal.metrics import edge_average_precision, edge_calibration_error, edge_log_score
from skcausal.plotting import EdgeProbabilityDisplay, ReliabilityDisplay
from skcausal.simulators import LinearPrior
from skcausal.structure import (
    GIES,
    AmortizedGraphPosterior,
    BootstrapEnsemble,
    ExactGraphPosterior,
)

FAST = bool(os.environ.get("SKCAUSAL_EXAMPLES_FAST"))  # tiny, for continuous integration

n_systems, n_variables, n_bootstrap = (4, 5, 3) if FAST else (150, 8, 20)
prior = LinearPrior(n_variables, edges_per_variable=1.5, noise_variance=1.0)
systems = prior.sample(n_systems, random_state=0)
mask = np.vstack([np.zeros((30, n_variables), dtype=bool), np.eye(n_variables, dtype=bool)])
rows = systems.sample(len(mask), interventions=mask, values=2.0, random_state=1).double().numpy()
truth = systems.adjacency.numpy().astype(np.int8)

# %%
# Probabilities of all edges
# --------------------------
# Of each system, by three estimators with one interface. The search counts the bootstrap samples
# on which it finds an edge.

models = {
    "exact posterior": ExactGraphPosterior(random_state=0),
    "pretrained network": AmortizedGraphPosterior(random_state=0),
    "bootstrapped GIES": BootstrapEnsemble(
        GIES(centering="pooled"), n_bootstrap=n_bootstrap, random_state=0
    ),
}
probabilities = {
    name: np.stack([model.fit(X, interventions=mask).edge_probabilities_ for X in rows])
    for name, model in models.items()
}

# %%
# Which are good, and which hold what they say?
# ---------------------------------------------
# Average precision asks for the order alone: are the edges above the rest? The log score and the
# calibration error ask for the numbers. The prior of the exact posterior is a broad one, not that
# of these systems; nor was the network trained on them alone.

scores = pd.DataFrame(
    {
        name: {
            "average precision": np.mean(
                [edge_average_precision(t, p) for t, p in zip(truth, edges) if t.any()]
            ),
            "log score": edge_log_score(truth, edges, clip=0.01),
            "calibration error": edge_calibration_error(truth, edges),
        }
        for name, edges in probabilities.items()
    }
).T
print(f"Over {n_systems} systems of {n_variables} variables:")
print(scores.round(3).to_string())

# %%
# One picture
# -----------
# Above, one system: edges that exist are outlined. Below, all of them: what was said against
# what was found.

figure = plt.figure(figsize=(13, 9), layout="constrained")
above, below = figure.subfigures(2, 1, height_ratios=[1, 1.05])
for ax, (name, edges) in zip(above.subplots(1, 3), probabilities.items()):
    EdgeProbabilityDisplay.from_predictions(truth[0], edges[0], ax=ax)
    ax.set_title(f"{name}; outlined: true edges", loc="left", fontsize=10)
left, right = below.subplots(1, 2)
for name, edges in probabilities.items():
    ReliabilityDisplay.from_predictions(truth, edges, name=name, ax=left)
names = list(scores.index)
right.barh(names, scores["average precision"], color=["#0072B2", "#D55E00", "#009E73"], height=0.6)
for position, value in enumerate(scores["average precision"]):
    right.text(value - 0.01, position, f"{value:.2f}", ha="right", va="center", color="white")
right.set(xlabel="average precision of edges", xlim=(0, 1))
right.invert_yaxis()
right.spines[["top", "right"]].set_visible(False)
Path("output").mkdir(exist_ok=True)
figure.savefig("output/graph_posteriors.png", dpi=110)
print("Figure: output/graph_posteriors.png")
