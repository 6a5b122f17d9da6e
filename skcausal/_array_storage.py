"""Fitted estimators stored without objects of torch: networks and tensors as arrays.

Pickles then need no particular version of torch and no GPU, and skops, which reads files from
others without executing anything in them, can store every estimator.
"""

import copy
import importlib
import sys
from types import MethodType

import numpy as np
from sklearn.base import BaseEstimator

# An attribute of every torch module that is made anew, or stored in a form of its own.
_MEMBERS = ("_parameters", "_buffers", "_modules")


class ArrayStorageMixin:
    """Replaces what torch made by arrays when an estimator is stored, and back when it is read."""

    def __getstate__(self):
        state = super().__getstate__()
        torch = sys.modules.get("torch")
        return state if torch is None else _Packing(torch).convert(state)

    def __setstate__(self, state):
        super().__setstate__(_Unpacking().convert(state))


class StoredTensor:
    """Values of a tensor, which is read back to the CPU.

    Parameters
    ----------
    array : ndarray
        The values.
    is_parameter : bool
        Whether it is a parameter of a network.
    requires_grad : bool
        Whether gradients flow into it.
    """

    def __init__(self, array, is_parameter, requires_grad):
        self.array = array
        self.is_parameter = is_parameter
        self.requires_grad = requires_grad


class StoredModule:
    """A network: its class, its tensors and its parts.

    Parameters
    ----------
    path : tuple of str
        Module and name of the class, which must be of skcausal or of ``torch.nn``.
    members : dict of str to dict
        Parameters, buffers and parts by name.
    attributes : dict
        All other attributes.
    """

    def __init__(self, path, members, attributes):
        self.path = path
        self.members = members
        self.attributes = attributes


class StoredMethod:
    """A method of something that is stored in another form.

    Parameters
    ----------
    owner : object
        Whose method it is.
    name : str
        Its name.
    """

    def __init__(self, owner, name):
        self.owner = owner
        self.name = name


class StoredName:
    """What torch has one of for each name: a dtype, or a device (read back as the CPU).

    Parameters
    ----------
    kind : {"dtype", "device"}
        What it is.
    name : str
        Its name.
    """

    def __init__(self, kind, name):
        self.kind = kind
        self.name = name


class _Conversion:
    """Rebuild containers and objects of this package around what has to be replaced.

    What holds nothing to be replaced is kept as it is, and what was shared stays shared.
    """

    def __init__(self):
        self._seen = {}

    def convert(self, item):
        if isinstance(item, (str, bytes, int, float, complex, np.ndarray, type(None), type)):
            return item
        if id(item) not in self._seen:
            # The item is kept, too: its id must not be given to another one.
            self._seen[id(item)] = item, item
            self._seen[id(item)] = item, self._convert_new(item)
        return self._seen[id(item)][1]

    def _convert_new(self, item):
        replaced = self.replace(item)
        if replaced is not item:
            return replaced
        if isinstance(item, dict):
            parts = {key: self.convert(value) for key, value in item.items()}
            if all(parts[key] is item[key] for key in item):
                return item
            made = copy.copy(item)
            made.update(parts)
            return made
        if isinstance(item, (list, tuple)):
            values = [self.convert(value) for value in item]
            if all(new is old for new, old in zip(values, item)):
                return item
            return item._make(values) if hasattr(item, "_make") else type(item)(values)
        if _is_ours(item):
            attributes = self.convert(vars(item))
            return item if attributes is vars(item) else _object(type(item), attributes)
        return item


class _Packing(_Conversion):
    """From torch's objects to arrays."""

    def __init__(self, torch):
        super().__init__()
        self.torch = torch

    def replace(self, item):
        torch = self.torch
        if isinstance(item, torch.Tensor):
            is_parameter = isinstance(item, torch.nn.Parameter)
            array = item.detach().cpu().numpy().copy()
            return StoredTensor(array, is_parameter, bool(item.requires_grad))
        if isinstance(item, torch.dtype):
            return StoredName("dtype", str(item).removeprefix("torch."))
        if isinstance(item, torch.device):
            return StoredName("device", "cpu")
        if isinstance(item, torch.nn.Module):
            made_anew = vars(torch.nn.Module())
            members = {name: dict(vars(item)[name]) for name in _MEMBERS}
            attributes = {
                name: value
                for name, value in vars(item).items()
                if name == "training" or name not in made_anew
            }
            path = type(item).__module__, type(item).__qualname__
            return StoredModule(path, self.convert(members), self.convert(attributes))
        if isinstance(item, MethodType):
            owner = self.convert(item.__self__)
            return item if owner is item.__self__ else StoredMethod(owner, item.__name__)
        return item


class _Unpacking(_Conversion):
    """From arrays to torch's objects."""

    def replace(self, item):
        if isinstance(item, StoredTensor):
            import torch

            tensor = torch.tensor(item.array)
            if item.is_parameter:
                return torch.nn.Parameter(tensor, requires_grad=item.requires_grad)
            return tensor.requires_grad_(item.requires_grad)
        if isinstance(item, StoredMethod):
            method = getattr(self.convert(item.owner), item.name, None)
            return _checked(method, MethodType, item.name)
        if isinstance(item, StoredName):
            import torch

            if item.kind == "device":
                return torch.device("cpu")
            return _checked(getattr(torch, item.name, None), torch.dtype, item.name)
        if isinstance(item, StoredModule):
            import torch

            cls = _module_class(torch.nn.Module, *item.path)
            module = cls.__new__(cls)
            torch.nn.Module.__init__(module)
            vars(module).update(self.convert(item.attributes))
            for name, parts in self.convert(item.members).items():
                vars(module)[name].update(parts)
            return module
        return item


def _is_ours(item):
    """Whether an object is of this package and stores its attributes in the ordinary way."""
    cls = type(item)
    return (
        cls.__module__.partition(".")[0] == __name__.partition(".")[0]
        and hasattr(item, "__dict__")
        and not isinstance(item, BaseEstimator)  # stores itself
        and not isinstance(item, (StoredTensor, StoredModule, StoredMethod, StoredName))
    )


def _object(cls, attributes):
    """Make an object with given attributes."""
    made = cls.__new__(cls)
    vars(made).update(attributes)
    return made


def _checked(found, kind, name):
    """Return what a name in a stored estimator stands for; refuse what is of another kind."""
    if not isinstance(found, kind):
        raise ValueError(f"The stored estimator names {name!r}, which is no {kind.__name__}.")
    return found


def _module_class(base, module, name):
    """Look the class of a network up; refuse all but those of this package and of torch.nn."""
    found = None
    if module.startswith(("skcausal.", "torch.nn.")):
        found = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part, None)
    if not isinstance(found, type) or not issubclass(found, base):
        raise ValueError(f"The stored estimator names {module}.{name}, which is no network.")
    return found
