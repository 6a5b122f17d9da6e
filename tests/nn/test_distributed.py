"""Training by two processes that torchrun starts.

This module is also the program that they run: it goes through all scenarios and writes what each
process has found, which the tests then look at.
"""

import multiprocessing
import os
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from skcausal.nn import MemberMLP, _training, _training_state, join_processes, train, warmup_cosine
from skcausal.nn._distributed import from_first_process, mean_over_processes
from tests.torchrun import run_in_two_processes

N_EPOCHS, N_BATCHES, N_ROWS = 5, 3, 8

pytestmark = pytest.mark.skipif(not dist.is_available(), reason="torch lacks torch.distributed")


class Problem:
    """A regression, each batch of which is divided among the processes."""

    def __init__(self):
        members = [torch.Generator().manual_seed(seed) for seed in range(2)]
        self.module = MemberMLP((2, 4, 1), members, dtype=torch.float64)
        self.optimizer = torch.optim.AdamW(self.module.parameters(), lr=0.05, fused=True)
        self.n_calls = 0

    def epoch_batches(self, epoch, rank, world_size):
        generator = torch.Generator().manual_seed(epoch)
        for _ in range(N_BATCHES):
            rows = torch.randn(2, N_ROWS, 3, generator=generator, dtype=torch.float64)
            yield rows.chunk(world_size, dim=1)[rank]

    def batch_loss(self, module, rows):
        self.n_calls += 1
        y_pred = module(rows[:, :, :2])
        return {"loss": ((y_pred - rows[:, :, 2:]) ** 2).mean(dim=(1, 2))}

    def validation_loss(self, module):
        """Loss on the first process's rows; other processes know other ones."""
        rank = dist.get_rank() if dist.is_initialized() else 0
        rows = next(self.epoch_batches(1000 + rank, 0, 1))
        return self.batch_loss(module, rows)["loss"]

    def train(self, **options):
        history = train(
            self.module,
            options.pop("batch_loss", self.batch_loss),
            self.epoch_batches,
            optimizer=self.optimizer,
            n_epochs=N_EPOCHS,
            schedule=warmup_cosine(N_EPOCHS * N_BATCHES, 4),
            validation_loss=self.validation_loss,
            **options,
        )
        return {**history, **self.module.state_dict()}


def error_of(function):
    """Type and message of what a function raises."""
    try:
        function()
    except (Exception, KeyboardInterrupt) as error:
        return f"{type(error).__name__}: {error}"
    return "nothing"


def interrupted_training(path, after):
    problem = Problem()

    def batch_loss(*args):
        if problem.n_calls == after:
            raise KeyboardInterrupt
        return problem.batch_loss(*args)

    problem.train(batch_loss=batch_loss, checkpoint=path)


def diverging_training(rank):
    problem = Problem()

    def batch_loss(*args):
        loss = problem.batch_loss(*args)["loss"]
        # Detached, so that only what is recorded is spoilt, in the second process alone.
        return {"loss": loss + (loss.detach() * torch.nan if rank == 1 else 0.0)}

    problem.train(batch_loss=batch_loss)


def go_through_scenarios(folder):
    """What each of the two processes runs."""
    rank = int(os.environ["RANK"])
    found = {"plain": Problem().train(), "again": Problem().train()}

    _training._SECONDS_BETWEEN_CHECKPOINTS = 0.0
    saved = []
    save_checkpoint = _training_state.save_checkpoint

    def recorded(path, *args):
        saved.append(str(path))
        save_checkpoint(path, *args)

    _training_state.save_checkpoint = recorded
    path = folder / "training.ckpt"
    found["interruption"] = error_of(lambda: interrupted_training(path, 10))
    problem = Problem()
    found["resumed"] = problem.train(checkpoint=path)
    found["n_calls_of_resumed"] = problem.n_calls
    found["n_saved"] = len(saved)
    # This process alone would not find the file.
    elsewhere = path if rank == 0 else folder / "not shared" / "training.ckpt"
    problem = Problem()
    found["finished"] = problem.train(checkpoint=elsewhere)
    found["n_calls_of_finished"] = problem.n_calls

    found["foreign"] = error_of(lambda: Problem().train(checkpoint=path, fingerprint="other"))
    unwritable = folder / "file" / "training.ckpt" if rank == 0 else folder / "training.ckpt"
    found["unwritable"] = error_of(lambda: Problem().train(checkpoint=unwritable))
    found["diverged"] = error_of(lambda: diverging_training(rank))

    for _ in range(20):
        found["last"] = Problem().train()
    found["means"] = mean_over_processes({"b": torch.tensor(1.0 + rank), "a": torch.ones(2) * rank})
    found["shared"] = from_first_process(lambda: rank, torch.device("cpu"))
    torch.save(found, folder / f"rank{rank}.pt")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What the two processes have found, and the folder they worked in."""
    folder = tmp_path_factory.mktemp("torchrun")
    (folder / "file").write_text("")
    run_in_two_processes("tests.nn.test_distributed", folder)
    return [torch.load(folder / f"rank{rank}.pt") for rank in (0, 1)], folder


def assert_same(found, expected):
    """Two dictionaries of tensors agree in every bit."""
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


@pytest.mark.parametrize("scenario", ["plain", "again", "resumed", "finished", "last"])
def test_processes_agree_in_every_bit(found, scenario):
    """Parameters and history, in which the batches of both are averaged."""
    (first, second), _ = found
    assert_same(first[scenario], second[scenario])


def test_two_processes_are_one_with_the_batches_of_both(found):
    """The validation loss is the first process's."""
    expected = Problem().train()
    assert found[0][0]["plain"].keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[0][0]["plain"][name], tensor, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("scenario", ["again", "last"])
def test_further_trainings_of_the_same_processes(found, scenario):
    """Also after some that failed."""
    assert_same(found[0][0][scenario], found[0][0]["plain"])


def test_resume(found):
    for of_rank in found[0]:
        assert of_rank["interruption"].startswith("KeyboardInterrupt")
        assert_same(of_rank["resumed"], of_rank["plain"])
        n_validations = N_EPOCHS - 2  # 10 calls are two epochs of three batches and a validation
        assert of_rank["n_calls_of_resumed"] == n_validations * (N_BATCHES + 1)


def test_finished_training_is_known_to_all_even_if_only_the_first_has_the_file(found):
    for of_rank in found[0]:
        assert_same(of_rank["finished"], of_rank["plain"])
        assert of_rank["n_calls_of_finished"] == 0


def test_only_the_first_process_writes(found):
    (first, second), folder = found
    assert first["n_saved"] == N_EPOCHS
    assert second["n_saved"] == 0
    assert not (folder / "not shared").exists()
    expected = ["file", "rank0.pt", "rank1.pt", "training.ckpt"]
    assert sorted(os.listdir(folder)) == expected


def test_all_processes_raise_what_one_of_them_notices(found):
    """None waits for the others for ever."""
    for of_rank in found[0]:
        assert of_rank["foreign"].startswith("ValueError: The checkpoint")
        assert "cannot be written" in of_rank["unwritable"]
        assert of_rank["diverged"].startswith("FloatingPointError: The training loss is not finite")


def test_communication(found):
    for of_rank in found[0]:
        assert of_rank["shared"] == 0
        assert_same(of_rank["means"], {"b": torch.tensor(1.5), "a": torch.full((2,), 0.5)})


def test_without_torchrun_there_is_one_process(monkeypatch):
    for name in ("TORCHELASTIC_RUN_ID", "RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert join_processes(torch.device("cpu")) == (0, 1)
    assert not dist.is_initialized()
    assert from_first_process(lambda: "result", torch.device("cpu")) == "result"


def test_workers_of_a_process_do_not_take_part(monkeypatch):
    """They inherit the variables of the process that torchrun started."""
    for name in ("TORCHELASTIC_RUN_ID", "RANK", "WORLD_SIZE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: "the process with this rank")
    assert join_processes(torch.device("cpu")) == (0, 1)
    assert not dist.is_initialized()


if __name__ == "__main__":
    go_through_scenarios(Path(sys.argv[1]))
