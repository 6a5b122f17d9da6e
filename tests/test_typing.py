"""The public surface carries type hints, and the package says so to type checkers."""

import dataclasses
import importlib
import inspect
from pathlib import Path

import pytest

import skcausal


def is_ours(function):
    """Whether a function was written in this package; else its hints are not ours to give."""
    return str(getattr(function, "__module__", "")).startswith("skcausal")


def members(cls):
    """Names and functions of the constructor, the public methods and the properties of a class."""
    for name in dir(cls):
        member = inspect.getattr_static(cls, name)
        if name.startswith("_") and name != "__init__":
            continue
        if isinstance(member, property):
            yield name, member.fget
        elif name == "__init__" and dataclasses.is_dataclass(cls):
            continue  # written by dataclasses from fields, which all have a type
        elif inspect.isroutine(getattr(cls, name)):
            yield name, getattr(cls, name)


def public_objects():
    """Dotted names and objects: the functions and classes that public modules list."""
    found = {}
    for module_name in skcausal._SUBMODULES:
        module = importlib.import_module(f"skcausal.{module_name}")
        for name in module.__all__:
            obj = getattr(module, name)
            if (inspect.isclass(obj) or inspect.isfunction(obj)) and is_ours(obj):
                found.setdefault(obj, f"{module_name}.{name}")
    return [pytest.param(obj, id=name) for obj, name in found.items()]


def missing_hints(name, function):
    """Names of what has no annotation: parameters, and "return"."""
    signature = inspect.signature(function)
    without = [
        parameter.name
        for parameter in signature.parameters.values()
        if parameter.annotation is parameter.empty and parameter.name not in ("self", "cls")
    ]
    if signature.return_annotation is signature.empty:
        without.append("return")
    return [f"{name}: {missing}" for missing in without]


@pytest.mark.parametrize("obj", public_objects())
def test_parameters_and_results_are_annotated(obj):
    """Every function and method has a hint for each parameter and for what it returns."""
    functions = list(members(obj)) if inspect.isclass(obj) else [(obj.__name__, obj)]
    missing = [
        hint
        for name, function in functions
        if is_ours(function)
        for hint in missing_hints(name, function)
    ]
    assert not missing, missing


def test_inherited_methods_are_seen():
    """The walk reaches what private bases and mixins define, and what depends on a parameter."""
    from skcausal.effects import CFRRegressor
    from skcausal.prediction import MetaInterventionPredictor

    names = {name for name, function in members(CFRRegressor) if is_ours(function)}
    assert {"__init__", "fit", "ate", "score"} <= names
    names = {name for name, function in members(MetaInterventionPredictor) if is_ours(function)}
    assert {"fit", "predict", "sample", "save_pretrained"} <= names


def test_missing_hints_are_named():
    """A parameter or result without a hint is noticed."""

    def half(a: int, b=1):
        return a, b

    assert missing_hints("half", half) == ["half: b", "half: return"]


def test_package_is_marked_as_typed():
    """Type checkers read the hints of a package only where it holds this file."""
    assert (Path(skcausal.__file__).parent / "py.typed").is_file()
