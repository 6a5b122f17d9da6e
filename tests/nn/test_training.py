"""The training loop against loops written out, and its behaviour when something goes wrong."""

import math
import os

import numpy as np
import pytest
import torch
from torch import nn

from skcausal.nn import best_epoch, train, warmup_cosine
from tests.nn.training_helpers import (
    N_BATCHES,
    Problem,
    assert_same,
    interrupted,
)

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
