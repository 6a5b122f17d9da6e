"""Meta-training of either variant, as an estimator asks for it."""

from __future__ import annotations

import math
from numbers import Integral

import numpy as np

from skcausal.nn import local_device, resolve_device
from skcausal.nn._network_files import described, fingerprint_of, seed_of_training
from skcausal.prediction._meta_training import pretrain_network
from skcausal.prediction._paper_fit import pretrain_paper
from skcausal.prediction._pretrained import NETWORK_FILES, Network
from skcausal.simulators import LinearPrior
from skcausal.simulators._default_prior import check_priors

# Tasks in a batch of meta-training, about.
TASKS_PER_STEP = 32


def meta_train(
    parameters: dict, n_variables: int | None = None
) -> tuple[tuple[Network, dict], dict[str, np.ndarray]]:
    """Meta-train a network.

    Parameters
    ----------
    parameters : dict
        Those of the estimator, after :func:`check_parameters`.
    n_variables : int, default=None
        Number of variables of the data at hand, for the paper's variant without a prior.

    Returns
    -------
    trained : tuple of a network and a dict
        The network, on the CPU, and what is known of its training.
    curve : dict of str to ndarray of shape (n_epochs,)
        Terms of the loss.
    """
    seed = seed_of_training(parameters["random_state"], parameters["checkpoint"])
    train = _train_paper if parameters["variant"] == "paper" else _train_amortized
    network, history, settings = train(parameters, n_variables, seed)
    return described(network, history, settings, parameters["prior"])


def _train_amortized(parameters, n_variables, seed):
    """Train the amortized network; returns it with its history and settings."""
    priors, shares = check_priors(parameters["prior"])
    sizes = {name: int(parameters[name]) for name in ("width", "n_layers")}
    device = local_device(resolve_device(parameters["device"]))
    settings = {
        "sizes": sizes,
        "n_steps": math.ceil(parameters["n_tasks"] / TASKS_PER_STEP),
        "learning_rate": float(parameters["learning_rate"]),
        "seed": seed,
    }
    network = NETWORK_FILES.make("amortized", sizes, seed=seed).to(device)
    history = pretrain_network(
        network,
        priors,
        shares,
        n_steps=settings["n_steps"],
        seed=seed,
        learning_rate=settings["learning_rate"],
        device=device,
        checkpoint=parameters["checkpoint"],
        fingerprint=_fingerprint(parameters, priors, settings | {"shares": shares}),
        verbose=parameters["verbose"],
    )
    return network, history, settings


def _train_paper(parameters, n_variables, seed):
    """Train the published network; returns it with its history and settings."""
    prior = parameters["prior"]
    if prior is None:
        if n_variables is None:
            raise ValueError(
                "The paper's network has a fixed number of variables: pass a prior that has it, "
                "such as LinearPrior(10)."
            )
        prior = LinearPrior(n_variables)
    (prior, *others), _ = check_priors(prior)
    if others or not isinstance(prior.n_variables, Integral):
        raise ValueError("The paper's variant is trained on one prior with a fixed n_variables.")
    sizes = {name: int(parameters[name]) for name in ("width", "n_layers")}
    sizes["n_variables"] = int(prior.n_variables)
    settings = {
        "sizes": sizes,
        "n_tasks": int(parameters["n_tasks"]),
        "objective": parameters["objective"],
        "learning_rate": float(parameters["learning_rate"]),
        "seed": seed,
    }
    network = NETWORK_FILES.make("paper", sizes, seed=seed).to(
        local_device(resolve_device(parameters["device"]))
    )
    history = pretrain_paper(
        network,
        prior,
        objective=settings["objective"],
        n_tasks=settings["n_tasks"],
        learning_rate=settings["learning_rate"],
        seed=seed,
        checkpoint=parameters["checkpoint"],
        fingerprint=_fingerprint(parameters, [prior], settings),
        verbose=parameters["verbose"],
    )
    return network, history, settings


def _fingerprint(parameters, priors, settings):
    """Identify the training where a checkpoint needs it."""
    return "" if parameters["checkpoint"] is None else fingerprint_of(priors, settings)
