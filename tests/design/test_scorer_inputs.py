"""What the scorer reads of an experiment: padding, order, signs and units of it."""

import numpy as np
import pytest
import torch

from skcausal.design._histories import Histories
from skcausal.design._scorer_inputs import (
    N_FEATURES,
    N_FEATURES_WITH_UNITS,
    ScorerInputs,
    pair_features,
)
from skcausal.simulators import LinearPrior
from skcausal.structure._graph_experiments import RegimeBlock, draw_experiment

D = 4
ORDER = torch.tensor([2, 0, 3, 1])


def rows(n_systems=3, n_initial=12, n_designs=6, rows_per_design=1, seed=0, d=D):
    """Histories of correlated variables, set to values that are positive on the whole."""
    g = torch.Generator().manual_seed(seed)
    mix = torch.randn((n_systems, d, d), generator=g, dtype=torch.float64)
    X = torch.randn((n_systems, n_initial, d), generator=g, dtype=torch.float64) @ mix
    histories = Histories.observational(X, rows_per_design)
    for _ in range(n_designs):
        targets = torch.rand((n_systems, 1, d), generator=g) < 0.5
        shape = (n_systems, rows_per_design, d)
        X = torch.randn(shape, generator=g, dtype=torch.float64) @ mix
        histories = histories.add(torch.where(targets, X + 1.0, X), targets.expand(shape))
    return histories


def in_double(inputs):
    """The inputs in float64, in which invariances are exact."""
    return ScorerInputs(
        inputs.Z.double(),
        inputs.mask,
        inputs.n_targeted.double(),
        inputs.n_designs.double(),
        inputs.scale.double(),
        inputs.signs.double(),
    )


def features(histories, **arguments):
    inputs = ScorerInputs.from_histories(histories)
    return pair_features(in_double(inputs), **{"with_units": True} | arguments)


def assert_close(found, expected, atol=1e-5):
    for one, other in zip(found, expected):
        torch.testing.assert_close(one, other, atol=atol, rtol=1e-5)


class TestInputs:
    def test_rows_are_standardised_in_some_signs(self):
        histories = rows()
        inputs = ScorerInputs.from_histories(histories)
        standardized, _, scale = histories.standardized()
        assert inputs.Z.dtype == torch.float32
        expected = (standardized.X * inputs.signs[:, None]).float()
        torch.testing.assert_close(inputs.Z, expected)
        torch.testing.assert_close(inputs.scale, scale.float())
        assert set(inputs.signs.flatten().tolist()) <= {-1.0, 1.0}
        torch.testing.assert_close(inputs.n_targeted, histories.n_targeted().float())
        torch.testing.assert_close(inputs.n_designs, histories.n_designs().float())
        assert len(inputs) == 3
        assert torch.equal(inputs[1:].Z, inputs.Z[1:])

    def test_set_values_are_positive_on_the_whole(self):
        inputs = ScorerInputs.from_histories(rows())
        assert ((inputs.mask * inputs.Z).sum(dim=(1, 2)) > 0).all()

    def test_signs_of_the_data_are_taken_out(self):
        histories = rows()
        signs = torch.tensor([1.0, -1.0, -1.0, 1.0]).double()
        flipped = Histories(histories.X * signs, histories.mask, histories.regime)
        before, after = (ScorerInputs.from_histories(h) for h in (histories, flipped))
        torch.testing.assert_close(after.Z, before.Z)
        assert torch.equal(after.signs, before.signs * signs.float())

    def test_padding_repeats_nothing(self):
        inputs = ScorerInputs.from_histories(rows())
        padded = inputs.padded(25)
        assert padded.Z.shape == (3, 25, D)
        assert not padded.Z[:, 18:].any()
        assert padded.mask[:, 18:].all()
        assert torch.equal(padded.mask[:, :18], inputs.mask)
        assert torch.equal(padded.n_designs, inputs.n_designs)

    def test_blocks_are_read_as_histories_are(self):
        """All rows of a simulated sequence of experiments, put in one after the other."""
        systems = LinearPrior(D).sample(3, random_state=0)
        seed = next(
            s
            for s in range(20)
            if len(draw_experiment(systems, "sequential", np.random.default_rng(s), 0)) > 1
        )
        first, second = draw_experiment(systems, "sequential", np.random.default_rng(seed), 0)
        assert first.kept.all()
        assert second.kept.all()
        n = second.X.shape[2]
        histories = Histories.observational(first.X[:, 0], n)
        for k in range(second.X.shape[1]):
            mask = second.targets[:, k, None].expand(second.X[:, k].shape)
            histories = histories.add(second.X[:, k], mask)
        found = ScorerInputs.from_blocks([first, second])
        expected = ScorerInputs.from_histories(histories)
        for name in ("Z", "mask", "n_targeted", "n_designs", "scale", "signs"):
            torch.testing.assert_close(
                getattr(found, name), getattr(expected, name), atol=1e-4, rtol=1e-4
            )

    def test_rows_that_were_not_observed_do_not_count(self):
        g = torch.Generator().manual_seed(0)
        X = torch.randn((2, 3, 4, D), generator=g)
        targets = torch.tensor([[0, 0, 0, 0], [1, 0, 0, 1], [0, 1, 0, 0]], dtype=torch.bool)
        targets = targets.expand(2, 3, D)
        kept = torch.ones((2, 3, 4), dtype=torch.bool)
        whole = pair_features(
            ScorerInputs.from_blocks([RegimeBlock(X, kept, targets)]), with_units=True
        )
        more = torch.cat([X, 100.0 * torch.randn((2, 3, 2, D), generator=g)], dim=2)
        missing = torch.cat([kept, torch.zeros((2, 3, 2), dtype=torch.bool)], dim=2)
        some = pair_features(
            ScorerInputs.from_blocks([RegimeBlock(more, missing, targets)]), with_units=True
        )
        assert_close(some, whole)


class TestFeatures:
    @pytest.mark.parametrize("with_units", [False, True])
    def test_shapes(self, with_units):
        found, correlation = features(rows(), with_units=with_units)
        n = N_FEATURES_WITH_UNITS if with_units else N_FEATURES
        assert found.shape == (3, D, D, n)
        assert correlation.shape == (3, D, D, D)
        assert torch.isfinite(found).all()
        assert found.abs().max() < 30

    def test_rows_of_padding_do_not_count(self):
        inputs = in_double(ScorerInputs.from_histories(rows()))
        expected = pair_features(inputs, with_units=True)
        assert_close(pair_features(inputs.padded(40), with_units=True), expected)

    def test_permuting_the_variables_permutes_the_features(self):
        histories = rows()
        expected, correlation = features(histories)
        moved = Histories(histories.X[..., ORDER], histories.mask[..., ORDER], histories.regime)
        found, moved_correlation = features(moved)
        assert_close([found], [expected[:, ORDER][:, :, ORDER]])
        assert_close([moved_correlation], [correlation[:, ORDER][:, :, ORDER][..., ORDER]])

    def test_order_of_the_rows_does_not_matter(self):
        histories = rows()
        order = torch.randperm(18, generator=torch.Generator().manual_seed(0))
        shuffled = Histories(histories.X[:, order], histories.mask[:, order], torch.zeros(18))
        assert_close(features(shuffled), features(histories))

    def test_signs_do_not_matter(self):
        histories = rows()
        signs = torch.tensor([1.0, -1.0, -1.0, 1.0]).double()
        flipped = Histories(histories.X * signs, histories.mask, histories.regime)
        assert_close(features(flipped), features(histories))

    def test_signs_do_not_matter_without_interventions_either(self):
        histories = rows(n_designs=0)
        for signs in ([1.0, -1.0, -1.0, 1.0], [-1.0, -1.0, -1.0, -1.0]):
            flipped = Histories(
                histories.X * torch.tensor(signs).double(), histories.mask, histories.regime
            )
            found, correlation = features(flipped)
            expected, expected_correlation = features(histories)
            assert_close([found, correlation], [expected, expected_correlation])

    def test_units_matter_where_they_are_features_only(self):
        histories = rows()
        scale = torch.tensor([10.0, 0.1, 1.0, 3.0]).double()
        moved = Histories(histories.X * scale + 5.0, histories.mask, histories.regime)
        before = features(histories, with_units=False)
        assert_close(features(moved, with_units=False), before, atol=1e-4)
        difference = (features(moved)[0] - features(histories)[0]).abs().amax(dim=(0, 1, 2))
        assert int((difference > 1e-3).sum()) == N_FEATURES_WITH_UNITS - N_FEATURES

    def test_correlations_are_those_of_the_rows_where_a_variable_is_free(self):
        inputs = in_double(ScorerInputs.from_histories(rows(1, 60, 20)))
        correlation = pair_features(inputs, with_units=False)[1][0]
        for j in range(D):
            free = ~inputs.mask[0, :, j]
            expected = torch.corrcoef(inputs.Z[0][free].T)
            torch.testing.assert_close(correlation[j], expected, atol=1e-2, rtol=0)

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize(
        "case", ["constant", "equal", "always set", "few rows", "one variable"]
    )
    def test_degenerate_rows_give_finite_features(self, case):
        histories = rows(n_initial=2, n_designs=1) if case == "few rows" else rows()
        X, mask = histories.X.clone(), histories.mask.clone()
        if case == "constant":
            X[..., 1] = 2.0
        if case == "equal":
            X[..., 1] = X[..., 0]
        if case == "always set":
            mask[..., 1] = True
        if case == "one variable":
            X, mask = X[..., :1], mask[..., :1]
        found, correlation = features(Histories(X, mask, histories.regime))
        assert torch.isfinite(found).all()
        assert torch.isfinite(correlation).all()
