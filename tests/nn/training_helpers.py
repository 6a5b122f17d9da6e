"""What the tests of the training loop share."""

from pathlib import Path

import numpy as np
import torch

from skcausal.nn import MemberMLP, train

ROOT = Path(__file__).resolve().parents[2]
N_ROWS, BATCH, N_BATCHES = 24, 8, 3


class Problem:
    """A small regression for the members with the given seeds, each with batches of its own."""

    def __init__(self, seeds=(0, 1, 2), *, optimizer="fused", learning_rate=0.05):
        rng = np.random.default_rng(0)
        self.x = torch.from_numpy(rng.normal(size=(N_ROWS, 2)))
        noise = torch.from_numpy(rng.normal(size=(N_ROWS, 1)))
        self.y = self.x.sum(dim=1, keepdim=True) + noise
        self.x_new = torch.from_numpy(rng.normal(size=(15, 2)))
        self.y_new = self.x_new.sum(dim=1, keepdim=True)
        self.seeds = seeds
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.module = MemberMLP((2, 6, 1), generators, dtype=torch.float64)
        parameters, lr = self.module.parameters(), learning_rate
        self.optimizer = {
            "fused": lambda: torch.optim.AdamW(parameters, lr=lr, weight_decay=0.1, fused=True),
            "adamw": lambda: torch.optim.AdamW(parameters, lr=lr, weight_decay=0.1),
            "momentum": lambda: torch.optim.SGD(parameters, lr=lr, momentum=0.9),
            "sgd": lambda: torch.optim.SGD(parameters, lr=lr),
        }[optimizer]()
        self.n_calls = 0

    def epoch_batches(self, epoch, rank=0, world_size=1):
        orders = [np.random.default_rng((seed, epoch)).permutation(N_ROWS) for seed in self.seeds]
        yield from torch.from_numpy(np.stack(orders)).split(BATCH, dim=1)

    def batch_loss(self, module, rows):
        self.n_calls += 1
        error = ((module(self.x[rows]) - self.y[rows]) ** 2).mean(dim=(1, 2))
        size = (module.weights[0] ** 2).sum(dim=(1, 2))
        return {"loss": error + 0.01 * size, "error": error}

    def validation_loss(self, module):
        x = self.x_new.expand(len(self.seeds), -1, -1)
        return ((module(x) - self.y_new) ** 2).mean(dim=(1, 2))

    def train(self, n_epochs=6, *, validate=False, **options):
        if validate:
            options = {"validation_loss": self.validation_loss} | options
        batch_loss = options.pop("batch_loss", self.batch_loss)
        epoch_batches = options.pop("epoch_batches", self.epoch_batches)
        return train(
            self.module,
            batch_loss,
            epoch_batches,
            optimizer=self.optimizer,
            n_epochs=n_epochs,
            **options,
        )

    def parameters(self):
        return {name: p.detach().clone() for name, p in self.module.named_parameters()}


def interrupted(function, after, error=KeyboardInterrupt):
    """Make `function` raise in its call number `after` + 1."""
    n_calls = 0

    def stand_in(*args):
        nonlocal n_calls
        n_calls += 1
        if n_calls > after:
            raise error
        return function(*args)

    return stand_in


def assert_same(found, expected):
    """Two dictionaries of tensors agree in every bit."""
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=0, equal_nan=True)
