"""Simulated systems on which designs are carried out, with the same noise for all of them."""

import pytest
import torch

from skcausal.design._histories import Designs
from skcausal.design._laboratory import Laboratory
from skcausal.simulators import GeneNetworkPrior, LinearPrior, NonlinearPrior, log_cpm

GENES = GeneNetworkPrior(
    3,
    edges_per_variable=1.0,
    n_cell_types=1,
    steps_per_cell=1,
    burn_in=2,
    dt=0.1,
    technical_noise="10x_chromium",
)
PRIORS = {"linear": LinearPrior(3), "nonlinear": NonlinearPrior(3), "genes": GENES}
every_prior = pytest.mark.parametrize("prior", PRIORS.values(), ids=PRIORS)


def laboratory(prior=PRIORS["linear"], n=4, **arguments):
    settings = {"n_initial": 5, "rows_per_design": 2, "seed": 3} | arguments
    return Laboratory(prior.sample(n, random_state=0), **settings)


def some_designs(shape=(4, 3), seed=0):
    generator = torch.Generator().manual_seed(seed)
    targets = torch.rand(shape, generator=generator) < 0.5
    values = torch.randn(shape, generator=generator)
    return Designs(targets, torch.where(targets, values, 0.0))


@every_prior
def test_an_episode_has_the_shapes_that_were_asked_for(prior):
    lab = laboratory(prior)
    start = lab.start()
    assert start.X.shape == (4, 5, 3)
    assert not start.mask.any()
    designs = some_designs()
    histories = lab.perform(start, designs, 0)
    assert histories.X.shape == (4, 7, 3)
    assert torch.equal(histories.X[:, :5], start.X)
    assert torch.equal(histories.mask[:, 5:], designs.targets[:, None].expand(-1, 2, -1))
    assert histories.rows_per_design == 2
    assert torch.isfinite(histories.X).all()
    assert len(lab) == 4
    assert lab.n_variables == 3


def test_values_are_set():
    lab, designs = laboratory(), some_designs()
    X = lab.perform(lab.start(), designs, 0).X[:, 5:]
    targets = designs.targets[:, None].expand(X.shape)
    expected = designs.values[:, None].expand(X.shape)
    torch.testing.assert_close(X[targets], expected[targets])


@every_prior
def test_noise_depends_on_the_step_but_not_on_the_design(prior):
    """A variable that no target is upstream of is the same under both designs."""
    lab = laboratory(prior)
    nothing = Designs(torch.zeros(4, 3, dtype=torch.bool), torch.zeros(4, 3))
    before = lab.perform(lab.start(), nothing, 2).X[:, 5:]
    again = lab.perform(lab.start(), nothing, 2).X[:, 5:]
    assert torch.equal(before, again)
    assert not torch.equal(lab.perform(lab.start(), nothing, 1).X[:, 5:], before)
    if prior is GENES:
        return  # counts after log_cpm depend on all genes
    reached = torch.linalg.matrix_exp(lab.systems.adjacency.float()) > 0
    for k in range(3):
        targets = torch.zeros(4, 3, dtype=torch.bool)
        targets[:, k] = True
        X = lab.perform(lab.start(), Designs(targets, 2.0 * targets), 2).X[:, 5:]
        upstream = ~reached[:, k][:, None].expand(X.shape)
        torch.testing.assert_close(X[upstream], before[upstream])
        assert not torch.equal(X, before)


def test_linear_outcomes_are_those_of_the_equations():
    """The noise is that of the rows without intervention."""
    lab, designs = laboratory(), some_designs()
    nothing = Designs(torch.zeros(4, 3, dtype=torch.bool), torch.zeros(4, 3))
    before = lab.perform(lab.start(), nothing, 0).X[:, 5:].double()
    found = lab.perform(lab.start(), designs, 0).X[:, 5:].double()
    coef = lab.systems.coef.double()
    residual = before - before @ coef
    free = ~designs.targets[:, None]
    expected = designs.values[:, None] + free * (residual + found @ coef)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@every_prior
def test_outcomes_of_candidates_equal_what_is_performed(prior):
    lab, candidates = laboratory(prior), some_designs((4, 5, 3))
    outcomes = lab.outcomes(candidates, 1)
    assert outcomes.shape == (4, 5, 2, 3)
    for k in range(5):
        performed = lab.perform(lab.start(), candidates[:, k], 1).X[:, 5:]
        torch.testing.assert_close(outcomes[:, k], performed)


@every_prior
@pytest.mark.parametrize("part", [slice(0, 2), slice(2, 4), slice(1, 2)], ids=str)
def test_parts_of_a_batch_are_slices_of_it(prior, part):
    lab, designs = laboratory(prior), some_designs()
    whole = lab.perform(lab.start(), designs, 0)
    some = lab[part].perform(lab[part].start(), designs[part], 0)
    torch.testing.assert_close(some.X, whole.X[part])
    assert torch.equal(some.mask, whole.mask[part])


def test_seeds_and_systems_have_their_own_noise():
    first, other = laboratory(seed=0).start().X, laboratory(seed=1).start().X
    assert not torch.isclose(first, other).any()
    assert len(torch.unique(first.flatten())) == first.numel()


class TestGenes:
    def test_rows_are_logarithms_of_counts(self):
        lab = laboratory(GENES)
        counts = lab.systems.sample(5, random_state=3 * 4096)
        torch.testing.assert_close(lab.start().X, log_cpm(counts))
        assert torch.equal(counts, counts.round())

    def test_targets_are_knocked_out(self):
        lab = laboratory(GENES, rows_per_design=20)
        targets = torch.zeros(4, 3, dtype=torch.bool)
        targets[:, 1] = True
        X = lab.perform(lab.start(), Designs(targets, torch.zeros(4, 3)), 0).X[:, 5:]
        assert not X[..., 1].any()
        assert X[..., [0, 2]].any()

    def test_designs_have_no_values(self):
        lab = laboratory(GENES)
        assert not lab.has_values
        space = lab.space()
        assert not space.low.any()
        assert not space.high.any()
        targets = torch.tensor([True, False, False]).expand(4, 3)
        first, other = (
            lab.perform(lab.start(), Designs(targets, value * targets), 0).X for value in (0.0, 5.0)
        )
        assert torch.equal(first, other)

    def test_other_kinds_of_intervention(self):
        targets = torch.zeros(4, 3, dtype=torch.bool)
        targets[:, 1] = True
        designs = Designs(targets, torch.zeros(4, 3))
        out, down = (
            laboratory(GENES, kind=kind, rows_per_design=30) for kind in (None, "knock_down")
        )
        left = down.perform(down.start(), designs, 0).X[:, 5:, 1]
        assert left.sum() > out.perform(out.start(), designs, 0).X[:, 5:, 1].sum()


def test_space_of_linear_systems():
    space = laboratory().space()
    assert space.low.tolist() == [-1.0] * 3
    assert space.high.tolist() == [1.0] * 3
    assert space.allowed.all()
