"""Train the weights of MetaInterventionPredictor that are part of the package.

One thread of a CPU takes about an hour. The training is written to a checkpoint every few seconds
and goes on from there, bit-identically, if it is started again:

    python benchmarks/train/intervention_predictor.py --checkpoint first.ckpt --out first
    python benchmarks/train/intervention_predictor.py --checkpoint second.ckpt --out second \\
        --start first.safetensors --seed 1000 --steps 9000 --learning-rate 1e-3
    python benchmarks/train/intervention_predictor.py --install second.safetensors

The last command copies a file into the package, with its checksum and model card. The card's
figures are those of systems that the training has not seen. The shipped weights were made in these
two stages, the first of them with other shares of the priors, which the card lists.
"""

import argparse

import numpy as np
import torch
from _model_cards import install_weights, prior_text, stages

from skcausal.nn._network_files import fingerprint_of
from skcausal.prediction._meta_training import batch_loss, draw_tasks, pretrain_network
from skcausal.prediction._pretrained import NETWORK_FILES, SHIPPED
from skcausal.simulators._default_prior import GENERAL, PRIORS, SHARES

# Tasks of the held-out figures: no training seed.
HELD_OUT_SEED = 12_345
HELD_OUT_BATCHES = 400


def train(args):
    """Train one network and write it with what is known of the training."""
    torch.set_num_threads(1)
    sizes = {"width": args.width, "n_layers": args.layers}
    settings = {
        "sizes": sizes,
        "n_steps": args.steps,
        "learning_rate": args.learning_rate,
        "seed": args.seed,
        "shares": SHARES,
    }
    network, before = NETWORK_FILES.make("amortized", sizes, seed=args.seed), None
    if args.start:
        network, before = NETWORK_FILES.load(args.start, "amortized")
    pretrain_network(
        network,
        PRIORS,
        SHARES,
        n_steps=args.steps,
        seed=args.seed,
        learning_rate=args.learning_rate,
        trained_before=args.start is not None,
        checkpoint=args.checkpoint,
        fingerprint=fingerprint_of(PRIORS, settings) if args.checkpoint else "",
        verbose=True,
    )
    card = settings | {"prior": "general", "torch": torch.__version__, "device": "cpu"}
    if before is not None:
        card["before"] = before
    card["held_out"] = held_out(network)
    NETWORK_FILES.save(f"{args.out}.safetensors", "amortized", network, card)
    print(f"{args.out}.safetensors", card["held_out"])


def held_out(network):
    """Figures on tasks that no training saw."""
    with torch.no_grad():
        batches = [
            batch_loss(network, draw_tasks(PRIORS, SHARES, HELD_OUT_SEED, step))
            for step in range(HELD_OUT_BATCHES)
        ]
    names = ("error", "edges", "coverage")
    return {name: round(float(np.mean([b[name] for b in batches])), 4) for name in names}


def install(path):
    """Copy a file of weights into the package and write its checksum and card."""
    network, card = NETWORK_FILES.load(path, "amortized")
    install_weights(path, SHIPPED, model_card(network, card))


def model_card(network, card):
    """Text of the model card."""
    n_weights = sum(p.numel() for p in network.parameters())
    priors = "\n".join(f"- {100 * share:.0f} %: `{prior_text(prior)}`" for share, prior in GENERAL)
    figures = card["held_out"]
    return CARD.format(
        n_weights=n_weights,
        priors=priors,
        stages="\n".join(stage_text(stage) for stage in stages(card)),
        torch=card["torch"],
        device=card["device"],
        **figures,
    )


def stage_text(stage):
    """One line on a training."""
    shares = ", ".join(f"{100 * share:.0f}" for share in stage["shares"])
    return (
        f"  - {stage['n_steps']:,} steps, learning rate {stage['learning_rate']}, seed "
        f"{stage['seed']}, shares of the priors in % {shares}"
    )


CARD = """\
# Weights of MetaInterventionPredictor

What they do: decide, from the moments of a data set, how each variable is to be regressed on the
others, so that the fitted linear system predicts interventions that were never tried.
{n_weights:,} numbers in float32, for any number of variables.

## Training

- systems, drawn anew for every step:
{priors}
- experiments: 2 to 200 rows a regime, equal or not; single targets, pairs, triples, or random sets;
  with or without observational rows; up to a third of the variables never a target; do-values all
  2, random, small, or varying from row to row; 84 % hard interventions, 10 % shifts, 6 % changes of
  the noise;
- objective: root mean squared error of the mean of all variables under eight unseen interventions,
  in standardised units, plus the cross-entropy of edges;
- AdamW with warm-up and a cosine, about 35 systems a step; torch {torch} on {device}:
{stages}

The command is `benchmarks/train/intervention_predictor.py`.

## Figures on systems of the same distribution that were not trained on

| | |
|---|---|
| root mean squared error of predicted means, standardised units | {error} |
| cross-entropy of edges, nats per ordered pair | {edges} |
| coverage of 90 % intervals of predicted means | {coverage} |

`benchmarks/reproduce/intervention_prediction.py` has those on named settings beside baselines.

## Limits

Trained on linear systems of 4 to 50 variables. Nonlinear effects are seen through a linear fit and
a correction of means. The size of the errors that it reports is that of systems like these. Nothing
in the data can tell that an intervention acted on more than its targets.

Licence: that of the package. No data but simulated ones were used.
"""


def main():
    """Parse the arguments."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=34_000)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--start", default=None, help="a file of weights to start from")
    parser.add_argument("--checkpoint", default=None)
    parser.add_argument("--out", default="intervention_predictor")
    parser.add_argument("--install", default=None, help="a file of weights to ship")
    args = parser.parse_args()
    if args.install:
        install(args.install)
    else:
        train(args)


if __name__ == "__main__":
    main()
