import hashlib
import io
from http.client import IncompleteRead

import numpy as np
import pytest

from skcausal.datasets import _ihdp, fetch_ihdp
from skcausal.datasets._shipped import read_description

N_TRAIN, N_TEST, N_COVARIATES = 30, 6, 4
N_UNITS = N_TRAIN + N_TEST
PUBLISHED = ("ihdp_npci_1-100.train.npz", "ihdp_npci_1-100.test.npz")
COLLECTED = "ihdp_npci_1-30.npz"


@pytest.fixture
def units(monkeypatch):
    """Small units of 100 realizations, whose fingerprint the reader then expects."""
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.integers(0, 3, (N_UNITS, N_COVARIATES - 1)), rng.normal(size=N_UNITS)])
    x = x[np.lexsort(x.T[::-1])]
    units = {"x": x, "t": rng.integers(0, 2, N_UNITS)}
    units |= {key: rng.normal(size=(N_UNITS, 100)) for key in ("yf", "ycf", "mu0", "mu1")}
    expected = {}
    for key, values in units.items():
        flat = (values[:, :30] if key not in "xt" else values).ravel()
        expected[key] = sum(value * np.cos(i) for i, value in enumerate(flat))
    monkeypatch.setattr(_ihdp, "_FINGERPRINT", expected)
    tests = np.stack([rng.permutation(N_UNITS)[:N_TEST] for _ in range(100)], axis=1)
    return units | {"test_index": tests}


def write_published(folder, units):
    """Both files, with the units in another order in each realization and rounded outcomes."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(1)
    tests = units["test_index"].T
    trains = [np.setdiff1d(np.arange(N_UNITS), test) for test in tests]
    for name, parts in zip(PUBLISHED, (trains, tests)):
        rows = np.stack([rng.permutation(part) for part in parts], axis=1)
        arrays = {"x": np.moveaxis(units["x"][rows], 1, 2), "t": units["t"][rows].astype(float)}
        for key in ("yf", "ycf", "mu0", "mu1"):
            arrays[key] = np.take_along_axis(units[key], rows, axis=0).round(8)
        np.savez(folder / name, ate=np.array(4.0), **arrays)
    return folder


def write_collected(folder, units, monkeypatch):
    """The one file, with its units in another order."""
    folder.mkdir(exist_ok=True)
    shuffle = np.random.default_rng(2).permutation(N_UNITS)
    arrays = {key: units[key][shuffle] for key in ("x", "t", "yf", "ycf", "mu0", "mu1")}
    arrays |= {key: arrays[key][:, :30] for key in ("yf", "ycf", "mu0", "mu1")}
    arrays["test_index"] = np.argsort(shuffle)[units["test_index"][:, :30]].astype(np.int16)
    np.savez(folder / COLLECTED, **arrays)
    digest = hashlib.sha256((folder / COLLECTED).read_bytes()).hexdigest()
    monkeypatch.setattr(_ihdp, "_COLLECTED_SHA256", digest)
    return folder


def check_units(data, units, realization):
    """Compare with the units that were written."""
    column = realization - 1
    np.testing.assert_array_equal(data.X, units["x"])
    assert data.X.columns.tolist() == data.feature_names == ["x1", "x2", "x3", "x4"]
    assert data.treatment.dtype == np.int64
    np.testing.assert_array_equal(data.treatment, units["t"])
    np.testing.assert_allclose(data.y, units["yf"][:, column], atol=1e-7)
    assert data.potential_outcomes.columns.tolist() == ["mu0", "mu1"]
    for key in ("mu0", "mu1"):
        np.testing.assert_allclose(data.potential_outcomes[key], units[key][:, column], atol=1e-7)
    effect = data.potential_outcomes["mu1"] - data.potential_outcomes["mu0"]
    np.testing.assert_array_equal(data.effect, effect)
    np.testing.assert_array_equal(data.test_index, np.sort(units["test_index"][:, column]))
    rows = np.sort(np.concatenate([data.train_index, data.test_index]))
    np.testing.assert_array_equal(rows, np.arange(N_UNITS))


@pytest.mark.parametrize("realization", [1, 17, 30])
def test_both_sources_give_the_same(tmp_path, units, monkeypatch, realization):
    published = write_published(tmp_path / "published", units)
    collected = write_collected(tmp_path / "collected", units, monkeypatch)
    for folder in (published, collected):
        check_units(fetch_ihdp(realization, data_home=folder), units, realization)


def test_late_realizations_need_the_published_files(tmp_path, units, monkeypatch):
    folder = write_collected(tmp_path, units, monkeypatch)
    with pytest.raises(FileNotFoundError, match=r"^ihdp_npci_1-100.train.npz, .*realizations 1 to"):
        fetch_ihdp(31, data_home=folder)
    check_units(fetch_ihdp(100, data_home=write_published(folder, units)), units, 100)


def test_default_folder(tmp_path, units, monkeypatch):
    write_published(tmp_path / "named", units)
    monkeypatch.setenv("SKCAUSAL_DATA", str(tmp_path / "named"))
    check_units(fetch_ihdp(), units, 1)
    monkeypatch.delenv("SKCAUSAL_DATA")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="skcausal_data"):
        fetch_ihdp()
    write_published(tmp_path / "skcausal_data", units)
    check_units(fetch_ihdp(), units, 1)


def test_missing_files_are_named_with_what_to_do(tmp_path):
    pattern = r"^ihdp_npci_1-100.train.npz, .*npz not found .*download_if_missing=True.*fredjo"
    with pytest.raises(FileNotFoundError, match=pattern):
        fetch_ihdp(data_home=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("realization", [0, 101, 1.0, "1", True])
def test_unknown_realization(realization):
    with pytest.raises(ValueError, match="realization must be an integer"):
        fetch_ihdp(realization)


def test_collection_with_another_hash(tmp_path, units, monkeypatch):
    write_collected(tmp_path, units, monkeypatch)
    with (tmp_path / COLLECTED).open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ValueError, match=r"ihdp_npci_1-30.npz has another SHA-256 hash"):
        fetch_ihdp(data_home=tmp_path)


@pytest.mark.parametrize("key", ["x", "t", "yf", "ycf", "mu0", "mu1"])
def test_published_files_with_another_value(tmp_path, units, key):
    write_published(tmp_path, units)
    arrays = dict(np.load(tmp_path / PUBLISHED[0]))
    arrays[key][3, ...] += 0.5
    np.savez(tmp_path / PUBLISHED[0], **arrays)
    with pytest.raises(ValueError, match="differ from the published values"):
        fetch_ihdp(data_home=tmp_path)


def test_published_files_with_units_of_their_own_in_a_late_realization(tmp_path, units):
    write_published(tmp_path, units)
    arrays = dict(np.load(tmp_path / PUBLISHED[0]))
    arrays["x"][..., 70] += 1
    np.savez(tmp_path / PUBLISHED[0], **arrays)
    with pytest.raises(ValueError, match="differ from the published values"):
        fetch_ihdp(data_home=tmp_path)


def test_published_files_of_other_shapes(tmp_path, units):
    write_published(tmp_path, units)
    arrays = dict(np.load(tmp_path / PUBLISHED[0]))
    np.savez(tmp_path / PUBLISHED[0], **arrays | {"x": arrays["x"][..., 0]})
    with pytest.raises(ValueError, match="unexpected shapes"):
        fetch_ihdp(data_home=tmp_path)
    np.savez(tmp_path / PUBLISHED[0], **{k: a for k, a in arrays.items() if k != "mu1"})
    with pytest.raises(
        ValueError, match=r"ihdp_npci_1-100.train.npz is not an npz file with .*mu1"
    ):
        fetch_ihdp(data_home=tmp_path)


def test_a_file_that_is_no_archive(tmp_path, units):
    write_published(tmp_path, units)
    (tmp_path / PUBLISHED[1]).write_text("<html>Not found</html>")
    with pytest.raises(ValueError, match=r"ihdp_npci_1-100.test.npz is not an npz file"):
        fetch_ihdp(data_home=tmp_path)


def test_download(tmp_path, units, monkeypatch):
    source, folder = tmp_path / "source", tmp_path / "new" / "folder"
    write_published(source, units)
    monkeypatch.setattr(_ihdp, "_URL", source.as_uri() + "/")
    check_units(fetch_ihdp(2, data_home=folder, download_if_missing=True), units, 2)
    assert sorted(path.name for path in folder.iterdir()) == sorted(PUBLISHED)
    monkeypatch.setattr(_ihdp, "_URL", (tmp_path / "gone").as_uri() + "/")
    check_units(fetch_ihdp(3, data_home=folder, download_if_missing=True), units, 3)


def test_only_the_missing_file_is_downloaded(tmp_path, units, monkeypatch):
    source, folder = tmp_path / "source", write_published(tmp_path / "folder", units)
    source.mkdir()
    (folder / PUBLISHED[1]).rename(source / PUBLISHED[1])
    monkeypatch.setattr(_ihdp, "_URL", source.as_uri() + "/")
    check_units(fetch_ihdp(data_home=folder, download_if_missing=True), units, 1)


def test_the_collection_is_not_downloaded_over(tmp_path, units, monkeypatch):
    folder = write_collected(tmp_path, units, monkeypatch)
    monkeypatch.setattr(_ihdp, "_URL", (tmp_path / "gone").as_uri() + "/")
    check_units(fetch_ihdp(data_home=folder, download_if_missing=True), units, 1)


def test_failed_download_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(_ihdp, "_URL", (tmp_path / "gone").as_uri() + "/")
    pattern = r"ihdp_npci_1-100.train.npz could not be downloaded .* by hand"
    with pytest.raises(OSError, match=pattern):
        fetch_ihdp(data_home=tmp_path / "folder", download_if_missing=True)
    assert not list((tmp_path / "folder").iterdir())


def test_interrupted_download_leaves_nothing_behind(tmp_path, monkeypatch):
    class Interrupted(io.BytesIO):
        def read(self):
            raise IncompleteRead(b"half")

    monkeypatch.setattr(_ihdp, "urlopen", lambda url, timeout: Interrupted())
    with pytest.raises(OSError, match="could not be downloaded"):
        fetch_ihdp(data_home=tmp_path, download_if_missing=True)
    assert not list(tmp_path.iterdir())


def test_description_states_equations_and_cautions():
    description = read_description("ihdp")
    for part in ("exp(a + (x + 0.5) beta)", "median", "not shipped", "**References**"):
        assert part in description
