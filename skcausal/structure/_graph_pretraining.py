"""Training of an amortized posterior as an estimator asks for it."""

from __future__ import annotations

import os

import numpy as np

from skcausal.nn import local_device, resolve_device
from skcausal.nn._network_files import described, fingerprint_of, seed_of_training
from skcausal.nn._pair_statistics import N_FEATURES
from skcausal.simulators._default_prior import check_priors
from skcausal.simulators._parameters import check_choice, check_count, check_number
from skcausal.structure._graph_experiments import EXPERIMENTS
from skcausal.structure._graph_network import N_FEATURES_WITH_UNITS, GraphNetwork
from skcausal.structure._graph_training import train_graph_network
from skcausal.structure._graph_weights import NETWORK_FILES, SHIPPED


def check_network_parameters(parameters: dict) -> None:
    """Raise where an argument of the constructor cannot be used.

    Parameters
    ----------
    parameters : dict
        The result of ``get_params(deep=False)``.

    Raises
    ------
    ValueError
        If a value is out of its range.
    TypeError
        If it is of a wrong type.
    """
    check_choice("architecture", parameters["architecture"], tuple(NETWORK_FILES.networks))
    check_choice("experiments", parameters["experiments"], tuple(EXPERIMENTS))
    for name in ("n_steps", "n_layers", "n_heads"):
        check_count(name, parameters[name])
    check_count("width", parameters["width"], 2)
    check_number("learning_rate", parameters["learning_rate"], 0.0, above=True)
    for name in ("acyclic", "scale_free"):
        if not isinstance(parameters[name], (bool, np.bool_)):
            raise TypeError(f"{name} must be True or False, found {parameters[name]!r}.")
    pretrained = parameters["pretrained"]
    if pretrained is not None and not isinstance(pretrained, (str, os.PathLike)):
        raise TypeError(
            f"pretrained must be 'auto', one of {SHIPPED}, the path of a file or None; found "
            f"{pretrained!r}."
        )
    if parameters["architecture"] == "rows" and pretrained in SHIPPED:
        raise ValueError(
            f"pretrained={pretrained!r} are weights of architecture='pairs'. For 'rows' pass the "
            "path of a file, or None to train."
        )


def train_from_parameters(
    parameters: dict,
) -> tuple[tuple[GraphNetwork, dict], dict[str, np.ndarray]]:
    """Train a network.

    Parameters
    ----------
    parameters : dict
        Those of the estimator, after :func:`check_network_parameters`.

    Returns
    -------
    trained : tuple of a network and a dict
        The network, on the CPU, and what is known of its training.
    curve : dict of str to ndarray of shape (n_epochs,)
        Terms of the loss.
    """
    checkpoint = parameters["checkpoint"]
    seed = seed_of_training(parameters["random_state"], checkpoint)
    priors, shares = check_priors(parameters["prior"])
    architecture = parameters["architecture"]
    sizes = {name: int(parameters[name]) for name in ("width", "n_layers")}
    if architecture == "rows":
        sizes["n_heads"] = int(parameters["n_heads"])
    else:
        sizes["n_features"] = N_FEATURES if parameters["scale_free"] else N_FEATURES_WITH_UNITS
        sizes["n_messages"] = max(1, sizes["width"] // 2)
    settings = {
        "sizes": sizes,
        "n_steps": int(parameters["n_steps"]),
        "learning_rate": float(parameters["learning_rate"]),
        "experiments": parameters["experiments"],
        "acyclic": architecture == "rows" and bool(parameters["acyclic"]),
        "seed": seed,
    }
    network = NETWORK_FILES.make(architecture, sizes, seed=seed)
    history = train_graph_network(
        network,
        priors,
        shares,
        experiments=settings["experiments"],
        acyclic=settings["acyclic"],
        n_steps=settings["n_steps"],
        seed=seed,
        learning_rate=settings["learning_rate"],
        device=local_device(resolve_device(parameters["device"])),
        checkpoint=checkpoint,
        fingerprint=""
        if checkpoint is None
        else fingerprint_of(priors, settings | {"shares": shares}),
        verbose=parameters["verbose"],
    )
    return described(network, history, settings, parameters["prior"])
