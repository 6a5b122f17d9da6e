"""
Who should be treated?
======================

A treatment that helps on average may harm some, and there may not be enough of it for all. Both ask
for the same thing: an order of the units by what the treatment does to them. Here counterfactual
regression gives that order, with an interval for each unit, and so do two simpler ways; new units
are then treated from the top of each list down. The outcomes are simulated on the covariates of
real births, so the value of every list is known. What could have been known without the simulation
is drawn beside it.
"""

# %%
# Units to learn from, and units to decide about
# ----------------------------------------------
# Treatment was not random. The three text columns become indicators.

import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcausal import CFRRegressor
from skcausal.datasets import load_acic2016
from skcausal.metrics import pehe, policy_value
from skcausal.plotting import EffectDisplay

FAST = bool(os.environ.get("SKCAUSAL_EXAMPLES_FAST"))  # tiny, for continuous integration

births = load_acic2016(realization=5)
X = pd.get_dummies(births.X, dtype=float)
train, test = train_test_split(
    X.index,
    train_size=300 if FAST else 2000,
    test_size=300 if FAST else None,
    stratify=births.treatment,
    random_state=0,
)
y, treatment = births.y, births.treatment
print(f"{len(train)} units to learn from, {treatment[train].mean():.0%} of them treated")
print(
    f"{len(test)} units to decide about, of which treatment harms "
    f"{(births.effect[test] < 0).mean():.0%}"
)

# %%
# Three lists
# -----------
# - Counterfactual regression, five networks;
# - two ridge regressions, one for the treated and one for the untreated;
# - the outcome without treatment, lowest first: "treat those who are worst off". It is what is done
#   where effects are not modelled.

settings = {"max_epochs": 3, "representation_layers": (16,)} if FAST else {"max_epochs": 30}
model = CFRRegressor(random_state=0, **settings)
model.fit(X.loc[train], y[train], treatment=treatment[train])


def ridge(level):
    """Ridge regression of the outcomes of one arm."""
    arm = train[treatment[train] == level]
    pipeline = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 4, 13)))
    return pipeline.fit(X.loc[arm], y[arm])


untreated, treated = ridge(0).predict(X.loc[test]), ridge(1).predict(X.loc[test])
priority = {
    "CFRRegressor": model.effect(X.loc[test]),
    "two ridge regressions": treated - untreated,
    "worst off first": -untreated,
}
truth = births.effect[test].to_numpy()
for name in ("CFRRegressor", "two ridge regressions"):
    print(f"{name}: error of unit effects {pehe(truth, priority[name]):.2f}")
print(f"one effect for all: at best {truth.std():.2f}")

# %%
# How sure is it of each unit?
# ----------------------------
# Intervals come from the disagreement of the networks. Here they can be checked.

lower, upper = model.effect_interval(X.loc[test], level=0.9)
print(f"90 % intervals hold {np.mean((lower <= truth) & (truth <= upper)):.0%} of the true effects")
print(
    f"{np.mean(lower > 0):.0%} surely gain, {np.mean(upper < 0):.0%} are surely harmed, by these "
    "intervals; of the others one cannot tell"
)
EffectDisplay.from_estimator(model, X.loc[test], effect=truth)

# %%
# What a list is worth
# --------------------
# If the first so many units of a list are treated, what is the mean outcome? The simulation knows.
# :func:`skcausal.metrics.policy_value` estimates the same from the observed outcomes and treatments
# of the new units: by regressions and propensities that it fits to them. It needs no truth, but
# that treatment was as good as random given the covariates.

shares = np.linspace(0, 1, 5 if FAST else 21)
outcomes = births.potential_outcomes.loc[test].to_numpy()
propensity = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))


def treat(priority, share):
    """Whether each unit is among the first of the list."""
    place = np.argsort(np.argsort(-priority, kind="stable"))
    return place < round(share * len(priority))


def known_value(chosen):
    """Mean outcome if the chosen units are treated, by the simulation."""
    return np.where(chosen, outcomes[:, 1], outcomes[:, 0]).mean()


def estimated_value(chosen):
    """The same by doubly robust estimation from what was observed."""
    preferred = np.column_stack([~chosen, chosen]).astype(float)
    return policy_value(X.loc[test], y[test], treatment[test], preferred, model_t=propensity)


curves = {
    name: [known_value(treat(scores, share)) for share in shares]
    for name, scores in (priority | {"true effects": truth}).items()
}
estimates = {
    name: [estimated_value(treat(scores, share)) for share in shares[:: 1 if FAST else 2]]
    for name, scores in priority.items()
}

# %%
# Nobody has to be treated in full
# --------------------------------
# With enough of the treatment for all, those are treated whose predicted effect is above zero; or,
# more cautiously, those whose interval is. Caution spares units that would be harmed and passes
# over units that would gain: whether it is worth it depends on which of the two is worse.

policies = {
    "nobody": np.zeros(len(test), dtype=bool),
    "everybody": np.ones(len(test), dtype=bool),
    "two ridge regressions > 0": priority["two ridge regressions"] > 0,
    "CFRRegressor > 0": priority["CFRRegressor"] > 0,
    "its 90 % interval > 0": lower > 0,
    "true effect > 0": truth > 0,
}
table = pd.DataFrame(
    {
        name: {
            "treated": chosen.mean(),
            "harmed by it": (chosen & (truth < 0)).mean(),
            "mean outcome": known_value(chosen),
            "estimate": estimated_value(chosen),
        }
        for name, chosen in policies.items()
    }
).T
print(table.round(2).to_string())

# %%
# One picture
# -----------
# Left: units in the order of their predicted effects, with their intervals and the truth. Right:
# lines are the known values, points the estimates from observed outcomes. It is one table of one
# kind; where effects are linear in the covariates, or the same for all, the ridge regressions need
# not be the worse ones. The benchmarks compare learners on more tables.

figure, (left, right) = plt.subplots(1, 2, figsize=(13.5, 5.6), layout="constrained")
order = np.argsort(-priority["CFRRegressor"])
place = 100 * (np.arange(len(order)) + 0.5) / len(order)
left.plot(place, truth[order], ".", markersize=2.5, color="0.55", label="true effect")
left.fill_between(
    place,
    lower[order],
    upper[order],
    color="#56B4E9",
    alpha=0.45,
    linewidth=0,
    label="90 % interval",
)
left.plot(place, priority["CFRRegressor"][order], color="#0072B2", label="predicted effect")
left.axhline(0, color="0.3", linewidth=1)
left.set(xlabel="units, by predicted effect (%)", ylabel="effect of the treatment", xlim=(0, 100))
left.set_ylim(1.1 * truth.min(), np.quantile(truth, 0.999))  # a few units are beyond
left.legend(frameon=False, loc="upper right", markerscale=3)

styles = {
    "true effects": ("0.3", "--"),
    "CFRRegressor": ("#0072B2", "-"),
    "two ridge regressions": ("#D55E00", "-"),
    "worst off first": ("#009E73", "-"),
}
for name, (colour, dash) in styles.items():
    right.plot(100 * shares, curves[name], dash, color=colour, label=name)
    if name in estimates:
        right.plot(100 * shares[:: 1 if FAST else 2], estimates[name], "o", color=colour, ms=4)
right.plot([0, 100], [curves["true effects"][i] for i in (0, -1)], color="0.7", label="by lot")
right.plot([], [], "o", color="0.5", markersize=4, label="estimates, without the truth")
right.set(xlabel="share of units treated (%)", ylabel="mean outcome", xlim=(-1, 101))
right.legend(frameon=False, loc="lower right")
for ax in (left, right):
    ax.spines[["top", "right"]].set_visible(False)
Path("output").mkdir(exist_ok=True)
figure.savefig("output/treatment_policy.png", dpi=110)
print("Figure: output/treatment_policy.png")
