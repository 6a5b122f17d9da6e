"""Fixtures of the tests of ActiveDesigner."""

import functools

import pytest

from skcausal.design import (
    _designer,
    _distillation,
    _labelled_states,
    _strategies,
)
from skcausal.design._bootstrap_judge import BootstrapJudge
from skcausal.design._strategies import BootstrapStrategy
from tests.design.designer_helpers import DISTILLED, REDQ, untrained


@pytest.fixture
def small_batches(monkeypatch):
    monkeypatch.setattr(_distillation, "_PAIRS_PER_BATCH", 20)
    monkeypatch.setattr(_labelled_states, "_EPISODES", 4)
    few = functools.partial(BootstrapStrategy, judge=BootstrapJudge(n_bootstraps=3))
    monkeypatch.setattr(_designer, "BootstrapStrategy", few)
    quick = functools.partial(_strategies.diffcbed_designs, n_steps=5)
    monkeypatch.setattr(_strategies, "diffcbed_designs", quick)


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """Files of tiny policies, trained for a moment."""
    folder = tmp_path_factory.mktemp("policies")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_distillation, "_PAIRS_PER_BATCH", 20)
        patch.setattr(_labelled_states, "_EPISODES", 4)
        for name, params in (("distilled", DISTILLED), ("redq", REDQ)):
            designer = untrained(name, params)
            designer.save_pretrained(folder / name)
    return folder
