"""Checkpoints: tensors in a safetensors file, everything else as JSON in its header."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

_HEADER = "skcausal"
_DIGEST = "sha256"


def save_checkpoint(
    path: str | os.PathLike[str], tensors: Mapping[str, torch.Tensor], header: Mapping[str, Any]
) -> None:
    """Write tensors and a header into one file, whole or not at all.

    Parameters
    ----------
    path : str or path-like
        The file; an existing one is replaced in one step once the new one is complete. Its folder
        is made where it is missing.
    tensors : mapping of str to Tensor
        What to store. They may share memory; each is stored in full.
    header : mapping of str to object
        Whatever JSON can hold.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    written = json.dumps(dict(header))
    # Clones, since safetensors refuses tensors that share memory, such as tied weights.
    stored = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    metadata = {_HEADER: written, _DIGEST: _digest(written, stored)}
    with _file_beside(path) as temporary:
        temporary.touch()
        mode = temporary.stat().st_mode  # what the umask grants; save_file lets only the owner read
        save_file(stored, temporary, metadata=metadata)
        temporary.chmod(mode)
        with open(temporary, "r+b") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)


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
    OSError
        If the file does not exist or cannot be read.
    ValueError
        If it is no checkpoint, or was damaged.
    """
    with open(path, "rb"):  # the error of safe_open does not name the file
        pass
    try:
        with safe_open(os.fspath(path), framework="pt", device=str(device)) as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{str(path)!r} is not a readable checkpoint: {error}.") from None
    written = metadata.get(_HEADER, "")
    try:
        header = json.loads(written)
    except (json.JSONDecodeError, RecursionError):  # the latter from a hostile file
        header = None
    if not isinstance(header, dict):
        raise ValueError(f"{str(path)!r} is a safetensors file, but no checkpoint of skcausal.")
    if metadata.get(_DIGEST) != _digest(written, tensors):
        raise ValueError(
            f"{str(path)!r} was damaged after it was written: its checksum differs. Delete it, or "
            "restore it from a copy."
        )
    return tensors, header


def _digest(header: str, tensors: Mapping[str, torch.Tensor]) -> str:
    """Checksum of the header and of every tensor's name, type, shape and bytes."""
    digest = hashlib.sha256(header.encode())
    for name in sorted(tensors):
        tensor = tensors[name].cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def alike(found: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]) -> bool:
    """Whether two sets of tensors have the same names, shapes and types."""
    return found.keys() == wanted.keys() and all(
        (tensor.shape, tensor.dtype) == (wanted[name].shape, wanted[name].dtype)
        for name, tensor in found.items()
    )


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise OSError now rather than after hours of computation if a file cannot be written."""
    with _file_beside(path) as temporary:
        temporary.touch()


@contextmanager
def _file_beside(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Name of a temporary file in the folder of `path`, which is made, and removed in the end.

    In the same folder, because a file cannot be renamed across file systems.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        message = f"The checkpoint {str(path)!r} cannot be written: {reason}."
        raise OSError(message) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
