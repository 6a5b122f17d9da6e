"""Treatment levels, and the groups of rows that they and the environments form."""

import numpy as np
import pytest

from skcausal.effects._metadata import check_groups, check_levels, positions_of

LEVELS = {
    "int": [-1, 0, 3],
    "bool": [False, True],
    "str": ["a", "b", "control"],
    "float": [0.0, 0.5, 2.0],
}
each_type = pytest.mark.parametrize("levels", LEVELS.values(), ids=LEVELS.keys())


@each_type
def test_levels_of_any_type_are_kept(levels):
    np.testing.assert_array_equal(check_levels(np.array(levels), 10), levels)


@pytest.mark.parametrize("level", [1, True, "a", 0.5])
def test_one_level_is_refused_by_name(level):
    with pytest.raises(ValueError, match=f"the same level, {level!r}, in all 7 rows: no effect"):
        check_levels(np.array([level]), 7)


def test_fifty_levels_are_possible_and_more_are_not():
    assert len(check_levels(np.arange(50), 200)) == 50
    message = "treatment has 51 levels in 200 rows; at most 50 .* has to be binned first"
    with pytest.raises(ValueError, match=message):
        check_levels(np.linspace(0, 1, 51), 200)


@each_type
def test_positions_are_those_among_the_levels(levels):
    expected = np.random.default_rng(0).integers(len(levels), size=20)
    positions = positions_of(np.array(levels)[expected], np.array(levels), "treatment")
    np.testing.assert_array_equal(positions, expected)
    assert positions.dtype == np.int64


@pytest.mark.parametrize(
    "labels", [[False, True], [0, 1], [0.0, 1.0]], ids=["bool", "int", "float"]
)
@pytest.mark.parametrize(
    "levels", [[False, True], [0, 1], [0.0, 1.0]], ids=["bool", "int", "float"]
)
def test_numbers_are_equal_whatever_their_type(labels, levels):
    np.testing.assert_array_equal(positions_of(np.array(labels), np.array(levels), "T1"), [0, 1])


@pytest.mark.parametrize(
    ("levels", "unseen"),
    [([0, 1], 2), ([0, 1], "1"), (["0", "1"], 1), ([0.0, 0.5], 0.25), ([0, 1], None)],
    ids=["int", "str_for_int", "int_for_str", "float", "none"],
)
def test_unseen_level_is_named_with_those_that_are_known(levels, unseen):
    labels = np.array([levels[0], unseen], dtype=object)
    with pytest.raises(ValueError, match="which fit has not seen") as caught:
        positions_of(labels, np.array(levels), "T1")
    assert f"T1 has the level {unseen!r}" in str(caught.value)
    assert f"Its levels are {levels!r}." in str(caught.value)


def test_array_of_levels_is_refused_with_its_shape():
    message = r"T1 must be a single level, one of \[0, 1\], found an array of shape \(3,\)"
    with pytest.raises(ValueError, match=message):
        positions_of(np.array([[1, 1, 0]]), np.array([0, 1]), "T1")


ARM = np.array([0, 0, 1, 1, 1])
NAMES = np.array(["new", "old"])


def test_groups_of_two_rows_are_enough():
    check_groups(ARM, np.array([0, 0, 1, 1, 1]), NAMES, env_alpha=1.0)


@pytest.mark.parametrize("environment", [[0, 0, 0, 0, 0], [0, 0, 0, 0, 1]], ids=["one", "lone_row"])
def test_environments_do_not_matter_without_alignment(environment):
    check_groups(ARM, np.array(environment), NAMES, env_alpha=0.0)
    with pytest.raises(ValueError, match="environment"):
        check_groups(ARM, np.array(environment), NAMES, env_alpha=0.1)


@pytest.mark.parametrize("env_alpha", [0.0, 1.0])
def test_lone_row_of_a_level_is_refused_by_name(env_alpha):
    arm = np.array([0, 0, 0, 1, 2, 2])
    levels = np.array(["a", "b", "c"])
    with pytest.raises(ValueError, match="level 'b'; every level needs at least 2"):
        check_groups(arm, np.zeros(6, dtype=int), levels, env_alpha=env_alpha)


def test_level_without_any_row_is_refused_by_name():
    arm = np.array([0, 0, 1, 1])
    with pytest.raises(ValueError, match=r"treatment has 0 rows of the level 7; .* Drop the level"):
        check_groups(arm, np.zeros(4, dtype=int), np.array([5, 6, 7]), env_alpha=0.0)


def test_rows_of_a_level_count_where_their_weight_is_positive():
    weight = np.array([1.0, 1.0, 1.0, 1.0, 0.0])
    check_groups(ARM, np.zeros(5, dtype=int), NAMES, env_alpha=0.0, weight=weight)
    with pytest.raises(ValueError, match=r"1 rows of the level .* with positive weight"):
        check_groups(ARM, np.zeros(5, dtype=int), NAMES, env_alpha=0.0, weight=weight[::-1])


def test_one_environment_cannot_be_aligned():
    message = "needs at least 2 of them: pass environment=.* or name a column of X"
    with pytest.raises(ValueError, match=message):
        check_groups(ARM, np.zeros(5, dtype=int), NAMES, env_alpha=1.0)


def test_environment_of_one_row_cannot_be_aligned():
    message = "a label with one row only, .* or set env_alpha=0"
    with pytest.raises(ValueError, match=message):
        check_groups(ARM, np.array([0, 0, 0, 0, 1]), NAMES, env_alpha=1.0)
