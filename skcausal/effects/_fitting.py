"""Training of the networks of counterfactual regression."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from skcausal.effects._network import CFRNetwork
from skcausal.effects._objective import Objective
from skcausal.effects._parameters import describe
from skcausal.effects._resampling import MemberRows, bootstrap, split
from skcausal.nn import best_epoch, train, warmup_cosine

# What has no influence on the result of a training, and may change before it is resumed.
_IRRELEVANT = {"checkpoint", "device", "propensity", "verbose", "warm_start", "random_state"}


class Rows(NamedTuple):
    """Training rows: scaled covariates and outcomes, positions of levels, and weights.

    Parameters
    ----------
    x : ndarray of shape (n, n_features)
        Scaled covariates.
    y : ndarray of shape (n,)
        Scaled outcomes.
    arm : ndarray of int of shape (n,)
        Position of the treatment level.
    environment : ndarray of int of shape (n,)
        Position of the environment.
    weight : ndarray of shape (n,)
        Sample weights.
    """

    x: np.ndarray
    y: np.ndarray
    arm: np.ndarray
    environment: np.ndarray
    weight: np.ndarray


def make_network(
    n_features: int, n_arms: int, seeds: Sequence[int], settings: dict, device, dtype
) -> CFRNetwork:
    """Untrained networks, one per seed.

    Parameters
    ----------
    n_features : int
        Number of covariates.
    n_arms : int
        Number of treatment levels.
    seeds : sequence of int
        One per member.
    settings : dict
        The estimator's parameters, without "auto".
    device : torch.device
        Where they live.
    dtype : torch.dtype
        Their precision.

    Returns
    -------
    network : CFRNetwork
        The networks.
    """
    return CFRNetwork(
        n_features,
        n_arms,
        representation_layers=settings["representation_layers"],
        head_layers=settings["head_layers"],
        generators=[torch.Generator().manual_seed(seed) for seed in seeds],
        activation=settings["activation"],
        normalize=settings["normalize"],
        effect_head=settings["effect_head"],
        dropout=settings["dropout"],
        dtype=dtype,
    ).to(device)


def make_optimizer(
    network: CFRNetwork, settings: dict, state: dict | None = None
) -> torch.optim.AdamW:
    """AdamW that decays the weight matrices alone; `state` is that of an earlier one."""
    weights = [p for name, p in network.named_parameters() if ".weights." in name]
    biases = [p for name, p in network.named_parameters() if ".weights." not in name]
    groups = [
        {"params": weights, "weight_decay": settings["weight_decay"]},
        {"params": biases, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=settings["learning_rate"], fused=True)
    if state is not None:
        described = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": state, "param_groups": described})
    return optimizer


def train_network(
    network: CFRNetwork,
    optimizer: torch.optim.Optimizer,
    rows: Rows,
    seeds: Sequence[int],
    settings: dict,
    *,
    passes: int | None = None,
) -> tuple[dict[str, np.ndarray], MemberRows]:
    """Train all members.

    Parameters
    ----------
    network : CFRNetwork
        The networks, changed in place.
    optimizer : torch.optim.Optimizer
        Their optimizer.
    rows : Rows
        Training rows.
    seeds : sequence of int
        One per member; they determine resampling, batches and dropout.
    settings : dict
        The estimator's parameters, without "auto".
    passes : int, default=None
        Number of epochs at the full learning rate, without early stopping and checkpoint. Default:
        the schedule and the stopping of the settings.

    Returns
    -------
    history : dict of str to ndarray of shape (n_epochs, n_members)
        Terms of the loss.
    member_rows : MemberRows
        What each member learned from.
    """
    stratum = rows.arm
    if settings["env_alpha"] > 0:
        stratum = stratum * (rows.environment.max() + 1) + rows.environment
    stratum = np.unique(stratum, return_inverse=True)[1]
    stops_early = settings["early_stopping"] and passes is None
    if len(seeds) > 1:
        member_rows = bootstrap(stratum, seeds)
    else:
        member_rows = split(stratum, settings["validation_fraction"] * stops_early, seeds)
    parameter = next(network.parameters())
    x, y, weight = (torch.tensor(a).to(parameter) for a in (rows.x, rows.y, rows.weight))
    objective = Objective(
        x,
        y,
        weight,
        arm=rows.arm,
        environment=rows.environment,
        stratum=stratum,
        rows=member_rows,
        seeds=seeds,
        n_arms=len(network.heads),
        batch_size=settings["batch_size"],
        alpha=settings["alpha"],
        ipm=settings["ipm"],
        env_alpha=settings["env_alpha"],
        env_ipm=settings["env_ipm"],
        reweight=settings["reweight"],
        binary=settings["outcome"] == "binary",
        dropout=settings["dropout"] > 0,
    )
    options: dict = {"n_epochs": passes}
    if passes is None:
        n_epochs = settings["max_epochs"]
        options = {
            "n_epochs": n_epochs,
            "schedule": warmup_cosine(n_epochs * objective.plan().n_steps),
            "n_iter_no_change": settings["n_iter_no_change"],
            "tol": settings["tol"],
            "checkpoint": settings["checkpoint"],
        }
        if settings["checkpoint"] is not None:
            options["fingerprint"] = _fingerprint(network, rows, seeds, settings)
        if stops_early and objective.can_validate:
            options["validation_loss"] = objective.validation_loss
    history = train(
        network,
        objective.batch_loss,
        objective.epoch_batches,
        optimizer=optimizer,
        verbose=settings["verbose"],
        description=f"CFRRegressor, {len(seeds)} member{'s' * (len(seeds) > 1)}",
        **options,
    )
    return {name: value.numpy() for name, value in history.items()}, member_rows


def _fingerprint(network: CFRNetwork, rows: Rows, seeds: Sequence[int], settings: dict) -> str:
    """Hash of all that determines the result of a training."""
    digest = hashlib.sha256()
    for array in rows:
        digest.update(np.ascontiguousarray(array).tobytes())
    for parameter in network.parameters():
        digest.update(parameter.detach().cpu().numpy().tobytes())
    relevant = {name: value for name, value in settings.items() if name not in _IRRELEVANT}
    digest.update(f"{describe(relevant)} {list(seeds)}".encode())
    return digest.hexdigest()


def best_epochs(history: dict[str, np.ndarray], settings: dict) -> np.ndarray | None:
    """Epoch (n_members,), from 1 on, that each member ended with; None without validation."""
    if "validation" not in history:
        return None
    validation = torch.from_numpy(history["validation"])
    return best_epoch(validation, settings["n_iter_no_change"], settings["tol"]).numpy() + 1


def extend_curves(curves: dict[str, np.ndarray], history: dict[str, np.ndarray]) -> None:
    """Append the means over members of each term (n_epochs, n_members) to its curve."""
    for name, values in history.items():
        curves[name] = np.append(curves.get(name, np.empty(0)), values.mean(axis=1))
