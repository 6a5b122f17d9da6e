"""Checkpoints are written whole or not at all, and only checkpoints are read."""

import os

import pytest
import torch
from safetensors.torch import save_file

from skcausal.nn import _checkpoint, load_checkpoint, save_checkpoint

HEADER = {"epoch": 3, "fingerprint": "ä", "nested": {"list": [1, 2.5, None]}}


def tensors():
    generator = torch.Generator().manual_seed(0)
    return {
        "double": torch.randn(2, 3, generator=generator, dtype=torch.float64),
        "single": torch.tensor([torch.nan, -torch.inf, 1e-45, -0.0]),
        "scalar": torch.tensor(7),
        "mask": torch.tensor([True, False]),
        "empty": torch.empty(0, 4),
    }


@pytest.fixture
def path(tmp_path):
    return tmp_path / "training.ckpt"


def test_round_trip(path):
    """Values, down to the bits of NaN and of -0.0, shapes and types; no other file remains."""
    save_checkpoint(path, tensors(), HEADER)
    found, header = load_checkpoint(str(path))
    assert header == HEADER
    assert found.keys() == tensors().keys()
    for name, tensor in tensors().items():
        assert found[name].dtype == tensor.dtype
        assert found[name].shape == tensor.shape
        assert found[name].numpy().tobytes() == tensor.numpy().tobytes()
    assert os.listdir(path.parent) == [path.name]


def test_tensors_may_share_memory_be_views_and_need_gradients(path):
    base = torch.arange(6.0, requires_grad=True)
    shared = {
        "a": base,
        "b": base,
        "view": base[1:3],
        "transposed": base.view(2, 3).T,
        "row": base[:1].expand(3),
    }
    save_checkpoint(path, shared, {})
    found, _ = load_checkpoint(path)
    for name, tensor in shared.items():
        torch.testing.assert_close(found[name], tensor.detach(), rtol=0, atol=0)


def test_folders_are_made(tmp_path):
    path = tmp_path / "a" / "b" / "training.ckpt"
    save_checkpoint(path, tensors(), HEADER)
    assert load_checkpoint(path)[1] == HEADER


def test_permissions_are_those_of_any_new_file(path):
    """Others may read shared weights, if the umask lets them."""
    (path.parent / "ordinary").write_text("")
    save_checkpoint(path, tensors(), HEADER)
    assert path.stat().st_mode == (path.parent / "ordinary").stat().st_mode


def fail_in_the_middle(error):
    """Make a stand-in for `save_file` that writes half a file and raises."""

    def save_file(tensors, path, metadata=None):
        with open(path, "wb") as file:
            file.write(b"half")
        raise error

    return save_file


@pytest.mark.parametrize("error", [OSError(28, "No space left"), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("existed", [True, False])
def test_failure_leaves_the_old_file_and_nothing_else(path, monkeypatch, error, existed):
    if existed:
        save_checkpoint(path, tensors(), HEADER)
    with monkeypatch.context() as patched:
        patched.setattr(_checkpoint, "save_file", fail_in_the_middle(error))
        with pytest.raises(type(error)):
            save_checkpoint(path, {"new": torch.zeros(1)}, {})
    assert os.listdir(path.parent) == [path.name] * existed
    if existed:
        assert load_checkpoint(path)[1] == HEADER


def test_disk_error_names_the_file_and_the_reason(path, monkeypatch):
    error = OSError(28, "No space left on device")
    monkeypatch.setattr(_checkpoint, "save_file", fail_in_the_middle(error))
    with pytest.raises(OSError, match=r"training\.ckpt' cannot be written: No space left"):
        save_checkpoint(path, tensors(), HEADER)


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "training.ckpt"
    for write in (lambda: save_checkpoint(path, {}, {}), lambda: _checkpoint.check_writable(path)):
        with pytest.raises(OSError, match=r"file/training\.ckpt' cannot be written"):
            write()
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OSError, match=r"training\.ckpt' cannot be written: Permission denied"):
            save_checkpoint(tmp_path / "training.ckpt", tensors(), HEADER)
    finally:
        tmp_path.chmod(0o700)


def test_check_writable_leaves_nothing(path):
    _checkpoint.check_writable(path)
    assert os.listdir(path.parent) == []
    path.write_text("kept")
    _checkpoint.check_writable(path)
    assert path.read_text() == "kept"


def test_header_that_json_cannot_hold_writes_nothing(path):
    with pytest.raises(TypeError):
        save_checkpoint(path, tensors(), {"object": object()})
    assert os.listdir(path.parent) == []


@pytest.mark.parametrize("content", [b"", b"abc", b"\xff" * 100, b"PK\x03\x04" + bytes(100)])
def test_file_of_another_kind(path, content):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"training\.ckpt' is not a readable checkpoint"):
        load_checkpoint(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_truncated_file(path, share):
    save_checkpoint(path, tensors(), HEADER)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"training\.ckpt' is not a readable checkpoint"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "metadata",
    [None, {"format": "pt"}, {"skcausal": "{"}, {"skcausal": "[1]"}],
    ids=["none", "foreign", "broken", "list"],
)
def test_safetensors_file_of_others(path, metadata):
    save_file({"a": torch.zeros(1)}, path, metadata=metadata)
    with pytest.raises(ValueError, match=r"training\.ckpt' is a safetensors file, but no checkp"):
        load_checkpoint(path)


def test_missing_file_and_folder_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_checkpoint(tmp_path / "nowhere")
    with pytest.raises(OSError, match=str(tmp_path)):
        load_checkpoint(tmp_path)
