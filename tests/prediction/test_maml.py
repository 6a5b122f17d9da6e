"""Meta-training differentiates through its gradient step, and resumes where it stopped."""

from dataclasses import replace

import pytest
import torch
from torch.func import functional_call

from skcausal.prediction._maml import adapt, meta_train
from skcausal.prediction._paper_losses import context_rows, fit_loss, transfer_loss
from skcausal.prediction._paper_network import PaperNetwork
from skcausal.prediction._paper_tasks import sample_tasks
from skcausal.simulators import LinearPrior


def network(dropout=0.0, n_layers=1):
    return PaperNetwork(
        3,
        torch.Generator().manual_seed(0),
        width=8,
        n_layers=n_layers,
        n_heads=2,
        n_hidden=8,
        dropout=dropout,
    ).double()


def draw(n_tasks=4, n_rows=3, seed=0):
    tasks = sample_tasks(LinearPrior(3), n_tasks, n_rows=n_rows, n_heldout_pairs=1, seed=seed)
    return replace(tasks, X=tasks.X.double(), X_test=tasks.X_test.double())


def objective(module, tasks, create_graph=True):
    """Equation 3."""
    adapted = adapt(module, tasks.X, tasks.mask, 1, 0.3, create_graph=create_graph)
    return transfer_loss(
        module,
        tasks.X,
        tasks.mask,
        tasks.X_test,
        tasks.mask_test,
        parameters=adapted,
        second_order=True,
    ).mean()


def run(options=None, *, dropout=0.0, tasks=None):
    options = {"n_epochs": 2, "batch_size": 2, "learning_rate": 1e-2, "seed": 0} | (options or {})
    module = network(dropout)
    history = meta_train(
        module, draw() if tasks is None else tasks, inner_learning_rate=0.1, **options
    )
    return torch.cat([p.detach().flatten() for p in module.parameters()]), history["loss"]


class TestTasks:
    def test_regimes_and_units(self):
        tasks = draw(n_tasks=5, n_rows=7)
        # The observational regime, three singles and two of three pairs; one pair is unseen.
        assert tasks.X.shape == tasks.mask.shape == (5, 6 * 7, 3)
        assert tasks.X_test.shape == tasks.mask_test.shape == (5, 7, 3)
        assert sorted(tasks.mask[0, ::7].sum(dim=1).tolist()) == [0, 1, 1, 1, 2, 2]
        for seen, unseen in zip(tasks.mask, tasks.mask_test):
            assert unseen[0].sum() == 2
            assert not (seen == unseen[0]).all(dim=1).any()
        assert len({tuple(mask[0].tolist()) for mask in draw(n_tasks=20).mask_test}) == 3
        torch.testing.assert_close(
            tasks.X.mean(dim=1), torch.zeros(5, 3).double(), atol=1e-6, rtol=0
        )
        torch.testing.assert_close(tasks.X.std(dim=1, correction=0), torch.ones(5, 3).double())

    def test_targets_have_one_value(self):
        tasks = draw(n_tasks=2)
        for j in range(3):
            values = torch.cat([tasks.X[0, tasks.mask[0, :, j], j]])
            torch.testing.assert_close(values, values[:1].expand(len(values)))

    def test_the_seed_determines_them(self):
        assert torch.equal(draw().X_test, draw().X_test)
        assert not torch.equal(draw().X_test, draw(seed=1).X_test)

    @pytest.mark.parametrize("n_pairs", [0, 3])
    def test_some_pairs_are_unseen_and_some_are_not(self, n_pairs):
        with pytest.raises(ValueError, match="between 1 and 2"):
            sample_tasks(LinearPrior(3), 2, n_rows=3, n_heldout_pairs=n_pairs, seed=0)


def test_the_loss_leaves_intervened_cells_out():
    module, tasks = network(), draw()
    X, mask = tasks.X[0], tasks.mask[0]
    error = (module(X, mask, X, mask) - X)[~mask]
    torch.testing.assert_close(fit_loss(module, X, mask), 0.5 * error.square().mean())


def test_many_tasks_are_adapted_as_each_alone():
    module, tasks = network(), draw()
    together = adapt(module, tasks.X, tasks.mask, 3, 0.3)
    losses = fit_loss(module, tasks.X, tasks.mask, parameters=together)
    for k in range(len(tasks)):
        alone = adapt(module, tasks.X[k], tasks.mask[k], 3, 0.3)
        for name, parameter in alone.items():
            torch.testing.assert_close(together[name][k], parameter, rtol=1e-9, atol=1e-12)
        loss = fit_loss(module, tasks.X[k], tasks.mask[k], parameters=alone)
        torch.testing.assert_close(losses[k], loss)


def test_adaptation_is_gradient_descent_on_the_fit_loss():
    module, tasks = network(), draw(n_rows=10)
    X, mask = tasks.X[0], tasks.mask[0]
    before = [p.detach().clone() for p in module.parameters()]
    losses = [
        float(fit_loss(module, X, mask, parameters=adapt(module, X, mask, n_steps, 0.1)))
        for n_steps in (0, 1, 10)
    ]
    assert losses[0] > losses[1] > losses[2]
    assert all(torch.equal(a, b) for a, b in zip(before, module.parameters()))
    assert all(p.grad is None for p in module.parameters())
    gradients = torch.autograd.grad(fit_loss(module, X, mask), list(module.parameters()))
    adapted = adapt(module, X, mask, 1, 0.1)
    for p, gradient, q in zip(module.parameters(), gradients, adapted.values()):
        torch.testing.assert_close(q, p - 0.1 * gradient)
    functional_call(module, adapted, (X, mask, X, mask))


def test_second_order_gradient_is_that_of_finite_differences():
    module, tasks = network(), draw(n_tasks=2)
    parameters = list(module.parameters())
    generator = torch.Generator().manual_seed(3)
    direction = [torch.randn(p.shape, generator=generator).to(p) for p in parameters]
    # Biases of zero put the embedding of cells that are no targets on the kink of the ReLU, where
    # the inner gradient jumps.
    with torch.no_grad():
        for p in parameters:
            p += 0.1 * torch.randn(p.shape, generator=generator)
    gradients = torch.autograd.grad(objective(module, tasks), parameters)
    slope = sum((g * v).sum() for g, v in zip(gradients, direction))

    step, values = 1e-7, []
    for sign in (1, -1):
        with torch.no_grad():
            for p, v in zip(parameters, direction):
                p += sign * step * v
        values.append(objective(module, tasks).item())
        with torch.no_grad():
            for p, v in zip(parameters, direction):
                p -= sign * step * v
    assert (values[0] - values[1]) / (2 * step) == pytest.approx(float(slope), rel=1e-5)

    # To first order, the gradient at the adapted parameters stands for it.
    adapted = adapt(module, tasks.X, tasks.mask, 1, 0.3)
    adapted = {name: p.requires_grad_() for name, p in adapted.items()}
    data = (tasks.X, tasks.mask, tasks.X_test, tasks.mask_test)
    loss = transfer_loss(module, *data, parameters=adapted).mean()
    first_order = torch.autograd.grad(loss, list(adapted.values()))
    slope_first = sum((g.sum(dim=0) * v).sum() for g, v in zip(first_order, direction))
    assert float(slope_first) != pytest.approx(float(slope), rel=1e-2)


def test_context_rows():
    tasks = draw()
    X, mask = context_rows(tasks.X, tasks.mask, 5, seed=0)
    assert X.shape == mask.shape == (4, 5, 3)
    assert all((tasks.X[0] == row).all(dim=1).any() for row in X[0])
    assert not torch.equal(X, context_rows(tasks.X, tasks.mask, 5, seed=1)[0])
    assert context_rows(tasks.X, tasks.mask, 100, seed=0)[0] is tasks.X


@pytest.mark.parametrize("name", ["maml", "supervised", "transfer"])
def test_training_lowers_the_loss(name):
    losses = run({"objective": name, "n_epochs": 5, "learning_rate": 3e-2})[1]
    assert losses[-1] < 0.9 * losses[0]


def test_objectives_differ():
    results = [
        run({"objective": name, "n_epochs": 1})[0] for name in ("maml", "supervised", "transfer")
    ]
    assert not torch.allclose(results[0], results[1])
    assert not torch.allclose(results[0], results[2])
    assert not torch.allclose(results[1], results[2])
    with pytest.raises(ValueError, match=r"objective must be one of 'maml'.*found 'mamal'"):
        run({"objective": "mamal"})


def test_a_resumed_training_is_bit_identical(tmp_path):
    options = {"n_context_rows": 6, "fingerprint": "a"}
    whole, losses = run(options | {"n_epochs": 3}, dropout=0.2)
    options["checkpoint"] = tmp_path / "training"
    run(options | {"n_epochs": 1}, dropout=0.2)
    resumed, resumed_losses = run(options | {"n_epochs": 3}, dropout=0.2)
    assert torch.equal(resumed, whole)
    assert torch.equal(resumed_losses, losses)


def test_the_seed_determines_rows_and_dropout():
    def trained(dropout=0.2, **options):
        return run({"n_epochs": 1} | options, dropout=dropout)[0]

    first = trained()
    assert torch.equal(first, trained())
    assert not torch.equal(first, trained(dropout=0.0))
    assert not torch.equal(first, trained(seed=1))
    assert not torch.equal(first, trained(n_context_rows=6))


def test_the_order_of_rows_does_not_matter():
    tasks = draw()
    rows = torch.randperm(tasks.X.shape[1], generator=torch.Generator().manual_seed(0))
    permuted = replace(tasks, X=tasks.X[:, rows], mask=tasks.mask[:, rows])
    torch.testing.assert_close(run(tasks=permuted)[0], run(tasks=tasks)[0], rtol=1e-7, atol=1e-9)
