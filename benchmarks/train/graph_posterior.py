"""Train the weights of AmortizedGraphPosterior that are part of the package.

Each takes one thread of a CPU less than two hours. The training is written to a checkpoint every
few seconds and goes on from there, bit-identically, if it is started again:

    python benchmarks/train/graph_posterior.py caasl --checkpoint caasl.ckpt --out caasl
    python benchmarks/train/graph_posterior.py caasl --checkpoint more.ckpt --out more \\
        --start caasl.safetensors --layers 8 --seed 1000 --steps 12000
    python benchmarks/train/graph_posterior.py caasl --checkpoint most.ckpt --out most \\
        --start more.safetensors --layers 8 --messages 16 --seed 2000 --steps 9000
    python benchmarks/train/graph_posterior.py linear --checkpoint linear.ckpt --out linear
    python benchmarks/train/graph_posterior.py gene-network --checkpoint gene.ckpt --out gene
    python benchmarks/train/graph_posterior.py caasl --install most.safetensors

The last command copies a file into the package, with its checksum and model card. The card's
figures are those of systems that the training has not seen.

The second stage of "caasl" adds two layers and the third messages, which add nothing at first.
"linear" starts from the encoder of the intervention predictor, which reads the same statistics and
has learned to tell edges on the way.
"""

import argparse
from dataclasses import dataclass

import numpy as np
import torch
from _model_cards import install_weights, prior_text, stages
from _task_sizes import sizes

from skcausal.nn._network_files import fingerprint_of
from skcausal.nn._pair_statistics import N_FEATURES
from skcausal.prediction._pretrained import load_shipped as load_intervention_predictor
from skcausal.simulators import GeneNetworkPrior, LinearPrior
from skcausal.simulators._default_prior import GENERAL
from skcausal.structure._graph_network import N_FEATURES_WITH_UNITS
from skcausal.structure._graph_training import (
    GraphTraining,
    draw_graph_tasks,
    train_graph_network,
)
from skcausal.structure._graph_weights import NETWORK_FILES, shipped_file

# Tasks of the held-out figures: no training seed.
HELD_OUT_SEED = 12_345
HELD_OUT_BATCHES = 200


@dataclass(frozen=True)
class Recipe:
    """What a set of weights is trained on."""

    priors: tuple  # of (share, prior)
    experiments: str
    n_features: int
    n_steps: int
    learning_rate: float


UP_TO_30 = sizes((0.35, 3, 6), (0.4, 7, 14), (0.25, 15, 30))
# Three edges per variable need seven variables.
CAASL = LinearPrior.preset("caasl", n_variables=sizes((0.1, 7, 9), (0.55, 10, 10), (0.35, 11, 30)))
SMALL_CAASL = LinearPrior.preset(
    "caasl", n_variables=sizes((0.4, 3, 4), (0.6, 5, 6)), edges_per_variable=1.0
)
GENES = {"n_variables": sizes((0.2, 7, 9), (0.5, 10, 10), (0.3, 11, 25))}

RECIPES = {
    "caasl": Recipe(
        ((0.88, CAASL), (0.12, SMALL_CAASL)),
        "sequential",
        N_FEATURES_WITH_UNITS,
        n_steps=30_000,
        learning_rate=2e-3,
    ),
    "linear": Recipe(
        (
            *((0.8 * share, prior) for share, prior in GENERAL),
            (0.05, LinearPrior(UP_TO_30, standardize="internal")),
            (0.10, CAASL),
            (0.03, LinearPrior(UP_TO_30, weight_gap=0.0, weight_scale=0.5)),
            (0.02, LinearPrior(sizes((1.0, 2, 3)), edges_per_variable=0.5)),
        ),
        "mixed",
        N_FEATURES,
        n_steps=18_000,
        learning_rate=1.5e-3,
    ),
    "gene-network": Recipe(
        (
            (0.6, GeneNetworkPrior(**GENES, technical_noise="10x_chromium")),
            (0.1, GeneNetworkPrior(**GENES, technical_noise="10x_chromium", graph="scale_free")),
            (0.25, GeneNetworkPrior(**GENES, technical_noise="drop_seq")),
            (0.05, GeneNetworkPrior(**GENES)),
        ),
        "mixed",
        N_FEATURES,
        n_steps=3_500,
        learning_rate=2e-3,
    ),
}


def train(name, args):
    """Train one network and write it with what is known of the training."""
    torch.set_num_threads(1)
    recipe = RECIPES[name]
    shares, priors = zip(*recipe.priors)
    network_sizes = {
        "width": 32,
        "n_layers": args.layers,
        "n_features": recipe.n_features,
        "n_messages": args.messages,
    }
    settings = {
        "sizes": network_sizes,
        "n_steps": args.steps or recipe.n_steps,
        "learning_rate": recipe.learning_rate,
        "seed": args.seed,
        "shares": shares,
        "experiments": recipe.experiments,
    }
    network = NETWORK_FILES.make("pairs", network_sizes, seed=args.seed)
    before = None
    if args.start:
        before = start_from(network, args.start)
    elif name == "linear":
        start_from_intervention_predictor(network)
    train_graph_network(
        network,
        priors,
        shares,
        experiments=recipe.experiments,
        n_steps=settings["n_steps"],
        seed=args.seed,
        learning_rate=recipe.learning_rate,
        checkpoint=args.checkpoint,
        fingerprint=fingerprint_of(priors, settings) if args.checkpoint else "",
        verbose=True,
    )
    card = settings | {"prior": name, "torch": torch.__version__, "device": "cpu"}
    if before is not None:
        card["before"] = before
    card["held_out"] = held_out(network, recipe)
    NETWORK_FILES.save(f"{args.out}.safetensors", "pairs", network, card)
    print(f"{args.out}.safetensors", card["held_out"])


def start_from(network, path):
    """Copy a smaller network, so that what is additional adds nothing; return its card."""
    smaller, card = NETWORK_FILES.load(path, "pairs")
    network.load_state_dict(network.state_dict() | smaller.state_dict())
    for layer in network.encoder.layers[smaller.sizes["n_layers"] :]:
        for part in (layer.triangle_out, layer.mlp_out):
            torch.nn.init.zeros_(part.weight)
    if network.sizes["n_messages"] > smaller.sizes["n_messages"] == 0:
        for messages in network.encoder.messages:
            torch.nn.init.zeros_(messages.out.weight)
    return card


def start_from_intervention_predictor(network):
    """Copy the encoder and the head of the edges."""
    trained, _ = load_intervention_predictor()
    network.encoder.load_state_dict(trained.encoder.state_dict())
    with torch.no_grad():
        network.head.weight.copy_(trained.pair_head.weight[2:])
        network.head.bias.copy_(trained.pair_head.bias[2:])


def main():
    """Parse the arguments."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", choices=RECIPES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=None)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--messages", type=int, default=0)
    parser.add_argument("--start", default=None, help="a file of weights to start from")
    parser.add_argument("--checkpoint", default=None)
    parser.add_argument("--out", default="graph_posterior")
    parser.add_argument("--install", default=None, help="a file of weights to ship")
    args = parser.parse_args()
    if args.install:
        network, card = NETWORK_FILES.load(args.install, "pairs")
        text = model_card(args.name, network, card)
        install_weights(args.install, shipped_file(args.name), text)
    else:
        train(args.name, args)


def held_out(network, recipe):
    """Cross-entropy on tasks that no training saw."""
    shares, priors = zip(*recipe.priors)
    training = GraphTraining(network, acyclic=False).eval()
    with torch.no_grad():
        losses = [
            training(
                draw_graph_tasks(network, priors, shares, recipe.experiments, HELD_OUT_SEED, step)
            )["loss"]
            for step in range(HELD_OUT_BATCHES)
        ]
    return {"cross_entropy": round(float(np.mean(losses)), 4)}


def model_card(name, network, card):
    """Text of the model card."""
    recipe = RECIPES[name]
    priors = "\n".join(f"  - {100 * share:.0f} %: `{prior_text(p)}`" for share, p in recipe.priors)
    return CARD.format(
        name=name,
        n_weights=sum(p.numel() for p in network.parameters()),
        priors=priors,
        experiments=EXPERIMENT_TEXTS[recipe.experiments],
        start=START_TEXTS.get(name, ""),
        limits=LIMITS[name],
        cross_entropy=card["held_out"]["cross_entropy"],
        stages="\n".join(stage_text(stage) for stage in stages(card)),
        torch=card["torch"],
        device=card["device"],
    )


def stage_text(stage):
    """One line on a training."""
    return (
        f"  - {stage['n_steps']:,} steps, learning rate {stage['learning_rate']}, seed "
        f"{stage['seed']}, {stage['sizes']['n_layers']} layers, "
        f"{stage['sizes']['n_messages']} messages"
    )


EXPERIMENT_TEXTS = {
    "sequential": """20 to 200 observational rows (50 in half of the batches), then up to 20
  interventions, each on a random half of the variables, on random ones or on a single one, with
  one row (80 %) or two to five; do-values of size 1 mostly, in a quarter of the tasks in another
  unit""",
    "mixed": """half of them two to 200 rows for each of many sets of targets, 30 %
  observational rows followed by up to 20 interventions with one to five rows each, 20 %
  observational rows alone""",
}
START_TEXTS = {
    "linear": "- start: the encoder and the edge head of the intervention predictor's weights;\n"
}
LIMITS = {
    "linear": """Linear systems of 2 to 50 variables. The units of the variables are ignored.
Probabilities of systems with nonlinear mechanisms, or with hidden confounders much stronger than
those above, are not calibrated.""",
    "caasl": """Dense linear systems in the units of the prior: noise of variance about 0.1, means
of 0, do-values about 1. Do not use these weights on data in other units; they are the reward of
designs of experiments.""",
    "gene-network": """Log-transformed counts (`log_cpm`) of 7 to 25 genes, simulated by the
equations of SERGIO. Nothing says how well they do on real cells.""",
}
CARD = """\
# Weights of AmortizedGraphPosterior: {name}

What they do: give the probability of every edge from the moments of a data set.
{n_weights:,} numbers in float32, for any number of variables.

## Training

- systems, drawn anew for every step:
{priors}
- experiments: {experiments};
{start}- objective: cross-entropy of the edges;
- AdamW with warm-up and a cosine, at most 48 systems a step; torch {torch} on one thread of a
  {device}:
{stages}

The command is `benchmarks/train/graph_posterior.py {name}`.

## Figures on systems of the same distribution that were not trained on

| | |
|---|---|
| cross-entropy of edges, nats per ordered pair | {cross_entropy} |

`benchmarks/reproduce/graph_posterior.py` has scores on named settings beside baselines.

## Limits

{limits}

Licence: that of the package. No data but simulated ones were used.
"""


if __name__ == "__main__":
    main()
