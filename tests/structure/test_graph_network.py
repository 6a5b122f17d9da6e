"""Networks for graphs: permutations, signs, units and rows that do not count."""

import itertools

import numpy as np
import pytest
import torch

from skcausal.nn._regime_moments import RegimeMoments
from skcausal.structure._graph_network import (
    N_FEATURES_WITH_UNITS,
    PairGraphNetwork,
    RowGraphNetwork,
)
from skcausal.structure._graph_training import canonical_inputs

D = 4


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def network_of(kind, seed=0):
    """A small network in float64."""
    if kind == "rows":
        return RowGraphNetwork(generator(seed), width=8, n_layers=2, n_heads=2).double()
    sizes = {"width": 8, "n_layers": 2, "n_features": 38, "n_messages": 4}
    changes = {"pairs with units": {"n_features": 42}, "pairs without messages": {"n_messages": 0}}
    return PairGraphNetwork(generator(seed), **sizes | changes.get(kind, {})).double()


PAIRS = ["pairs", "pairs with units", "pairs without messages"]
every_network = pytest.mark.parametrize("kind", [*PAIRS, "rows"])


def experiment(seed=0, *, n=24, observational=False):
    """Rows, mask and regimes: three rows in each of eight regimes, the first observational."""
    rng = np.random.default_rng(seed)
    targets = rng.random((n // 3, D)) < 0.4
    targets[0] = False
    if observational:
        targets[:] = False
    regime = np.repeat(np.arange(n // 3), 3)
    X = rng.normal(size=(n, D)) @ rng.normal(size=(D, D)) * [0.5, 1.0, 2.0, 8.0]
    X = np.where(targets[regime], rng.normal(1.0, 2.0, X.shape), X)
    return X, targets[regime], np.zeros(n, dtype=int) if observational else regime


def logits_of(network, X, mask, regime):
    """Logits of one data set as estimators compute them."""
    scale = X.std(axis=0)
    Z = (X - X.mean(axis=0)) / scale
    moments = RegimeMoments.from_rows(Z, mask, regime)
    inputs = canonical_inputs(
        network, moments, *(torch.from_numpy(array)[None] for array in (scale, Z, mask))
    )
    with torch.no_grad():
        logits = network(*inputs)
    assert logits.shape == (1, D, D)
    return logits[0].numpy()


@every_network
def test_permuting_the_variables_permutes_the_logits(kind):
    network, (X, mask, regime) = network_of(kind), experiment()
    expected = logits_of(network, X, mask, regime)
    assert np.ptp(expected[~np.eye(D, dtype=bool)]) > 0.01
    for order in itertools.permutations(range(D)):
        found = logits_of(network, X[:, order], mask[:, order], regime)
        np.testing.assert_allclose(found, expected[np.ix_(order, order)], rtol=0, atol=1e-10)


@every_network
def test_signs_of_the_variables_do_not_matter(kind):
    network, (X, mask, regime) = network_of(kind), experiment(1)
    expected = logits_of(network, X, mask, regime)
    for signs in itertools.product([1.0, -1.0], repeat=D):
        found = logits_of(network, X * signs, mask, regime)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


@every_network
def test_neither_signs_nor_numbering_matter_without_interventions(kind):
    network, (X, mask, regime) = network_of(kind), experiment(2, observational=True)
    expected = logits_of(network, X, mask, regime)
    for signs in itertools.product([1.0, -1.0], repeat=D):
        found = logits_of(network, X * signs, mask, regime)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
    for order in itertools.permutations(range(D)):
        found = logits_of(network, X[:, order], mask, regime)
        np.testing.assert_allclose(found, expected[np.ix_(order, order)], rtol=0, atol=1e-9)


@every_network
def test_order_of_the_rows_does_not_matter(kind):
    network, (X, mask, regime) = network_of(kind), experiment(3)
    order = np.random.default_rng(0).permutation(len(X))
    found = logits_of(network, X[order], mask[order], regime[order])
    np.testing.assert_allclose(found, logits_of(network, X, mask, regime), rtol=0, atol=1e-9)


@every_network
def test_data_sets_of_a_batch_do_not_mix(kind):
    network = network_of(kind)
    singles = [prepared(network, seed) for seed in range(3)]
    together = network(*(join(parts) for parts in zip(*singles)))
    for k, inputs in enumerate(singles):
        torch.testing.assert_close(together[k], network(*inputs)[0], rtol=0, atol=1e-10)


def prepared(network, seed):
    """Inputs of a batch of one."""
    X, mask, regime = experiment(seed)
    scale = X.std(axis=0)
    Z = X / scale
    moments = RegimeMoments.from_rows(Z, mask, regime)
    rows = (torch.from_numpy(array)[None] for array in (scale, Z, mask))
    return canonical_inputs(network, moments, *rows)


def join(parts):
    if isinstance(parts[0], RegimeMoments):
        names = ("n_rows", "mean", "scatter", "targets")
        return RegimeMoments(*(torch.cat([getattr(p, name) for p in parts]) for name in names))
    return torch.cat(parts)


@every_network
def test_initial_weights_are_determined_by_the_generator(kind):
    state = torch.random.get_rng_state()
    first, same, other = (network_of(kind, seed) for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), state)
    pairs = list(zip(first.parameters(), same.parameters(), other.parameters()))
    assert all(torch.equal(a, b) for a, b, _ in pairs)
    assert any(not torch.equal(a, c) for a, _, c in pairs)


@every_network
def test_all_parameters_get_gradients(kind):
    network = network_of(kind)
    logits = network(*prepared(network, 0))
    (logits * torch.rand(D, D, generator=generator()).double()).sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


class TestUnits:
    def test_are_seen_with_42_features_only(self):
        for kind, sees in [("pairs", False), ("pairs with units", True)]:
            network, (X, mask, regime) = network_of(kind), experiment(4)
            changed = X * [1.0, 10.0, 0.3, 1.0]
            first, second = (logits_of(network, data, mask, regime) for data in (X, changed))
            assert (np.abs(first - second).max() > 1e-3) == sees

    def test_add_four_features(self):
        networks = [network_of(kind) for kind in ("pairs", "pairs with units")]
        assert [network.encoder.embed_in.in_features for network in networks] == [38, 42]
        assert N_FEATURES_WITH_UNITS == 42

    def test_may_be_extreme(self):
        network, (X, mask, regime) = network_of("pairs with units"), experiment(5)
        for unit in (1e-12, 1e12):
            assert np.isfinite(logits_of(network, X * unit, mask, regime)).all()

    @pytest.mark.parametrize("n_features", [0, 37, 40, 43])
    def test_other_numbers_of_features_are_refused(self, n_features):
        with pytest.raises(ValueError, match=f"must be 38 or 42, found {n_features}"):
            PairGraphNetwork(generator(), n_features=n_features)


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ValueError, match="width"):
        RowGraphNetwork(generator(), width=6, n_heads=4)


def test_sizes_are_those_of_the_arguments():
    sizes = {"width": 6, "n_layers": 3, "n_features": 42, "n_messages": 2}
    assert PairGraphNetwork(generator(), **sizes).sizes == sizes
    sizes = {"width": 6, "n_layers": 3, "n_heads": 2}
    assert RowGraphNetwork(generator(), **sizes).sizes == sizes


class TestRowsThatDoNotCount:
    @pytest.fixture
    def rows(self):
        X, mask, _ = experiment(6)
        kept = torch.arange(len(X)) % 3 != 1
        return torch.from_numpy(X)[None], torch.from_numpy(mask)[None], kept[None]

    def test_may_be_left_out_or_hold_anything_finite(self, rows):
        network, (Z, mask, kept) = network_of("rows"), rows
        expected = network(Z, mask, kept)
        other = torch.where(kept[..., None], Z, 77.0)
        without = network(Z[:, kept[0]], mask[:, kept[0]], kept[:, kept[0]])
        other_mask = torch.where(kept[..., None], mask, ~mask)
        torch.testing.assert_close(network(other, other_mask, kept), expected)
        torch.testing.assert_close(without, expected, rtol=0, atol=1e-10)

    def test_do_not_decide_about_signs(self):
        """Without targets the sign that all variables have in common is taken from the rows."""
        X, mask, _ = experiment(7, observational=True)
        Z = torch.from_numpy((X - X.mean(axis=0)) / X.std(axis=0))[None]
        mask, kept = torch.from_numpy(mask)[None], torch.arange(len(X))[None] % 3 != 1
        moments = RegimeMoments.from_tasks(Z[:, None], kept[:, None], mask[:, :1])
        rest = (mask, kept)
        found, *_ = canonical_inputs(network_of("rows"), moments, Z.std(dim=1), Z, *rest)
        other = torch.where(kept[..., None], Z, -50.0)
        changed, *_ = canonical_inputs(network_of("rows"), moments, Z.std(dim=1), other, *rest)
        assert torch.equal(found[kept], changed[kept])

    def test_all_rows_count_by_default(self, rows):
        network, (Z, mask, kept) = network_of("rows"), rows
        moments = RegimeMoments.from_tasks(
            Z[:, None], torch.ones_like(kept)[:, None], torch.zeros(1, 1, D, dtype=torch.bool)
        )
        inputs = canonical_inputs(network, moments, Z.std(dim=1), Z, mask)
        assert inputs[2].all()
        assert inputs[2].shape == kept.shape


@pytest.mark.parametrize("d", [1, 2, 7])
@every_network
def test_any_number_of_variables(kind, d):
    network = network_of(kind)
    Z = torch.randn(2, 5, d, generator=generator(), dtype=torch.float64)
    mask = torch.zeros(Z.shape, dtype=torch.bool)
    kept = torch.ones(2, 1, 5, dtype=torch.bool)
    moments = RegimeMoments.from_tasks(Z[:, None], kept, mask[:, :1])
    logits = network(*canonical_inputs(network, moments, Z.std(dim=1), Z, mask))
    assert logits.shape == (2, d, d)
    assert logits.isfinite().all()
