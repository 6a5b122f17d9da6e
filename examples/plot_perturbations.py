"""
What does a drug act on, and what follows?
==========================================

The targets of a perturbation are often unknown: a drug at some dose changes thousands of genes, of
which it may touch only a few. A generative intervention model takes features of the perturbations
and infers which variables are targets, how strongly they are hit, and which causal model carries
the effects on. The features let it predict doses and drugs that nobody has tried.
"""

# %%
# Perturbations with hidden targets
# ---------------------------------
# Forty drugs at four doses act on a linear system of twelve variables. Features are a fingerprint
# of the drug, which mixes its strengths on all variables, and the parameters of its dose-response
# curve. Five other doses are for testing, and twenty more drugs.

import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from skcausal import GenerativeInterventionModel
from skcausal.datasets import load_l1000_a375, make_dose_response
from skcausal.metrics import delta_rmse, structural_hamming_distance, target_f1
from skcausal.perturbation import FeatureRegression, NoChange, UnknownTargetIGSP
from skcausal.plotting import DoseResponseDisplay, TargetProbabilityDisplay
from skcausal.simulators import DoseResponsePrior, LinearPrior

FAST = bool(os.environ.get("SKCAUSAL_EXAMPLES_FAST"))  # tiny, for continuous integration
OUTPUT = Path("output")
OUTPUT.mkdir(exist_ok=True)

systems = LinearPrior(12, edges_per_variable=1.5, standardize="observational")
prior = DoseResponsePrior(
    systems,
    n_perturbations=16 if FAST else 60,
    n_heldout_perturbations=4 if FAST else 20,
    features="mixed",
)
data = make_dose_response(prior, random_state=1)
print(f"{len(data.X)} rows, {data.interventions.shape[1]} features")

# %%
# Graph and targets
# -----------------
# No target is told. Rows of zeros among the features mark controls. UT-IGSP, which tests for
# changes of mechanisms in every context on its own, is the classical method.

model = GenerativeInterventionModel(random_state=0)
model.fit(data.X, interventions=data.interventions)
classical = UnknownTargetIGSP(random_state=0).fit(data.X, interventions=data.interventions)

first = np.unique(model.context_of_row_, return_index=True)[1][1:]
truth = data.targets.to_numpy()[data.perturbations.iloc[first]]
for name, learner in {"GIM": model, "UT-IGSP": classical}.items():
    distance = structural_hamming_distance(data.adjacency, learner.adjacency_)
    score = target_f1(truth, learner.intervention_targets_[1:] > 0.5)
    print(f"{name}: {distance} wrong edges of {data.adjacency.to_numpy().sum()}, F1 {score:.3f}")

# %%
# The inferred probability of each target, for the first drugs at their four doses. Dots are the
# truth. At low doses, where a drug does next to nothing, the model still knows: other doses of the
# drug have told.

shown = data.perturbations.isin(range(8))
display = TargetProbabilityDisplay.from_estimator(
    model,
    data.interventions[shown],
    labels=data.regimes[shown],
    groups=data.perturbations[shown],
    true_targets=data.targets.to_numpy()[data.perturbations[shown]],
)
display.figure_.savefig(OUTPUT / "perturbation_targets.png", dpi=120)

# %%
# Doses and drugs that nobody has tried
# -------------------------------------
# Error of the predicted means, against the true ones. New doses are easy for whoever remembers the
# drug. New drugs are hard: forty examples tell little of what a fingerprint does.

learners = {
    "no change": NoChange().fit(data.X, interventions=data.interventions),
    "ridge regression": FeatureRegression(random_state=0).fit(
        data.X, interventions=data.interventions
    ),
    "kernel ridge": FeatureRegression("kernel_ridge", random_state=0).fit(
        data.X, interventions=data.interventions
    ),
    "UT-IGSP": classical,
    "GIM": model,
}
errors = pd.DataFrame(index=list(learners), columns=["new doses", "new drugs"], dtype=float)
for column, split in zip(errors.columns, ("partly_ood", "fully_ood")):
    means, features = data[f"means_{split}"], data[f"interventions_{split}"]
    unknown = pd.DataFrame(np.nan, index=means.index, columns=means.columns)
    for name, learner in learners.items():
        predicted = learner.predict(unknown, interventions=features)
        errors.loc[name, column] = delta_rmse(
            means, predicted, regimes=data[f"regimes_{split}"].to_numpy()
        )
errors.round(3)

# %%
# Curves of three drugs through all doses, on the variables that they change most. Filled points
# trained the model, open ones did not.

X_all = pd.concat([data.X, data.X_partly_ood], ignore_index=True)
features = pd.concat([data.interventions, data.interventions_partly_ood], ignore_index=True)
drugs = pd.concat([data.perturbations, data.perturbations_partly_ood], ignore_index=True)
doses = pd.concat([data.doses, data.doses_partly_ood], ignore_index=True)
curves = DoseResponseDisplay.from_estimator(
    model,
    X_all,
    features,
    doses=doses,
    perturbations=drugs,
    shown=[0, 1, 2],
    heldout=np.arange(len(X_all)) >= len(data.X),
)
curves.figure_.savefig(OUTPUT / "perturbation_curves.png", dpi=120)

# %%
# Real drugs
# ----------
# One plate of melanoma cells under 55 compounds and four positive controls, at six doses with one
# well each. The highest dose is left out of training. With 26 control wells and hundreds of genes
# no graph can be learned, and an empty one is given: the model is then a generator alone, and one
# penalty for each gene tells signal from noise. Next to each drug's own slope, two features are
# common to all drugs.

plate = load_l1000_a375()
treated = (plate.interventions > 0).astype(float).add_suffix(" given")
log_dose = plate.interventions.max(axis=1)
features = pd.concat([plate.interventions, treated], axis=1)
features = features.assign(any_drug=(log_dose > 0).astype(float), log_dose=log_dose)
train = (plate.doses.max(axis=1) < 9).to_numpy()
genes = plate.X.loc[train].var().nlargest(40 if FAST else 978).index
model = GenerativeInterventionModel(
    generator="linear", adjacency=np.zeros((len(genes), len(genes))), random_state=0
)
model.fit(plate.X.loc[train, genes], interventions=features[train])

# %%
# What is predicted of the wells at 10 micromolar: correlation of predicted and measured shifts.

test = plate.X.loc[~train, genes]
predicted = model.predict(test * np.nan, interventions=features[~train])
control = plate.X.loc[(plate.drugs == "control").to_numpy(), genes].mean().to_numpy()
correlation = [
    np.corrcoef(row - control, guess - control)[0, 1]
    for row, guess in zip(test.to_numpy(), predicted)
]
best = pd.Series(correlation, index=plate.drugs[~train].to_numpy()).nlargest(5)
print(f"Mean over {len(test)} drugs: {np.mean(correlation):.2f}. Best:")
print(best.round(2).to_string())

plt.show()
