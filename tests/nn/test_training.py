"""The training loop against loops written out, and its behaviour when something goes wrong."""

import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from skcausal.nn import MemberMLP, _training, best_epoch, save_checkpoint, train, warmup_cosine
from skcausal.nn._best_epoch import BestEpochs

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


@pytest.fixture
def path(tmp_path):
    return tmp_path / "training.ckpt"


@pytest.fixture
def every_epoch(monkeypatch):
    """Write a checkpoint after every epoch."""
    monkeypatch.setattr(_training, "_SECONDS_BETWEEN_CHECKPOINTS", 0.0)


# -- What is computed ------------------------------------------------------------------------------


@pytest.mark.parametrize("with_schedule", [True, False])
@pytest.mark.parametrize("optimizer", ["fused", "adamw", "momentum", "sgd"])
def test_equals_a_loop_written_out(optimizer, with_schedule):
    schedule = warmup_cosine(6 * N_BATCHES, n_warmup=4) if with_schedule else None
    problem = Problem(optimizer=optimizer)
    history = problem.train(schedule=schedule)

    other = Problem(optimizer=optimizer)
    losses, errors, validation, step = [], [], [], 0
    for epoch in range(6):
        of_epoch = []
        for batch in other.epoch_batches(epoch):
            rate = 0.05
            if with_schedule:
                cosine = (1 + math.cos(math.pi * step / 18)) / 2
                rate *= cosine * (step + 1) / 4 if step < 3 else cosine
            other.optimizer.param_groups[0]["lr"] = rate
            other.optimizer.zero_grad()
            terms = other.batch_loss(other.module, batch)
            terms["loss"].sum().backward()
            other.optimizer.step()
            of_epoch.append((terms["loss"].detach(), terms["error"].detach()))
            step += 1
        losses.append(sum(loss for loss, _ in of_epoch) / N_BATCHES)
        errors.append(sum(error for _, error in of_epoch) / N_BATCHES)
        validation.append(other.validation_loss(other.module))
    for name, expected in other.parameters().items():
        torch.testing.assert_close(problem.parameters()[name], expected, rtol=1e-12, atol=1e-13)
    assert history.keys() == {"loss", "error"}
    torch.testing.assert_close(history["loss"], torch.stack(losses), rtol=1e-12, atol=0)
    torch.testing.assert_close(history["error"], torch.stack(errors), rtol=1e-12, atol=0)


def test_history_is_float64_and_terms_may_have_different_shapes():
    """A scalar beside (n_members,), in float32 and float64."""
    problem = Problem()

    def batch_loss(module, rows):
        loss = problem.batch_loss(module, rows)["loss"]
        return {"scalar": loss.float().mean(), "loss": loss, "constant": torch.tensor(2)}

    history = problem.train(4, batch_loss=batch_loss, validate=True)
    shapes = {name: tuple(values.shape) for name, values in history.items()}
    assert shapes == {"scalar": (4,), "loss": (4, 3), "constant": (4,), "validation": (4, 3)}
    assert {values.dtype for values in history.values()} == {torch.float64}
    assert history["constant"].tolist() == [2, 2, 2, 2]
    torch.testing.assert_close(history["scalar"], history["loss"].mean(dim=1), rtol=1e-6, atol=0)


def test_a_scalar_loss():
    """One module without members: the sum of the members' losses has the same gradient."""
    problem, other = Problem(), Problem()
    history = problem.train(
        batch_loss=lambda *args: {"loss": problem.batch_loss(*args)["loss"].sum()},
        validation_loss=lambda module: problem.validation_loss(module).sum(),
    )
    expected = other.train()
    torch.testing.assert_close(history["loss"], expected["loss"].sum(dim=1), rtol=1e-12, atol=0)
    assert history["validation"].shape == (6,)


def test_modes_gradients_and_learning_rates():
    """Training mode in batches, evaluation mode without gradients in validation and afterwards."""
    problem = Problem()
    seen = []

    def batch_loss(module, rows):
        seen.append(("batch", module.training, torch.is_grad_enabled()))
        return problem.batch_loss(module, rows)

    def validation_loss(module):
        seen.append(("validation", module.training, torch.is_grad_enabled()))
        return problem.validation_loss(module)

    problem.train(2, batch_loss=batch_loss, validation_loss=validation_loss)
    of_epoch = [("batch", True, True)] * N_BATCHES + [("validation", False, False)]
    assert seen == of_epoch * 2
    assert not problem.module.training
    assert all(p.grad is None for p in problem.module.parameters())


def test_schedule_multiplies_the_rate_of_each_group():
    problem = Problem()
    weights, biases = problem.module.weights, problem.module.biases
    problem.optimizer = torch.optim.AdamW([{"params": weights, "lr": 0.5}, {"params": biases}], 0.1)
    seen = []

    def batch_loss(module, rows):
        seen.append([group["lr"] for group in problem.optimizer.param_groups])
        return problem.batch_loss(module, rows)

    problem.train(2, batch_loss=batch_loss, schedule=lambda step: 1 / (1 + step))
    np.testing.assert_allclose(seen, [(0.5 / (1 + i), 0.1 / (1 + i)) for i in range(6)])
    assert [group["lr"] for group in problem.optimizer.param_groups] == [0.5, 0.1]


def test_warmup_cosine():
    factor = warmup_cosine(100, n_warmup=10)
    cosine = [(1 + math.cos(math.pi * step / 100)) / 2 for step in range(101)]
    expected = [c * min(1, (step + 1) / 10) for step, c in enumerate(cosine)]
    np.testing.assert_allclose([factor(step) for step in range(101)], expected, atol=1e-15)
    assert factor(100) == factor(1000) == 0
    assert factor(0) == pytest.approx(0.1)
    assert warmup_cosine(100, n_warmup=0)(0) == 1


def test_no_global_random_state_is_touched(path):
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    states = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    Problem().train(checkpoint=path, validate=True, n_iter_no_change=2)
    assert torch.equal(torch.random.get_rng_state(), states[0])
    np.testing.assert_array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002


def test_progress_bar(capsys):
    Problem().train()
    assert capsys.readouterr() == ("", "")
    Problem().train(verbose=True, description="Some networks")
    shown = capsys.readouterr().err
    assert "Some networks" in shown
    assert "6/6" in shown
    assert "loss=" in shown


# -- The best epoch --------------------------------------------------------------------------------


@pytest.mark.parametrize("n_iter_no_change", [None, 2])
@pytest.mark.parametrize("tol", [0.0, 0.25])
@pytest.mark.parametrize("seed", range(3))
def test_each_member_gets_its_best_epoch_back(seed, tol, n_iter_no_change):
    """With validation losses that are made up."""
    losses = torch.from_numpy(np.random.default_rng(seed).uniform(size=(8, 3)))
    problem = Problem()
    after = []

    def validation_loss(module):
        after.append(problem.parameters())
        return losses[len(after) - 1]

    history = problem.train(
        8, validation_loss=validation_loss, tol=tol, n_iter_no_change=n_iter_no_change
    )
    assert torch.equal(history["validation"], losses[: len(after)])
    best = best_epoch(losses, n_iter_no_change, tol)
    for name, parameter in problem.parameters().items():
        for member in range(3):
            assert torch.equal(parameter[member], after[best[member]][name][member])


def test_a_scalar_loss_brings_the_whole_module_back():
    """Its buffers, too."""
    problem = Problem()
    module = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 1)).double()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    after = []

    def batch_loss(module, rows):
        return {"loss": ((module(problem.x[rows[0]]) - problem.y[rows[0]]) ** 2).mean()}

    def validation_loss(module):
        after.append({name: t.clone() for name, t in module.state_dict().items()})
        return torch.tensor([3.0, 1.0, 2.0, 5.0][len(after) - 1])

    train(
        module,
        batch_loss,
        problem.epoch_batches,
        optimizer=optimizer,
        n_epochs=4,
        validation_loss=validation_loss,
    )
    assert_same(module.state_dict(), after[1])
    assert not torch.equal(after[1]["0.running_mean"], after[3]["0.running_mean"])


def test_without_validation_the_last_epoch_counts():
    problem = Problem()
    after = []

    def epoch_batches(epoch, rank, world_size):
        yield from problem.epoch_batches(epoch)
        after.append(problem.parameters())

    problem.train(epoch_batches=epoch_batches, n_iter_no_change=1)
    assert len(after) == 6
    assert_same(problem.parameters(), after[-1])


def test_members_trained_together_are_those_trained_alone():
    """Each stops in an epoch of its own; training goes on until the last of them has stopped."""
    options = {"n_epochs": 60, "validate": True, "n_iter_no_change": 3, "tol": 1e-3}
    options["schedule"] = warmup_cosine(60 * N_BATCHES)
    seeds = tuple(range(6))
    together = Problem(seeds)
    history = together.train(**options)
    best = best_epoch(history["validation"], 3, 1e-3)
    lengths = []
    for member, seed in enumerate(seeds):
        alone = Problem((seed,))
        expected = alone.train(**options)
        n_epochs = len(expected["loss"])
        lengths.append(n_epochs)
        for name, values in expected.items():
            found = history[name][:n_epochs, member]
            torch.testing.assert_close(found, values[:, 0], rtol=1e-10, atol=1e-10)
        assert best[member] == best_epoch(expected["validation"][:, 0], 3, 1e-3)
        for name, parameter in alone.parameters().items():
            found = together.parameters()[name][member]
            torch.testing.assert_close(found, parameter[0], rtol=1e-10, atol=1e-10)
    assert len(set(lengths)) > 1
    assert len(history["loss"]) == max(lengths) < 60


def test_members_that_the_parameters_lack():
    problem = Problem()
    with pytest.raises(ValueError, match=r"5 members, but the leading axis of .* \(3, 2, 6\)"):
        problem.train(validation_loss=lambda module: torch.zeros(5))


# -- What goes wrong -------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("kind", ["training", "validation"])
def test_a_loss_that_is_not_finite(kind, value, path):
    """In the third epoch, of one member."""
    problem = Problem()
    problem.optimizer.param_groups[0]["lr"] = 0.03
    factor = torch.ones(3, dtype=torch.float64)
    n_epochs = 0

    def epoch_batches(epoch, rank, world_size):
        nonlocal n_epochs
        n_epochs += 1
        yield from problem.epoch_batches(epoch)

    def spoilt(loss, of_kind):
        return loss * torch.where(
            (torch.arange(3) == 1) & (n_epochs == 3) & (kind == of_kind), value, factor
        )

    with pytest.raises(FloatingPointError, match=f"The {kind} loss is not finite in epoch 3"):
        problem.train(
            batch_loss=lambda *args: {
                "loss": spoilt(problem.batch_loss(*args)["loss"], "training")
            },
            validation_loss=lambda module: spoilt(problem.validation_loss(module), "validation"),
            epoch_batches=epoch_batches,
            schedule=warmup_cosine(100),
            checkpoint=path,
        )
    assert n_epochs == 3
    assert problem.optimizer.param_groups[0]["lr"] == 0.03
    assert os.listdir(path.parent) == []


def test_a_member_that_has_stopped_may_diverge():
    """It gets its best epoch back, and does no harm to the others."""
    problem, other = Problem(), Problem()
    is_first = torch.arange(3) == 0
    n_epochs = 0

    def validation_loss(module):
        nonlocal n_epochs
        n_epochs += 1
        loss = torch.tensor([1.0 + n_epochs, -n_epochs, -n_epochs], dtype=torch.float64)
        return torch.where(is_first & (n_epochs > 4), torch.nan, loss)

    def batch_loss(module, rows):
        loss = problem.batch_loss(module, rows)["loss"]
        return {"loss": loss * torch.where(is_first & (n_epochs >= 4), torch.nan, 1.0)}

    history = problem.train(
        batch_loss=batch_loss, validation_loss=validation_loss, n_iter_no_change=3
    )
    assert history["loss"].isnan().tolist() == [[epoch >= 4, False, False] for epoch in range(6)]
    other.train(1)
    expected = other.parameters()
    other.train(epoch_batches=lambda epoch, *_: other.epoch_batches(epoch + 1), n_epochs=5)
    for name, parameter in problem.parameters().items():
        assert torch.equal(parameter[0], expected[name][0])
        assert torch.equal(parameter[1:], other.parameters()[name][1:])


def test_no_epoch():
    problem = Problem()
    before = problem.parameters()
    assert problem.train(0, validate=True) == {}
    assert_same(problem.parameters(), before)
    assert not problem.module.training


def test_no_batch():
    problem = Problem()
    with pytest.raises(ValueError, match="epoch_batches yields no batch in epoch 1"):
        problem.train(epoch_batches=lambda epoch, rank, world_size: iter(()))


@pytest.mark.parametrize("where", ["batch_loss", "epoch_batches", "validation_loss"])
def test_interruption_leaves_the_learning_rate_as_it_was(where):
    problem = Problem()
    options = {name: getattr(problem, name) for name in ("batch_loss", "validation_loss")}
    options["epoch_batches"] = problem.epoch_batches
    options[where] = interrupted(options[where], after=2)
    with pytest.raises(KeyboardInterrupt):
        problem.train(schedule=warmup_cosine(18), **options)
    assert problem.optimizer.param_groups[0]["lr"] == 0.05
    assert all(p.grad is None for p in problem.module.parameters())


# -- Checkpoints -----------------------------------------------------------------------------------

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
    code = f"from tests.nn.test_training import *; run_until_killed({str(path)!r}, 10)"
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
