"""Trainings of policies as a designer asks for them."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import torch

from skcausal.design._distillation import distil
from skcausal.design._env import fixed_size
from skcausal.design._judges import judge_of, judge_of_prior
from skcausal.design._labelled_states import EpisodeLaw
from skcausal.design._policy_weights import POLICY_FILES
from skcausal.design._redq import train_redq
from skcausal.design._scorer_inputs import N_FEATURES, N_FEATURES_WITH_UNITS
from skcausal.design._teachers import LookaheadTeacher, SimulationTeacher, Teacher
from skcausal.nn import local_device, resolve_device
from skcausal.nn._network_files import described, fingerprint_of, seed_of_training
from skcausal.simulators import GeneNetworkPrior, LinearPrior
from skcausal.simulators._parameters import check_count

# What `training_params` may hold for each algorithm.
_OF_DISTILLATION = ("n_edge_steps", "n_batches", "n_candidates", "n_epochs")
_SIZES_OF_DISTILLATION = {"width": 32, "n_layers": 4, "n_messages": 16, "n_hidden": 8}
_NOT_OF_REDQ = (
    "prior", "judge", "seed", "budget", "n_initial", "rows_per_design", "kind", "device",
    "checkpoint", "fingerprint", "verbose",
)  # fmt: skip
_OF_REDQ = tuple(n for n in inspect.signature(train_redq).parameters if n not in _NOT_OF_REDQ)


def train_distilled(parameters: dict) -> tuple[str, Any, dict, dict]:
    """Train a scorer.

    Parameters
    ----------
    parameters : dict
        Those of the designer.

    Returns
    -------
    variant : str
        Name of the kind of network.
    network : DesignScorer
        The network.
    card : dict
        What is known of its training.
    curve : dict of str to ndarray of shape (n_epochs,)
        Terms of the loss.
    """
    given = _check_names(parameters, (*_OF_DISTILLATION, *_SIZES_OF_DISTILLATION))
    for name, value in given.items():
        check_count(name, value, {"n_candidates": 2, "width": 2, "n_messages": 0}.get(name, 1))
    prior = LinearPrior.preset("caasl") if parameters["prior"] is None else parameters["prior"]
    seed = seed_of_training(parameters["random_state"], parameters["checkpoint"])
    sizes = {name: given.pop(name, value) for name, value in _SIZES_OF_DISTILLATION.items()}
    sizes["n_features"] = (
        N_FEATURES if isinstance(prior, GeneNetworkPrior) else N_FEATURES_WITH_UNITS
    )
    law = EpisodeLaw(parameters["n_initial"], parameters["budget"], parameters["rows_per_design"])
    settings = {
        "sizes": sizes,
        "seed": seed,
        "law": list(law),
        "posterior": repr(parameters["posterior"]),
        **given,
    }
    network = POLICY_FILES.make("distilled", sizes, seed=seed)
    history = distil(
        network,
        (prior,),
        (1.0,),
        lambda n_variables: teacher_of(prior, n_variables, parameters["posterior"]),
        law=law,
        seed=seed,
        folder=parameters["checkpoint"],
        fingerprint=fingerprint_of((prior,), settings),
        n_jobs=parameters["n_jobs"],
        verbose=bool(parameters["verbose"]),
        **given,
    )
    trained, curve = described(network, history, settings, parameters["prior"])
    return ("distilled", *trained, curve)


def teacher_of(prior, n_variables: int, posterior=None) -> Teacher:
    """Return what a scorer learns from.

    Parameters
    ----------
    prior : LinearPrior or GeneNetworkPrior
        Distribution of the systems.
    n_variables : int
        Their number of variables.
    posterior : estimator or None, default=None
        As in :func:`judge_of`.

    Returns
    -------
    teacher : LookaheadTeacher or SimulationTeacher
        Lookahead, or the outcomes of the simulator for gene networks, which no linear system
        stands for.
    """
    if posterior is None:
        judge = judge_of_prior(prior, n_variables, dtype=torch.float32)
    else:
        judge = judge_of(posterior, prior, n_variables)
    if isinstance(prior, GeneNetworkPrior):
        return SimulationTeacher(judge)
    return LookaheadTeacher(judge)


def train_policy(parameters: dict) -> tuple[str, Any, dict, dict]:
    """Train a policy by REDQ.

    Parameters
    ----------
    parameters : dict
        Those of the designer.

    Returns
    -------
    variant, network, card, curve
        As those of :func:`train_distilled`.
    """
    given = {"n_iterations": 100} | _check_names(parameters, _OF_REDQ)
    prior = LinearPrior.preset("caasl") if parameters["prior"] is None else parameters["prior"]
    seed = seed_of_training(parameters["random_state"], parameters["checkpoint"])
    episodes = {name: parameters[name] for name in ("budget", "n_initial", "rows_per_design")}
    settings = {"seed": seed, "posterior": repr(parameters["posterior"]), **episodes, **given}
    # More iterations of the same training go on from the checkpoint.
    resumable = {name: value for name, value in settings.items() if name != "n_iterations"}
    checkpoint = parameters["checkpoint"]
    judge = judge_of(parameters["posterior"], prior, fixed_size(prior))
    policy, history = train_redq(
        prior,
        judge,
        seed=seed,
        **episodes,
        **given,
        device=local_device(resolve_device(parameters["device"])),
        checkpoint=None if checkpoint is None else Path(checkpoint) / "redq.safetensors",
        fingerprint=fingerprint_of((prior,), resumable),
        verbose=bool(parameters["verbose"]),
    )
    variant = given.get("target_distribution", "gaussian")
    trained, curve = described(policy, history, settings, parameters["prior"])
    return (variant, *trained, curve)


def _check_names(parameters, known):
    """Return a copy of `training_params`; raise where it holds something unknown."""
    given = dict(parameters["training_params"] or {})
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ValueError(
            f"training_params of algorithm={parameters['algorithm']!r} has {unknown}; it can have "
            f"{sorted(known)}."
        )
    json.dumps(given)  # numbers and names only
    return given
