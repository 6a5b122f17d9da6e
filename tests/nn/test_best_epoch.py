"""Which epoch was the best, and when a member stops."""

import numpy as np
import pytest
import torch

from skcausal.nn import best_epoch
from skcausal.nn._best_epoch import BestEpochs


def follow_one_member(losses, n_iter_no_change, tol):
    """Best epoch and the epoch after which a member stops, written out."""
    best, best_loss = 0, np.inf
    for epoch, loss in enumerate(losses):
        if loss < best_loss - tol:
            best, best_loss = epoch, loss
        if n_iter_no_change is not None and epoch - best >= n_iter_no_change:
            return best, epoch
    return best, None


@pytest.mark.parametrize("tol", [0.0, 0.3])
@pytest.mark.parametrize("n_iter_no_change", [None, 1, 3])
@pytest.mark.parametrize("seed", range(5))
def test_members_are_followed_one_by_one(seed, n_iter_no_change, tol):
    losses = torch.from_numpy(np.random.default_rng(seed).uniform(size=(12, 4)).round(1))
    expected = [follow_one_member(column, n_iter_no_change, tol) for column in losses.T.numpy()]
    assert best_epoch(losses, n_iter_no_change, tol).tolist() == [best for best, _ in expected]
    epochs = BestEpochs(n_iter_no_change, tol)
    for epoch, loss in enumerate(losses):
        epochs.update(loss)
        stopped = [stop is not None and stop <= epoch for _, stop in expected]
        assert (~epochs.active).tolist() == stopped
        assert epochs.stopped == all(stopped)
    for member in range(4):
        alone = best_epoch(losses[:, member], n_iter_no_change, tol)
        assert alone.shape == ()
        assert alone == expected[member][0]


def test_lowest_loss_after_the_stop_does_not_count():
    losses = torch.tensor([2.0, 1.0, 1.0, 1.5, 0.0])
    assert best_epoch(losses) == 4
    assert best_epoch(losses, n_iter_no_change=2) == 1
    assert best_epoch(losses[:3], tol=1.0) == 0  # by 1 exactly is not more than by 1


def test_nothing_has_stopped_before_the_first_epoch():
    assert not BestEpochs(1).stopped
    with pytest.raises(ValueError, match="validation has no epochs"):
        best_epoch([])
