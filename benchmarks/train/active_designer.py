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

import torch
from _model_cards import install_weights, prior_text
from _task_sizes import sizes

from skcausal.design._distillation import distil
from skcausal.design._policy_weights import POLICY_FILES, shipped_file
from skcausal.design._scorer_inputs import N_FEATURES, N_FEATURES_WITH_UNITS
from skcausal.design._training import teacher_of
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
        n_epochs=6,
    ),
    "gene-network": Recipe(
        edge_priors=GENES,
        priors=GENES,
        n_features=N_FEATURES,
        n_edge_steps=400,
        n_batches=30,
        n_candidates=16,
        n_epochs=6,
    ),
}


def train(name, folder, seed):
    """Train one policy and write it with what is known of the training."""
    torch.set_num_threads(1)
    recipe = RECIPES[name]
    sizes_of_network = {
        "width": 32,
        "n_layers": 4,
        "n_features": recipe.n_features,
        "n_messages": 16,
        "n_hidden": 8,
    }
    scorer = POLICY_FILES.make("distilled", sizes_of_network, seed=seed)
    edge_shares, edge_priors = zip(*recipe.edge_priors)
    shares, priors = zip(*recipe.priors)
    started = time.process_time()
    history = distil(
        scorer,
        priors,
        shares,
        lambda n_variables: teacher_of(priors[0], n_variables),
        edge_priors=edge_priors,
        edge_shares=edge_shares,
        n_edge_steps=recipe.n_edge_steps,
        n_batches=recipe.n_batches,
        n_candidates=recipe.n_candidates,
        n_epochs=recipe.n_epochs,
        seed=seed,
        folder=folder,
        verbose=True,
    )
    card = {
        "recipe": name,
        "seed": seed,
        "minutes": round((time.process_time() - started) / 60, 1),
        "unexplained": float(history["validation"].min()),
        "torch": torch.__version__,
    }
    POLICY_FILES.save(folder / "policy.safetensors", "distilled", scorer, card)
    print(card, flush=True)


def describe(name, path):
    """The model card of a file."""
    scorer, card = POLICY_FILES.load(path, "distilled")
    recipe = RECIPES[name]
    n_numbers = sum(p.numel() for p in scorer.parameters())
    systems = "\n".join(f"  - {share:.0%}: `{prior_text(prior)}`" for share, prior in recipe.priors)
    explained = 1 - card["unexplained"]
    return f"""# Policy of ActiveDesigner: {name}

What it does: score designs of the next experiment from the data so far.
{n_numbers:,} numbers in float32, for any number of variables.

## Training

- edges of systems of the same kind, from {recipe.n_edge_steps:,} batches of simulated experiments;
- {2 * recipe.n_batches} batches of up to 24 episodes of ten experiments (20 in 15 % of the batches)
  after 50 observational rows (20 to 150 in a quarter), one row each (two to five in a fifth),
  on systems drawn from:
{systems}
- {recipe.n_candidates} designs were judged in every state, each on half of the variables:
  {TEACHERS[name]}.
  The first half of the episodes followed these judgements or random designs, the second half
  the policy itself;
- objective: squared error of judgements, centred within states, and cross-entropy of edges;
  AdamW, {recipe.n_epochs} passes in each round; one batch of episodes in ten was held out;
- {card["minutes"]:.0f} minutes of one thread of a CPU, seed {card["seed"]}, torch {card["torch"]}.

The command is `benchmarks/train/active_designer.py {name}`. One feature, the number of rows in
which a variable was a target, counted rows of padding in this training; it does not any more, so
that the command gives other weights of the same kind.

## Figures

Of the variance of judgements within held-out states, {explained:.0%} is explained; most of the rest
is noise of the judgements. `benchmarks/reproduce/active_design.py` compares the policy with rules,
lookahead and published methods.

## Limits

{LIMITS[name]}

Licence: that of the package. No data but simulated ones were used.
"""


TEACHERS = {
    "caasl": (
        "one step of lookahead with 128 systems drawn from the posterior, which is exact\n"
        "  up to 12 variables and the network `graph-posterior-caasl` beyond"
    ),
    "gene-network": (
        "two simulated outcomes each of the gene network itself, judged by\n"
        "  `graph-posterior-gene-network`"
    ),
}
LIMITS = {
    "caasl": (
        "Dense linear systems in the units of the prior: noise of variance about 0.1, means of 0,\n"
        'do-values from -1 to 1. For data in other units use `algorithm="lookahead"`.'
    ),
    "gene-network": (
        "Simulated single-cell counts after `log_cpm`, knock-outs of about half of the genes at a\n"
        "time. Not validated on real cells, of which no data set has such designs."
    ),
}


def main():
    """Train or install a policy."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=tuple(RECIPES))
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--install", type=Path, help="file to copy into the package")
    args = parser.parse_args()
    if args.install:
        install_weights(args.install, shipped_file(args.name), describe(args.name, args.install))
    else:
        train(args.name, args.folder, args.seed)


if __name__ == "__main__":
    main()
