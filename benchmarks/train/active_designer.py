"""Train the policies of ActiveDesigner that are part of the package.

Each takes one thread of a CPU about half an hour. Everything is written to a folder as it goes, and
a training that is started again goes on from there, bit-identically:

    python benchmarks/train/active_designer.py caasl --folder caasl-0 --seed 0
    python benchmarks/train/active_designer.py gene-network --folder gene-0 --seed 0
    python benchmarks/train/active_designer.py caasl --install caasl-0/policy.safetensors

The last command copies a file into the package, with its checksum and model card.
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.stats import rv_discrete

from skcausal.design._distillation import fit_scorer, gather_labels, train_on_edges
from skcausal.design._judges import judge_of_prior
from skcausal.design._scorer_inputs import N_FEATURES, N_FEATURES_WITH_UNITS
from skcausal.design._scorer_weights import SCORER_FILES
from skcausal.design._teachers import LookaheadTeacher, SimulationTeacher
from skcausal.simulators import GeneNetworkPrior, LinearPrior


@dataclass(frozen=True)
class Recipe:
    """What a policy is trained on."""

    edge_priors: tuple  # of (share, prior), to learn edges from
    priors: tuple  # of (share, prior), for episodes
    n_features: int
    n_edge_steps: int
    n_batches: int  # of episodes, in each of two rounds
    n_candidates: int
    n_epochs: int


def sizes(*weighted):
    """A distribution over numbers of variables, from (share, first, last) uniform pieces."""
    numbers = np.concatenate([np.arange(first, last + 1) for _, first, last in weighted])
    shares = np.concatenate(
        [np.full(last - first + 1, share / (last - first + 1)) for share, first, last in weighted]
    )
    order = np.unique(numbers)
    total = np.array([shares[numbers == n].sum() for n in order])
    return rv_discrete(values=(order, total / total.sum()))()


def genes(**changes):
    """Networks of seven to 20 genes."""
    law = sizes((0.2, 7, 9), (0.6, 10, 10), (0.2, 11, 20))
    return GeneNetworkPrior(law, **changes)


GENES = (
    (0.65, genes(technical_noise="10x_chromium")),
    (0.1, genes(technical_noise="10x_chromium", graph="scale_free")),
    (0.25, genes(technical_noise="drop_seq")),
)
RECIPES = {
    "caasl": Recipe(
        edge_priors=(
            (
                1.0,
                LinearPrior.preset(
                    "caasl", n_variables=sizes((0.15, 7, 9), (0.6, 10, 10), (0.25, 11, 25))
                ),
            ),
        ),
        priors=(
            (
                1.0,
                LinearPrior.preset(
                    "caasl", n_variables=sizes((0.12, 7, 9), (0.74, 10, 10), (0.14, 13, 20))
                ),
            ),
        ),
        n_features=N_FEATURES_WITH_UNITS,
        n_edge_steps=5000,
        n_batches=60,
        n_candidates=32,
        n_epochs=40,
    ),
    "gene-network": Recipe(
        edge_priors=GENES,
        priors=GENES,
        n_features=N_FEATURES,
        n_edge_steps=400,
        n_batches=30,
        n_candidates=16,
        n_epochs=30,
    ),
}


def teacher_of_recipe(name, priors):
    """Return the function that chooses a teacher for a number of variables."""

    def teacher_of(n_variables):
        judge = judge_of_prior(priors[0], n_variables, dtype=torch.float32)
        return SimulationTeacher(judge) if name == "gene-network" else LookaheadTeacher(judge)

    return teacher_of


def train(name, folder, seed, scale):
    """Train one policy: edges, then utilities, then utilities in the states of the policy."""
    torch.set_num_threads(1)
    recipe = RECIPES[name]
    folder.mkdir(parents=True, exist_ok=True)
    sizes_ = {
        "width": 32,
        "n_layers": 4,
        "n_features": recipe.n_features,
        "n_messages": 16,
        "n_hidden": 8,
    }
    scorer = SCORER_FILES.make("scorer", sizes_, seed=seed)
    shares, priors = zip(*recipe.edge_priors)
    started = time.process_time()
    history = train_on_edges(
        scorer,
        priors,
        shares,
        n_steps=int(recipe.n_edge_steps * scale),
        seed=seed,
        checkpoint=folder / "edges.ckpt",
        verbose=True,
    )
    print("edges", float(history["loss"][-1]), time.process_time() - started, flush=True)
    shares, priors = zip(*recipe.priors)
    n_batches = max(2, int(recipe.n_batches * scale))
    parts, student = [], None
    for phase in range(2):
        parts += gather_labels(
            priors,
            shares,
            teacher_of_recipe(name, priors),
            n_batches=n_batches,
            first=phase * n_batches,
            n_candidates=recipe.n_candidates,
            student=student,
            seed=seed,
            folder=folder,
            verbose=True,
        )
        print("states", sum(map(len, parts)), time.process_time() - started, flush=True)
        history = fit_scorer(
            scorer,
            parts,
            n_epochs=max(1, int(recipe.n_epochs * scale)),
            seed=seed + phase,
            learning_rate=1e-3 if phase == 0 else 7e-4,
            checkpoint=folder / f"scores-{phase}.ckpt",
            verbose=True,
        )
        print({k: [round(float(x), 4) for x in v[-3:]] for k, v in history.items()}, flush=True)
        print("best", float(history["validation"].min()), time.process_time() - started, flush=True)
        student = scorer
        card = {"recipe": name, "seed": seed, "seconds": time.process_time() - started}
        SCORER_FILES.save(folder / f"policy-{phase}.safetensors", "scorer", scorer, card)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=tuple(RECIPES))
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full training")
    args = parser.parse_args()
    train(args.name, args.folder, args.seed, args.scale)


if __name__ == "__main__":
    main()
