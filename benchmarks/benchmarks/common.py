"""Data and a stopwatch for the suites."""

from time import perf_counter

from skcausal.datasets import make_linear_scm

SEED = 0


def linear_data(n_variables):
    """X and mask of a random linear SCM: observational rows and one regime per variable."""
    data = make_linear_scm(n_variables=n_variables, random_state=SEED)
    return data.X, data.interventions


def best_seconds(function, *, repeat, at_least=0.0):
    """Shortest wall time of `repeat` calls, or more until `at_least` seconds have passed.

    The shortest is the least disturbed by other processes.
    """
    times = []
    while len(times) < repeat or sum(times) < at_least:
        start = perf_counter()
        function()
        times.append(perf_counter() - start)
    return min(times)
