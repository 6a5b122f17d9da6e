"""The loss on a batch, against sums over rows."""

import math

import numpy as np
import pytest
import torch

from skcausal.effects._network import CFRNetwork
from skcausal.effects._objective import DISCREPANCIES, Objective
from skcausal.effects._resampling import MemberRows, bootstrap, split

SEEDS = (4, 5)
N_FEATURES = 3


def make_rows(seed=0, sizes=((12, 8), (16, 4)), *, binary=False):
    """Rows in random order; sizes by level and environment."""
    rng = np.random.default_rng(seed)
    arm = np.concatenate([np.repeat(k, sum(row)) for k, row in enumerate(sizes)])
    environment = np.concatenate([np.repeat(np.arange(len(row)), row) for row in sizes])
    order = rng.permutation(len(arm))
    n = len(arm)
    x = rng.normal(size=(n, N_FEATURES)) + environment[order, None]
    y = rng.normal(size=n) + arm[order]
    return {
        "x": x,
        "y": (y > 0.5).astype(float) if binary else y,
        "weight": rng.uniform(0.2, 2.0, size=n),
        "arm": arm[order],
        "environment": environment[order],
    }


def make_network(n_arms=2, n_members=2, normalize=False):
    return CFRNetwork(
        N_FEATURES,
        n_arms,
        representation_layers=(4,),
        head_layers=(3,),
        generators=[torch.Generator().manual_seed(k) for k in range(n_members)],
        activation="tanh",
        normalize=normalize,
        effect_head=False,
        dropout=0.0,
        dtype=torch.float64,
    )


def make_objective(rows, member_rows=None, **options):
    """Strata as in training: levels, by environment where these are aligned."""
    defaults = {
        "seeds": SEEDS,
        "n_arms": 2,
        "batch_size": 10,
        "alpha": 0.0,
        "ipm": "linear_mmd",
        "env_alpha": 0.0,
        "env_ipm": "linear_mmd",
        "reweight": False,
        "binary": False,
        "dropout": False,
    }
    settings = defaults | options
    stratum = rows["arm"]
    if settings["env_alpha"] > 0:
        stratum = stratum * (rows["environment"].max() + 1) + rows["environment"]
    stratum = np.unique(stratum, return_inverse=True)[1]
    if member_rows is None:
        member_rows = split(stratum, 0, settings["seeds"])
    elif callable(member_rows):
        member_rows = member_rows(stratum, settings["seeds"])
    tensors = [torch.from_numpy(rows[name]) for name in ("x", "y", "weight")]
    return Objective(
        *tensors,
        arm=rows["arm"],
        environment=rows["environment"],
        stratum=stratum,
        rows=member_rows,
        **settings,
    )


def slow_errors(network, rows, *, binary):
    """Loss (n_members, n) of every row under its own level."""
    x = torch.from_numpy(rows["x"]).expand(network.n_members, -1, -1)
    outcomes = network.outcomes(network.represent(x)).detach().numpy()
    errors = np.empty(outcomes.shape[:2])
    for member in range(len(errors)):
        for i, (y, arm) in enumerate(zip(rows["y"], rows["arm"])):
            predicted = outcomes[member, i, arm]
            if binary:
                p = 1 / (1 + math.exp(-predicted))
                errors[member, i] = -math.log(p if y == 1 else 1 - p)
            else:
                errors[member, i] = (predicted - y) ** 2
    return errors


def slow_mean(errors, rows, *, reweight, which=None):
    """Weighted mean over rows, or the mean over levels of their weighted means."""
    which = np.arange(len(errors)) if which is None else which
    errors, weight, arm = errors[which], rows["weight"][which], rows["arm"][which]
    if not reweight:
        return (weight * errors).sum() / weight.sum()
    levels = np.unique(arm)
    return np.mean([(weight * errors)[arm == k].sum() / weight[arm == k].sum() for k in levels])


def average_over_epoch(objective, network, term="loss"):
    losses = [objective.batch_loss(network, b)[term] for b in objective.epoch_batches(0, 0, 1)]
    return torch.stack(losses).mean(dim=0).detach().numpy()


weighting = pytest.mark.parametrize("reweight", [False, True], ids=["rows_alike", "levels_alike"])
outcome = pytest.mark.parametrize("binary", [False, True], ids=["continuous", "binary"])


@weighting
@outcome
def test_average_over_an_epoch_is_the_full_training_loss(reweight, binary):
    # 20 rows of each level in 4 batches of 5: every row is visited once.
    rows = make_rows(binary=binary)
    objective = make_objective(rows, reweight=reweight, binary=binary)
    network = make_network()
    errors = slow_errors(network, rows, binary=binary)
    expected = [slow_mean(own, rows, reweight=reweight) for own in errors]
    np.testing.assert_allclose(average_over_epoch(objective, network), expected, rtol=1e-10)


@weighting
def test_average_over_an_epoch_with_environments_as_strata(reweight):
    rows = make_rows()
    objective = make_objective(rows, reweight=reweight, env_alpha=1.0)
    np.testing.assert_array_equal(objective.plan().counts, [3, 2, 4, 1])
    network = make_network()
    errors = slow_errors(network, rows, binary=False)
    expected = [slow_mean(own, rows, reweight=reweight) for own in errors]
    np.testing.assert_allclose(
        average_over_epoch(objective, network, "factual"), expected, rtol=1e-10
    )


def test_strata_that_are_drawn_too_often_count_no_more():
    # Two rows of the small level stand in each of 10 batches: 20 visits to 2 rows, beside 100 to
    # the 100 rows of the other.
    rows = make_rows(sizes=((100,), (2,)))
    objective = make_objective(rows, alpha=1.0)
    np.testing.assert_array_equal(objective.plan().counts, [10, 2])
    network = make_network()
    errors = slow_errors(network, rows, binary=False)
    expected = [slow_mean(own, rows, reweight=False) for own in errors]
    np.testing.assert_allclose(
        average_over_epoch(objective, network, "factual"), expected, rtol=1e-10
    )


@weighting
@outcome
def test_factual_loss_of_one_batch_is_a_sum_over_its_rows(reweight, binary):
    rows = make_rows(seed=1, sizes=((13, 8), (17, 5)), binary=binary)
    objective = make_objective(
        rows, bootstrap, reweight=reweight, binary=binary, env_alpha=1.0, batch_size=12
    )
    network = make_network()
    errors = slow_errors(network, rows, binary=binary)
    weight, arm = rows["weight"], rows["arm"]
    counts = objective.plan().counts
    share = np.array([13, 8, 17, 5]) / 43  # of the training rows, by stratum
    batch = next(iter(objective.epoch_batches(0, 0, 1)))
    loss = objective.batch_loss(network, batch)["factual"].detach()
    for member in range(2):
        expected = 0.0
        for i in batch[0][member].tolist():
            stratum = 2 * arm[i] + rows["environment"][i]
            mean_weight = weight.sum() / 43
            if reweight:
                mean_weight = 2 * weight[arm == arm[i]].sum() / 43
            expected += (
                share[stratum] / counts[stratum] * weight[i] / mean_weight * errors[member, i]
            )
        np.testing.assert_allclose(loss[member], expected, rtol=1e-10)


@pytest.mark.parametrize("name", sorted(DISCREPANCIES))
def test_penalties_are_added_with_their_weights(name):
    rows = make_rows()
    network = make_network()
    objective = make_objective(rows, alpha=0.7, ipm=name, env_alpha=0.3, env_ipm=name)
    batch = next(iter(objective.epoch_batches(0, 0, 1)))
    terms = objective.batch_loss(network, batch)
    drawn = batch[0]
    x, y = torch.from_numpy(rows["x"])[drawn], torch.from_numpy(rows["y"])[drawn]
    z = network.represent(x)
    # All members have the same strata at the same places of a batch.
    arm, environment = (torch.from_numpy(rows[k])[drawn[0]] for k in ("arm", "environment"))
    of_arms, of_environments = (), ()
    if name == "contrastive":
        of_arms, of_environments = (x, environment), (y[:, :, None], arm)
    between_arms = DISCREPANCIES[name](z, arm, *of_arms)
    between_environments = DISCREPANCIES[name](z, environment, *of_environments)
    np.testing.assert_allclose(
        terms["treatment_discrepancy"].detach(), between_arms.detach(), rtol=1e-10
    )
    np.testing.assert_allclose(
        terms["environment_discrepancy"].detach(), between_environments.detach(), rtol=1e-10
    )
    expected = terms["factual"] + 0.7 * between_arms + 0.3 * between_environments
    np.testing.assert_allclose(terms["loss"].detach(), expected.detach(), rtol=1e-10)


def test_arms_are_matched_in_all_rows_where_environments_are_not_aligned():
    # The first row of level 0 is in environment 0, that of level 1 in environment 1: without
    # alignment a batch says nothing of the environments of its rows.
    rows = make_rows()
    rows["environment"] = rows["arm"].copy()
    pooled = {**rows, "environment": np.zeros_like(rows["arm"])}
    network = make_network()
    losses = []
    for some in (rows, pooled):
        objective = make_objective(some, alpha=1.0, ipm="contrastive")
        losses.append(average_over_epoch(objective, network, "treatment_discrepancy"))
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-12)
    assert (losses[0] > 0.1).all()


def test_penalties_of_weight_zero_or_of_one_group_are_left_out():
    rows = make_rows()
    network = make_network()
    batch = next(iter(make_objective(rows).epoch_batches(0, 0, 1)))
    assert set(make_objective(rows).batch_loss(network, batch)) == {"loss", "factual"}
    one_level = make_rows(sizes=((10, 10),))
    objective = make_objective(one_level, alpha=1.0, env_alpha=1.0)
    assert not objective.aligns_arms
    assert objective.aligns_environments
    one_environment = make_rows(sizes=((10,), (10,)))
    objective = make_objective(one_environment, alpha=1.0, env_alpha=1.0)
    assert objective.aligns_arms
    assert not objective.aligns_environments


def test_levels_that_the_rows_lack_are_no_groups():
    rows = make_rows()
    network, wider = make_network(), make_network(n_arms=3)
    wider.load_state_dict(wider.state_dict() | network.state_dict())
    gap = {**rows, "arm": 2 * rows["arm"]}  # levels 0 and 2 of 3
    wider.heads[2].load_state_dict(network.heads[1].state_dict())
    for reweight in (False, True):
        expected = average_over_epoch(make_objective(rows, alpha=1.0, reweight=reweight), network)
        values = average_over_epoch(
            make_objective(gap, alpha=1.0, reweight=reweight, n_arms=3), wider
        )
        np.testing.assert_allclose(values, expected, rtol=1e-12)


@weighting
@outcome
@pytest.mark.parametrize(
    "draw", [bootstrap, lambda s, seeds: split(s, 0.3, seeds)], ids=["out_of_bag", "set_aside"]
)
def test_validation_loss_is_a_weighted_mean_over_held_out_rows(reweight, binary, draw):
    rows = make_rows(seed=2, sizes=((13, 8), (17, 5)), binary=binary)
    objective = make_objective(rows, draw, reweight=reweight, binary=binary)
    network = make_network()
    loss = objective.validation_loss(network).detach()
    errors = slow_errors(network, rows, binary=binary)
    weight, arm = rows["weight"].copy(), rows["arm"]
    if reweight:  # levels weigh the same over all rows; the held-out ones are a part of these
        weight = weight / np.bincount(arm, weight)[arm]
    for member, held_out in enumerate(objective.rows.validation):
        own = weight[held_out]
        expected = (own * errors[member, held_out]).sum() / own.sum()
        np.testing.assert_allclose(loss[member], expected, rtol=1e-10)


def test_padding_of_validation_rows_has_no_influence():
    # Shorter lists are filled up with row 0, which is made to predict badly.
    rows = make_rows()
    rows["y"][0] = 1e6
    network = make_network()
    held_out = [np.array([3, 8, 9, 20]), np.array([5])]
    strata = [np.tile(np.flatnonzero(rows["arm"] == k), (2, 1)) for k in range(2)]
    objective = make_objective(rows, MemberRows(strata, held_out))
    loss = objective.validation_loss(network).detach()
    errors = slow_errors(network, rows, binary=False)
    for member, own in enumerate(held_out):
        expected = slow_mean(errors[member], rows, reweight=False, which=own)
        np.testing.assert_allclose(loss[member], expected, rtol=1e-10)
    assert objective.can_validate


def test_members_without_rows_to_be_checked_on_cannot_be_validated():
    rows = make_rows()
    assert not make_objective(rows).can_validate
    strata = [np.tile(np.flatnonzero(rows["arm"] == k), (2, 1)) for k in range(2)]
    for held_out in ([np.array([1, 2]), np.empty(0, int)], [np.array([1, 2]), np.array([7])]):
        some = {**rows, "weight": rows["weight"].copy()}
        some["weight"][7] = 0.0
        assert not make_objective(some, MemberRows(strata, held_out)).can_validate


@weighting
def test_rows_of_weight_zero_have_no_influence_on_the_factual_losses(reweight):
    rows = make_rows()
    rows["weight"][:9] = 0.0
    network = make_network()
    changed = {**rows, "y": rows["y"].copy()}
    changed["y"][:9] += 100.0
    losses, checks = [], []
    for some in (rows, changed):
        losses.append(average_over_epoch(make_objective(some, reweight=reweight), network))
        objective = make_objective(some, bootstrap, reweight=reweight)
        checks.append(objective.validation_loss(network).detach())
    np.testing.assert_array_equal(losses[0], losses[1])
    np.testing.assert_array_equal(checks[0], checks[1])
    errors = slow_errors(network, rows, binary=False)
    expected = [slow_mean(own, rows, reweight=reweight) for own in errors]
    np.testing.assert_allclose(losses[0], expected, rtol=1e-10)


@weighting
def test_a_level_of_weight_zero_is_not_learned_from(reweight):
    rows = make_rows()
    rows["weight"][rows["arm"] == 1] = 0.0
    network = make_network()
    loss = average_over_epoch(make_objective(rows, reweight=reweight), network)
    errors = slow_errors(network, rows, binary=False)
    first = rows["arm"] == 0
    expected = [slow_mean(own, rows, reweight=False, which=first) for own in errors]
    np.testing.assert_allclose(loss, expected, rtol=1e-10)


@weighting
@pytest.mark.parametrize("factor", [1e-6, 3.0, 1e9])
def test_unit_of_the_weights_does_not_matter(reweight, factor):
    rows = make_rows()
    scaled = {**rows, "weight": factor * rows["weight"]}
    network = make_network()
    options = {"reweight": reweight, "alpha": 1.0}
    expected = average_over_epoch(make_objective(rows, bootstrap, **options), network)
    value = average_over_epoch(make_objective(scaled, bootstrap, **options), network)
    np.testing.assert_allclose(value, expected, rtol=1e-10)
    np.testing.assert_allclose(
        make_objective(scaled, bootstrap, **options).validation_loss(network).detach(),
        make_objective(rows, bootstrap, **options).validation_loss(network).detach(),
        rtol=1e-10,
    )


def test_weights_repeat_rows():
    # A weight of 2 is as good as a copy of the row.
    rows = make_rows()
    rows["weight"] = np.ones(40)
    doubled = {**rows, "weight": np.where(np.arange(40) < 10, 2.0, 1.0)}
    network = make_network()
    errors = slow_errors(network, rows, binary=False)
    copied = [np.append(own, own[:10]).mean() for own in errors]
    np.testing.assert_allclose(average_over_epoch(make_objective(doubled), network), copied)


def test_batches_of_processes_average_to_those_of_one():
    rows = make_rows(sizes=((20,), (40,)))
    objective = make_objective(rows, alpha=0.0, batch_size=12)
    network = make_network()
    of_ranks = [
        np.mean(
            [
                objective.batch_loss(network, batch)["loss"].detach().numpy()
                for batch in objective.epoch_batches(0, rank, 2)
            ],
            axis=0,
        )
        for rank in range(2)
    ]
    expected = average_over_epoch(objective, network)
    np.testing.assert_allclose(np.mean(of_ranks, axis=0), expected, rtol=1e-10)
    assert (of_ranks[0] != of_ranks[1]).all()


def test_generators_of_dropout_follow_from_seed_epoch_and_rank():
    rows = make_rows()
    objective = make_objective(rows, dropout=True)

    def numbers(epoch, rank):
        _, _, generators = next(iter(objective.epoch_batches(epoch, rank, 1)))
        return [torch.rand(1, generator=g).item() for g in generators]

    assert numbers(0, 0) == numbers(0, 0)
    values = numbers(0, 0) + numbers(1, 0) + numbers(0, 1)
    assert len(set(values)) == 6
    assert next(iter(make_objective(rows).epoch_batches(0, 0, 1)))[2] is None
