"""How the seconds of fit and predict grow with rows and variables, and their ratios to peers.

Every public estimator with default settings, on one thread. growth.csv: the slope of log seconds in
the log of the number of rows (8 variables) or of variables (1,000 rows) by least squares, with a
95 % interval by Student's t. A slope of 1 is linear growth; where a constant overhead dominates the
small sizes, the slope is below that of large ones. After four sizes none is added once a call took
more than five seconds. speed_ratios.csv: seconds divided by those of the peer in
`benchmarks/benchmarks/pairs.py`, on the same rows in the same run.

Estimators for which the usual sizes would take too long have their own: CFRRegressor, which trains
five networks for 60 epochs, few rows (250 where others have 1,000); ExactGraphPosterior, and
ActiveDesigner, which asks it, at most 12 variables.

    OMP_NUM_THREADS=1 python benchmarks/reproduce/growth.py
"""

import argparse
import sys
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _provenance import write_csv
from scipy.stats import linregress, t
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

sys.path.append(str(Path(__file__).parents[1]))
from benchmarks.common import SEED, best_seconds
from benchmarks.pairs import FAMILIES

ROWS, VARIABLES = (250, 500, 1000, 2000, 4000), (4, 8, 12, 16, 24)
OWN_ROWS = {"CFRRegressor": (60, 125, 250, 500)}
OWN_VARIABLES = dict.fromkeys(("ExactGraphPosterior", "ActiveDesigner"), (4, 6, 8, 10, 12))
N_ROWS, OWN_N_ROWS, N_VARIABLES = 1000, {"CFRRegressor": 250}, 8
RATIO_N_ROWS, RATIO_VARIABLES = 500, (5, 10)
QUICK_ROWS, QUICK_VARIABLES, QUICK_N_ROWS = (60, 90, 120, 180), (3, 4, 5, 6), 60

LONGEST_CALL, FEWEST_SIZES = 5.0, 4  # seconds
OPERATIONS = ("fit", "predict")


def time_operations(model, rows, operations=OPERATIONS):
    """Shortest seconds of each operation; of two calls if they take over a second, else of more."""
    seconds = {}
    if "fit" not in operations:
        rows.fit(model)
    for operation in operations:
        call = partial(getattr(rows, operation), model)
        first = best_seconds(call, repeat=1)
        again = best_seconds(call, repeat=1 if first > 1 else 3, at_least=0.1)
        seconds[operation] = min(first, again)
    return seconds


def time_sizes(family, name, sizes):
    """Seconds of both operations at four sizes (n_rows, n_variables) or more, if not too slow."""
    smallest = family.rows(*sizes[0])
    smallest.fit(family.model(name, smallest))  # imports, reads weights
    timed = []
    for size in sizes:
        rows = family.rows(*size)
        timed.append(time_operations(family.model(name, rows), rows))
        if max(timed[-1].values()) > LONGEST_CALL and len(timed) >= FEWEST_SIZES:
            break
    return timed


def growth(name, varied, sizes, timed):
    """Slopes of one estimator, one line for each operation."""
    sizes = sizes[: len(timed)]
    for operation in OPERATIONS:
        seconds = [time[operation] for time in timed]
        line = linregress(np.log(sizes), np.log(seconds))
        half_width = line.stderr * t.ppf(0.975, len(sizes) - 2)
        yield {
            "estimator": name,
            "operation": operation,
            "varied": varied,
            "slope": line.slope,
            "slope_low": line.slope - half_width,
            "slope_high": line.slope + half_width,
            "smallest": sizes[0],
            "largest": sizes[-1],
            "seconds_smallest": seconds[0],
            "seconds_largest": seconds[-1],
        }


def growth_of(family, name, quick):
    """Slopes of one estimator in rows and in variables."""
    rows = QUICK_ROWS if quick else OWN_ROWS.get(name, ROWS)
    variables = QUICK_VARIABLES if quick else OWN_VARIABLES.get(name, VARIABLES)
    n_rows = QUICK_N_ROWS if quick else OWN_N_ROWS.get(name, N_ROWS)
    n_variables = QUICK_VARIABLES[1] if quick else N_VARIABLES
    timed = time_sizes(family, name, [(n, n_variables) for n in rows])
    yield from growth(name, "rows", rows, timed)
    timed = time_sizes(family, name, [(n_rows, d) for d in variables])
    yield from growth(name, "variables", variables, timed)


def ratios_of(family, name, quick):
    """Seconds of one estimator and of its peers."""
    n_rows = QUICK_N_ROWS if quick else min(RATIO_N_ROWS, OWN_N_ROWS.get(name, N_ROWS))
    cases = [case for case in family.cases() if case[0] == name]
    for n_variables in QUICK_VARIABLES[:1] if quick else RATIO_VARIABLES:
        size = (n_rows, n_variables)
        ours = time_sizes(family, name, [size])[0]
        theirs = {peer: _seconds_of_peer(family, peer, size, cases) for _, _, peer in cases}
        for _, operation, peer in cases:
            yield {
                "estimator": name,
                "operation": operation,
                "peer": peer,
                "n_rows": n_rows,
                "n_variables": n_variables,
                "seconds": ours[operation],
                "seconds_peer": theirs[peer][operation],
                "ratio": ours[operation] / theirs[peer][operation],
            }


def _seconds_of_peer(family, peer, size, cases):
    """Seconds of the operations that are compared with this peer."""
    rows = family.rows(*size)
    operations = [operation for _, operation, name in cases if name == peer]
    return time_operations(family.model(peer, rows), rows, operations)


def measure(chosen, quick):
    """Both tables, of the chosen estimators."""
    slopes, ratios = [], []
    for family in FAMILIES:
        for name in family.estimators:
            if name in chosen:
                slopes += growth_of(family, name, quick)
                ratios += ratios_of(family, name, quick)
                print(pd.DataFrame(slopes[-4:]).round(4).to_string(header=len(slopes) == 4))
                print(flush=True)
    return pd.DataFrame(slopes), pd.DataFrame(ratios)


def main():
    """Parse the arguments, run, and write two CSV files."""
    names = [name for family in FAMILIES for name in family.estimators]
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--estimators", nargs="+", choices=names, default=names, metavar="NAME")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to test the script")
    parser.add_argument("--out", type=Path, help="default: results, if all were run at full size")
    args = parser.parse_args()
    if args.out is None and not args.quick and args.estimators == names:
        args.out = Path(__file__).parent / "results"
    warnings.simplefilter("ignore", ConvergenceWarning)
    torch.set_num_threads(1)
    with threadpool_limits(1):
        slopes, ratios = measure(args.estimators, args.quick)
    print(ratios.round(5).to_string())
    if args.out is None:
        print("Nothing was written; --out names a folder for the tables.")
        return
    args.out.mkdir(parents=True, exist_ok=True)
    settings = {"threads": 1, "seed": SEED, "torch": torch.__version__}
    fixed = {"rows_fixed_at": N_ROWS, "variables_fixed_at": N_VARIABLES}
    # Seconds of predictions are small: five significant digits of everything.
    for table, name, more in ((slopes, "growth", fixed), (ratios, "speed_ratios", {})):
        table = table.map(lambda cell: float(f"{cell:.5g}") if isinstance(cell, float) else cell)
        write_csv(table, args.out / f"{name}.csv", **settings, **more)


if __name__ == "__main__":
    main()
