import itertools
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from skcausal.simulators._interventions import KINDS, check_design, intervene
from skcausal.simulators._random import task_keys

S, D = 2, 3
PRESENT = torch.ones(S, D, dtype=torch.bool)
MASK = np.array([True, False, True])


def design_of(interventions, values, present=PRESENT):
    return check_design(interventions, values, present, torch.float64)


@pytest.mark.parametrize("kind", KINDS)
def test_equations_of_targets_are_those_of_the_table(kind):
    rng = np.random.default_rng(0)
    values = torch.from_numpy(rng.normal(size=(2, 3, 4, 5)))
    mask = torch.from_numpy(rng.random((2, 3, 4, 5)) < 0.5)
    mechanism, noise = torch.from_numpy(rng.normal(size=(2, 2, 3, 4, 5)))
    new = intervene(mask, values, kind)
    result = new.mechanism * mechanism + new.noise * noise + new.offset
    for index in itertools.product(range(2), range(3), range(4), range(5)):
        f, e, v = float(mechanism[index]), float(noise[index]), float(values[index])
        expected = {"hard": v, "shift": f + e + v, "scale": v * (f + e), "noise": f + v * e}[kind]
        expected = expected if mask[index] else f + e
        assert float(result[index]) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("shape", "regimes", "rows"),
    [
        ((D,), 1, 1),
        ((4, D), 1, 4),
        ((1, D), 1, 1),
        ((S, 4, D), 1, 4),
        ((1, 4, D), 1, 4),
        ((S, 1, D), 1, 1),
        ((S, 5, 4, D), 5, 4),
        ((1, 5, 1, D), 5, 1),
        ((S, 1, 4, D), 1, 4),
    ],
)
def test_masks_of_one_to_four_dimensions(shape, regimes, rows):
    mask = np.random.default_rng(0).random(shape) < 0.5
    design = design_of(mask, 1.5)
    assert design.mask.shape == (S, regimes, rows, D)
    assert design.has_regimes == (len(shape) == 4)
    four = mask if mask.ndim == 4 else np.broadcast_to(mask, (*([1] * (3 - mask.ndim)), *shape))
    four = four if mask.ndim == 4 else four[:, None]
    expected = np.broadcast_to(four, design.mask.shape)
    np.testing.assert_array_equal(design.mask, expected)
    np.testing.assert_array_equal(design.values, np.where(expected, 1.5, 0.0))


@pytest.mark.parametrize(
    ("values", "regimes", "rows"),
    [
        (2.0, 1, 1),
        (2, 1, 1),
        (np.float32(2.0), 1, 1),
        (np.arange(1.0, 4.0), 1, 1),
        (np.arange(12.0).reshape(4, D), 1, 4),
        (np.arange(4.0).reshape(4, 1), 1, 4),
        (np.arange(6.0).reshape(S, 1, D), 1, 1),
        (np.arange(24.0).reshape(S, 4, D), 1, 4),
        (np.arange(48.0).reshape(S, 2, 4, D), 2, 4),
        (np.arange(2.0).reshape(1, 2, 1, 1), 2, 1),
    ],
)
@pytest.mark.parametrize("mask", [MASK, MASK[None], np.array([MASK[None], ~MASK[None]])])
def test_values_broadcast_against_the_mask(mask, values, regimes, rows):
    design = design_of(mask, values)
    assert design.mask.shape == design.values.shape == (S, regimes, rows, D)
    assert design.has_regimes == (np.ndim(values) == 4)
    mask = np.broadcast_to(mask, (S, 1, D))[:, None]
    values = np.asarray(values)
    if values.ndim == 3:
        values = values[:, None]
    np.testing.assert_array_equal(design.values, np.where(mask, values, 0.0))
    np.testing.assert_array_equal(design.mask, np.broadcast_to(mask, design.mask.shape))


def test_values_of_one_row_serve_many_rows_of_a_mask():
    mask = np.random.default_rng(0).random((S, 4, 5, D)) < 0.5
    design = design_of(mask, np.arange(1.0, 4.0))
    np.testing.assert_array_equal(design.values, np.where(mask, [1.0, 2.0, 3.0], 0.0))


@pytest.mark.parametrize("kind", [list, pd.DataFrame, torch.tensor, np.asfortranarray])
def test_arrays_of_any_kind_are_read(kind):
    mask, values = np.array([MASK, ~MASK]), np.arange(6.0).reshape(2, 3)
    design = design_of(kind(mask), kind(values))
    np.testing.assert_array_equal(design.mask[1, 0], mask)
    np.testing.assert_array_equal(design.values[1, 0], np.where(mask, values, 0.0))


@pytest.fixture
def strict_torch():
    """Every warning is an error, also one that torch would only give once."""
    torch.set_warn_always(True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    torch.set_warn_always(False)


@pytest.mark.usefixtures("strict_torch")
@pytest.mark.parametrize("kind", [pd.DataFrame, lambda array: np.broadcast_to(array, (2, 3))])
def test_read_only_arrays_are_read_without_a_warning(kind):
    design_of(kind(np.array([MASK, MASK])), kind(np.ones((2, 3))))


def test_nested_lists_with_one_regime_keep_its_axis():
    mask = np.array([[[MASK]]])
    assert design_of(mask, 1.0).has_regimes
    assert design_of(mask.tolist(), 1.0).has_regimes


def test_none_means_no_target():
    design = design_of(None, None)
    assert design.mask.shape == (S, 1, 1, D)
    assert not design.mask.any()
    assert not design.values.any()
    assert not design.has_regimes


def test_values_outside_of_the_mask_may_be_missing():
    design = design_of(MASK, np.array([1.0, np.nan, 2.0]))
    np.testing.assert_array_equal(design.values[:, 0, 0], [[1.0, 0.0, 2.0]] * S)
    assert not design_of(~MASK & False, np.nan).values.any()
    assert design_of(~MASK & False, None).values.shape == (S, 1, 1, D)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_missing_values_of_targets_are_refused(bad):
    with pytest.raises(ValueError, match="values must be finite for every target, found NaN"):
        design_of(MASK, np.array([1.0, 0.0, bad]))


def test_targets_need_values():
    with pytest.raises(ValueError, match="values is missing: pass the values of the interventions"):
        design_of(MASK, None)


@pytest.mark.parametrize("mask", [MASK.astype(float), [1, 0, 1], torch.ones(3), MASK.astype(int)])
def test_masks_that_are_not_boolean_are_refused(mask):
    with pytest.raises(TypeError, match="interventions must be a boolean mask, found data type"):
        design_of(mask, 1.0)


@pytest.mark.parametrize("shape", [(), (4,), (3, 4), (1, 1, 1, 1, 3), (3, 1)])
def test_masks_of_a_wrong_shape_are_refused(shape):
    with pytest.raises(ValueError, match="interventions must have 3 columns, one per variable"):
        design_of(np.ones(shape, dtype=bool), 1.0)


@pytest.mark.parametrize("shape", [(3, 1, D), (3, 2, 1, D)])
def test_masks_of_another_number_of_systems_are_refused(shape):
    with pytest.raises(ValueError, match="one mask for each of the 2 systems, or one for all"):
        design_of(np.ones(shape, dtype=bool), 1.0)


@pytest.mark.parametrize("values", ["one", {"x0": 1.0}, [1.0, "two", 3.0], object()])
def test_values_that_are_no_numbers_are_refused(values):
    with pytest.raises(TypeError, match="values must be a number, an array of numbers or a frozen"):
        design_of(MASK, values)


@pytest.mark.parametrize("shape", [(4,), (2,), (5, 3), (3, 1, 3), (1, 1, 1, 1, 3), (2, 4, 2, 3)])
def test_values_of_a_wrong_shape_are_refused(shape):
    mask = np.ones((S, 4, D), dtype=bool)
    with pytest.raises(ValueError, match="values must be a number or fit the interventions"):
        design_of(mask, np.ones(shape))


def test_values_of_more_systems_than_there_are_are_refused():
    one = torch.ones(1, D, dtype=torch.bool)
    with pytest.raises(ValueError, match="values must be a number or fit the interventions"):
        design_of(MASK, np.ones((2, 1, D)), present=one)


def test_targets_that_a_system_does_not_have_are_refused():
    present = torch.tensor([[True, True, False], [True, True, True]])
    with pytest.raises(ValueError, match="interventions has a target out of range"):
        design_of(MASK, 1.0, present=present)
    design = design_of(np.array([[[True, False, False]], [MASK]]), 1.0, present=present)
    assert design.mask.sum() == 3


def test_drawn_values_follow_their_distribution_on_targets_only():
    exact = stats.gamma(2.0)
    design = design_of(MASK, exact)
    values = design.draw_values(task_keys(0, S), 5000, torch.float64)
    assert values.shape == (S, 1, 5000, D)
    assert not values[..., 1].any()
    for s, j in itertools.product(range(S), (0, 2)):
        assert stats.kstest(values[s, 0, :, j].numpy(), exact.cdf).pvalue > 1e-3
    columns = values[..., [0, 2]].movedim(2, 0).flatten(1).numpy()
    correlation = np.corrcoef(columns.T) - np.eye(2 * S)
    assert np.abs(correlation).max() < 4 / np.sqrt(5000)


def test_drawn_values_depend_on_the_row_alone():
    mask = np.array([[MASK], [~MASK]])[None]
    design = design_of(mask, stats.norm())
    keys = task_keys(0, S)
    whole = design.draw_values(keys, 10, torch.float64)
    assert whole.shape == (S, 2, 10, D)
    assert torch.equal(design.draw_values(keys, 4, torch.float64, first_row=3), whole[:, :, 3:7])
    single = design.draw_values(keys, 10, torch.float32)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single, whole.float())
    everywhere = design_of(np.ones((1, 2, 1, D), dtype=bool), stats.norm())
    drawn = everywhere.draw_values(keys, 10, torch.float64)
    assert torch.equal(torch.where(design.mask, drawn, 0.0), whole)


def test_given_values_are_returned_as_they_are():
    design = design_of(MASK, np.arange(6.0).reshape(2, 3))
    assert torch.equal(design.draw_values(task_keys(0, S), 2, torch.float64), design.values)


def test_rows_become_regimes():
    mask = np.random.default_rng(0).random((S, 4, 5, D)) < 0.5
    values = np.random.default_rng(1).normal(size=mask.shape)
    design = design_of(mask, values).by_regime()
    np.testing.assert_array_equal(design.mask, mask.reshape(S, 20, 1, D))
    expected = np.where(mask, values, 0.0).reshape(S, 20, 1, D)
    np.testing.assert_array_equal(design.values, expected)
    drawn = design_of(mask, stats.norm()).by_regime()
    assert drawn.mask.shape == (S, 20, 1, D)
    assert drawn.draw_values(task_keys(0, S), 7, torch.float64).shape == (S, 20, 7, D)


def test_regimes_are_repeated():
    mask = np.random.default_rng(0).random((S, 2, 5, D)) < 0.5
    design = design_of(mask, np.arange(3.0)).repeat(3)
    np.testing.assert_array_equal(design.mask, np.concatenate([mask] * 3, axis=1))
    expected = np.where(design.mask, np.arange(3.0), 0.0)
    np.testing.assert_array_equal(design.values, expected)
    values = design_of(mask, stats.norm()).repeat(3).draw_values(task_keys(0, S), 5, torch.float64)
    assert values.shape == (S, 6, 5, D)
    both = design.mask[:, :2] & design.mask[:, 2:4]
    assert (values[:, :2] != values[:, 2:4])[both].all()


@pytest.mark.parametrize(("interventions", "expected"), [(None, True), (MASK & False, False)])
def test_a_design_knows_whether_interventions_were_given(interventions, expected):
    assert design_of(interventions, 1.0).observational is expected
    assert design_of(interventions, stats.norm()).observational is expected
