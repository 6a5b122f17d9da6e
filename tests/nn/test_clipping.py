"""Clipping of gradients: the norm of all of them, and steps without a finite one."""

import pytest
import torch

from skcausal.nn._clipping import clip_gradients


def parameters(*gradients):
    """Parameters of zeros with these gradients; None for one without."""
    created = []
    for gradient in gradients:
        size = 1 if gradient is None else len(gradient)
        parameter = torch.nn.Parameter(torch.zeros(size))
        parameter.grad = None if gradient is None else torch.tensor(gradient)
        created.append(parameter)
    return created


def step(optimizer):
    optimizer.register_step_pre_hook(clip_gradients)
    optimizer.step()


def sgd(*groups):
    return torch.optim.SGD([{"params": group} for group in groups], lr=1.0)


def test_norm_of_all_gradients_together_is_bounded_by_one():
    first, second = parameters([3.0, 0.0], [0.0, 4.0])
    step(sgd([first], [second]))
    torch.testing.assert_close(first.detach(), torch.tensor([-0.6, 0.0]), rtol=1e-5, atol=0)
    torch.testing.assert_close(second.detach(), torch.tensor([0.0, -0.8]), rtol=1e-5, atol=0)


def test_small_gradients_stay_as_they_are():
    (parameter,) = parameters([0.3, -0.4])
    step(sgd([parameter]))
    assert torch.equal(parameter.detach(), torch.tensor([-0.3, 0.4]))


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_a_step_without_a_finite_gradient_changes_nothing(bad):
    first, second = parameters([1.0, 2.0], [0.5, bad])
    optimizer = sgd([first], [second])
    step(optimizer)
    assert not first.any()
    assert not second.any()
    first.grad, second.grad = torch.tensor([0.5, 0.0]), torch.tensor([0.0, 0.5])
    optimizer.step()
    assert first.tolist() == [-0.5, 0.0]
    assert second.tolist() == [0.0, -0.5]


def test_state_of_adam_stays_finite_and_gradients_after_it_count():
    (parameter,) = parameters([torch.nan, 1.0])
    optimizer = torch.optim.AdamW([parameter], lr=0.1)
    step(optimizer)
    assert not parameter.any()
    parameter.grad = torch.tensor([1.0, -1.0])
    optimizer.step()
    assert parameter[0] < 0 < parameter[1]
    assert all(value.isfinite().all() for value in optimizer.state[parameter].values())


@pytest.mark.parametrize("gradient", [[3.0, 4.0], [torch.nan, 1.0]])
def test_parameters_without_a_gradient_are_left_alone(gradient):
    first, second = parameters(gradient, None)
    step(sgd([first, second]))
    assert second.grad is None
    assert not second.any()


def test_no_gradients_at_all():
    first, second = parameters(None, None)
    step(sgd([first], [second]))
    assert not first.any()
    assert not second.any()
