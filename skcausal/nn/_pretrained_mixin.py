"""What estimators share that start from pretrained weights."""

from __future__ import annotations

from typing import Any

from skcausal._typing import PathLike
from skcausal.nn._network_files import NetworkFiles


class PretrainedMixin:
    """Write the weights of an estimator.

    A subclass has the attribute `_network_files`, keeps the variant, the network and the card that
    `fit` started from as `_weights_of_fit`, and writes ``_find_weights()``, which returns what it
    would start from.
    """

    _network_files: NetworkFiles
    _weights_of_fit: tuple[str, Any, dict]

    def save_pretrained(self, path: PathLike) -> None:
        """Write the weights that `fit` started from, or would start from, to a file.

        Parameters
        ----------
        path : str or path-like
            The file, in the format of safetensors, with the settings of the training beside the
            weights.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        if not hasattr(self, "_weights_of_fit"):
            self._weights_of_fit = self._find_weights()
        self._network_files.save(path, *self._weights_of_fit)

    def _find_weights(self) -> tuple[str, Any, dict]:
        """Return variant, network and card to start from."""
        raise NotImplementedError
