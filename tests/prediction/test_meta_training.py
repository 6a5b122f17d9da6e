"""Meta-training of the amortized network: its tasks, its loss, and going on after an interrupt."""

import numpy as np
import pytest
import torch
from scipy.stats import randint

from skcausal.nn._clipping import clip_gradients
from skcausal.nn._regime_moments import RegimeMoments
from skcausal.prediction import _meta_training
from skcausal.prediction._meta_training import batch_loss, draw_tasks, pretrain_network
from skcausal.prediction._pretrained import NETWORK_FILES
from skcausal.simulators import LinearPrior
from skcausal.simulators._default_prior import PRIORS, SHARES

PRIOR = LinearPrior(4)


def tiny(seed=0):
    return NETWORK_FILES.make("amortized", {"width": 8, "n_layers": 1}, seed=seed)


def equal(first, second):
    pairs = zip(first.state_dict().values(), second.state_dict().values())
    return all(torch.equal(a, b) for a, b in pairs)


def test_shares_of_the_default_prior():
    assert sum(SHARES) == pytest.approx(1.0)
    assert len(SHARES) == len(PRIORS)


@pytest.mark.parametrize("step", range(0, 60, 4))
def test_tasks_are_standardised_and_determined_by_seed_and_step(step):
    batch = draw_tasks(PRIORS, SHARES, 0, step)
    moments = batch.moments
    rows = moments.n_rows[..., None]
    total = (rows * moments.mean).sum(dim=1) / rows.sum(dim=1)
    square = (rows * moments.mean**2).sum(dim=1)
    square = (square + moments.scatter.diagonal(dim1=-2, dim2=-1).sum(dim=1)) / rows.sum(dim=1)
    np.testing.assert_allclose(total, 0.0, atol=1e-4)
    np.testing.assert_allclose(square, 1.0, atol=1e-3)
    again, other = (draw_tasks(PRIORS, SHARES, 0, k) for k in (step, step + 1))
    assert torch.equal(again.truth, batch.truth)
    assert again.truth.shape != other.truth.shape or not torch.equal(again.truth, other.truth)
    assert not batch.edges.diagonal(dim1=1, dim2=2).any()


def test_truth_solves_the_equations_of_the_system(monkeypatch):
    """In the units of the system, means under a query solve x (I - W) = 0 outside its targets."""
    units = []
    standardize = RegimeMoments.standardize
    monkeypatch.setattr(
        RegimeMoments,
        "standardize",
        lambda moments: units.append(standardize(moments)) or units[-1],
    )
    batch = draw_tasks([PRIOR], [1.0], 0, 0)
    _, centre, scale = units[0]
    coef = PRIOR.sample(len(batch.truth), random_state=0).coef
    assert torch.equal(batch.edges.mT != 0, coef != 0)
    means = batch.truth * scale[:, None] + centre[:, None]
    residual = means - means @ coef
    torch.testing.assert_close(residual * (1 - batch.targets), 0 * residual, atol=1e-4, rtol=0)
    assert (residual * batch.targets).abs().sum() > 1


def test_number_of_variables_is_drawn_from_the_prior():
    prior = LinearPrior(randint(3, 6))
    sizes = {draw_tasks([prior], [1.0], 0, step).truth.shape[-1] for step in range(30)}
    assert sizes == {3, 4, 5}


def test_loss_falls_and_the_global_random_state_is_left_alone():
    network, state = tiny(), torch.random.get_rng_state()
    history = pretrain_network(network, [PRIOR], [1.0], n_steps=200, seed=0)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert len(history["error"]) == 4
    assert history["error"][-1] < 0.6 * history["error"][0]


def test_number_of_steps(monkeypatch):
    steps = []
    draw = draw_tasks

    def record(priors, shares, seed, step, device):
        steps.append(step)
        return draw(priors, shares, seed, step, device)

    monkeypatch.setattr(_meta_training, "draw_tasks", record)
    pretrain_network(tiny(), [PRIOR], [1.0], n_steps=53, seed=0)
    assert steps == list(range(53))


def test_interrupted_training_goes_on_bit_identically(tmp_path, monkeypatch):
    monkeypatch.setattr("skcausal.nn._stream_training._STEPS_PER_EPOCH", 10)
    whole = tiny()
    expected = pretrain_network(whole, [PRIOR], [1.0], n_steps=60, seed=0)
    checkpoint = tmp_path / "training.ckpt"
    monkeypatch.setattr("skcausal.nn._training._SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    calls = 0

    def interrupted(network, batch):
        nonlocal calls
        calls += 1
        if calls == 55:
            raise KeyboardInterrupt
        return batch_loss(network, batch)

    with monkeypatch.context() as patch:
        patch.setattr(_meta_training, "batch_loss", interrupted)
        with pytest.raises(KeyboardInterrupt):
            pretrain_network(tiny(), [PRIOR], [1.0], n_steps=60, seed=0, checkpoint=checkpoint)
    resumed = tiny(seed=1)  # whatever it starts from
    history = pretrain_network(resumed, [PRIOR], [1.0], n_steps=60, seed=0, checkpoint=checkpoint)
    assert equal(resumed, whole)
    for name, values in expected.items():
        assert torch.equal(history[name], values)


def test_a_step_without_finite_gradient_changes_nothing():
    network = tiny()
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    optimizer.register_step_pre_hook(clip_gradients)
    before = {name: p.clone() for name, p in network.named_parameters()}
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    network.pair_head.bias.grad[0] = torch.nan
    optimizer.step()
    assert all(torch.equal(before[name], p) for name, p in network.named_parameters())
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    change = sum(((before[n] - p) ** 2).sum() for n, p in network.named_parameters())
    assert float(change.detach().sqrt()) == pytest.approx(1.0, rel=1e-4)


def test_error_model_does_not_move_the_predictions():
    """Gradients of the calibration end at the error model."""
    network = tiny()
    batch = draw_tasks([PRIOR], [1.0], 0, 0)
    terms = batch_loss(network, batch)
    terms["loss"].backward()
    with_calibration = network.pair_head.weight.grad.clone()
    assert network.pair_error_out.weight.grad.abs().sum() > 0
    network.zero_grad()
    with torch.no_grad():
        network.pair_error_out.weight.add_(1.0)
    batch_loss(network, batch)["loss"].backward()
    torch.testing.assert_close(network.pair_head.weight.grad, with_calibration)
