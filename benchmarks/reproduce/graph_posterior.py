"""Quality of edge probabilities: exact, amortized, bootstrapped search, on fresh systems.

Tables, each of which can be run on its own:

- designs: dense linear systems (LinearPrior.preset("caasl")), 50 observational rows and ten single
  rows under designs that are fixed in advance; the network against the exact posterior on the same
  rows. S is the expected number of correct entries of the adjacency matrix (its diagonal counts);
- recovery: linear systems of the intervention predictor's settings, of any size, with feedback or
  hidden confounders, and a dense one with ten single rows; against searches and their bootstrap;
- genes: simulated single-cell counts under knock-outs of genes;
- sachs: log levels of 11 proteins in 7,466 cells; against the three reference graphs in use;
- speed: processor time on one thread.

Figures: average precision (auprc), structural Hamming distance of the graph at probability 0.5
(shd), mean log score of the edges, in nats per ordered pair, with probabilities clipped at 0.001
(log_score), expected calibration error over all pairs of a setting (ece), and where there are test
rows the error of each variable predicted from all others (others).

Systems have the seed 2^32 + --first-seed, beyond the seeds that a training can have, so that no
network has been trained on them.

    python benchmarks/reproduce/graph_posterior.py
    python benchmarks/reproduce/graph_posterior.py --tables recovery --settings cycles_n50
    python benchmarks/reproduce/graph_posterior.py --first-seed 1000 --tables designs
"""

import argparse
import time
from dataclasses import dataclass, replace
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _provenance import write_csv
from sklearn.ensemble import RandomForestRegressor

from skcausal.base import InterventionPredictor
from skcausal.datasets import load_sachs
from skcausal.metrics import (
    edge_average_precision,
    edge_calibration_error,
    edge_f1,
    edge_log_score,
    structural_hamming_distance,
    transfer_loss,
)
from skcausal.nn._regime_moments import RegimeMoments, concatenate_regimes
from skcausal.prediction import MetaInterventionPredictor
from skcausal.simulators import GeneNetworkPrior, LinearPrior, log_cpm
from skcausal.structure import (
    GIES,
    IGSP,
    AmortizedGraphPosterior,
    BootstrapEnsemble,
    ExactGraphPosterior,
)
from skcausal.structure._exact_posterior import exact_posterior
from skcausal.structure._free_sums import FreeSums
from skcausal.structure._graph_experiments import balanced_halves
from skcausal.structure._graph_training import canonical_inputs
from skcausal.structure._graph_weights import load_shipped

STEM = "graph_posterior"
FIRST_SEED = 2**32
CLIP = 1e-3
BOOTSTRAP = "GIES, 30 bootstraps"
CAASL = LinearPrior.preset("caasl")


# Designs that are fixed in advance, on the dense linear prior.


def draw_design(name, shape, rng):
    """Targets and values (n_systems, n_steps, n_variables) of a design."""
    half = rng.random(shape) < 0.5
    extreme = np.where(rng.random(shape) < 0.5, -1.0, 1.0)
    if name == "observational":
        return np.zeros(shape, dtype=bool), extreme
    if name == "random":
        return half, np.clip(rng.standard_normal(shape), -1.0, 1.0)
    if name == "RandomExtreme":
        return half, extreme
    return balanced_halves(shape, rng), extreme


def tabulate_designs(args):
    """Network against exact posterior, at ten variables (three edges each) and five (one)."""
    lines = []
    small = replace(CAASL, n_variables=5, edges_per_variable=1.0)
    for prior, designs in (
        (CAASL, ("initial", "observational", "random", "RandomExtreme", "BalancedHalf")),
        (small, ("initial", "BalancedHalf")),
    ):
        for name in designs:
            lines += evaluate_design(prior, name, args)
    return pd.DataFrame(lines)


def evaluate_design(prior, name, args, n_initial=50, n_steps=10):
    """Figures of all posteriors at the end of a design."""
    n, d, seed = args.systems or 1000, prior.n_variables, FIRST_SEED + args.first_seed
    systems = prior.sample(n, random_state=seed, dtype=torch.float64)
    X = systems.sample(n_initial, random_state=seed)
    mask = torch.zeros(X.shape, dtype=torch.bool)
    if name != "initial":
        targets, values = draw_design(name, (n, n_steps, d), np.random.default_rng([seed, 1]))
        targets, values = torch.from_numpy(targets), torch.from_numpy(values)
        more = systems.sample(n_steps, targets, values, random_state=seed + 1)
        X, mask = torch.cat([X, more], dim=1), torch.cat([mask, targets], dim=1)
    truth = systems.adjacency.numpy().astype(np.int8)
    methods = {
        "exact": (exact_edges(X, mask, prior), n),
        "network, caasl": (network_edges(X, mask, n_initial, "caasl"), n),
        "network, linear": (network_edges(X, mask, n_initial, "linear"), n),
    }
    if name == "BalancedHalf" and d == 10:
        n_searched = min(n, args.searched)
        edges = [search_edges(X[k].numpy(), mask[k].numpy()) for k in range(n_searched)]
        methods[BOOTSTRAP] = (np.stack(edges), n_searched)
    lines = []
    for method, (edges, count) in methods.items():
        for subset in sorted({count, min(n, args.searched)}, reverse=True):
            line = {"n_variables": d, "design": name, "method": method, "systems": subset}
            lines.append(line | posterior_figures(truth[:subset], edges[:subset]))
    return lines


def exact_edges(X, mask, prior, at_once=20):
    """Exact edge probabilities (n_systems, n_variables, n_variables)."""
    model = ExactGraphPosterior.from_prior(prior)._model()
    parts = [
        exact_posterior(FreeSums.from_rows(x, m), model).edge_probabilities
        for x, m in zip(X.split(at_once), mask.split(at_once))
    ]
    return torch.cat(parts).numpy()


def network_edges(X, mask, n_initial, name, at_once=100):
    """Edge probabilities of a shipped network; each row after the first n_initial is a regime."""
    network = load_shipped(name)[0]
    parts = []
    for x, m in zip(X.float().split(at_once), mask.split(at_once)):
        blocks = [(x[:, None, :n_initial], m[:, None, :n_initial])]
        if x.shape[1] > n_initial:
            blocks.append((x[:, n_initial:, None], m[:, n_initial:, None]))
        moments = concatenate_regimes(
            [
                RegimeMoments.from_tasks(
                    b, torch.ones(b.shape[:3], dtype=torch.bool), targets[:, :, 0]
                )
                for b, targets in blocks
            ]
        )
        moments, _, scale = moments.standardize()
        with torch.no_grad():
            logits = network(*canonical_inputs(network, moments, scale))
        edges = torch.sigmoid(logits).double()
        edges.diagonal(dim1=-2, dim2=-1).zero_()
        parts.append(edges)
    return torch.cat(parts).numpy()


def search_edges(X, mask):
    """Share of bootstrap samples on which the search finds an edge."""
    model = BootstrapEnsemble(GIES(centering="pooled"), 30, random_state=0)
    return model.fit(X, interventions=mask).edge_probabilities_


def posterior_figures(truth, edges):
    """S, its standard error and the scores of a stack of edge probabilities."""
    S = (edges * truth + (1 - edges) * (1 - truth)).sum(axis=(1, 2))
    return {
        "S": S.mean(),
        "S_se": S.std(ddof=1) / len(S) ** 0.5,
        "auprc": np.mean(auprc(truth, edges)),
        "shd": np.mean([structural_hamming_distance(t, e > 0.5) for t, e in zip(truth, edges)]),
        "log_score": edge_log_score(truth, edges, clip=CLIP),
        "ece": edge_calibration_error(truth, edges),
    }


def auprc(truth, edges):
    """Average precision of each system that has an edge."""
    return [edge_average_precision(t, e) for t, e in zip(truth, edges) if t.any()]


# Recovery of graphs by estimators that are fitted one by one.


@dataclass(frozen=True)
class Setting:
    """Systems and experiments on them."""

    prior: object
    n_rows: int
    singles: bool = True
    pairs: int = 0
    n_held_out: int = 0
    n_observational: int | None = None
    n_steps: int = 0
    bootstrap: bool = True
    n_systems: int = 200


GENES = GeneNetworkPrior(10, technical_noise="10x_chromium")
CYCLES = LinearPrior(10, graph="directed_erdos_renyi", edges_per_variable=0.7, n_cycles=1)
CONFOUNDERS = LinearPrior(10, n_confounders=2)
RECOVERY = {
    "caasl_50_10": Setting(CAASL, 1, singles=False, n_observational=50, n_steps=10),
    "seed_d10": Setting(LinearPrior(10), 50, pairs=40, n_held_out=5, bootstrap=False),
    "seed_d20": Setting(LinearPrior(20), 20, pairs=180, n_held_out=10, bootstrap=False),
    "singles_n50_d10": Setting(LinearPrior(10), 50, bootstrap=False),
    "singles_n5_d10": Setting(LinearPrior(10), 5),
    "observational_n500": Setting(
        LinearPrior(10), 1, singles=False, n_observational=500, bootstrap=False
    ),
    "cycles_n50": Setting(CYCLES, 50, bootstrap=False),
    "cycles_n5": Setting(CYCLES, 5),
    "confounders_n50": Setting(CONFOUNDERS, 50, bootstrap=False),
    "confounders_n5": Setting(CONFOUNDERS, 5),
    "singles_n5_d30": Setting(LinearPrior(30), 5, n_systems=20),
    "singles_n5_d50": Setting(LinearPrior(50), 5, n_systems=10),
}
GENE_SETTINGS = {
    "10x_50_10": Setting(GENES, 1, singles=False, n_observational=50, n_steps=10),
    "10x_knock_outs_n20": Setting(GENES, 20, n_observational=200, n_systems=50),
    "drop_seq_50_10": Setting(
        replace(GENES, technical_noise="drop_seq"),
        1,
        singles=False,
        n_observational=50,
        n_steps=10,
        n_systems=50,
    ),
}


@dataclass(frozen=True, eq=False)
class Task:
    """One system with its rows."""

    adjacency: np.ndarray
    X: np.ndarray
    mask: np.ndarray
    regimes: np.ndarray
    X_test: np.ndarray
    mask_test: np.ndarray


def draw_task(setting, first_seed, k):
    """Draw the k-th system of a setting; it does not depend on how many are drawn."""
    rng = np.random.default_rng([first_seed, k])
    seed, d = FIRST_SEED + first_seed, setting.prior.n_variables
    systems = setting.prior.sample(1, random_state=seed, start=k, dtype=torch.float64)
    regimes = [np.zeros((1, d), dtype=bool)]
    if setting.singles:
        regimes.append(np.eye(d, dtype=bool))
    if setting.n_steps:
        regimes.append(balanced_halves((1, setting.n_steps, d), rng)[0])
    every_pair = np.array(list(combinations(range(d), 2)))
    chosen = rng.permutation(len(every_pair))[: setting.pairs + setting.n_held_out]
    regimes.append(np.eye(d, dtype=bool)[every_pair[chosen]].any(axis=1))
    targets = np.concatenate(regimes)
    n_rows = np.full(len(targets), setting.n_rows)
    n_rows[0] = setting.n_observational or setting.n_rows
    regime = np.repeat(np.arange(len(targets)), n_rows)
    mask = targets[regime]
    values = 2.0
    if setting.n_steps:
        values = np.where(rng.random((len(targets), d)) < 0.5, -1.0, 1.0)[regime]
        values = torch.from_numpy(values)[None]
    is_gene_network = isinstance(setting.prior, GeneNetworkPrior)
    options = {} if is_gene_network else {"values": values}
    X = systems.sample(len(mask), torch.from_numpy(mask)[None], random_state=seed, **options)[0]
    X = (log_cpm(X) if is_gene_network else X).numpy()
    test = regime >= len(targets) - setting.n_held_out
    adjacency = systems.adjacency[0].numpy().astype(np.int8)
    return Task(adjacency, X[~test], mask[~test], regime[~test], X[test], mask[test])


class RandomForestImportance:
    """Importance of the others in a random forest for each variable, over its free rows."""

    def fit(self, X, *, interventions, regimes=None):
        """Fit a forest to every variable."""
        d = X.shape[1]
        self.edge_scores_ = np.zeros((d, d))
        for j in range(d):
            free, others = ~interventions[:, j], np.arange(d) != j
            forest = RandomForestRegressor(50, max_features="sqrt", random_state=0)
            forest.fit(X[free][:, others], X[free, j])
            self.edge_scores_[others, j] = forest.feature_importances_
        return self


class AbsoluteCorrelation:
    """Absolute correlation of each pair over the rows in which the second is free."""

    def fit(self, X, *, interventions, regimes=None):
        """Correlate."""
        d = X.shape[1]
        self.edge_scores_ = np.zeros((d, d))
        for j in range(d):
            free = ~interventions[:, j]
            with np.errstate(invalid="ignore", divide="ignore"):
                row = np.nan_to_num(np.corrcoef(X[free].T)[j])
            self.edge_scores_[:, j] = np.abs(row)
        np.fill_diagonal(self.edge_scores_, 0.0)
        return self


LINEAR_METHODS = {
    "exact": lambda: ExactGraphPosterior(random_state=0),
    "network, linear": lambda: AmortizedGraphPosterior("linear", random_state=0),
    "network, caasl": lambda: AmortizedGraphPosterior("caasl", random_state=0),
    "meta": lambda: MetaInterventionPredictor(),
    "GIES": lambda: GIES(),
    "GIES, pooled": lambda: GIES(centering="pooled"),
    BOOTSTRAP: lambda: BootstrapEnsemble(GIES(centering="pooled"), 30, random_state=0),
    "IGSP": lambda: IGSP(random_state=0),
}
GENE_METHODS = {
    "network, gene-network": lambda: AmortizedGraphPosterior("gene-network", random_state=0),
    "GIES, pooled": lambda: GIES(centering="pooled"),
    BOOTSTRAP: lambda: BootstrapEnsemble(GIES(centering="pooled"), 30, random_state=0),
    "random forest": RandomForestImportance,
    "correlation": AbsoluteCorrelation,
}


def evaluate(model, task):
    """Fit a model and return its figures, and its edge probabilities."""
    start = time.process_time()
    fit(model, task)
    line = {"seconds": time.process_time() - start}
    if hasattr(model, "edge_scores_"):
        return line | {"auprc": edge_average_precision(task.adjacency, model.edge_scores_)}, None
    edges = getattr(model, "edge_probabilities_", model.adjacency_.astype(float))
    if task.adjacency.any():
        line["auprc"] = edge_average_precision(task.adjacency, edges)
    line["shd"] = structural_hamming_distance(task.adjacency, model.adjacency_)
    line["log_score"] = edge_log_score(task.adjacency, edges, clip=CLIP)
    if len(task.X_test) and isinstance(model, InterventionPredictor):
        predicted = model.predict(task.X_test, interventions=task.mask_test)
        line["others"] = transfer_loss(
            task.X_test, predicted, interventions=task.mask_test, scale=task.X.std(axis=0)
        )
    return line, edges


def tabulate_recovery(args, settings=RECOVERY, methods=LINEAR_METHODS, table="recovery"):
    """Means over the systems of each setting, for each method; written after every setting."""
    summaries = []
    for name, setting in settings.items():
        if args.settings and name not in args.settings:
            continue
        used = {
            method: make
            for method, make in methods.items()
            if (method != "network, caasl" or setting.prior is CAASL)
            and (method != "exact" or setting.prior.n_variables <= 12)
            and (method != BOOTSTRAP or setting.bootstrap)
            and (not args.methods or method in args.methods)
        }
        summaries.append(evaluate_setting(name, setting, used, args))
        save(pd.concat(summaries, ignore_index=True), table, args)
    return pd.concat(summaries, ignore_index=True)


def evaluate_setting(name, setting, methods, args):
    """Means over the systems of one setting."""
    lines, truth, stacks = [], [], {method: [] for method in methods}
    for k in range(args.systems or setting.n_systems):
        task = draw_task(setting, args.first_seed, k)
        truth.append(task.adjacency)
        for method, make in methods.items():
            line, edges = evaluate(make(), task)
            stacks[method].append(edges)
            lines.append({"setting": name, "method": method, **line})
    grouped = pd.DataFrame(lines).groupby(["setting", "method"], sort=False)
    table = grouped.mean()
    table.insert(0, "systems", grouped.size())
    table.insert(2, "auprc_se", grouped["auprc"].sem())
    for method, stack in stacks.items():
        if stack[0] is not None:
            ece = edge_calibration_error(np.stack(truth), np.stack(stack))
            table.loc[(name, method), "ece"] = ece
    return table.reset_index()


def tabulate_genes(args):
    """Gene networks under knock-outs."""
    return tabulate_recovery(args, GENE_SETTINGS, GENE_METHODS, "genes")


def tabulate_sachs(args):
    """Sachs et al.'s cells against each of the three reference graphs."""
    lines = []
    data = load_sachs()
    methods = {
        "network, linear": AmortizedGraphPosterior("linear", random_state=0),
        "exact": ExactGraphPosterior(random_state=0),
        "meta": MetaInterventionPredictor(),
        "GIES": GIES(),
        "GIES, pooled": GIES(centering="pooled"),
        BOOTSTRAP: BootstrapEnsemble(GIES(centering="pooled"), 30, random_state=0),
        "IGSP": IGSP(random_state=0),
    }
    graphs = ("inferred17", "consensus18", "consensus20")
    for method, model in methods.items():
        start = time.process_time()
        model.fit(data.X, interventions=data.interventions)
        seconds = time.process_time() - start
        edges = getattr(model, "edge_probabilities_", model.adjacency_.astype(float))
        for graph in graphs:
            truth = load_sachs(graph=graph).adjacency.to_numpy()
            lines.append(
                {
                    "graph": graph,
                    "method": method,
                    "auprc": edge_average_precision(truth, edges),
                    "f1": edge_f1(truth, model.adjacency_),
                    "shd": structural_hamming_distance(truth, model.adjacency_),
                    "edges": int(model.adjacency_.sum()),
                    "seconds": seconds,
                }
            )
    return pd.DataFrame(lines)


def tabulate_speed(args):
    """Processor time, on one thread, the best of five runs."""
    lines = []
    for d, n in ((5, 200), (10, 40), (12, 6), (13, 4)):
        prior = replace(CAASL, n_variables=d, edges_per_variable=min(3.0, (d - 1) / 4))
        X = prior.sample(n, random_state=FIRST_SEED).sample(60, random_state=0)
        mask = torch.zeros(X.shape, dtype=torch.bool)
        mask[:, 50:] = torch.from_numpy(balanced_halves((n, 10, d), np.random.default_rng(0)))
        for dtype, batch in product((torch.float64, torch.float32), (n, 1)):
            seconds = best_time(exact_edges, X[:batch].to(dtype), mask[:batch], prior)
            what = f"exact posterior, {batch} at once, {str(dtype)[6:]}"
            lines.append(timing(what, d, seconds / batch))
        if d == 10:
            seconds = best_time(network_edges, X, mask, 50, "caasl")
            lines.append(timing(f"network, {n} at once", d, seconds / n))
    for name, weights in (("caasl_50_10", "caasl"), ("seed_d20", "linear")):
        task = draw_task(RECOVERY[name], args.first_seed, 0)
        for method in (f"network, {weights}", "GIES, pooled", BOOTSTRAP):
            model = LINEAR_METHODS[method]()
            seconds = best_time(fit, model, task)
            lines.append(timing(f"{method}, {len(task.X):,} rows", task.X.shape[1], seconds))
    return pd.DataFrame(lines)


def timing(what, n_variables, seconds):
    """One line of the table."""
    return {"what": what, "n_variables": n_variables, "milliseconds": 1e3 * seconds}


def fit(model, task):
    """Fit a model to a task."""
    model.fit(task.X, interventions=task.mask, regimes=task.regimes)


def best_time(function, *arguments, n_runs=5):
    """Least processor time of several calls."""
    times = []
    for _ in range(n_runs + 1):
        start = time.process_time()
        function(*arguments)
        times.append(time.process_time() - start)
    return min(times[1:])


TABLES = {
    "speed": tabulate_speed,
    "designs": tabulate_designs,
    "sachs": tabulate_sachs,
    "genes": tabulate_genes,
    "recovery": tabulate_recovery,
}


def main():
    """Parse the arguments, run, and write a CSV file for every table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--settings", nargs="+", default=None, help="of recovery and genes")
    parser.add_argument("--methods", nargs="+", default=None, help="of recovery and genes")
    parser.add_argument("--systems", type=int, default=None, help="number of systems per setting")
    parser.add_argument("--searched", type=int, default=200, help="systems of GIES in designs")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    for name in args.tables:
        table = TABLES[name](args)
        print(table.round(4).to_string(), flush=True)
        save(table, name, args)
    draw(args.out)


def save(table, name, args):
    """Write a table, in place of lines of the same settings."""
    path = args.out / f"{STEM}_{name}.csv"
    write_csv(merge(table, path).round(5), path, first_seed=args.first_seed)


def merge(table, path):
    """Put lines in place of those of equal setting and method in a file; sort by setting."""
    if "setting" not in table or not path.exists():
        return table
    old = pd.read_csv(path, comment="#")
    new, known = (pd.MultiIndex.from_frame(t[["setting", "method"]]) for t in (table, old))
    table = pd.concat([table, old[~known.isin(new)]], ignore_index=True)
    ranks = {name: k for k, name in enumerate([*RECOVERY, *GENE_SETTINGS])}
    return table.sort_values(
        "setting", key=lambda names: names.map(ranks), kind="stable", ignore_index=True
    )


COLOURS = {
    "exact": "black",
    "network, linear": "#D55E00",
    "network, caasl": "#D55E00",
    "network, gene-network": "#D55E00",
    "meta": "#E69F00",
    "GIES, pooled": "#56B4E9",
    "GIES": "#0072B2",
    BOOTSTRAP: "#005082",
    "IGSP": "#CC79A7",
    "random forest": "#009E73",
    "correlation": "0.6",
}


def draw(out):
    """Draw average precision and log score of every setting from the files in a folder."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    tables = [out / f"{STEM}_{name}.csv" for name in ("recovery", "genes")]
    tables = [pd.read_csv(path, comment="#") for path in tables if path.exists()]
    if not tables:
        return
    table = pd.concat(tables, ignore_index=True)
    settings = list(dict.fromkeys(table["setting"]))
    fig, axes = plt.subplots(
        1, 2, figsize=(12, 0.55 * len(settings) + 1.4), sharey=True, layout="constrained"
    )
    for method, lines in table.groupby("method", sort=False):
        y = [settings.index(name) for name in lines["setting"]]
        style = {
            "color": COLOURS[method],
            "marker": "D" if method == "network, caasl" else "o",
            "linestyle": "",
            "label": method,
            "alpha": 0.9,
        }
        axes[0].plot(lines["auprc"], y, **style)
        axes[1].plot(-lines["log_score"], y, **style)
    axes[0].set(xlabel="average precision of edges", xlim=(0, 1.02))
    axes[1].set(xlabel="log loss of edges (nats per ordered pair)", xscale="log")
    axes[0].set_yticks(range(len(settings)), settings)
    axes[0].invert_yaxis()
    for ax in axes:
        ax.grid(axis="x", color="0.92")
        ax.set_axisbelow(True)
        for k in range(1, len(settings)):
            ax.axhline(k - 0.5, color="0.9", lw=0.8)
    handles, labels = axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside upper center", ncols=5, frameon=False)
    fig.savefig(out / f"{STEM}.png", dpi=130)
    plt.close(fig)


if __name__ == "__main__":
    main()
