"""Weights of the amortized network: files, and the shipped ones."""

from __future__ import annotations

import functools
import hashlib
import json
from typing import TypeGuard

import torch

from skcausal import __version__
from skcausal.nn import load_checkpoint, save_checkpoint
from skcausal.prediction._intervention_network import InterventionNetwork
from skcausal.weights import shipped_weights

_KIND = "InterventionNetwork"
SHIPPED = "intervention-predictor"


def save_network(path, network: InterventionNetwork, card: dict) -> None:
    """Write weights, the size of the network and a card into one file.

    Parameters
    ----------
    path : str or path-like
        The file.
    network : InterventionNetwork
        The network.
    card : dict
        What is known of the training, in JSON's types.
    """
    header = {
        "kind": _KIND,
        "version": __version__,
        "width": network.width,
        "n_layers": network.n_layers,
        "card": card,
    }
    weights = {name: tensor.float() for name, tensor in network.state_dict().items()}
    save_checkpoint(path, weights, header)


def load_network(path) -> tuple[InterventionNetwork, dict]:
    """Read a network from a file that :func:`save_network` wrote.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    network : InterventionNetwork
        The network, in float32 on the CPU.
    card : dict
        What is known of its training.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it holds no such network, or weights that are not finite.
    """
    tensors, header = load_checkpoint(path)
    if header.get("kind") != _KIND:
        raise ValueError(
            f"{str(path)!r} holds {header.get('kind', 'no')!s} weights, not those of an amortized "
            "intervention predictor; pass a file that save_pretrained wrote."
        )
    width, n_layers = header.get("width"), header.get("n_layers")
    if not (_is_size(width) and _is_size(n_layers)):
        raise ValueError(
            f"{str(path)!r} is damaged: no network has width {width!r} and {n_layers!r} layers."
        )
    network = make_network(width=width, n_layers=n_layers, seed=0)
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if expected != found:
        raise ValueError(f"{str(path)!r} is damaged: its weights do not fit a network of its size.")
    if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        raise ValueError(f"{str(path)!r} is damaged: it holds weights that are not finite.")
    network.load_state_dict(tensors)
    return network.eval(), dict(header.get("card") or {})


def _is_size(value) -> TypeGuard[int]:
    """Whether a number from a file can be a size of a network."""
    return isinstance(value, int) and 1 <= value <= 1024


@functools.cache
def load_shipped() -> tuple[InterventionNetwork, dict]:
    """Read the shipped network, once per process; callers must not change it."""
    return load_network(shipped_weights(SHIPPED))


@functools.lru_cache(maxsize=4)
def cast_network(
    network: InterventionNetwork, device: torch.device, dtype: torch.dtype
) -> InterventionNetwork:
    """Copy a network to a device and precision; callers must not change the copy, which is kept."""
    copied = make_network(width=network.width, n_layers=network.n_layers, seed=0)
    copied.load_state_dict(network.state_dict())
    return copied.to(device=device, dtype=dtype).eval()


def make_network(*, width: int, n_layers: int, seed: int) -> InterventionNetwork:
    """Make a network with initial weights that are determined by a seed."""
    generator = torch.Generator().manual_seed(seed)
    return InterventionNetwork(generator, width=width, n_layers=n_layers)


def fingerprint_of(priors, settings: dict) -> str:
    """Identify a meta-training by its settings and by some systems of each prior.

    Parameters
    ----------
    priors : sequence of TaskPrior
        The priors: a description would not tell distributions of scipy apart.
    settings : dict
        Everything else that matters.

    Returns
    -------
    fingerprint : str
        A checksum.
    """
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for prior in priors:
        systems = prior.sample(16, random_state=0)
        adjacency = systems.adjacency.cpu()
        rows = systems.sample(3, random_state=0).cpu()
        digest.update(adjacency.numpy().tobytes() + rows.numpy().tobytes())
    return digest.hexdigest()
