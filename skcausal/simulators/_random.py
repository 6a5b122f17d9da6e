"""Counter-based random numbers: every draw is a pure function of a key and an index.

A batch of systems carries one 64-bit key per system. A number is the SplitMix64 output [1]_ of
such a key at the position of its index, so it depends on neither the batch around it, the order of
calls nor the device. That is what makes "task k of seed s" the same task however a run is split.

torch's generators are sequential, so a task would depend on the batch it is drawn in; its
stateless interface (`torch.func._random`) is a private prototype, absent from the older
releases that are supported.

References
----------
.. [1] Steele, G. L., Lea, D. & Flood, C. H. (2014). Fast splittable pseudorandom number generators.
   OOPSLA.
.. [2] Hoermann, W. (1993). The transformed rejection method for generating Poisson random
   variables. Insurance: Mathematics and Economics 12, algorithm PTRS.
"""

from __future__ import annotations

import math
import zlib
from numbers import Integral

import numpy as np
import torch


def _signed(constant: int) -> int:
    """Return the int64 with the bits of an unsigned 64-bit constant."""
    return constant - (1 << 64) if constant >= 1 << 63 else constant


_GAMMA = _signed(0x9E3779B97F4A7C15)  # odd integer closest to 2^64 / golden ratio
_MULTIPLIERS = (_signed(0xBF58476D1CE4E5B9), _signed(0x94D049BB133111EB))

# Place values of the last axes of an index: at most 2^16 entries in the last axis (variables or
# features), 2^32 in the one before it (rows), 2^16 in the first (regimes).
_PLACES, _LIMITS = (48, 16, 0), (2**16, 2**32, 2**16)

# Below this rate Poisson counts come from summed exponential waiting times.
_SMALL_RATE = 10.0


def _mix(state: torch.Tensor) -> torch.Tensor:
    """Finalise SplitMix64 states in place."""
    for shift, multiplier in zip((30, 27), _MULTIPLIERS):
        state ^= _shift_right(state, shift)
        state *= multiplier
    state ^= _shift_right(state, 31)
    return state


def _shift_right(bits: torch.Tensor, n: int) -> torch.Tensor:
    """Shift right and fill with zeros; torch's own shift repeats the sign."""
    shifted = bits >> n
    shifted &= (1 << (64 - n)) - 1
    return shifted


def check_random_state(random_state) -> int:
    """Turn what scikit-learn calls a random state into a seed.

    Parameters
    ----------
    random_state : int, RandomState instance, Generator instance or None
        A non-negative int is the seed itself; generators draw one; None takes fresh entropy.

    Returns
    -------
    seed : int
        A seed below 2^63.
    """
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1, np.uint64)[0] >> 1)
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31 - 1))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**63 - 1))
    integer = isinstance(random_state, Integral) and not isinstance(random_state, bool)
    if not integer or not 0 <= random_state < 2**63:
        raise ValueError(
            "random_state must be None, an integer from 0 to 2^63 - 1, or a numpy RandomState or "
            f"Generator, found {random_state!r}."
        )
    return int(random_state)


def task_keys(seed: int, n_tasks: int, *, start: int = 0, device="cpu") -> torch.Tensor:
    """Keys (n_tasks,) of the tasks `start`, `start` + 1, ... of a seed."""
    index = torch.arange(start, start + n_tasks, dtype=torch.int64, device=device)
    return fold_in(_mix(torch.full_like(index, seed ^ _GAMMA)), index)


def fold_in(keys: torch.Tensor, data: int | str | torch.Tensor) -> torch.Tensor:
    """Derive independent keys from `keys` and an integer, a name or a tensor that broadcasts."""
    if isinstance(data, str):
        data = zlib.crc32(data.encode())
    inner = _mix(torch.as_tensor(data, dtype=torch.int64, device=keys.device) * _GAMMA + 1)
    return _mix(_mix(keys + _GAMMA) ^ inner)


def _bits(keys: torch.Tensor, sizes: tuple[int, ...], first_row: int) -> torch.Tensor:
    """64 random bits for every index of an array of shape (*keys.shape, *sizes)."""
    counter = positions(sizes, keys.device, first_row) + 1
    return _mix(counter * _GAMMA + keys.reshape(*keys.shape, *[1] * len(sizes)))


def positions(sizes, device, first_row=0) -> torch.Tensor:
    """Give numbers to the entries of an array so that a larger array begins with the smaller one.

    Parameters
    ----------
    sizes : sequence of int
        Up to three axes: (n_regimes, n_rows, n_variables), or the last of them.
    device : torch.device
        Where the numbers are wanted.
    first_row : int, default=0
        Index at which the last axis but one starts.

    Returns
    -------
    numbers : int64 tensor of shape (*sizes,)
        Distinct numbers that depend on an entry's index alone.

    Raises
    ------
    ValueError
        If an axis is longer than there are distinct numbers for.
    """
    if any(size > limit for size, limit in zip(sizes, _LIMITS[len(_LIMITS) - len(sizes) :])):
        raise ValueError(
            "Random numbers of their own exist for 65,536 regimes, 2^32 rows and 65,536 variables "
            f"or features, found an array of shape {tuple(sizes)}. Pass the regimes in pieces."
        )
    numbers = torch.zeros((), dtype=torch.int64, device=device)
    for axis, (size, place) in enumerate(zip(sizes, _PLACES[len(_PLACES) - len(sizes) :])):
        first = first_row if axis == len(sizes) - 2 else 0
        index = torch.arange(first, first + size, dtype=torch.int64, device=device)
        numbers = numbers[..., None] + (index << place)
    return numbers


def uniform(keys, *sizes, dtype=torch.float64, first_row=0) -> torch.Tensor:
    """Uniform numbers in the open interval (0, 1).

    Parameters
    ----------
    keys : int64 tensor of shape (*batch,)
        One key per system (or per system and variable, ...).
    *sizes : int
        Up to three trailing axes. An entry depends on its key and its own index alone, so a
        larger array begins with the smaller one.
    dtype : torch.dtype, default=torch.float64
        Precision; both take the leading bits of the same integers.
    first_row : int, default=0
        Index at which the last axis but one starts.

    Returns
    -------
    numbers : tensor of shape (*batch, *sizes)
        The numbers.
    """
    digits = 53 if dtype == torch.float64 else 24
    bits = _bits(keys, sizes, first_row)
    leading = _shift_right(bits, 64 - digits)
    # Half a unit keeps 0 out; one more rounding at the top would let 1 in, hence the clamp.
    numbers = (leading.to(dtype) + 0.5) * 2.0**-digits
    return numbers.clamp_(max=1 - 2.0**-digits)


def normal_pairs(keys, *sizes, dtype=torch.float64, first_row=0):
    """Two independent standard normal tensors of shape (*batch, *sizes), by Box and Muller."""
    bits = _bits(keys, sizes, first_row)
    radius = _shift_right(bits, 32).to(dtype).add_(0.5).mul_(2.0**-32)
    # In float32 the largest numerators round up to 2^32; log(1) = 0 is then the right limit.
    radius = radius.log_().mul_(-2.0).sqrt_()
    bits &= 0xFFFFFFFF
    angle = bits.to(dtype).mul_(2.0 * math.pi * 2.0**-32)
    cosine = angle.cos().mul_(radius)
    return cosine, angle.sin_().mul_(radius)


def normal(keys, *sizes, dtype=torch.float64, first_row=0) -> torch.Tensor:
    """Draw standard normal numbers; arguments and shape as those of :func:`uniform`."""
    *outer, last = sizes
    pairs = normal_pairs(keys, *outer, (last + 1) // 2, dtype=dtype, first_row=first_row)
    return torch.stack(pairs, dim=-1).flatten(-2)[..., :last].contiguous()


def random_order(keys: torch.Tensor, n_variables: torch.Tensor, size: int) -> torch.Tensor:
    """Random permutations (n_systems, size); variables beyond `n_variables` stay at the end."""
    priority = uniform(keys, size)
    index = torch.arange(size, device=keys.device)
    priority = torch.where(index < n_variables[:, None], priority, 1.0 + index)
    return priority.argsort(dim=-1)


def poisson(keys: torch.Tensor, rate: torch.Tensor) -> torch.Tensor:
    """Poisson counts, exact, by rejection [2]_ or, for small rates, by waiting times.

    Parameters
    ----------
    keys : int64 tensor of the shape of `rate`
        One key per count.
    rate : float tensor
        Means, not negative.

    Returns
    -------
    counts : tensor of the shape and dtype of `rate`
        The counts.

    Raises
    ------
    ValueError
        If a rate is negative or not finite.
    """
    if not ((rate >= 0) & rate.isfinite()).all():
        raise ValueError("rate must be finite and not negative.")
    counts = torch.zeros_like(rate)
    small = rate < _SMALL_RATE
    counts[small] = _poisson_by_waiting(keys[small], rate[small])
    counts[~small] = _poisson_by_rejection(keys[~small], rate[~small])
    return counts


def _poisson_by_waiting(keys: torch.Tensor, rate: torch.Tensor) -> torch.Tensor:
    """Count unit-rate events before time `rate` (n,), by exponential waiting times."""
    counts = torch.zeros_like(rate)
    alive = torch.arange(len(rate), device=rate.device)
    time, event = torch.zeros_like(rate), 0
    while len(alive):
        time = time - uniform(fold_in(keys[alive], event), dtype=rate.dtype).log()
        arrived = time < rate[alive]
        alive, time, event = alive[arrived], time[arrived], event + 1
        counts[alive] = event
    return counts


def _poisson_by_rejection(keys: torch.Tensor, rate: torch.Tensor) -> torch.Tensor:
    """Algorithm PTRS of Hoermann (1993); rates (n,) of at least 10.

    Computed in float64, since the acceptance test subtracts large log-factorials.
    """
    counts = torch.zeros_like(rate)
    rate = rate.double()
    pending, attempt = torch.arange(len(rate), device=rate.device), 0
    while len(pending):
        mean, draws = rate[pending], uniform(fold_in(keys[pending], attempt), 2)
        b = 0.931 + 2.53 * mean.sqrt()
        a = -0.059 + 0.02483 * b
        inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
        u, v = draws[:, 0] - 0.5, draws[:, 1]
        us = 0.5 - u.abs()
        k = ((2.0 * a / us + b) * u + mean + 0.43).floor()
        inside = (us >= 0.07) & (v <= 0.9277 - 3.6224 / (b - 2.0))
        outside = (k < 0) | ((us < 0.013) & (v > us))
        left = v.log() + inverse_alpha.log() - (a / us**2 + b).log()
        accepted = left <= k * mean.log() - mean - torch.lgamma(k.clamp(min=0) + 1.0)
        done = inside | (accepted & ~outside)
        counts[pending[done]] = k[done].to(counts.dtype)
        pending, attempt = pending[~done], attempt + 1
    return counts
