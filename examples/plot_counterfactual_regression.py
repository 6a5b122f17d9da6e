"""
Effects on single units, where the data come from several places
================================================================

Three hospitals record three covariates that cause an outcome, and one that the outcome causes: the
hum of the recorder, louder for some patients and with another offset in every hospital. Whoever
predicts the outcome gains from the hum; whoever wants the effect of a treatment on a patient is
misled by it. Counterfactual regression can be told to give the representation the same distribution
in all hospitals. How much of that is right? A search finds out, without a single true effect, in a
pipeline on a table with a text column.
"""

# %%
# A table with a treatment and an environment
# -------------------------------------------
# The true effects are known, because the data are simulated; they are used for the last figures
# only.

import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import sklearn
from sklearn.compose import make_column_transformer
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skcausal import CFRRegressor, LeaveOneEnvironmentOut
from skcausal.datasets import make_leaky_hum
from skcausal.metrics import pehe
from skcausal.plotting import EffectDisplay, EffectErrorDisplay, RepresentationDisplay

FAST = bool(os.environ.get("SKCAUSAL_EXAMPLES_FAST"))  # tiny, for continuous integration
sklearn.set_config(enable_metadata_routing=True)

data = make_leaky_hum(
    300 if FAST else 3000, offsets=(-3.0, 0.0, 3.0), covariate_shift=0.25, random_state=0
)
shift = np.random.default_rng(0).choice(["day", "night"], len(data.X))
X = data.X.assign(shift=shift)
hospital = data.environment.map({0: "north", 1: "east", 2: "south"})
print(X.assign(treatment=data.treatment, hospital=hospital, y=data.y).head(3).round(2))

# %%
# A pipeline in a search
# ----------------------
# `alpha` is the weight of the alignment between the treated and the untreated, `env_alpha` that of
# the alignment between hospitals. The estimator asks for its metadata by itself: `fit` of the
# search takes them and hands them on, to the splitter as well.
#
# Two ways of splitting are compared. Ordinary folds ask for good predictions in the same three
# hospitals; `LeaveOneEnvironmentOut` asks for good predictions in a fourth.

columns = make_column_transformer(
    (StandardScaler(), ["z1", "z2", "z3", "s"]), (OneHotEncoder(drop="if_binary"), ["shift"])
)
model = CFRRegressor(representation_layers=(100, 100), max_epochs=40, n_ensemble=1, random_state=0)
if FAST:
    model.set_params(representation_layers=(16,), head_layers=(8,), max_epochs=5)
pipeline = make_pipeline(columns, model)
weights = [0.0, 3.0] if FAST else [0.0, 3.0, 10.0]
grid = {"cfrregressor__alpha": [0.0, 1.0], "cfrregressor__env_alpha": weights}

searches = {
    "folds in the same hospitals": GridSearchCV(
        pipeline, grid, cv=KFold(3, shuffle=True, random_state=0)
    ),
    "one hospital left out": GridSearchCV(pipeline, grid, cv=LeaveOneEnvironmentOut()),
}
for name, search in searches.items():
    search.fit(X, data.y, treatment=data.treatment, environment=hospital)
    print(f"{name}: R2 {search.best_score_:.2f} at {search.best_params_}")

# %%
# What the two ways of choosing are worth
# ---------------------------------------
# Within the same hospitals the hum is a fine predictor, and more alignment means a worse score. In
# a hospital that was left out it misleads.

fig, axes = plt.subplots(1, 2, figsize=(9.5, 3.6), layout="constrained")
for ax, (name, search) in zip(axes, searches.items()):
    EffectErrorDisplay.from_search(
        search, "env_alpha", ax=ax, alpha_name="env_alpha", error_name="minus R2 of outcomes"
    )
    ax.set_title(f"Scored by {name}", fontsize="medium")

# %%
# Now the truth is looked up: the error of the effects along the same weights, and at the choices of
# the two searches.

errors = []
for env_alpha in weights:
    fitted = pipeline.set_params(cfrregressor__alpha=0.0, cfrregressor__env_alpha=env_alpha)
    fitted.fit(X, data.y, treatment=data.treatment, environment=hospital)
    errors.append(pehe(data.effect, fitted[-1].effect(fitted[:-1].transform(X))))
chosen = {}
for name, search in searches.items():
    best = search.best_estimator_
    chosen[name] = pehe(data.effect, best[-1].effect(best[:-1].transform(X)))
print(pd.Series(chosen, name="error of unit effects").round(3))

display = EffectErrorDisplay.from_results(
    weights,
    {"alpha = 0": errors},
    baseline=float(data.effect.std()),
    baseline_name="one effect for all",
    alpha_name="env_alpha",
    error_name="Error of unit effects (PEHE)",
)

# %%
# Effects with intervals
# ----------------------
# An ensemble of five networks, at the choice of the second search, gives every patient an interval,
# and the population an average effect that inverse-propensity weights have corrected.

best = searches["one hospital left out"].best_estimator_.set_params(cfrregressor__n_ensemble=5)
best.fit(X, data.y, treatment=data.treatment, environment=hospital)
X_best = best[:-1].transform(X)
print(best[-1].ate(X_best))
EffectDisplay.from_estimator(best[-1], X_best, effect=data.effect)

# %%
# The representation without and with alignment
# ---------------------------------------------
# Without alignment the hospitals are easily told apart. With it they overlap, and so does a batch
# from each of them; a batch from a fourth hospital, whose hum is of another kind, is flagged by
# `environment_drift`, unless the representation has learned to ignore the hum.

fig, axes = plt.subplots(2, 2, figsize=(10, 8), layout="constrained")
for row, env_alpha in zip(axes, (0.0, best[-1].env_alpha or weights[-1])):
    fitted = pipeline.set_params(cfrregressor__alpha=0.0, cfrregressor__env_alpha=env_alpha)
    fitted.fit(X, data.y, treatment=data.treatment, environment=hospital)
    RepresentationDisplay.from_estimator(
        fitted[-1],
        fitted[:-1].transform(X),
        treatment=data.treatment,
        environment=hospital,
        max_units=600,
        ax=row,
    )
    row[0].set_title(f"env_alpha = {env_alpha:g}", loc="left", fontsize="medium")
    batch = fitted[:-1].transform(data.X_heldout.assign(shift="day")[:100])
    drift = fitted[-1].environment_drift(batch)
    print(f"env_alpha={env_alpha:g}: a batch of the fourth hospital has p = {drift.p_value:.3f}")

output = Path("output")
output.mkdir(exist_ok=True)
fig.savefig(output / "counterfactual_regression.png")
plt.show()
