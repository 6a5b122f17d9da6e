"""Designs of experiments on simulated systems: policies, lookahead, rules and published methods.

Tables, each of which can be run on its own:

- linear: dense linear systems (LinearPrior.preset("caasl")) of ten variables, 50 observational rows
  and ten experiments of one row each, judged by the exact posterior; policy, lookahead, rules, and
  yoked controls, which get the designs that were made for another system;
- seeds: the same for policies of several training seeds (--policies);
- published: the same with fewer systems, for DiffCBED and SS-Finite, which take seconds a system,
  and other slow ones; also judged by bootstrapped GIES, which trained no designer;
- small: five variables with one edge each, judged exactly;
- shifts: other graphs, weights, noise and interventions than in training, other numbers of steps
  and rows;
- sizes: 15 to 30 variables, judged by the network;
- genes: single-cell counts under knock-outs, judged by the network;
- redq: a policy trained by reinforcement learning (--redq), and rules;
- speed: time of a proposal on one thread.

Scores: edges (S, expected number of correct entries of the adjacency matrix; the diagonal counts),
log_score (nats per ordered pair, probabilities clipped at 0.001), auprc, f1, shd (expected; a
reversal counts once) and ece, the calibration error over all pairs. Differences are paired, from
balanced_half; intervals are of 95 %.

Systems have the seed 2^32 + --first-seed, beyond the seeds that a training can have.

    python benchmarks/reproduce/active_design.py --policies policy-0 policy-1 policy-2
    python benchmarks/reproduce/active_design.py --tables genes --systems 200 --first-seed 7000
"""

import argparse
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _provenance import write_csv

from skcausal.design._bootstrap_judge import BootstrapJudge
from skcausal.design._episodes import run_episodes
from skcausal.design._histories import Designs
from skcausal.design._judges import judge_of_prior
from skcausal.design._laboratory import Laboratory
from skcausal.design._policy_weights import POLICY_FILES, load_shipped
from skcausal.design._rewards import SCORES
from skcausal.design._strategies import (
    BootstrapStrategy,
    DistilledStrategy,
    LookaheadStrategy,
    PolicyStrategy,
    RuleStrategy,
    UncertaintyStrategy,
)
from skcausal.simulators import GeneNetworkPrior, LinearPrior

STEM = "active_design"
FIRST_SEED = 2**32
REFERENCE = "balanced_half"
Z = 1.959964
AT_ONCE = 200
RULES = ("observational", "random", "random_extreme", "balanced_half", "single_cycle")


@dataclass(frozen=True)
class Setting:
    """Systems and episodes."""

    prior: object
    budget: int = 10
    n_initial: int = 50
    rows_per_design: int = 1
    kind: str | None = None
    checkpoints: tuple = (0, 5, 10)

    def laboratory(self, n_systems, first_seed):
        seed = FIRST_SEED + first_seed
        systems = self.prior.sample(n_systems, random_state=seed)
        return Laboratory(systems, self.n_initial, self.rows_per_design, self.kind, first_seed)


class Yoked:
    """The designs that another designer, which ran before, made for other systems."""

    def __init__(self, strategy):
        self.strategy = strategy


class Fixed:
    """Designs that are given."""

    def __init__(self, designs):
        self.designs = iter(designs)

    def propose(self, histories, space, generator):
        return next(self.designs)


def dense(d=10, **changes):
    return LinearPrior.preset("caasl", n_variables=d, **changes)


def genes(d=10, **changes):
    return GeneNetworkPrior(d, **({"technical_noise": "10x_chromium"} | changes))


SHIFTS = {
    "scale-free": Setting(dense(graph="scale_free")),
    "weights": Setting(dense(weight_mean=0.1)),
    "gumbel": Setting(dense(noise="gumbel")),
    "heteroskedastic": Setting(dense(heteroskedastic=True, noise_variance=1.0)),
    "shift interventions": Setting(dense(), kind="shift"),
    "5 experiments": Setting(dense(), budget=5, checkpoints=(5,)),
    "20 experiments": Setting(dense(), budget=20, checkpoints=(20,)),
    "5 rows each": Setting(dense(), rows_per_design=5),
}
GENES = {
    "10X": Setting(genes()),
    "scale-free": Setting(genes(graph="scale_free")),
    "drop-seq": Setting(genes(technical_noise="drop_seq")),
    "knock-down": Setting(genes(), kind="knock_down"),
    "noisy knock-outs": Setting(genes(target_error=0.1)),
    "15 genes": Setting(genes(15)),
    "20 genes": Setting(genes(20)),
}


def run(strategy, laboratory, setting, judge, done):
    """Scores by name (n_systems, n_checkpoints), and probabilities with graphs at the end."""
    parts, pairs, seconds = [], [], 0.0
    for first in range(0, len(laboratory), AT_ONCE):
        some = laboratory[first : first + AT_ONCE]
        generator = torch.Generator().manual_seed(first + laboratory.seed)
        started = time.perf_counter()
        if isinstance(strategy, Yoked):
            made = done[id(strategy.strategy), first]
            moved = [Designs(d.targets.roll(1, 0), d.values.roll(1, 0)) for d in made]
            histories, _ = run_episodes(Fixed(moved), some, setting.budget, generator)
        else:
            histories, designs = run_episodes(strategy, some, setting.budget, generator)
            done[id(strategy), first] = designs
        seconds += time.perf_counter() - started
        adjacency = some.systems.adjacency
        values = {}
        for n in setting.checkpoints:
            p = judge.edge_probabilities(
                histories.until(some.n_initial + n * some.rows_per_design)
            ).double()
            for name, score in SCORES.items():
                if name != "expected_edges":
                    values.setdefault(name, []).append(score(p, adjacency))
        parts.append({name: torch.stack(v, dim=1) for name, v in values.items()})
        off = ~torch.eye(p.shape[-1], dtype=torch.bool)
        pairs.append((p[:, off].flatten(), adjacency[:, off].flatten()))
    scores = {name: torch.cat([p[name] for p in parts]).numpy() for name in parts[0]}
    scores["shd"] = -scores["shd"]
    return scores, tuple(torch.cat(x).numpy() for x in zip(*pairs)), seconds


def calibration_error(probabilities, edges):
    """Expected calibration error over pairs in ten bins."""
    bins = np.clip((probabilities * 10).astype(int), 0, 9)
    gaps = [
        abs(probabilities[bins == b].mean() - edges[bins == b].mean()) * (bins == b).mean()
        for b in np.unique(bins)
    ]
    return float(np.sum(gaps))


def table(name, setting, strategies, judge, judged_by, n_systems, args):
    """Rows of all strategies on one setting."""
    laboratory = setting.laboratory(n_systems, args.first_seed)
    rows, base, done = [], None, {}
    ordered = {REFERENCE: strategies[REFERENCE], **strategies}
    for designer, strategy in ordered.items():
        scores, pairs, seconds = run(strategy, laboratory, setting, judge, done)
        base = scores if base is None else base
        for score, values in scores.items():
            for k, n in enumerate(setting.checkpoints):
                v, gain = values[:, k], values[:, k] - base[score][:, k]
                error, half = (Z * x.std(ddof=1) / np.sqrt(n_systems) for x in (v, gain))
                rows.append(
                    {
                        "setting": name,
                        "judge": judged_by,
                        "designer": designer,
                        "n_systems": n_systems,
                        "n_designs": n,
                        "score": score,
                        "mean": v.mean(),
                        "half_interval": error,
                        "gain": gain.mean(),
                        "gain_low": gain.mean() - half,
                        "gain_high": gain.mean() + half,
                        "ece": calibration_error(*pairs)
                        if k == len(setting.checkpoints) - 1
                        else np.nan,
                        "ms_per_design": 1e3 * seconds / n_systems / setting.budget,
                    }
                )
        last = [r for r in rows if r["designer"] == designer and r["score"] == "edges"][-1]
        print(
            f"{name:20s} {judged_by:8s} {designer:22s} S {last['mean']:7.2f} "
            f"gain {last['gain']:+.3f} [{last['gain_low']:+.3f}, {last['gain_high']:+.3f}] "
            f"{last['ms_per_design']:.2f} ms",
            flush=True,
        )
    return rows


def load(path):
    """A distilled policy from a file."""
    return DistilledStrategy(POLICY_FILES.load(path, "distilled")[0])


def rules(*names):
    return {name: RuleStrategy(name) for name in names}


def linear(args, only):
    """Policy, lookahead and rules on the published linear systems."""
    setting = Setting(dense(), checkpoints=(5, 10))
    judge = judge_of_prior(setting.prior, 10)
    lookahead, policy = LookaheadStrategy(judge), distilled(args, "caasl")
    strategies = {
        **rules(*RULES),
        "distilled": policy,
        "distilled, yoked": Yoked(policy),
        "lookahead": lookahead,
        "lookahead, yoked": Yoked(lookahead),
        "lookahead, network": LookaheadStrategy(network_judge(setting.prior)),
    }
    return table("linear", setting, pick(strategies, only), judge, "exact", args.systems, args)


def seeds(args, only):
    """Policies of several training seeds."""
    setting = Setting(dense(), checkpoints=(10,))
    judge = judge_of_prior(setting.prior, 10)
    strategies = rules("observational", "random", "balanced_half")
    for k, path in enumerate(args.policies):
        strategies[f"distilled, training seed {k}"] = load(path)
    return table("linear", setting, pick(strategies, only), judge, "exact", args.systems, args)


def network_judge(prior):
    """The network as a judge of few variables, too."""
    large = judge_of_prior(replace(prior, n_variables=15), 15)
    return replace(large, model=judge_of_prior(prior, prior.n_variables).model)


def published(args, only):
    """Published methods, which are slow, by two judges."""
    setting = Setting(dense(), checkpoints=(0, 5, 10))
    exact = judge_of_prior(setting.prior, 10)
    strategies = {
        **rules("random", "random_extreme", "balanced_half"),
        "diffcbed": BootstrapStrategy("diffcbed"),
        "ss_finite": BootstrapStrategy("ss_finite"),
        "uncertain_single": UncertaintyStrategy(exact, single=True),
        "uncertain_half": UncertaintyStrategy(exact, single=False),
        "lookahead": LookaheadStrategy(exact),
        "lookahead, information": LookaheadStrategy(exact, "information"),
        "distilled": distilled(args, "caasl"),
    }
    strategies = pick(strategies, only)
    n = min(args.systems, 200)
    rows = table("linear, fewer systems", setting, strategies, exact, "exact", n, args)
    last = replace(setting, checkpoints=(10,))
    few = {k: v for k, v in strategies.items() if not isinstance(v, BootstrapStrategy)}
    return rows + table(
        "linear, fewer systems", last, few, BootstrapJudge(), "gies", min(n, 100), args
    )


def distilled(args, name):
    """The first of the given policies, or the shipped one."""
    given = args.policies if name == "caasl" else args.gene_policies
    if given:
        return load(given[0])
    return DistilledStrategy(load_shipped(name)[0])


def small(args, only):
    """Few variables and edges."""
    setting = Setting(dense(5, edges_per_variable=1.0))
    judge = judge_of_prior(setting.prior, 5)
    strategies = {
        **rules(*RULES),
        "lookahead": LookaheadStrategy(judge),
        "distilled": distilled(args, "caasl"),
    }
    return table("5 variables", setting, pick(strategies, only), judge, "exact", args.systems, args)


def shifts(args, only):
    """Other systems and episodes than in training."""
    rows = []
    judge = judge_of_prior(dense(), 10)
    for name, setting in SHIFTS.items():
        setting = replace(setting, checkpoints=setting.checkpoints[-1:])
        strategies = {
            **rules("random", "random_extreme", "balanced_half"),
            "lookahead": LookaheadStrategy(judge),
            "distilled": distilled(args, "caasl"),
        }
        if args.systems > 500:  # the slow one on fewer systems
            look = strategies.pop("lookahead")
            few = pick({"balanced_half": strategies["balanced_half"], "lookahead": look}, only)
            if len(few) > 1:
                rows += table(name, setting, few, judge, "exact", 300, args)[len(SCORES) - 1 :]
        rows += table(name, setting, pick(strategies, only), judge, "exact", args.systems, args)
    return rows


def larger(args, only):
    """More variables than an exact posterior takes."""
    rows = []
    for d in (15, 20, 25, 30):
        setting = Setting(dense(d))
        judge = judge_of_prior(setting.prior, d)
        strategies = {
            **rules("observational", "random", "random_extreme", "balanced_half"),
            "lookahead": LookaheadStrategy(judge),
            "distilled": distilled(args, "caasl"),
        }
        n = min(args.systems, 500)
        rows += table(f"{d} variables", setting, pick(strategies, only), judge, "network", n, args)
    return rows


def gene_networks(args, only):
    """Knock-outs of genes."""
    rows = []
    for name, setting in GENES.items():
        judge = judge_of_prior(setting.prior, setting.prior.n_variables)
        strategies = {
            **rules("observational", "random", "balanced_half", "single_cycle"),
            "lookahead": LookaheadStrategy(judge),
            "distilled": distilled(args, "gene-network"),
        }
        rows += table(
            f"genes, {name}", setting, pick(strategies, only), judge, "network", args.systems, args
        )
    return rows


def reinforcement(args, only):
    """A policy trained by reinforcement learning."""
    setting = Setting(dense(args.redq_variables, edges_per_variable=args.redq_edges))
    judge = judge_of_prior(setting.prior, args.redq_variables)
    strategies = rules("observational", "random", "random_extreme", "balanced_half")
    for path in args.redq:
        for variant in ("gaussian", "bernoulli"):
            try:
                policy = POLICY_FILES.load(path, variant)[0]
            except ValueError:
                continue
            strategies[f"redq, {variant}"] = PolicyStrategy(policy)
            strategies[f"redq, {variant}, most likely"] = PolicyStrategy(policy, sample=False)
    name = f"{args.redq_variables} variables"
    return table(name, setting, pick(strategies, only), judge, "exact", args.systems, args)


def speed(args, only):
    """Milliseconds of a proposal for one history of 60 rows."""
    torch.set_num_threads(1)
    setting = Setting(dense())
    judge = judge_of_prior(setting.prior, 10)
    laboratory = setting.laboratory(1, args.first_seed)
    generator = torch.Generator().manual_seed(0)
    histories, _ = run_episodes(RuleStrategy("balanced_half"), laboratory, 10, generator)
    strategies = {
        "balanced_half": RuleStrategy("balanced_half"),
        "distilled": distilled(args, "caasl"),
        "lookahead": LookaheadStrategy(judge),
        "lookahead, network": LookaheadStrategy(network_judge(setting.prior)),
        "diffcbed": BootstrapStrategy("diffcbed"),
        "ss_finite": BootstrapStrategy("ss_finite"),
    }
    rows = []
    for name, strategy in pick(strategies, only).items():
        n = 3 if isinstance(strategy, BootstrapStrategy) else 100
        times = []
        for _ in range(n + 2):
            started = time.perf_counter()
            strategy.propose(histories, laboratory.space(), generator)
            times.append(1e3 * (time.perf_counter() - started))
        rows.append({"designer": name, "median_ms": np.median(times[2:]), "least_ms": min(times)})
        print(rows[-1], flush=True)
    return rows


def pick(strategies, only):
    """The strategies asked for, and the reference."""
    if not only:
        return strategies
    return {k: v for k, v in strategies.items() if k == REFERENCE or any(o in k for o in only)}


TABLES = {
    "linear": linear,
    "seeds": seeds,
    "published": published,
    "small": small,
    "shifts": shifts,
    "sizes": larger,
    "genes": gene_networks,
    "redq": reinforcement,
    "speed": speed,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", nargs="+", choices=tuple(TABLES), default=list(TABLES))
    parser.add_argument("--designers", nargs="+", default=[], help="parts of their names")
    parser.add_argument("--systems", type=int, default=1000)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--policies", nargs="*", default=[], help="files of distilled policies")
    parser.add_argument("--gene-policies", nargs="*", default=[], help="the same for genes")
    parser.add_argument("--redq", nargs="*", default=[], help="files of policies of redq")
    parser.add_argument("--redq-variables", type=int, default=5)
    parser.add_argument("--redq-edges", type=float, default=1.0)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name in args.tables:
        rows = TABLES[name](args, args.designers)
        write_csv(pd.DataFrame(rows), args.out / f"{STEM}_{name}.csv")


if __name__ == "__main__":
    main()
