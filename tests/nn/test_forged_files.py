"""Files with a valid checksum whose parts contradict each other: not damaged, but written so."""

import pytest
import torch

from skcausal.nn import MemberMLP, load_checkpoint, save_checkpoint, train
from skcausal.structure._graph_weights import NETWORK_FILES
from skcausal.weights import shipped_weights

FORGED_HEADERS = {
    "epoch is text": {"epoch": "x"},
    "epoch is no integer": {"epoch": 0.5},
    "epoch is negative": {"epoch": -1},
    "more epochs than were recorded": {"epoch": 1000},
    "no step": {"step": None},
}
FORGED_TENSORS = {
    "no history": lambda name, t: None if name.startswith("history.") else t,
    "history without epochs": lambda name, t: t.sum() if name.startswith("history.") else t,
    "best of another shape": lambda name, t: t.flatten()[:1] if name.startswith("best.") else t,
    "best is not finite": lambda name, t: t * torch.nan if name.startswith("best.") else t,
}


@pytest.fixture
def path(tmp_path):
    """Checkpoint of a finished training."""
    path = tmp_path / "training.ckpt"
    train_small(path)
    return path


def train_small(path):
    module = MemberMLP((2, 3, 1), [torch.Generator().manual_seed(0)])
    rows = torch.ones(1, 4, 2)
    return train(
        module,
        lambda module, batch: {"loss": module(batch).square().mean(dim=(1, 2))},
        lambda epoch, rank, world_size: [rows],
        optimizer=torch.optim.Adam(module.parameters()),
        n_epochs=3,
        validation_loss=lambda module: module(rows).square().mean(dim=(1, 2)),
        checkpoint=path,
    )


def test_the_untouched_checkpoint_is_read(path):
    again = train_small(path)
    assert len(again["loss"]) == 3


@pytest.mark.parametrize("change", FORGED_HEADERS.values(), ids=FORGED_HEADERS)
def test_forged_header_of_a_training(path, change):
    tensors, header = load_checkpoint(path)
    save_checkpoint(path, tensors, header | change)
    with pytest.raises(ValueError, match="its parts do not fit together"):
        train_small(path)


@pytest.mark.parametrize("forge", FORGED_TENSORS.values(), ids=FORGED_TENSORS)
def test_forged_tensors_of_a_training(path, forge):
    tensors, header = load_checkpoint(path)
    forged = {name: forge(name, tensor) for name, tensor in tensors.items()}
    save_checkpoint(path, {n: t for n, t in forged.items() if t is not None}, header)
    with pytest.raises(ValueError, match="its parts do not fit together"):
        train_small(path)


@pytest.mark.parametrize("key", ["optimizer.a.b", "optimizer.first"])
def test_forged_names_in_the_optimizer(path, key):
    tensors, header = load_checkpoint(path)
    save_checkpoint(path, tensors | {key: torch.zeros(1)}, header)
    with pytest.raises(ValueError, match="its parts do not fit together"):
        train_small(path)


@pytest.mark.parametrize("card", [5, [1], "text"], ids=str)
def test_forged_card_of_weights(card, tmp_path):
    tensors, header = load_checkpoint(shipped_weights("graph-posterior-linear"))
    save_checkpoint(tmp_path / "weights", tensors, header | {"card": card})
    with pytest.raises(ValueError, match="its card is no table of entries"):
        NETWORK_FILES.load(tmp_path / "weights", header["variant"])


@pytest.mark.parametrize("dtype", [torch.int64, torch.float64, torch.complex64], ids=str)
def test_weights_of_another_type(dtype, tmp_path):
    tensors, header = load_checkpoint(shipped_weights("graph-posterior-linear"))
    changed = {name: tensor.to(dtype) for name, tensor in tensors.items()}
    save_checkpoint(tmp_path / "weights", changed, header)
    with pytest.raises(ValueError, match="its weights do not fit a network of its size"):
        NETWORK_FILES.load(tmp_path / "weights", header["variant"])


def test_deeply_nested_header(tmp_path):
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, tmp_path / "file", metadata={"skcausal": "[" * 100_000})
    with pytest.raises(ValueError, match="no checkpoint of skcausal"):
        load_checkpoint(tmp_path / "file")
