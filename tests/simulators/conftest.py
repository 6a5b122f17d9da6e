"""What several test modules share: priors over systems, and comparisons of batches."""

import dataclasses

import pytest
import torch
from scipy import stats

from skcausal.simulators import LinearPrior, NonlinearPrior

WIDTHS = stats.randint(3, 6)
PRIORS = {
    "linear": LinearPrior(5),
    "padded": LinearPrior(WIDTHS, n_confounders=2, noise="gumbel", noise_variance=stats.expon()),
    "observational": LinearPrior(WIDTHS, n_confounders=1, standardize="observational"),
    "internal": LinearPrior(WIDTHS, n_confounders=1, standardize="internal"),
    "scale_free": LinearPrior(5, graph="scale_free", edges_per_variable=1.5),
    "rings": LinearPrior(WIDTHS, n_cycles=stats.randint(0, 3), n_confounders=1),
    "directed": LinearPrior(5, graph="directed_erdos_renyi", standardize="observational"),
    "heteroskedastic": LinearPrior(WIDTHS, heteroskedastic=True),
    "fourier": NonlinearPrior(WIDTHS, n_features=20),
    "mlp": NonlinearPrior(5, mechanism="mlp", noise="gumbel"),
    "unscaled": NonlinearPrior(WIDTHS, n_features=20, standardize=None, heteroskedastic=True),
}
EVERY_PRIOR = pytest.mark.parametrize("prior", PRIORS.values(), ids=PRIORS)


def leaves(systems, name=""):
    """Names and tensors of a batch, also those inside its functions."""
    if isinstance(systems, torch.Tensor):
        yield name, systems
    elif dataclasses.is_dataclass(systems):
        for field in dataclasses.fields(systems):
            yield from leaves(getattr(systems, field.name), f"{name}.{field.name}")


def assert_same(one, other):
    """Two batches agree bit for bit."""
    assert type(one) is type(other)
    for (name, a), (_, b) in zip(leaves(one), leaves(other), strict=True):
        assert a.dtype == b.dtype, name
        assert torch.equal(a, b), name


def first_variable(systems):
    """A mask of one row whose target is the variable that every system has."""
    return (systems.present & (torch.arange(systems.present.shape[1]) == 0))[:, None]
