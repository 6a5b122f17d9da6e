"""Fixtures of the tests of the training loop."""

import pytest

from skcausal.nn import _training


@pytest.fixture
def path(tmp_path):
    return tmp_path / "training.ckpt"


@pytest.fixture
def every_epoch(monkeypatch):
    """Write a checkpoint after every epoch."""
    monkeypatch.setattr(_training, "_SECONDS_BETWEEN_CHECKPOINTS", 0.0)
