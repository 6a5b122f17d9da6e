"""Interrupted trainings go on from their checkpoints, to the last bit."""

import os
import signal
import subprocess
import sys

import pytest
import torch
from torch import nn

from skcausal.nn import MemberMLP, _training, save_checkpoint, train, warmup_cosine
from skcausal.nn._best_epoch import BestEpochs
from tests.nn.training_helpers import (
    N_BATCHES,
    ROOT,
    Problem,
    assert_same,
    interrupted,
)

STOPPING = {
    "plain": {},
    "validation": {"validate": True},
    "early stopping": {"n_epochs": 40, "validate": True, "n_iter_no_change": 3, "tol": 1e-3},
}


def assert_same_training(found, expected):
    """Parameters and state of the optimizer agree in every bit."""
    assert_same(found.parameters(), expected.parameters())
    states = [problem.optimizer.state_dict()["state"] for problem in (found, expected)]
    assert states[0].keys() == states[1].keys()
    for number, state in states[1].items():
        assert_same(states[0][number], state)


@pytest.mark.usefixtures("every_epoch")
@pytest.mark.parametrize("stopping", list(STOPPING))
@pytest.mark.parametrize("optimizer", ["fused", "adamw", "momentum"])
def test_resume_is_bit_identical(path, optimizer, stopping):
    """Interrupted twice in the middle of an epoch, once in validation or between epochs."""
    options = {"schedule": warmup_cosine(100), "fingerprint": "abc"} | STOPPING[stopping]
    whole = Problem(optimizer=optimizer)
    expected = whole.train(**options)
    for after in (4, 5):  # of N_BATCHES = 3 in an epoch
        problem = Problem(optimizer=optimizer)
        batch_loss = interrupted(problem.batch_loss, after)
        with pytest.raises(KeyboardInterrupt):
            problem.train(batch_loss=batch_loss, checkpoint=path, **options)
    problem = Problem(optimizer=optimizer)
    epoch_batches = interrupted(problem.epoch_batches, 1)
    with pytest.raises(KeyboardInterrupt):
        problem.train(epoch_batches=epoch_batches, checkpoint=path, **options)
    problem = Problem(optimizer=optimizer)
    found = problem.train(checkpoint=path, **options)
    assert problem.n_calls == (len(expected["loss"]) - 3) * N_BATCHES
    assert_same(found, expected)
    assert_same_training(problem, whole)
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.usefixtures("every_epoch")
def test_resume_after_members_have_stopped(path):
    """What a stopped member does after the checkpoint still does not count."""
    options = STOPPING["early stopping"]
    seeds = tuple(range(6))
    whole = Problem(seeds)
    expected = whole.train(**options)
    first, last = stops(expected["validation"])
    assert first < last - 1
    problem = Problem(seeds)
    batch_loss = interrupted(problem.batch_loss, (first + 1) * N_BATCHES)
    with pytest.raises(KeyboardInterrupt):
        problem.train(batch_loss=batch_loss, checkpoint=path, **options)
    problem = Problem(seeds)
    assert_same(problem.train(checkpoint=path, **options), expected)
    assert_same(problem.parameters(), whole.parameters())


def stops(validation):
    """Numbers of epochs after which the first and the last member stop."""
    found = []
    for losses in validation.T:
        epochs = BestEpochs(3, 1e-3)
        for n, loss in enumerate(losses, 1):
            epochs.update(loss)
            if epochs.stopped:
                found.append(n)
                break
    return min(found), max(found)


def run_until_killed(path, after):
    """What the subprocess of the next test does."""
    _training._SECONDS_BETWEEN_CHECKPOINTS = 0.0
    problem = Problem()

    def batch_loss(*args):
        if problem.n_calls == after:
            os.kill(os.getpid(), signal.SIGKILL)
        return problem.batch_loss(*args)

    problem.train(batch_loss=batch_loss, checkpoint=path, validate=True)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no such signal")
def test_resume_after_kill(path):
    code = f"from tests.nn.test_training_checkpoints import *; run_until_killed({str(path)!r}, 10)"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=False)
    assert ended.returncode == -signal.SIGKILL
    whole, problem = Problem(), Problem()
    expected = whole.train(validate=True)
    assert_same(problem.train(checkpoint=path, validate=True), expected)
    assert problem.n_calls == 3 * N_BATCHES
    assert_same_training(problem, whole)


@pytest.mark.parametrize("stopping", list(STOPPING))
def test_finished_training_is_returned_without_another_step(path, stopping):
    options = STOPPING[stopping]
    whole, problem = Problem(), Problem()
    expected = whole.train(checkpoint=path, **options)
    written = path.read_bytes()
    assert_same(problem.train(checkpoint=path, **options), expected)
    assert problem.n_calls == 0
    assert_same_training(problem, whole)
    assert path.read_bytes() == written
    assert not problem.module.training


def test_more_epochs_go_on_from_the_last_one(path):
    """Not from the best one."""
    whole, problem = Problem(), Problem()
    expected = whole.train(9, validate=True)
    Problem().train(5, validate=True, checkpoint=path)
    assert_same(problem.train(9, validate=True, checkpoint=path), expected)
    assert problem.n_calls == 4 * N_BATCHES
    assert_same_training(problem, whole)


def test_checkpoints_are_written_after_some_time_only(path, monkeypatch):
    """And after the last epoch."""
    monkeypatch.setattr(_training, "_SECONDS_BETWEEN_CHECKPOINTS", 1e9)
    problem = Problem()
    with pytest.raises(KeyboardInterrupt):
        problem.train(batch_loss=interrupted(problem.batch_loss, 10), checkpoint=path)
    assert os.listdir(path.parent) == []
    Problem().train(checkpoint=path)
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("difference", ["fingerprint", "members", "layers", "dtype"])
def test_checkpoint_of_another_training(path, difference):
    Problem().train(2, checkpoint=path, fingerprint="abc")
    problem = Problem((0, 1) if difference == "members" else (0, 1, 2))
    if difference == "layers":
        problem.module = MemberMLP((2, 1), [torch.Generator()] * 3, dtype=torch.float64)
        problem.optimizer = torch.optim.SGD(problem.module.parameters())
    if difference == "dtype":
        problem.module.float()
    before = problem.parameters()
    fingerprint = "other" if difference == "fingerprint" else "abc"
    with pytest.raises(ValueError, match=r"training\.ckpt' belongs to another training"):
        problem.train(checkpoint=path, fingerprint=fingerprint)
    assert problem.n_calls == 0
    assert_same(problem.parameters(), before)


def test_file_that_is_no_checkpoint_of_a_training(path):
    save_checkpoint(path, Problem().module.state_dict(), {"name": "weights"})
    with pytest.raises(ValueError, match=r"training\.ckpt' is no checkpoint of a training"):
        Problem().train(checkpoint=path)
    path.write_bytes(b"text")
    with pytest.raises(ValueError, match=r"training\.ckpt' is not a readable checkpoint"):
        Problem().train(checkpoint=path)
    assert path.read_bytes() == b"text"


def test_folder_that_cannot_be_written_is_noticed_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    problem = Problem()
    with pytest.raises(OSError, match=r"file/training\.ckpt' cannot be written"):
        problem.train(checkpoint=tmp_path / "file" / "training.ckpt")
    with pytest.raises(OSError, match=str(tmp_path)):
        problem.train(checkpoint=tmp_path)
    assert problem.n_calls == 0


class Tied(nn.Module):
    """A linear map used twice, under two names."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(2, 2, dtype=torch.float64)
        self.second = self.first
        with torch.no_grad():
            self.first.weight.copy_(torch.eye(2))
            self.first.bias.zero_()

    def forward(self, x):
        return self.second(torch.tanh(self.first(x))).sum(dim=1, keepdim=True)


@pytest.mark.usefixtures("every_epoch")
def test_modules_may_share_parameters(path):
    problem = Problem()

    def run(checkpoint, after=10**6):
        module = Tied()

        def batch_loss(module, rows):
            return {"loss": ((module(problem.x[rows[0]]) - problem.y[rows[0]]) ** 2).mean()}

        history = train(
            module,
            interrupted(batch_loss, after),
            problem.epoch_batches,
            optimizer=torch.optim.AdamW(module.parameters(), lr=0.1),
            n_epochs=4,
            validation_loss=lambda m: ((m(problem.x_new) - problem.y_new) ** 2).mean(),
            checkpoint=checkpoint,
        )
        return {**history, **module.state_dict()}

    expected = run(None)
    with pytest.raises(KeyboardInterrupt):
        run(path, after=7)
    assert_same(run(path), expected)
