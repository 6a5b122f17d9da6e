"""Under torchrun every training computes on the GPU of its process."""

import pytest
import torch

from skcausal.prediction import MetaInterventionPredictor
from skcausal.simulators import LinearPrior
from skcausal.structure import AmortizedGraphPosterior

TRAININGS = [
    (
        "skcausal.prediction._pretraining",
        MetaInterventionPredictor(prior=LinearPrior(3), n_tasks=64, width=8, n_layers=1),
    ),
    (
        "skcausal.prediction._pretraining",
        MetaInterventionPredictor(
            variant="paper", prior=LinearPrior(3), n_tasks=6, width=8, n_layers=1
        ),
    ),
    (
        "skcausal.structure._graph_pretraining",
        AmortizedGraphPosterior(prior=LinearPrior(3), n_steps=1, width=4, n_layers=1, n_heads=2),
    ),
]


@pytest.mark.parametrize(("module", "estimator"), TRAININGS)
def test_trainings_ask_for_the_device_of_their_process(module, estimator, monkeypatch):
    asked = []

    def recorded(device):
        asked.append(device)
        return device

    monkeypatch.setattr(f"{module}.local_device", recorded)
    estimator.set_params(device="cpu", random_state=0).pretrain()
    assert asked == [torch.device("cpu")]
