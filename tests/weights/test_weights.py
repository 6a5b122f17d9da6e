"""Shipped weights: complete, described, and refused once they are damaged."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest

import skcausal.weights
from skcausal.prediction import _pretrained
from skcausal.structure import AmortizedGraphPosterior, _graph_weights
from skcausal.weights import shipped_weights

FOLDER = Path(skcausal.weights.__file__).parent
NAMES = sorted(path.stem for path in FOLDER.glob("*.safetensors"))


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A copy of the folder in place of the package's."""
    folder = tmp_path / "weights"
    shutil.copytree(FOLDER, folder)
    monkeypatch.setattr(skcausal.weights, "_FOLDER", folder)
    monkeypatch.setattr(skcausal.weights, "_CHECKSUMS", folder / "SHA256SUMS")
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_every_file_has_its_checksum_and_a_card(name):
    path = shipped_weights(name)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert f"{digest}  {path.name}" in (FOLDER / "SHA256SUMS").read_text().splitlines()
    assert "## Limits" in path.with_suffix(".md").read_text()


def test_the_folder_is_small():
    """All weights together may take 20 MB; those of single methods less."""
    sizes = {path.stem: path.stat().st_size for path in FOLDER.glob("*.safetensors")}
    assert sum(sizes.values()) <= 20e6
    assert sizes[_pretrained.SHIPPED] <= 2e6
    names = [_graph_weights.shipped_file(name) for name in _graph_weights.SHIPPED]
    assert sum(sizes[name] for name in names) <= 10e6


def test_unknown_name():
    with pytest.raises(ValueError, match="no shipped weights of the name 'mine'"):
        shipped_weights("mine")


@pytest.mark.parametrize("name", NAMES)
def test_damaged_and_missing_files_are_refused(name, copied):
    assert shipped_weights(name).parent == copied
    path = copied / f"{name}.safetensors"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(OSError, match="damaged: their checksum differs"):
        shipped_weights(name)
    path.unlink()
    with pytest.raises(OSError, match="missing; reinstall"):
        shipped_weights(name)


@pytest.mark.parametrize("damage", ["truncated", "flipped"])
def test_every_damaged_file_of_a_graph_posterior_is_refused(damage, tmp_path):
    """Without the list of checksums, as files of one's own are read."""
    content = shipped_weights(_graph_weights.shipped_file("linear")).read_bytes()
    rng = np.random.default_rng()
    path = tmp_path / "weights.safetensors"
    for position in rng.integers(len(content), size=200):
        if damage == "truncated":
            path.write_bytes(content[:position])
        else:
            flipped = bytearray(content)
            flipped[position] ^= 1 << rng.integers(8)
            path.write_bytes(flipped)
        with pytest.raises((ValueError, OSError)):
            AmortizedGraphPosterior(pretrained=path).save_pretrained(tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_card_of_the_intervention_predictor():
    """The file itself says how it was trained, and how well it does on unseen systems."""
    _, card = _pretrained.NETWORK_FILES.load(shipped_weights(_pretrained.SHIPPED), "amortized")
    assert {"n_steps", "seed", "learning_rate", "held_out"} <= set(card)
    assert 0.85 <= card["held_out"]["coverage"] <= 0.95
