"""Checkpoints: tensors in a safetensors file, everything else as JSON in its header."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

_HEADER = "skcausal"


def save_checkpoint(
    path: str | os.PathLike[str], tensors: Mapping[str, torch.Tensor], header: Mapping[str, Any]
) -> None:
    """Write tensors and a header into one file, whole or not at all.

    Parameters
    ----------
    path : str or path-like
        The file; an existing one is replaced in one step once the new one is complete.
    tensors : mapping of str to Tensor
        What to store.
    header : mapping of str to object
        Whatever JSON can hold.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # In the same folder, because a file cannot be renamed across file systems.
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    try:
        save_file(stored, temporary, metadata={_HEADER: json.dumps(dict(header))})
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def load_checkpoint(
    path: str | os.PathLike[str], device: torch.device | str = "cpu"
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read tensors and header of a file written by :func:`save_checkpoint`.

    Parameters
    ----------
    path : str or path-like
        The file.
    device : torch.device or str, default="cpu"
        Where the tensors go.

    Returns
    -------
    tensors : dict of str to Tensor
        The stored tensors.
    header : dict
        The stored header.

    Raises
    ------
    ValueError
        If the file is no checkpoint.
    """
    try:
        with safe_open(os.fspath(path), framework="pt", device=str(device)) as file:
            header = (file.metadata() or {}).get(_HEADER)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{str(path)!r} is not a readable checkpoint: {error}") from None
    if header is None:
        raise ValueError(f"{str(path)!r} is a safetensors file, but no checkpoint of skcausal.")
    return tensors, json.loads(header)
