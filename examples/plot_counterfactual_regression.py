"""
Effects on single units, where the data come from several places
================================================================

Three hospitals record three covariates that cause an outcome, and one that the outcome causes: the
hum of the recorder, louder for some patients and with another offset in every hospital. Whoever
predicts the outcome gains from the hum; whoever wants the effect of a treatment on a patient is
misled by it. Counterfactual regression can be told to give the representation the same distribution
in all hospitals. How much of that is right? A search has to say, without a single true effect, in a
pipeline on a table with a text column. What its choice is worth is looked up in the end.
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
# Within the same hospitals the hum is a fine predictor, and alignment does not pay. In a hospital
# that was left out the hum misleads. But hospitals are few, and the standard errors are large.

fig, axes = plt.subplots(1, 2, figsize=(9.5, 3.6), layout="constrained")
for ax, (name, search) in zip(axes, searches.items()):
    EffectErrorDisplay.from_search(
        search, "env_alpha", ax=ax, alpha_name="env_alpha", error_name="minus R2 of outcomes"
    )
    ax.set_title(f"Scored by {name}", fontsize="medium")

# %%
# Now the truth is looked up, for patients of a fourth hospital whose hum is of another kind: the
# error of their effects along the same weights, and at the choices of the two searches. Scores of
# outcomes rank effects but roughly: the search that looked at the right question need not win.

X_fourth = data.X_heldout.assign(shift="day")
errors = []
for env_alpha in weights:
    fitted = pipeline.set_params(cfrregressor__alpha=0.0, cfrregressor__env_alpha=env_alpha)
    fitted.fit(X, data.y, treatment=data.treatment, environment=hospital)
    effect = fitted[-1].effect(fitted[:-1].transform(X_fourth))
    errors.append(pehe(data.effect_heldout, effect))
chosen = {}
for name, search in searches.items():
    best = search.best_estimator_
    effect = best[-1].effect(best[:-1].transform(X_fourth))
    chosen[name] = pehe(data.effect_heldout, effect)
print(pd.Series(chosen, name="error of unit effects").round(3))

display = EffectErrorDisplay.from_results(
    weights,
    {"alpha = 0": errors},
    baseline=float(data.effect_heldout.std()),
    baseline_name="one effect for all",
    alpha_name="env_alpha",
    error_name="Error of unit effects (PEHE)",
)

# %%
# Effects with intervals
# ----------------------
# An ensemble of five networks, at the choice of the second search, gives every patient an interval.
# The average effect has one, too. It is estimated without the hum here: its correction weights by
# the chance of treatment given the covariates, and a covariate that the treatment moves (as it
# moves the outcome, and with it the hum) spoils that. No alignment makes good for it.

best = searches["one hospital left out"].best_estimator_.set_params(cfrregressor__n_ensemble=5)
best.fit(X, data.y, treatment=data.treatment, environment=hospital)
X_best = best[:-1].transform(X)
causes = X[["z1", "z2", "z3"]]
without_hum = CFRRegressor(random_state=0).set_params(
    **({"max_epochs": 5, "representation_layers": (16,)} if FAST else {})
)
without_hum.fit(causes, data.y, treatment=data.treatment)
print(f"true average {data.effect.mean():.2f}, without the hum {without_hum.ate(causes)}")
EffectDisplay.from_predictions(
    best[-1].effect(X_best),
    interval=best[-1].effect_interval(X_best),
    average=without_hum.ate(causes)[:3],
    effect=data.effect,
)

# %%
# The representation without and with alignment
# ---------------------------------------------
# Treatment arms and hospitals overlap in the representation. A picture in two dimensions shows no
# more than that; `environment_drift` tests whether a batch of rows comes from a known hospital. It
# flags patients of the fourth where the representation rests on the hum, and has less reason to
# where it does not.

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
