"""Weights of the networks: files, and the shipped ones."""

from __future__ import annotations

import functools
import hashlib
import json
from typing import TypeAlias

import torch

from skcausal import __version__
from skcausal.nn import load_checkpoint, save_checkpoint
from skcausal.prediction._intervention_network import InterventionNetwork
from skcausal.prediction._paper_network import PaperNetwork
from skcausal.weights import shipped_weights

SHIPPED = "intervention-predictor"

Network: TypeAlias = InterventionNetwork | PaperNetwork

# The network of each variant, and the arguments that determine its size.
_NETWORKS: dict[str, tuple[type, tuple[str, ...]]] = {
    "amortized": (InterventionNetwork, ("width", "n_layers")),
    "paper": (PaperNetwork, ("n_variables", "width", "n_layers")),
}


def make_network(variant: str, sizes: dict[str, int], *, seed: int) -> Network:
    """Make a network with initial weights that are determined by a seed.

    Parameters
    ----------
    variant : {"amortized", "paper"}
        Which network.
    sizes : dict of str to int
        "width" and "n_layers", and "n_variables" for the paper's.
    seed : int
        The seed.

    Returns
    -------
    network : InterventionNetwork or PaperNetwork
        The network, in float32 on the CPU.
    """
    network = _NETWORKS[variant][0](generator=torch.Generator().manual_seed(seed), **sizes)
    return network.eval()


def save_network(path, variant: str, network: Network, card: dict) -> None:
    """Write weights, the size of the network and a card into one file.

    Parameters
    ----------
    path : str or path-like
        The file.
    variant : {"amortized", "paper"}
        Which network it is.
    network : InterventionNetwork or PaperNetwork
        A network that :func:`make_network` made.
    card : dict
        What is known of the training, in JSON's types.
    """
    header = {
        "variant": variant,
        "version": __version__,
        "sizes": network.sizes,
        "card": card,
    }
    weights = {name: tensor.float() for name, tensor in network.state_dict().items()}
    save_checkpoint(path, weights, header)


def load_network(path, variant: str) -> tuple[Network, dict]:
    """Read a network from a file that :func:`save_network` wrote.

    Parameters
    ----------
    path : str or path-like
        The file.
    variant : {"amortized", "paper"}
        Which network is wanted.

    Returns
    -------
    network : InterventionNetwork or PaperNetwork
        The network, in float32 on the CPU.
    card : dict
        What is known of its training.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it was damaged or holds no such network, or weights that are not finite.
    """
    tensors, header = load_checkpoint(path)
    if header.get("variant") != variant:
        raise ValueError(
            f"{str(path)!r} holds no weights of the variant {variant!r}; pass a file that "
            "save_pretrained of the same variant wrote."
        )
    sizes = header.get("sizes")
    names = _NETWORKS[variant][1]
    if (
        not isinstance(sizes, dict)
        or set(sizes) != set(names)
        or not all(map(_is_size, sizes.values()))
    ):
        raise ValueError(f"{str(path)!r} is damaged: no network has the sizes {sizes!r}.")
    network = make_network(variant, sizes, seed=0)
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if expected != found:
        raise ValueError(f"{str(path)!r} is damaged: its weights do not fit a network of its size.")
    if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        raise ValueError(f"{str(path)!r} is damaged: it holds weights that are not finite.")
    network.load_state_dict(tensors)
    return network, dict(header.get("card") or {})


def _is_size(value) -> bool:
    """Whether a number from a file can be a size of a network."""
    return isinstance(value, int) and 1 <= value <= 1024


@functools.cache
def load_shipped() -> tuple[Network, dict]:
    """Read the shipped network, once per process; callers must not change it."""
    return load_network(shipped_weights(SHIPPED), "amortized")


@functools.lru_cache(maxsize=4)
def cast_network(
    variant: str, network: Network, device: torch.device, dtype: torch.dtype
) -> Network:
    """Copy a network to a device and precision; callers must not change the copy, which is kept."""
    copied = make_network(variant, network.sizes, seed=0)
    copied.load_state_dict(network.state_dict())
    return copied.to(device=device, dtype=dtype)


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
