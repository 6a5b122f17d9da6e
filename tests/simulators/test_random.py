import itertools
import math
import zlib

import numpy as np
import pytest
import torch
from scipy import stats

from skcausal.simulators import _random
from skcausal.simulators._random import (
    check_random_state,
    fold_in,
    normal,
    normal_pairs,
    poisson,
    positions,
    random_order,
    task_keys,
    uniform,
)

DTYPES = [torch.float32, torch.float64]
GAMMA = 0x9E3779B97F4A7C15
WORD = 2**64 - 1


def mix(state):
    """The finaliser of SplitMix64 in plain integers."""
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & WORD
    return state ^ (state >> 31)


def splitmix(seed, count):
    """The first outputs of a SplitMix64 generator."""
    return [mix((seed + (k + 1) * GAMMA) & WORD) for k in range(count)]


def reference_fold_in(key, data):
    if isinstance(data, str):
        data = zlib.crc32(data.encode())
    return mix(mix((key + GAMMA) & WORD) ^ mix((data * GAMMA + 1) & WORD))


def reference_bits(key, index):
    """Bits of one entry: the output of the key's generator at the index's place."""
    place = sum(i << shift for i, shift in zip(index[::-1], (0, 16, 48)))
    return mix((key + (1 + place) * GAMMA) & WORD)


def unsigned(tensor):
    return [int(number) & WORD for number in tensor.flatten()]


def assert_uncorrelated(a, b):
    """Neither the numbers nor their squares are correlated, within four standard errors."""
    a, b = a.double().flatten() - a.double().mean(), b.double().flatten() - b.double().mean()
    for x, y in ((a, b), (a**2 - (a**2).mean(), b**2 - (b**2).mean()), (a, b**2), (a**2, b)):
        products = (x - x.mean()) * (y - y.mean())
        assert abs(float(products.mean() / products.std())) * math.sqrt(len(x)) < 4.0


def test_splitmix_yields_its_published_test_vector():
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert unsigned(_random._bits(torch.tensor(1234567), (3,), 0)) == expected
    assert splitmix(1234567, 3) == expected


@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1, 8_000_000_000_000_000_001])
def test_bits_are_those_of_the_generator_in_plain_integers(seed):
    assert unsigned(_random._bits(torch.tensor(seed), (100,), 0)) == splitmix(seed, 100)


def test_bits_of_every_axis_sit_at_their_place():
    keys = task_keys(3, 2)
    bits = _random._bits(keys, (2, 3, 4), 5)
    for s, i, j, k in itertools.product(range(2), range(2), range(3), range(4)):
        expected = reference_bits(unsigned(keys)[s], (i, 5 + j, k))
        assert int(bits[s, i, j, k]) & WORD == expected


def test_positions_are_distinct_and_depend_on_the_index_alone():
    numbers = positions((3, 50, 20), torch.device("cpu"), first_row=10)
    assert len(numbers.unique()) == numbers.numel()
    assert torch.equal(positions((2, 5, 7), "cpu", first_row=12), numbers[:2, 2:7, :7])
    assert torch.equal(positions((50, 20), "cpu", first_row=10), numbers[0])
    assert positions((4,), "cpu").tolist() == [0, 1, 2, 3]


def test_bits_of_many_rows_are_distinct():
    bits = _random._bits(torch.tensor(11), (2, 70_000, 3), 2**31)
    assert len(bits.flatten().unique()) == bits.numel()


@pytest.mark.parametrize("data", [0, 1, 2**40, -1, "edges", ""])
def test_fold_in_is_that_of_plain_integers(data):
    keys = task_keys(0, 5)
    expected = [reference_fold_in(key, data) for key in unsigned(keys)]
    assert unsigned(fold_in(keys, data)) == expected


def test_fold_in_takes_tensors_that_broadcast():
    keys, data = task_keys(0, 3), torch.arange(4)
    folded = fold_in(keys[:, None], data)
    assert folded.shape == (3, 4)
    for k in data:
        assert torch.equal(folded[:, k], fold_in(keys, int(k)))


def test_fold_in_depends_on_the_order_of_names():
    keys = task_keys(0, 3)
    assert (fold_in(fold_in(keys, "a"), "b") != fold_in(fold_in(keys, "b"), "a")).all()


@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1])
def test_task_keys_are_those_of_plain_integers_and_start_anywhere(seed):
    seed_key = mix(seed ^ GAMMA)
    expected = [reference_fold_in(seed_key, k) for k in range(10)]
    assert unsigned(task_keys(seed, 10)) == expected
    assert unsigned(task_keys(seed, 3, start=7)) == expected[7:]


def test_seeds_share_no_tasks():
    keys = torch.cat([task_keys(seed, 30_000) for seed in range(4)])
    assert len(keys.unique()) == len(keys)


def test_neighbouring_keys_differ_in_half_of_their_bits():
    keys = unsigned(task_keys(0, 4000))
    for derived in (keys, [reference_fold_in(key, "x") for key in keys]):
        flipped = np.array([(a ^ b).bit_count() for a, b in itertools.pairwise(derived)])
        assert abs(flipped.mean() - 32.0) < 4.0 * 4.0 / math.sqrt(len(flipped))
        assert abs(flipped.std() - 4.0) < 0.3


def test_every_bit_is_fair():
    bits = np.array(unsigned(_random._bits(task_keys(5, 20_000), (1,), 0)), dtype=np.uint64)
    for shift in range(64):
        ones = int(((bits >> np.uint64(shift)) & np.uint64(1)).sum())
        assert stats.binomtest(ones, len(bits)).pvalue > 1e-5, shift


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("across", ["keys", "rows", "variables", "regimes"])
def test_uniforms_are_uniform_along_every_axis(dtype, across):
    n = 20_000
    sizes = {"keys": (), "rows": (n, 1), "variables": (n,), "regimes": (n, 1, 1)}[across]
    keys = task_keys(0, n) if across == "keys" else task_keys(0, 1)
    numbers = uniform(keys, *sizes, dtype=dtype)
    assert numbers.dtype == dtype
    assert numbers.numel() == n
    assert stats.kstest(numbers.flatten().numpy(), "uniform").pvalue > 1e-3


@pytest.mark.parametrize(("dtype", "digits"), [(torch.float32, 24), (torch.float64, 53)])
def test_uniforms_hold_the_leading_bits(dtype, digits):
    key = task_keys(0, 1)
    bits = unsigned(_random._bits(key, (200,), 0))
    exact = np.array([((b >> (64 - digits)) + 0.5) / 2.0**digits for b in bits])
    numbers = uniform(key, 200, dtype=dtype)[0].double().numpy()
    np.testing.assert_allclose(numbers, exact, rtol=0, atol=2.0**-digits)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bits", [0, -1, 2**63 - 1, -(2**63), 2**32 - 1, -(2**32)])
def test_intervals_are_open_whatever_the_bits(dtype, bits, monkeypatch):
    monkeypatch.setattr(_random, "_bits", lambda keys, sizes, first_row: torch.tensor([bits]))
    number = uniform(None, 1, dtype=dtype)
    assert 0.0 < number.item() < 1.0
    assert torch.isfinite(-(-number.log()).log()).all()
    for pair in normal_pairs(None, 1, dtype=dtype):
        assert torch.isfinite(pair).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("member", [0, 1])
def test_both_numbers_of_a_pair_are_normal(dtype, member):
    numbers = normal_pairs(task_keys(1, 20), 1000, dtype=dtype)[member]
    assert numbers.dtype == dtype
    assert stats.kstest(numbers.flatten().numpy(), "norm").pvalue > 1e-3


def test_pairs_follow_box_and_muller():
    key = task_keys(0, 1)
    first, second = normal_pairs(key, 100)
    for k, bits in enumerate(unsigned(_random._bits(key, (100,), 0))):
        radius = math.sqrt(-2.0 * math.log(((bits >> 32) + 0.5) / 2.0**32))
        angle = 2.0 * math.pi * (bits & 0xFFFFFFFF) / 2.0**32
        assert first[0, k].item() == pytest.approx(radius * math.cos(angle), abs=1e-12)
        assert second[0, k].item() == pytest.approx(radius * math.sin(angle), abs=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
def test_normals_have_the_right_tails(dtype):
    numbers = normal(task_keys(2, 10), 10_000, 10, dtype=dtype)
    n = numbers.numel()
    for threshold in (2.0, 3.0, 4.0):
        expected = 2 * stats.norm.sf(threshold)
        count = int((numbers.abs() > threshold).sum())
        assert stats.binomtest(count, n, expected).pvalue > 1e-4


def test_the_two_numbers_of_a_pair_are_uncorrelated():
    assert_uncorrelated(*normal_pairs(task_keys(0, 50), 1000))


@pytest.mark.parametrize("draw", [uniform, normal])
def test_neighbours_are_uncorrelated(draw):
    by_key = draw(task_keys(0, 50_001), 2)
    assert_uncorrelated(by_key[1:], by_key[:-1])
    by_row = draw(task_keys(0, 1), 50_001, 2)[0]
    assert_uncorrelated(by_row[1:], by_row[:-1])
    by_variable = draw(task_keys(0, 1), 50_001)[0]
    assert_uncorrelated(by_variable[1:], by_variable[:-1])
    by_regime = draw(task_keys(0, 1), 20_001, 1, 2)[0]
    assert_uncorrelated(by_regime[1:], by_regime[:-1])


@pytest.mark.parametrize(
    ("one", "other"), [("weights", "edges"), ("noise", "values"), (0, 1), ("a", "b"), (0, None)]
)
def test_names_yield_uncorrelated_numbers(one, other):
    keys = task_keys(0, 50_000)
    second = keys if other is None else fold_in(keys, other)
    assert_uncorrelated(uniform(fold_in(keys, one), 1), uniform(second, 1))


def test_neighbouring_seeds_are_uncorrelated():
    assert_uncorrelated(uniform(task_keys(0, 50_000)), uniform(task_keys(1, 50_000)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("draw", [uniform, normal])
def test_larger_arrays_begin_with_smaller_ones(draw, dtype):
    keys = task_keys(4, 3)
    large = draw(keys, 3, 9, 8, dtype=dtype)
    for sizes in [(1, 1, 1), (2, 5, 3), (3, 9, 7), (3, 4, 8)]:
        small = draw(keys, *sizes, dtype=dtype)
        assert small.shape == (3, *sizes)
        assert torch.equal(small, large[:, : sizes[0], : sizes[1], : sizes[2]])
    assert torch.equal(draw(keys[1:2], 3, 9, 8, dtype=dtype), large[1:2])
    assert torch.equal(draw(keys, 9, 8, dtype=dtype), large[:, 0])
    assert torch.equal(draw(keys, 8, dtype=dtype), large[:, 0, 0])


@pytest.mark.parametrize("draw", [uniform, normal])
def test_first_row_continues_where_rows_ended(draw):
    keys = task_keys(4, 3)
    whole = draw(keys, 2, 10, 5)
    assert torch.equal(draw(keys, 2, 4, 5, first_row=6), whole[:, :, 6:])
    assert torch.equal(draw(keys, 4, 5, first_row=6), whole[:, 0, 6:])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rate", [0.05, 1.0, 9.99, 10.0, 30.0, 1000.0, 1e5])
def test_poisson_counts_fit_their_distribution(rate, dtype):
    n = 20_000
    counts = poisson(task_keys(8, n), torch.full((n,), rate, dtype=dtype))
    assert counts.dtype == dtype
    counts = counts.double().numpy()
    assert (counts >= 0).all()
    assert (counts == np.floor(counts)).all()
    exact = stats.poisson(float(torch.tensor(rate, dtype=dtype)))
    edges = np.unique(exact.ppf(np.linspace(0, 1, 26)[1:-1]))
    cumulative = np.concatenate([[0.0], exact.cdf(edges), [1.0]])
    expected = n * np.diff(cumulative)
    observed = np.bincount(np.searchsorted(edges, counts), minlength=len(expected))
    kept = expected > 0
    assert (observed[~kept] == 0).all()
    assert stats.chisquare(observed[kept], expected[kept]).pvalue > 1e-3
    error = math.sqrt((2 * rate**2 + rate) / n)
    assert abs(counts.var() - rate) < 4 * error + 1e-6 * rate


def hoermann(key, rate):
    """One count by algorithm PTRS, with its constants as published."""
    b = 0.931 + 2.53 * math.sqrt(rate)
    a = -0.059 + 0.02483 * b
    inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
    for attempt in itertools.count():
        u, v = uniform(fold_in(key, attempt), 2).tolist()
        u -= 0.5
        us = 0.5 - abs(u)
        k = math.floor((2 * a / us + b) * u + rate + 0.43)
        if us >= 0.07 and v <= 0.9277 - 3.6224 / (b - 2):
            return k
        if k < 0 or (us < 0.013 and v > us):
            continue
        left = math.log(v * inverse_alpha / (a / us**2 + b))
        if left <= k * math.log(rate) - rate - math.lgamma(k + 1):
            return k


@pytest.mark.parametrize("rate", [10.0, 17.5, 400.0])
def test_large_poisson_counts_follow_hoermanns_algorithm(rate):
    keys = task_keys(9, 300)
    counts = poisson(keys, torch.full((300,), rate, dtype=torch.float64))
    assert counts.tolist() == [hoermann(key, rate) for key in keys]


def test_poisson_takes_any_shape_and_mixed_rates():
    keys = task_keys(8, 600).reshape(20, 30)
    rate = 40.0 * uniform(fold_in(keys, "rate"))
    counts = poisson(keys, rate)
    assert counts.shape == (20, 30)
    assert torch.equal(poisson(keys[3, 5:9], rate[3, 5:9]), counts[3, 5:9])
    assert torch.equal(poisson(keys, torch.zeros(20, 30)), torch.zeros(20, 30))


def test_poisson_counts_of_neighbouring_keys_are_uncorrelated():
    for rate in (2.0, 40.0):
        counts = poisson(task_keys(0, 30_001), torch.full((30_001,), rate, dtype=torch.float64))
        assert_uncorrelated(counts[1:], counts[:-1])


def test_random_orders_are_uniform_over_permutations():
    orders = random_order(task_keys(6, 24_000), torch.full((24_000,), 4), 4)
    found = dict.fromkeys(itertools.permutations(range(4)), 0)
    for order in orders.tolist():
        found[tuple(order)] += 1
    assert stats.chisquare(list(found.values())).pvalue > 1e-3


def test_random_orders_keep_missing_variables_last():
    n_variables = torch.tensor([2, 3, 4, 5]).repeat(500)
    orders = random_order(task_keys(6, 2000), n_variables, 5)
    for n, order in zip(n_variables.tolist(), orders.tolist()):
        assert sorted(order[:n]) == list(range(n))
        assert order[n:] == list(range(n, 5))
    three = orders[n_variables == 3][:, :3].tolist()
    counts = [three.count(list(order)) for order in itertools.permutations(range(3))]
    assert stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("seed", [0, 7, 2**63 - 1, np.int64(7), np.uint8(7)])
def test_integers_are_the_seed_itself(seed):
    found = check_random_state(seed)
    assert type(found) is int
    assert found == int(seed)


@pytest.mark.parametrize("make", [np.random.RandomState, np.random.default_rng])
def test_generators_draw_a_seed_and_move_on(make):
    generator = make(0)
    first, second = check_random_state(generator), check_random_state(generator)
    assert first != second
    assert check_random_state(make(0)) == first
    assert 0 <= first < 2**63


def test_none_takes_fresh_entropy_and_leaves_the_global_state():
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    seeds = {check_random_state(None) for _ in range(20)}
    assert len(seeds) == 20
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002


@pytest.mark.parametrize("bad", [-1, 2**63, 1.0, True, "0", [0], np.float64(3), torch.Generator()])
def test_other_random_states_are_refused(bad):
    with pytest.raises(ValueError, match=r"random_state must be None, an integer from 0 to 2\^63"):
        check_random_state(bad)


@pytest.mark.parametrize("rate", [-1.0, np.nan, np.inf])
def test_rates_that_are_no_rates_are_refused(rate):
    with pytest.raises(ValueError, match="rate must be finite and not negative"):
        poisson(task_keys(0, 2), torch.tensor([1.0, rate], dtype=torch.float64))


@pytest.mark.parametrize("sizes", [(2**16 + 1,), (2**16 + 1, 1, 1), (1, 2**16 + 1)])
def test_arrays_too_long_for_numbers_of_their_own_are_refused(sizes):
    assert uniform(task_keys(0, 1), *(min(size, 2**16) for size in sizes)).numel() == 2**16
    with pytest.raises(ValueError, match="65,536 regimes, 2\\^32 rows and 65,536 variables"):
        uniform(task_keys(0, 1), *sizes)
