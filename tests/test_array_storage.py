"""Stored estimators: what torch made is stored as arrays, and made again."""

import io
import pickle
from collections import OrderedDict, namedtuple

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator
from torch import nn

from skcausal._array_storage import (
    ArrayStorageMixin,
    StoredMethod,
    StoredModule,
    StoredName,
    StoredTensor,
)
from skcausal.nn import MemberMLP
from skcausal.structure import GIES
from tests.conftest import DESIGN_ESTIMATORS, EFFECT_ESTIMATORS, ESTIMATORS, fit_on, name_of

Pair = namedtuple("Pair", ["first", "second"])


class Model(ArrayStorageMixin, BaseEstimator):
    """An estimator with anything as its fitted attribute."""

    def __init__(self, content=None):
        self.content = content


def restored(content):
    return pickle.loads(pickle.dumps(Model(content))).content


class Modules(pickle.Unpickler):
    """Remembers the modules that a pickle imports from."""

    def __init__(self, file):
        super().__init__(file)
        self.imported = set()

    def find_class(self, module, name):
        self.imported.add(module)
        return super().find_class(module, name)


@pytest.mark.parametrize(
    "estimator", ESTIMATORS + EFFECT_ESTIMATORS + DESIGN_ESTIMATORS, ids=name_of
)
def test_pickles_of_fitted_estimators_import_nothing_from_torch(estimator, data):
    reader = Modules(io.BytesIO(pickle.dumps(fit_on(estimator, data))))
    reader.load()
    assert {name for name in reader.imported if name.partition(".")[0] == "torch"} == set()
    assert "skcausal" in {name.partition(".")[0] for name in reader.imported}


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(6).reshape(2, 3),
        torch.tensor(2.5, dtype=torch.float64),
        torch.ones(3, requires_grad=True),
        torch.zeros(0, 2, dtype=torch.bool),
        nn.Parameter(torch.randn(2, generator=torch.Generator().manual_seed(0))),
        nn.Parameter(torch.ones(2), requires_grad=False),
    ],
    ids=str,
)
def test_tensors(tensor):
    found = restored(tensor)
    assert (type(found), found.dtype, found.requires_grad) == (
        type(tensor),
        tensor.dtype,
        tensor.requires_grad,
    )
    torch.testing.assert_close(found, tensor)


@pytest.mark.parametrize("item", [torch.float32, torch.bool, torch.device("cpu")], ids=str)
def test_types_and_devices(item):
    assert restored([item]) == [item]


def test_networks():
    generators = [torch.Generator().manual_seed(seed) for seed in (0, 1)]
    network = nn.ModuleDict({"mlp": MemberMLP((3, 4, 1), generators), "norm": nn.BatchNorm1d(2)})
    network.eval()
    again = restored({"network": network})["network"]
    assert not any(part.training for part in again.modules())
    assert list(again.state_dict()) == list(network.state_dict())
    x = torch.ones(2, 5, 3)
    torch.testing.assert_close(again["mlp"](x), network["mlp"](x), rtol=0, atol=0)
    again.train()["norm"](torch.randn(4, 2))
    assert int(again["norm"].num_batches_tracked) == 1


def test_containers_keep_their_types_and_what_is_shared():
    tensor = torch.ones(2)
    method = nn.Linear(2, 1).double().forward
    content = OrderedDict(pair=Pair(tensor, [tensor, None]), rest=("text", 1.5), method=method)
    found = restored(content)
    assert type(found) is OrderedDict
    assert isinstance(found["pair"], Pair)
    assert found["pair"].first is found["pair"].second[0]
    assert found["rest"] == ("text", 1.5)
    torch.testing.assert_close(
        found["method"](tensor.double()), method(tensor.double()), rtol=0, atol=0
    )


def test_storing_changes_nothing():
    content = {"tensors": [torch.ones(2)], "array": np.ones(2)}
    model = Model(content)
    state = model.__getstate__()
    assert isinstance(state["content"]["tensors"][0], StoredTensor)
    assert state["content"]["array"] is content["array"]
    assert model.content is content
    assert isinstance(content["tensors"][0], torch.Tensor)


def test_estimators_inside_store_themselves():
    inner = GIES()
    assert Model([inner]).__getstate__()["content"][0] is inner


@pytest.mark.parametrize(
    "path",
    [
        ("os", "system"),
        ("torch.nn", "functional"),
        ("torch.nn", "Missing"),
        ("torch.nn.functional", "relu"),
        ("skcausal.structure", "GIES"),
        ("torchvision.models", "ResNet"),
    ],
)
def test_only_networks_are_made(path):
    stored = StoredModule(path, {}, {})
    with pytest.raises(ValueError, match="which is no network"):
        Model().__setstate__({"content": [stored]})


@pytest.mark.parametrize("name", ["load", "missing", "nn"])
def test_only_types_are_looked_up_in_torch(name):
    with pytest.raises(ValueError, match="which is no dtype"):
        Model().__setstate__({"content": StoredName("dtype", name)})


@pytest.mark.parametrize("name", ["content", "missing", "__class__"])
def test_only_methods_are_looked_up(name):
    with pytest.raises(ValueError, match="which is no method"):
        Model().__setstate__({"content": StoredMethod(Model(1), name)})
