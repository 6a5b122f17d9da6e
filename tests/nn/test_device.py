"""Devices and precisions."""

import numpy as np
import pytest
import torch

from skcausal.nn import local_device, resolve_device, resolve_dtype


@pytest.mark.parametrize("available", [True, False])
def test_auto_is_the_gpu_where_there_is_one(monkeypatch, available):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    assert resolve_device("auto") == torch.device("cuda" if available else "cpu")


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu")], ids=["str", "device"])
def test_cpu(device):
    assert resolve_device(device) == torch.device("cpu")


@pytest.mark.parametrize("device", ["gpu", "cpu:x", "", None, 1.5, ["cpu"]], ids=repr)
def test_no_device(device):
    with pytest.raises(ValueError, match="device must be 'auto' or a device of torch"):
        resolve_device(device)


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:99", "mps", "meta"])
def test_device_that_this_machine_lacks(device):
    """torch knows the name, but cannot compute there; "meta" has no values anywhere."""
    kind = device.split(":")[0]
    if (kind == "cuda" and device != "cuda:99" and torch.cuda.is_available()) or (
        kind == "mps" and torch.backends.mps.is_available()
    ):
        pytest.skip("This machine has it.")
    with pytest.raises(ValueError, match=f"device='{device}' is not available here"):
        resolve_device(device)


def test_local_device_of_torchrun(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert local_device(torch.device("cuda")) == torch.device("cuda:3")
    assert local_device(torch.device("cuda:1")) == torch.device("cuda:1")
    assert local_device(torch.device("cpu")) == torch.device("cpu")
    monkeypatch.delenv("LOCAL_RANK")
    assert local_device(torch.device("cuda")) == torch.device("cuda")


@pytest.mark.parametrize("name", ["float32", "float64"])
def test_dtype(name):
    expected = getattr(torch, name)
    for dtype in (name, f"torch.{name}", expected, getattr(np, name), np.dtype(name)):
        assert resolve_dtype(dtype) is expected


@pytest.mark.parametrize(
    "dtype",
    ["float16", "int64", "", torch.float16, np.int32, np.dtype("int64"), float, None, 32],
    ids=repr,
)
def test_other_dtypes_are_refused(dtype):
    with pytest.raises(ValueError, match="dtype must be 'float32' or 'float64'"):
        resolve_dtype(dtype)
