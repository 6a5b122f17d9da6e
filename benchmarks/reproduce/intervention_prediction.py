"""Error of predicted effects of unseen interventions, on simulated systems of many kinds.

Every system is seen in an observational regime and under single interventions (in the settings
"seed_*", which are those of table1_baselines.py, also under most pairs). Asked for is E[X | do] of
interventions not seen: pairs, or in "untargeted_*" single variables that no training regime
targets; nothing but the do-values is known. All values are set to 2 unless said otherwise. Figures
per system and method, in units of the standard deviation over all training rows:

- effect: root mean squared error over queries and variables, targets counting as 0;
- coverage: share of free cells whose true mean lies within 1.645 predicted standard deviations,
  for predictors that give them; 0.9 is the aim;
- others: where there are test rows (seed_*), the transfer loss when each variable is predicted
  from all others. Its floor are the true parameters;
- shd: structural Hamming distance of the learned graph to the true one;
- seconds: processor time of fitting and predicting the effects.

"true graph" is least squares on the true parents, also where the truth has feedback or hidden
confounders, which biases it, or is nonlinear. All methods see the same systems and rows, whatever
else is run. Their seed is 2^32 + --first-seed, beyond the seeds that a meta-training can have, so
that no network has been trained on them.

    python benchmarks/reproduce/intervention_prediction.py
    python benchmarks/reproduce/intervention_prediction.py --settings n2 --methods GIES meta
    python benchmarks/reproduce/intervention_prediction.py --weights mine=my.safetensors --methods

Results are merged into those of other settings and methods that the files hold already.
"""

import argparse
import inspect
import math
import time
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _provenance import write_csv
from scipy.stats import loguniform

from skcausal.base import InterventionPredictor
from skcausal.metrics import structural_hamming_distance, transfer_loss
from skcausal.prediction import (
    ConditionalRidge,
    InterventionRidge,
    MetaInterventionPredictor,
    NoEffect,
)
from skcausal.simulators import LinearPrior, NonlinearPrior
from skcausal.structure import GIES, IGSP, LinearGaussianSCM, ShiftOrder
from skcausal.structure._learner import StructureLearner
from skcausal.structure._linear_scm_queries import LinearSCMQueries

STEM = "intervention_prediction"
FIRST_SEED = 2**32
DO_VALUE = 2.0
FIGURES = ["effect", "coverage", "others", "shd", "seconds"]


@dataclass(frozen=True)
class Setting:
    """Systems, training regimes and queries."""

    prior: LinearPrior | NonlinearPrior
    n_rows: int
    n_pairs: int = 0
    n_queries: int = 10
    n_untargeted: int = 0
    random_values: bool = False
    test_rows: bool = False
    n_systems: int = 100

    @property
    def size(self):
        """Number of variables."""
        return self.prior.n_variables


def make_settings():
    """Return all settings by name."""
    default = LinearPrior(10)
    cycles = LinearPrior(10, graph="directed_erdos_renyi", edges_per_variable=0.7, n_cycles=1)
    confounders = LinearPrior(10, n_confounders=2)
    small_weights = LinearPrior(10, weight_scale=0.5, weight_gap=0.0)
    spread = loguniform(0.1 * math.exp(-1.6), 0.1 * math.exp(1.6))
    return {
        "seed_d4": Setting(LinearPrior(4), 200, n_pairs=5, n_queries=1, test_rows=True),
        "seed_d10": Setting(default, 50, n_pairs=40, n_queries=5, test_rows=True),
        "singles_n50_d10": Setting(default, 50),
        "singles_n5_d10": Setting(default, 5),
        "n2": Setting(default, 2),
        "singles_n50_d15": Setting(LinearPrior(15), 50),
        "singles_n5_d15": Setting(LinearPrior(15), 5),
        "cycles_n50": Setting(cycles, 50),
        "cycles_n5": Setting(cycles, 5),
        "confounders_n50": Setting(confounders, 50),
        "confounders_n5": Setting(confounders, 5),
        "untargeted_n50": Setting(default, 50, n_untargeted=3, n_queries=3),
        "untargeted_n5": Setting(default, 5, n_untargeted=3, n_queries=3),
        "random_do_n5": Setting(default, 5, random_values=True),
        "small_weights_n50": Setting(small_weights, 50),
        "dense_n50": Setting(LinearPrior(10, edges_per_variable=2.0), 50),
        "dense_n5": Setting(LinearPrior(10, edges_per_variable=2.0), 5),
        "noise1_n50": Setting(LinearPrior(10, noise_variance=1.0), 50),
        "noise1_n5": Setting(LinearPrior(10, noise_variance=1.0), 5),
        "noise_spread_n5": Setting(LinearPrior(10, noise_variance=spread), 5),
        "gumbel_n5": Setting(LinearPrior(10, noise="gumbel"), 5),
        "nonlinear_n50": Setting(NonlinearPrior(10), 50),
        "nonlinear_mlp_n50": Setting(NonlinearPrior(10, mechanism="mlp"), 50),
        "seed_d20": Setting(
            LinearPrior(20), 20, n_pairs=180, n_queries=10, test_rows=True, n_systems=40
        ),
        "singles_n20_d20": Setting(LinearPrior(20), 20, n_systems=40),
        "singles_n5_d30": Setting(LinearPrior(30), 5, n_systems=40),
        "singles_n50_d30": Setting(LinearPrior(30), 50, n_systems=40),
        "large_d50": Setting(LinearPrior(50), 50, n_systems=20),
        "large_d100": Setting(LinearPrior(100), 50, n_systems=10),
    }


SETTINGS = make_settings()
PANELS = {
    "most pairs seen": ["seed_d4", "seed_d10", "seed_d20"],
    "singles seen, acyclic": [
        "singles_n50_d10",
        "singles_n50_d15",
        "singles_n50_d30",
        "large_d50",
        "large_d100",
    ],
    "few rows": [
        "singles_n20_d20",
        "singles_n5_d10",
        "singles_n5_d15",
        "singles_n5_d30",
        "n2",
        "random_do_n5",
    ],
    "feedback, hidden confounders": [
        "cycles_n50",
        "cycles_n5",
        "confounders_n50",
        "confounders_n5",
    ],
    "weights and density": ["small_weights_n50", "dense_n50", "dense_n5"],
    "noise": ["noise1_n50", "noise1_n5", "noise_spread_n5", "gumbel_n5"],
    "queries never targeted": ["untargeted_n50", "untargeted_n5"],
    "nonlinear": ["nonlinear_n50", "nonlinear_mlp_n50"],
}


class TrueGraph(StructureLearner):
    """Least squares on the true parents; unlike KnownGraph, on graphs with cycles too."""

    def __init__(self, adjacency):
        self.adjacency = adjacency

    def _learn_graph(self, X, mask, regime):
        return self.adjacency


class TrueParameters(LinearSCMQueries, InterventionPredictor):
    """The system that the rows came from."""

    def __init__(self, systems):
        self.systems = systems

    def _fit(self, X, mask, regime):
        coef, scale = self.systems.coef[0].numpy(), self.systems.noise_scale[0].numpy()
        unknown = np.full(len(scale), np.nan)
        self.scm_ = LinearGaussianSCM(coef, np.zeros(len(scale)), scale**2, unknown, unknown)


# Each is made from the task. No more than the two that are called true see the truth in it.
METHODS = {
    "true graph": lambda task: TrueGraph(task.adjacency),
    "GIES": lambda task: GIES(),
    "GIES, pooled": lambda task: GIES(centering="pooled"),
    "IGSP": lambda task: IGSP(random_state=task.seed),
    "ShiftOrder": lambda task: ShiftOrder(),
    "conditional ridge": lambda task: ConditionalRidge(),
    "additive ridge": lambda task: InterventionRidge(alpha=1e-3 * len(task.X), encoding="values"),
    "no effect": lambda task: NoEffect(),
    "true parameters": lambda task: TrueParameters(task.systems),  # with test rows only
    "meta": lambda task: MetaInterventionPredictor(),
    "meta, 10 gradient steps": lambda task: MetaInterventionPredictor(n_finetune_steps=10),
}


@dataclass(frozen=True, eq=False)
class Task:
    """One system with its training rows, and queries with their true means and test rows."""

    systems: object
    adjacency: np.ndarray
    seed: int
    X: np.ndarray
    mask: np.ndarray
    query_mask: np.ndarray
    query_values: np.ndarray
    means: np.ndarray
    X_test: np.ndarray
    mask_test: np.ndarray


def draw_task(setting, first_seed, k):
    """Draw the k-th system of a setting; it does not depend on how many are drawn."""
    rng = np.random.default_rng([first_seed, k])
    seed, d = FIRST_SEED + first_seed, setting.size
    systems = setting.prior.sample(1, random_state=seed, start=k, dtype=torch.float64)
    context, queries = draw_regimes(setting, rng)
    targets = np.concatenate([context, queries])
    values = np.full(targets.shape, DO_VALUE)
    if setting.random_values:
        values = DO_VALUE * rng.standard_normal(targets.shape)
    rows = systems.sample(
        setting.n_rows,
        torch.tensor(targets)[None, :, None],
        torch.tensor(values)[None, :, None],
        random_state=seed,
    )[0]
    mask = np.repeat(targets, setting.n_rows, axis=0)
    X, n_train = rows.reshape(-1, d).numpy(), len(context) * setting.n_rows
    means = systems.interventional_mean(
        torch.tensor(queries)[None], torch.tensor(values[len(context) :])[None], n_samples=2000
    )
    return Task(
        systems=systems,
        adjacency=systems.adjacency[0].numpy().astype(np.int8),
        seed=k,
        X=X[:n_train],
        mask=mask[:n_train],
        query_mask=queries,
        query_values=np.where(queries, values[len(context) :], np.nan),
        means=means[0].numpy(),
        X_test=X[n_train:],
        mask_test=mask[n_train:],
    )


def draw_regimes(setting, rng):
    """Targets of the training regimes and of the queries."""
    d = setting.size
    pairs = np.array(list(combinations(range(d), 2)))[rng.permutation(math.comb(d, 2))]
    pairs = np.eye(d, dtype=bool)[pairs].any(axis=1)
    nodes, single = rng.permutation(d), np.eye(d, dtype=bool)
    untargeted = np.sort(nodes[: setting.n_untargeted])
    singles = np.delete(single, untargeted, axis=0)
    if setting.n_untargeted:
        queries, seen = single[untargeted], pairs[:0]
    else:
        queries, seen = np.split(pairs[: setting.n_queries + setting.n_pairs], [setting.n_queries])
    return np.concatenate([np.zeros((1, d), dtype=bool), singles, seen]), queries


def evaluate(model, task, setting):
    """Fit on the training rows and return the figures on the queries."""
    with_std = "return_std" in inspect.signature(model.predict).parameters
    start = time.process_time()
    model.fit(task.X, interventions=task.mask)
    options = {"return_std": True} if with_std else {}
    effect = model.predict(task.query_values, interventions=task.query_mask, **options)
    line = {"seconds": time.process_time() - start}
    scale = task.X.std(axis=0)
    if with_std:
        effect, std = effect
        covered = np.abs(effect - task.means) <= 1.645 * std
        line["coverage"] = covered[~task.query_mask].mean()
    loss = {"interventions": task.query_mask, "scale": scale}
    line["effect"] = np.sqrt(transfer_loss(task.means, effect, **loss))
    if setting.test_rows:
        predicted = model.predict(task.X_test, interventions=task.mask_test)
        line["others"] = transfer_loss(
            task.X_test, predicted, interventions=task.mask_test, scale=scale
        )
    if hasattr(model, "adjacency_"):
        line["shd"] = structural_hamming_distance(task.adjacency, model.adjacency_)
    return line


def run(name, methods, n_systems, first_seed):
    """Evaluate methods on the systems of one setting; one line per method and system."""
    setting, lines = SETTINGS[name], []
    n_systems = n_systems or setting.n_systems
    if not setting.test_rows:
        methods = {m: make for m, make in methods.items() if m != "true parameters"}
    for k in range(n_systems):
        task = draw_task(setting, first_seed, k)
        for method, make in methods.items():
            line = {"setting": name, "method": method, "first_seed": first_seed, "system": k}
            try:
                line |= evaluate(make(task), task, setting)
            except Exception as error:  # recorded as a gap, so that one failure loses no other fit
                print(f"{name}, {method}, system {k}: {error!r}", flush=True)
            lines.append(line)
    return pd.DataFrame(lines).reindex(
        columns=["setting", "method", "first_seed", "system", *FIGURES]
    )


def merge(lines, path):
    """Put lines in place of those of equal setting and method in a file; sort by setting."""
    if path.exists():
        old = pd.read_csv(path, comment="#")
        keys = pd.MultiIndex.from_frame(lines[["setting", "method"]])
        replaced = pd.MultiIndex.from_frame(old[["setting", "method"]]).isin(keys)
        lines = pd.concat([old[~replaced], lines.round(6)], ignore_index=True)
    ranks = {
        "setting": {name: k for k, name in enumerate(SETTINGS)},
        "method": {name: k for k, name in enumerate(METHODS)},
    }
    return lines.sort_values(
        ["setting", "method", "system"],
        key=lambda c: c.map(ranks[c.name]).fillna(len(METHODS)) if c.name in ranks else c,
        kind="stable",
        ignore_index=True,
    )


def summarise(lines):
    """Mean, median, 95th percentile and standard error, and the mean's ratio to the true graph's.

    The ratio is over those systems on which both have figures.
    """
    keys = ["first_seed", "setting", "system"]
    truth = lines.loc[lines["method"] == "true graph", [*keys, "effect"]]
    lines = lines.merge(truth.rename(columns={"effect": "truth"}), on=keys, how="left")
    both = lines["effect"].notna() & lines["truth"].notna()
    lines["own"], lines["truth"] = lines["effect"].where(both), lines["truth"].where(both)
    grouped = lines.groupby(["setting", "method"], sort=False)
    mean = grouped[[*FIGURES, "own", "truth"]].mean()
    return pd.DataFrame(
        {
            "systems": grouped.size(),
            "failed": grouped.size() - grouped["effect"].count(),
            "effect": mean["effect"],
            "effect_se": grouped["effect"].sem(),
            "effect_median": grouped["effect"].median(),
            "effect_p95": grouped["effect"].quantile(0.95),
            "effect_ratio": mean["own"] / mean["truth"],
            **{column: mean[column] for column in FIGURES[1:]},
        }
    )


def plot(summary, path):
    """Draw a panel per group of settings: mean and median error of effects."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    present = set(summary.index.unique("setting"))
    panels = {title: [s for s in group if s in present] for title, group in PANELS.items()}
    panels = {title: group for title, group in panels.items() if group}
    methods = [m for m in summary.index.unique("method") if m != "true parameters"]
    methods = [m for m in METHODS if m in methods] + [m for m in methods if m not in METHODS]
    colours = {
        "true graph": "black",
        "GIES": "#0072B2",
        "GIES, pooled": "#56B4E9",
        "IGSP": "#CC79A7",
        "ShiftOrder": "#009E73",
        "conditional ridge": "#E69F00",
        "additive ridge": "#8C6D31",
        "no effect": "0.65",
        "meta": "#D55E00",
        "meta, 10 gradient steps": "#7A3300",
    }
    more = iter(["#7B3294", "#B2182B", "#35978F", "#4D4D4D"] * 5)
    colours |= {m: next(more) for m in methods if m not in colours}
    n_rows = max(1, math.ceil(len(panels) / 2))
    titles = list(panels)
    heights = [max(len(panels[t]) for t in titles[2 * r : 2 * r + 2]) + 0.5 for r in range(n_rows)]
    fig, axes = plt.subplots(
        n_rows,
        2,
        figsize=(12, 0.75 * sum(heights) + 1.2),
        height_ratios=heights,
        sharex=True,
        layout="constrained",
        squeeze=False,
    )
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    for axis, (title, group) in zip(axes.flat, panels.items()):
        for m, method in enumerate(methods):
            rows = summary.xs(method, level="method").reindex(group)
            y = np.arange(len(group)) + 0.8 * ((m + 0.5) / len(methods) - 0.5)
            axis.plot(rows["effect_median"], y, "|", color=colours[method], ms=8, mew=1.8)
            axis.plot(rows["effect"], y, "o", color=colours[method], ms=5, label=method)
        for y in range(1, len(group)):
            axis.axhline(y - 0.5, color="0.9", lw=0.8)
        axis.set(title=title, xscale="log", ylim=(len(group) - 0.5, -0.5))
        axis.set_yticks(range(len(group)), group)
        axis.tick_params(labelbottom=True)
        axis.grid(axis="x", color="0.93")
        axis.set_axisbelow(True)
    fig.supxlabel("error of E[X | do(unseen)], in standard deviations (dot: mean, tick: median)")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside upper center", ncols=5, frameon=False)
    fig.savefig(path, dpi=130)
    plt.close(fig)


def save(lines, out, **settings):
    """Merge lines into the table of systems, and write it with its summary and picture."""
    systems = out / f"{STEM}_systems.csv"
    lines = merge(lines, systems)
    write_csv(lines.round(6), systems, **settings)
    summary = summarise(lines)
    write_csv(summary.round(5), out / f"{STEM}.csv", index=True, **settings)
    plot(summary, out / f"{STEM}.png")
    return summary


def main():
    """Parse the arguments, run, and write CSV and PNG files after every setting."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--settings", nargs="*", choices=[*SETTINGS], default=[*SETTINGS])
    parser.add_argument("--methods", nargs="*", choices=[*METHODS], default=[*METHODS])
    parser.add_argument("--weights", nargs="*", default=[], metavar="NAME=PATH")
    parser.add_argument("--systems", type=int, help="systems per setting (default: its own)")
    parser.add_argument("--first-seed", type=int, default=0, help="tuning: 1000 or more")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    torch.set_num_threads(1)
    methods = {name: METHODS[name] for name in args.methods}
    for name, path in (given.split("=", 1) for given in args.weights):
        methods[name] = lambda task, path=path: MetaInterventionPredictor(pretrained=path)
    args.out.mkdir(parents=True, exist_ok=True)
    for name in args.settings:
        lines = run(name, methods, args.systems, args.first_seed)
        summary = save(lines, args.out, first_seed=args.first_seed)
        print(summary.xs(name).round(4).to_string(), "\n", name, "\n", flush=True)


if __name__ == "__main__":
    main()
