"""Pretrained weights that are part of the package, each with a model card beside it."""

from __future__ import annotations

import hashlib
from pathlib import Path

__all__ = ["shipped_weights"]

_FOLDER = Path(__file__).parent
_CHECKSUMS = _FOLDER / "SHA256SUMS"


def shipped_weights(name: str) -> Path:
    """Return the path of shipped weights after comparing the file with its checksum.

    Parameters
    ----------
    name : str
        Name of the file without its ending, such as "intervention-predictor".

    Returns
    -------
    path : pathlib.Path
        The file.

    Raises
    ------
    ValueError
        If there are no such weights.
    OSError
        If the file is missing or is not the one that was shipped.
    """
    lines = (line.split() for line in _CHECKSUMS.read_text().splitlines())
    listed = {file: checksum for checksum, file in lines}
    file = f"{name}.safetensors"
    if file not in listed:
        known = ", ".join(sorted(Path(file).stem for file in listed))
        raise ValueError(f"There are no shipped weights of the name {name!r}. There are: {known}.")
    path = _FOLDER / file
    if not path.exists():
        raise OSError(f"The shipped weights {str(path)!r} are missing; reinstall the package.")
    if hashlib.sha256(path.read_bytes()).hexdigest() != listed[file]:
        raise OSError(
            f"The shipped weights {str(path)!r} are damaged: their checksum differs. Reinstall the "
            "package."
        )
    return path
