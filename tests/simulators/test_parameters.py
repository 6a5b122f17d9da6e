import numpy as np
import pytest
import torch
from scipy import stats

from skcausal.simulators._parameters import (
    bounds_of,
    check_bounded,
    check_choice,
    check_count,
    check_number,
    check_parameter,
    draw_parameter,
    is_distribution,
)
from skcausal.simulators._random import task_keys, uniform


@pytest.mark.parametrize(
    ("parameter", "expected"),
    [
        (stats.uniform(0, 1), True),
        (stats.randint(2, 5), True),
        (stats.rv_discrete(values=([1, 4], [0.5, 0.5]))(), True),
        (1.0, False),
        ("uniform", False),
        (np.array([1.0]), False),
    ],
)
def test_frozen_distributions_are_told_from_other_things(parameter, expected):
    assert is_distribution(parameter) is expected


@pytest.mark.parametrize(
    ("parameter", "expected"),
    [
        (3, (3.0, 3.0)),
        (np.float32(0.5), (0.5, 0.5)),
        (stats.uniform(1, 2), (1.0, 3.0)),
        (stats.randint(2, 5), (2.0, 4.0)),
        (stats.norm(), (-np.inf, np.inf)),
        (stats.invgamma(10.0), (0.0, np.inf)),
    ],
)
def test_bounds(parameter, expected):
    assert bounds_of("size", parameter) == expected


@pytest.mark.parametrize("parameter", ["a", None, [1.0], True, np.array(1.0), 1j])
def test_what_is_no_number_is_refused(parameter):
    with pytest.raises(TypeError, match=r"size must be a number or a frozen distribution of scipy"):
        bounds_of("size", parameter)


@pytest.mark.parametrize("parameter", [2.0, True, "2", None, np.float64(2.0)])
def test_what_is_no_integer_is_refused(parameter):
    with pytest.raises(TypeError, match=r"size must be an integer or a frozen distribution"):
        check_parameter("size", parameter, 0, integer=True)


def test_continuous_distributions_are_refused_where_integers_are_needed():
    with pytest.raises(TypeError, match=r"size must be an integer or a discrete distribution"):
        check_parameter("size", stats.uniform(2, 5), 0, integer=True)
    check_parameter("size", stats.randint(2, 5), 0, integer=True)
    check_parameter("size", stats.rv_discrete(values=([2, 5], [0.5, 0.5])), 0, integer=True)
    check_parameter("size", stats.rv_discrete(values=([2, 5], [0.5, 0.5]))(), 0, integer=True)
    check_parameter("size", np.int32(2), 0, integer=True)


@pytest.mark.parametrize(
    ("parameter", "low", "high", "above", "message"),
    [
        (-0.1, 0.0, np.inf, False, "size must be at least 0, found -0.1."),
        (0.0, 0.0, np.inf, True, "size must be above 0, found 0."),
        (1.1, 0.0, 1.0, False, "size must be at least 0 and at most 1, found 1.1."),
        (
            stats.randint(0, 3),
            0.0,
            np.inf,
            True,
            r"size must be above 0, found values in \[0, 2\].",
        ),
        (stats.norm(), 0.0, np.inf, False, r"at least 0, found values in \[-inf, inf\]."),
        (stats.uniform(0, 2), 0.0, 1.0, True, r"above 0 and at most 1, found values in \[0, 2\]."),
        (float("nan"), 0.0, np.inf, False, "size must be at least 0, found nan."),
        (float("nan"), -np.inf, np.inf, False, "size must be .*found nan"),
        (float("inf"), 0.0, np.inf, False, "size must be finite, found inf."),
    ],
)
def test_values_outside_of_the_range_are_refused(parameter, low, high, above, message):
    with pytest.raises(ValueError, match=message):
        check_parameter("size", parameter, low, high, above=above)


@pytest.mark.parametrize(
    ("parameter", "low", "high", "above"),
    [
        (0.0, 0.0, np.inf, False),
        (1.0, 0.0, 1.0, True),
        (stats.uniform(0, 1), 0.0, 1.0, True),
        (stats.invgamma(3.0), 0.0, np.inf, True),
        (-7, -np.inf, np.inf, False),
    ],
)
def test_values_at_the_ends_of_the_range_are_taken(parameter, low, high, above):
    check_parameter("size", parameter, low, high, above=above)


def test_unknown_choices_are_refused():
    check_choice("kind", "a", ("a", None))
    check_choice("kind", None, ("a", None))
    with pytest.raises(ValueError, match=r"kind must be one of 'a', None, found 'b'\."):
        check_choice("kind", "b", ("a", None))


@pytest.mark.parametrize("bad", [1, 2.5, 3.0, "3", True, None, stats.randint(2, 4)])
def test_counts_are_integers_of_a_smallest_size(bad):
    check_count("size", 2, 2)
    check_count("size", np.int8(3), 2)
    with pytest.raises(ValueError, match="size must be an integer of at least 2, found"):
        check_count("size", bad, 2)


def test_counts_must_have_an_upper_limit():
    check_bounded("size", 3)
    check_bounded("size", stats.randint(2, 9))
    with pytest.raises(ValueError, match="size must be bounded; use a distribution"):
        check_bounded("size", stats.poisson(2))


def test_numbers_are_no_distributions():
    check_number("size", 0.5, 0.0, above=True)
    with pytest.raises(TypeError, match="size must be a number, not a distribution"):
        check_number("size", stats.uniform(0, 1))
    with pytest.raises(TypeError, match="size must be a number or"):
        check_number("size", "a")
    with pytest.raises(ValueError, match="size must be above 0, found 0"):
        check_number("size", 0.0, 0.0, above=True)


def test_numbers_are_repeated_in_double_precision():
    drawn = draw_parameter(3, task_keys(0, 4), 2)
    assert drawn.dtype == torch.float64
    assert torch.equal(drawn, torch.full((4, 2), 3.0, dtype=torch.float64))
    assert draw_parameter(3, task_keys(0, 4)).shape == (4,)


@pytest.mark.parametrize("distribution", [stats.norm(1, 2), stats.invgamma(10), stats.beta(2, 3)])
def test_continuous_distributions_are_drawn_from(distribution):
    drawn = draw_parameter(distribution, task_keys(0, 2000), 5)
    assert drawn.shape == (2000, 5)
    assert drawn.dtype == torch.float64
    assert stats.kstest(drawn.flatten().numpy(), distribution.cdf).pvalue > 1e-3
    assert torch.equal(draw_parameter(distribution, task_keys(0, 10, start=50), 5), drawn[50:60])


def test_discrete_distributions_are_drawn_from():
    drawn = draw_parameter(stats.randint(2, 6), task_keys(0, 8000)).numpy()
    values, counts = np.unique(drawn, return_counts=True)
    assert values.tolist() == [2.0, 3.0, 4.0, 5.0]
    assert stats.chisquare(counts).pvalue > 1e-3


def test_draws_are_quantiles_of_the_uniform_numbers():
    keys = task_keys(0, 50)
    expected = stats.gamma(2.0).ppf(uniform(keys, 3).numpy())
    np.testing.assert_array_equal(draw_parameter(stats.gamma(2.0), keys, 3).numpy(), expected)
