"""Files of pretrained networks: written with their sizes and a card, read with every check."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from numbers import Integral
from typing import Any

import torch
from sklearn.utils import check_random_state
from torch import nn

from skcausal import __version__
from skcausal.nn._checkpoint import alike, load_checkpoint, save_checkpoint


class NetworkFiles:
    """Makes, writes and reads the networks of a method.

    Parameters
    ----------
    networks : mapping of str to tuple
        For every variant the class and the names of the arguments that determine its size. The
        class takes them as keywords besides `generator`, and has them as attribute `sizes`.
    """

    def __init__(self, networks: Mapping[str, tuple[type, tuple[str, ...]]]):
        self.networks = networks

    def make(self, variant: str, sizes: dict[str, int], *, seed: int) -> Any:
        """Make a network with initial weights that are determined by a seed.

        Parameters
        ----------
        variant : str
            Which network.
        sizes : dict of str to int
            Its sizes.
        seed : int
            The seed.

        Returns
        -------
        network : nn.Module
            The network, in float32 on the CPU.
        """
        network = self.networks[variant][0](generator=torch.Generator().manual_seed(seed), **sizes)
        return network.eval()

    def save(self, path, variant: str, network: Any, card: dict) -> None:
        """Write weights, the size of the network and a card into one file.

        Parameters
        ----------
        path : str or path-like
            The file.
        variant : str
            Which network it is.
        network : nn.Module
            A network that :meth:`make` made.
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

    def load(self, path, variant: str) -> tuple[Any, dict]:
        """Read a network from a file that :meth:`save` wrote.

        Parameters
        ----------
        path : str or path-like
            The file.
        variant : str
            Which network is wanted.

        Returns
        -------
        network : nn.Module
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
        names = self.networks[variant][1]
        if (
            not isinstance(sizes, dict)
            or set(sizes) != set(names)
            or not all(_is_size(name, value) for name, value in sizes.items())
        ):
            raise ValueError(f"{str(path)!r} is damaged: no network has the sizes {sizes!r}.")
        try:
            network = self.make(variant, sizes, seed=0)
        except ValueError as error:
            raise ValueError(
                f"{str(path)!r} is damaged: no network has the sizes {sizes!r}."
            ) from error
        if not alike(tensors, network.state_dict()):
            raise ValueError(
                f"{str(path)!r} is damaged: its weights do not fit a network of its size."
            )
        if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
            raise ValueError(f"{str(path)!r} is damaged: it holds weights that are not finite.")
        card = header.get("card") or {}
        if not isinstance(card, dict):
            raise ValueError(f"{str(path)!r} is damaged: its card is no table of entries.")
        network.load_state_dict(tensors)
        return network, card


def _is_size(name, value) -> bool:
    """Whether a number from a file can be a size of a network."""
    smallest = 0 if name == "n_messages" else 1
    return type(value) is int and smallest <= value <= 1024


@functools.lru_cache(maxsize=8)
def cast_network(network: Any, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """Copy a network to a device and precision; callers must not change the copy, which is kept."""
    copied = type(network)(generator=torch.Generator().manual_seed(0), **network.sizes)
    copied.load_state_dict(network.state_dict())
    return copied.eval().to(device=device, dtype=dtype)


def seed_of_training(random_state, checkpoint) -> int:
    """Draw the seed of a training, which has to be the same where a checkpoint is resumed.

    Parameters
    ----------
    random_state : int, RandomState instance or None
        Parameter of an estimator.
    checkpoint : str, path-like or None
        Another one.

    Returns
    -------
    seed : int
        The seed.

    Raises
    ------
    ValueError
        If there is a checkpoint, but no integer `random_state`.
    """
    if checkpoint is not None and not isinstance(random_state, Integral):
        raise ValueError(
            "checkpoint needs an integer random_state: otherwise no later run sees the same tasks."
        )
    return int(check_random_state(random_state).randint(2**31 - 1))


def described(
    network: Any, history: Mapping[str, torch.Tensor], settings: dict, prior
) -> tuple[tuple[Any, dict], dict]:
    """Put a trained network together with its card.

    Parameters
    ----------
    network : nn.Module
        The network.
    history : mapping of str to tensor of shape (n_epochs,)
        Terms of the loss.
    settings : dict
        Settings of the training.
    prior : TaskPrior, sequence of TaskPrior or None
        Parameter of an estimator; None for its default.

    Returns
    -------
    trained : tuple of nn.Module and dict
        The network, on the CPU, and what is known of its training.
    curve : dict of str to ndarray of shape (n_epochs,)
        Terms of the loss.
    """
    curve = {name: values.numpy() for name, values in history.items()}
    card = settings | {
        "prior": "default" if prior is None else repr(prior),
        "final": {name: float(values[-1]) for name, values in curve.items()},
    }
    return (network.cpu(), card), curve


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
