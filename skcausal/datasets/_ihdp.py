"""Home visits to premature infants with simulated outcomes, from files that users fetch."""

from __future__ import annotations

import hashlib
import os
import tempfile
from http.client import HTTPException
from os import PathLike
from pathlib import Path
from urllib.request import urlopen
from zipfile import BadZipFile

import numpy as np
from sklearn.utils import Bunch

from skcausal.datasets._effect_data import check_choice, effect_data, numbered_frame
from skcausal.datasets._user_folder import require_files

_URL = "https://www.fredjo.com/files/"
_PUBLISHED = ["ihdp_npci_1-100.train.npz", "ihdp_npci_1-100.test.npz"]
_COLLECTED = "ihdp_npci_1-30.npz"
_COLLECTED_SHA256 = "38f23a80a158d54f5560c55500fd2399a487ef73438ba976d5889c4c430a4d50"
_N_COLLECTED = 30
_N_PUBLISHED = 100
_KEYS = ("x", "t", "yf", "ycf", "mu0", "mu1")
# What `_fingerprint` makes of realizations 1 to 30.
_FINGERPRINT = {
    "x": -12.343281,
    "t": 3.652236,
    "yf": 1599.133420,
    "ycf": 237.563709,
    "mu0": 1856.681310,
    "mu1": 59.807826,
}


def fetch_ihdp(
    realization: int = 1,
    *,
    data_home: str | PathLike[str] | None = None,
    download_if_missing: bool = False,
) -> Bunch:
    """Load home visits to premature infants with simulated outcomes (IHDP), fetched by the user.

    Covariates of 747 infants of the Infant Health and Development Program, without a part of the
    treated group, and simulated outcomes: both mean outcomes of every unit are known. The data are
    not shipped with the package because of their licence.

    Parameters
    ----------
    realization : int, default=1
        Which simulation of the outcomes, 1 to 100 (1 to 30 where only the file
        ``ihdp_npci_1-30.npz`` is there). Covariates and treatment are the same in all of them.

    data_home : str, path-like or None, default=None
        Folder with the published files ``ihdp_npci_1-100.train.npz`` and
        ``ihdp_npci_1-100.test.npz`` or, for realizations 1 to 30, the file
        ``ihdp_npci_1-30.npz``. None stands for the folder that the environment variable
        ``SKCAUSAL_DATA`` names, or else for ``~/skcausal_data``.

    download_if_missing : bool, default=False
        Download the published files (15 MB) into this folder if they are needed.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object with the following attributes. They do not depend on the files that
        were read; rows are sorted by their covariates.

        X : DataFrame of shape (747, 25)
            Covariates x1 to x25: six standardised continuous ones, then binary ones.
        treatment : Series of int of shape (747,)
            1 = visited at home.
        y : Series of shape (747,)
            Outcome.
        potential_outcomes : DataFrame of shape (747, 2)
            Columns mu0 and mu1: the mean outcomes without and with treatment.
        effect : Series of shape (747,)
            mu1 - mu0.
        train_index, test_index : ndarray of int of shape (672,) and (75,)
            Row positions of the published split of this realization.
        feature_names : list of str
            Names of the covariates.
        DESCR : str
            Description, source, licence and cautions.

    Raises
    ------
    FileNotFoundError
        If the files are missing and are not to be downloaded. The message says what to do.
    OSError
        If the download fails.
    ValueError
        If `realization` is out of its range, or a file does not hold the data that it should.

    References
    ----------
    J. L. Hill (2011). Bayesian nonparametric modeling for causal inference. Journal of
    Computational and Graphical Statistics, 20(1), 217-240.

    U. Shalit, F. D. Johansson and D. Sontag (2017). Estimating individual treatment effect:
    generalization bounds and algorithms. ICML.

    Examples
    --------
    >>> from skcausal.datasets import fetch_ihdp
    >>> infants = fetch_ihdp(realization=3, download_if_missing=True)  # doctest: +SKIP
    >>> infants.X.shape  # doctest: +SKIP
    (747, 25)
    """
    check_choice("realization", realization, _N_PUBLISHED)
    if data_home is None:
        data_home = os.environ.get("SKCAUSAL_DATA", "~/skcausal_data")
    folder = Path(data_home).expanduser()
    published = all((folder / name).is_file() for name in _PUBLISHED)
    if not published and realization <= _N_COLLECTED and (folder / _COLLECTED).is_file():
        units, is_test = _read_collected(folder / _COLLECTED)
    else:
        if download_if_missing:
            _download_missing(folder)
        units, is_test = _read_published(*require_files(folder, _PUBLISHED, _how_to_get()))
    column = realization - 1
    return effect_data(
        "ihdp",
        numbered_frame(units["x"]),
        units["t"],
        units["yf"][:, column].copy(),
        {key: units[key][:, column].copy() for key in ("mu0", "mu1")},
        train_index=np.flatnonzero(~is_test[:, column]),
        test_index=np.flatnonzero(is_test[:, column]),
    )


def _read_collected(path: Path) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Sorted units and test mask (747, 30) of the file with realizations 1 to 30."""
    if hashlib.sha256(path.read_bytes()).hexdigest() != _COLLECTED_SHA256:
        raise ValueError(_refusal(path, "has another SHA-256 hash than the file should have"))
    units = _read_arrays(path, (*_KEYS, "test_index"))
    test_index = units.pop("test_index")
    is_test = np.zeros(units["yf"].shape, dtype=bool)
    np.put_along_axis(is_test, test_index.astype(np.int64), True, axis=0)
    order = _canonical_order(units["x"])
    return {key: values[order] for key, values in units.items()}, is_test[order]


def _read_published(train: Path, test: Path) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Sorted units and test mask (747, n_realizations) of the two published files.

    In these files each realization lists the same units in an order of its own.
    """
    parts = [_read_arrays(path, _KEYS) for path in (train, test)]
    try:
        stacked = {key: np.concatenate([part[key] for part in parts]) for key in _KEYS}
        x = stacked.pop("x")
        order = np.stack([_canonical_order(x[..., r]) for r in range(x.shape[2])], axis=1)
        x = np.take_along_axis(x, order[:, None, :], axis=0)
        units = {key: np.take_along_axis(a, order, axis=0) for key, a in stacked.items()}
    except (ValueError, IndexError) as error:
        raise ValueError(_refusal(train, f"and {test.name} have unexpected shapes")) from error
    same_units = x.shape[2] == _N_PUBLISHED and np.allclose(x, x[..., :1], atol=1e-5)
    units |= {"x": x[..., 0], "t": units["t"][:, 0]}
    if not same_units or not _has_fingerprint(units):
        raise ValueError(_refusal(train, f"and {test.name} differ from the published values"))
    return units, order >= len(parts[0]["t"])


def _read_arrays(path: Path, keys: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Arrays by name of a file of the user."""
    try:
        with np.load(path, allow_pickle=False) as npz:
            return {key: npz[key] for key in keys}
    except (ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
        reason = f"is not an npz file with the arrays {', '.join(keys)}"
        raise ValueError(_refusal(path, reason)) from error


def _canonical_order(x: np.ndarray) -> np.ndarray:
    """Order that sorts rows by x1, then x2, ...; rounding keeps it the same in all files."""
    return np.lexsort(x.round(5).T[::-1])


def _fingerprint(values: np.ndarray) -> float:
    """Weighted sum of sorted units, realizations 1 to 30, that every entry and its place change.

    Unlike a hash, it does not depend on the last digits, which differ between copies of the data.
    """
    flat = values[:, :_N_COLLECTED].ravel()
    return float(flat @ np.cos(np.arange(flat.size)))


def _has_fingerprint(units: dict[str, np.ndarray]) -> bool:
    """Whether the units are those of the published data."""
    found = [_fingerprint(units[key].reshape(len(units["t"]), -1)) for key in _KEYS]
    expected = [_FINGERPRINT[key] for key in _KEYS]
    return np.allclose(found, expected, rtol=0, atol=0.01)


def _download_missing(folder: Path) -> None:
    """Download the published files that the folder lacks; each appears when it is complete."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in (folder / name for name in _PUBLISHED if not (folder / name).is_file()):
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            try:
                with urlopen(_URL + path.name, timeout=60) as response:
                    content = response.read()
            except (OSError, HTTPException) as error:
                raise OSError(
                    f"{_URL}{path.name} could not be downloaded ({error}). Check the connection to "
                    f"the network, or copy this file into the folder {str(folder)!r} by hand."
                ) from error
            part = Path(temporary) / path.name
            part.write_bytes(content)
            os.replace(part, path)


def _how_to_get() -> str:
    """Advice for missing files."""
    return (
        f"Pass download_if_missing=True, or download them from {_URL} into this folder. For "
        f"realizations 1 to {_N_COLLECTED} the file {_COLLECTED} will do instead."
    )


def _refusal(path: Path, reason: str) -> str:
    """Message about a file that is not what it should be."""
    advice = f"Delete from the folder {str(path.parent)!r} what is damaged, and fetch it anew."
    return f"{path.name} {reason}. {advice}"
