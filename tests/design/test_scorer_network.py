"""The network that scores designs, and what its scores may not depend on."""

import pytest
import torch

from skcausal.design._design_space import DesignSpace
from skcausal.design._histories import Designs, Histories
from skcausal.design._labelled_states import position_of
from skcausal.design._policy_weights import POLICY_FILES
from skcausal.design._scorer_inputs import ScorerInputs
from skcausal.design._scorer_network import DesignScorer
from tests.design.test_scorer_inputs import ORDER, D, in_double, rows

SPACE = DesignSpace.unrestricted(D, -2.0, 3.0)


def scorer(seed=0, **sizes):
    """A small network with scores all over the range."""
    sizes = {"width": 8, "n_layers": 2, "n_features": 30, "n_messages": 4, "n_hidden": 3} | sizes
    network = DesignScorer(torch.Generator().manual_seed(seed), **sizes)
    with torch.no_grad():
        network.head.weight *= 5.0
    return network.double()


NETWORK = scorer()


def candidates(n_systems=3, n=7, seed=1):
    g = torch.Generator().manual_seed(seed)
    targets = torch.rand((n_systems, n, D), generator=g) < 0.5
    values = torch.rand((n_systems, n, D), generator=g, dtype=torch.float64) * 5.0 - 2.0
    return Designs(targets, values * targets)


@torch.no_grad()
def scores(histories, designs, network=NETWORK, space=SPACE, n_rows=None):
    inputs = in_double(ScorerInputs.from_histories(histories))
    if n_rows is not None:
        inputs = inputs.padded(n_rows)
    position = position_of(designs, space, inputs.signs).double()
    return network.score(network(inputs), designs.targets, position)


@pytest.mark.parametrize("n_messages", [0, 4])
@pytest.mark.parametrize("n_features", [27, 30])
def test_scores_have_the_shape_of_the_candidates(n_features, n_messages):
    network = scorer(n_features=n_features, n_messages=n_messages)
    found = scores(rows(), candidates(), network)
    assert found.shape == (3, 7)
    assert torch.isfinite(found).all()
    assert found.std(dim=1).min() > 1e-3


def test_edges_are_read_from_the_same_pass():
    function = NETWORK(in_double(ScorerInputs.from_histories(rows())))
    assert function.edge_logits.shape == (3, D, D)
    assert function.quadratic.shape == (3, D, D, 3)
    assert function.linear.shape == (3, D, D, 6)


def test_rows_of_padding_do_not_count():
    expected = scores(rows(), candidates())
    found = scores(rows(), candidates(), n_rows=40)
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=0)


def moved(histories, order=ORDER):
    return Histories(histories.X[..., order], histories.mask[..., order], histories.regime)


def test_permuting_the_variables_permutes_everything():
    histories, designs = rows(), candidates()
    expected = scores(histories, designs)
    there = Designs(designs.targets[..., ORDER], designs.values[..., ORDER])
    found = scores(moved(histories), there)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    inputs = in_double(ScorerInputs.from_histories(histories))
    permuted = ScorerInputs(
        inputs.Z[..., ORDER],
        inputs.mask[..., ORDER],
        inputs.n_targeted[:, ORDER],
        inputs.n_designs,
        inputs.scale[:, ORDER],
        inputs.signs[:, ORDER],
    )
    with torch.no_grad():
        logits = NETWORK(permuted).edge_logits
        position = position_of(there, SPACE, permuted.signs).double()
        exact = NETWORK.score(NETWORK(permuted), there.targets, position)
        expected_logits = NETWORK(inputs).edge_logits[:, ORDER][:, :, ORDER]
    torch.testing.assert_close(logits, expected_logits, atol=1e-10, rtol=0)
    torch.testing.assert_close(exact, expected, atol=1e-10, rtol=0)


def test_permutations_in_single_precision():
    network = scorer().float()
    inputs = ScorerInputs.from_histories(rows())
    permuted = ScorerInputs.from_histories(moved(rows()))
    designs = candidates()
    with torch.no_grad():
        expected = network.score(
            network(inputs), designs.targets, position_of(designs, SPACE, inputs.signs)
        )
        there = Designs(designs.targets[..., ORDER], designs.values[..., ORDER])
        found = network.score(
            network(permuted), there.targets, position_of(there, SPACE, permuted.signs)
        )
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("n_designs", [0, 6], ids=["observational", "interventional"])
def test_sign_of_a_variable_flips_its_position_but_not_the_scores(n_designs):
    histories, designs = rows(n_designs=n_designs), candidates()
    expected = scores(histories, designs)
    for k in range(D):
        signs = torch.ones(D).double()
        signs[k] = -1.0
        flipped = Histories(histories.X * signs, histories.mask, histories.regime)
        low, high = SPACE.low.clone(), SPACE.high.clone()
        low[k], high[k] = -SPACE.high[k], -SPACE.low[k]
        space = DesignSpace(SPACE.allowed, low, high, 0, D)
        mirrored = Designs(designs.targets, designs.values * signs)
        found = scores(flipped, mirrored, space=space)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
        # Of a single variable only, so that the scores do depend on values.
        unchanged = scores(flipped, designs, space=space)
        assert not torch.allclose(unchanged, expected, atol=1e-5)


def test_mirror_image_of_a_design_has_the_same_score():
    space = DesignSpace.unrestricted(D)
    designs = candidates()
    mirrored = Designs(designs.targets, -designs.values)
    torch.testing.assert_close(
        scores(rows(), mirrored, space=space), scores(rows(), designs, space=space)
    )


def test_order_of_the_rows_does_not_matter():
    histories = rows()
    order = torch.randperm(18, generator=torch.Generator().manual_seed(0))
    shuffled = Histories(histories.X[:, order], histories.mask[:, order], torch.zeros(18))
    torch.testing.assert_close(
        scores(shuffled, candidates()), scores(histories, candidates()), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize(("n_features", "same"), [(27, True), (30, False)])
def test_units_matter_to_networks_that_see_them(n_features, same):
    network, histories, designs = scorer(n_features=n_features), rows(), candidates()
    scale = torch.tensor([10.0, 0.1, 1.0, 3.0]).double()
    other = Histories(histories.X * scale, histories.mask, histories.regime)
    space = DesignSpace(SPACE.allowed, SPACE.low * scale, SPACE.high * scale, 0, D)
    moved_designs = Designs(designs.targets, designs.values * scale)
    found = scores(other, moved_designs, network, space)
    close = torch.allclose(found, scores(histories, designs, network), atol=1e-4)
    assert close == same


def test_systems_of_a_batch_stand_alone():
    histories, designs = rows(), candidates()
    expected = scores(histories, designs)
    for k in range(3):
        found = scores(histories[k : k + 1], designs[k : k + 1])
        torch.testing.assert_close(found, expected[k : k + 1], atol=1e-9, rtol=0)


def test_candidates_stand_alone():
    expected = scores(rows(), candidates())
    for k in range(7):
        found = scores(rows(), candidates()[:, k : k + 1])
        torch.testing.assert_close(found, expected[:, k : k + 1])


def test_seed_determines_the_weights():
    first, again, other = scorer(0), scorer(0), scorer(1)
    pairs = zip(first.parameters(), again.parameters())
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not torch.equal(first.head.weight, other.head.weight)


def test_number_of_features_is_checked():
    with pytest.raises(ValueError, match="n_features must be 27 or 30, found 12"):
        scorer(n_features=12)


def test_weights_are_read_as_they_were_written(tmp_path):
    network = scorer().float()
    POLICY_FILES.save(tmp_path / "w", "distilled", network, {"note": 1})
    loaded, card = POLICY_FILES.load(tmp_path / "w", "distilled")
    assert card == {"note": 1}
    assert loaded.sizes == network.sizes
    torch.testing.assert_close(
        scores(rows(), candidates(), loaded.double()),
        scores(rows(), candidates(), network.double()),
    )
    for other in ("gaussian", "bernoulli"):
        with pytest.raises(ValueError, match="no weights of the variant"):
            POLICY_FILES.load(tmp_path / "w", other)
