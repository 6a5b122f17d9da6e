"""Meta-training by two processes that torchrun starts equals that of one with twice the batch.

This module is also the program that the processes run.
"""

import os
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from skcausal.nn import _stream_training
from skcausal.prediction import MetaInterventionPredictor, _maml
from skcausal.simulators import LinearPrior
from skcausal.structure import AmortizedGraphPosterior
from tests.torchrun import run_in_two_processes

TRAININGS = {
    "predictor": MetaInterventionPredictor(
        prior=LinearPrior(4), n_tasks=192, width=8, n_layers=1, random_state=0
    ),
    "predictor, as published": MetaInterventionPredictor(
        variant="paper", prior=LinearPrior(3), n_tasks=12, width=8, n_layers=1, random_state=0
    ),
    "graph posterior": AmortizedGraphPosterior(
        prior=LinearPrior(4), n_steps=4, width=4, n_layers=1, n_heads=2, random_state=0
    ),
}

pytestmark = pytest.mark.skipif(not dist.is_available(), reason="torch lacks torch.distributed")


def pretrained_weights(name):
    """Weights after a meta-training."""
    estimator = TRAININGS[name].pretrain()
    return estimator._weights_of_fit[1].state_dict()


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Weights in each of the two processes."""
    folder = tmp_path_factory.mktemp("torchrun")
    run_in_two_processes("tests.test_torchrun", folder)
    return [torch.load(folder / f"rank{rank}.pt") for rank in (0, 1)]


def with_batches_of_both(train):
    """The training loop, in one process that takes the batches of two and averages their losses."""

    def train_on_both(module, batch_loss, epoch_batches, **options):
        def pairs(epoch, rank, world_size):
            return zip(epoch_batches(epoch, 0, 2), epoch_batches(epoch, 1, 2), strict=True)

        def mean_loss(module, pair):
            first, second = (batch_loss(module, batch) for batch in pair)
            return {name: (first[name] + second[name]) / 2 for name in first}

        return train(module, mean_loss, pairs, **options)

    return train_on_both


@pytest.mark.parametrize("name", TRAININGS)
def test_processes_end_with_the_same_weights(found, name):
    first, second = (weights[name] for weights in found)
    assert first.keys() == second.keys()
    for key in first:
        assert torch.equal(first[key], second[key]), key


@pytest.mark.parametrize("name", TRAININGS)
def test_two_processes_equal_one(found, name, monkeypatch):
    alone = {key: tensor.clone() for key, tensor in pretrained_weights(name).items()}
    for module in (_stream_training, _maml):
        monkeypatch.setattr(module, "train", with_batches_of_both(module.train))
    together = pretrained_weights(name)
    for key, tensor in found[0][name].items():
        torch.testing.assert_close(tensor, together[key], rtol=1e-4, atol=1e-6)
    # The comparison can fail: one process with its own batches alone ends elsewhere.
    assert any(not torch.allclose(found[0][name][key], alone[key], 1e-3, 1e-5) for key in alone)


if __name__ == "__main__":
    torch.save(
        {name: pretrained_weights(name) for name in TRAININGS},
        Path(sys.argv[1]) / f"rank{os.environ['RANK']}.pt",
    )
