"""Milliseconds per simulated system, against the packages `sempler` and `sergio_rs`, one thread.

Ten variables. Linear systems: 1,000 of them, one row each under an intervention of its own. Gene
networks: 100 of them, five cell types, 100 cells each, with and without technical noise; the time
of drawing the networks is included. Memory: the growth of the process while a stream draws and
simulates a million tasks. Peers that are not installed are left out; `sergio_rs` is GPL and no
dependency of anything here.

    pip install sempler sergio_rs
    OMP_NUM_THREADS=1 python benchmarks/reproduce/simulator_speed.py
"""

import argparse
import importlib.util
import resource
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _provenance import write_csv

from skcausal.simulators import GeneNetworkPrior, LinearPrior, NonlinearPrior

N_GENES, N_TYPES, N_CELLS = 10, 5, 100


def shortest(function):
    """Shortest wall time of five calls in seconds."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        function()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times)


def linear_rows(prior, device, n_systems=1000):
    """Seconds of one row each under interventions, and of drawing the systems."""
    systems = prior.sample(n_systems, 0, device=device)
    mask = torch.rand(n_systems, 1, 10, generator=torch.Generator().manual_seed(0)) < 0.5
    mask = mask.to(device)
    return (
        shortest(lambda: systems.sample(1, mask, 2.0, random_state=0)),
        shortest(lambda: prior.sample(n_systems, 0, device=device)),
    )


def sempler_rows(n_systems=1000):
    """Seconds of the same rows by the package sempler, one system after the other."""
    import sempler

    systems = LinearPrior(10).sample(n_systems, 0, dtype=torch.float64)
    models = [
        sempler.LGANM(coef, (0, 0), (0.1, 0.1), random_state=0) for coef in systems.coef.numpy()
    ]
    masks = np.random.default_rng(0).random((n_systems, 10)) < 0.5
    targets = [{int(j): (2.0, 0.0) for j in np.flatnonzero(mask)} for mask in masks]

    def rows():
        for model, do in zip(models, targets):
            model.sample(1, do_interventions=do)

    return shortest(rows)


def network_cells(technical_noise, device, batch=100):
    """Seconds of drawing networks and cells, per network."""
    prior = GeneNetworkPrior(N_GENES, n_cell_types=N_TYPES, technical_noise=technical_noise)
    networks = prior.sample(batch, 0, device=device)
    cells = shortest(lambda: networks.sample(N_CELLS, random_state=0)) / batch
    both = shortest(lambda: prior.sample(batch, 0, device=device).sample(N_CELLS, random_state=0))
    return cells, both / batch


def sergio_cells(technical_noise, n_networks=20):
    """Seconds of the same cells by the package sergio_rs, per network."""
    import sergio_rs

    networks = GeneNetworkPrior(N_GENES).sample(n_networks, 0, dtype=torch.float64)

    def simulate(interactions):
        genes = [sergio_rs.Gene(f"g{i}", 0.8) for i in range(N_GENES)]
        grn = sergio_rs.GRN()
        for i, j in zip(*np.nonzero(interactions)):
            grn.add_interaction(genes[i], genes[j], float(interactions[i, j]), None, 2)
        grn.set_mrs()
        profile = sergio_rs.MrProfile.from_random(grn, N_TYPES, (1.0, 2.0), (2.0, 3.0), 0)
        sim = sergio_rs.Sim(grn, N_CELLS // N_TYPES, 250, 15, 0.01, 1, 0)
        frame = sim.simulate(profile)
        if technical_noise:
            expression = frame.drop("Genes").to_numpy()
            sergio_rs.add_technical_noise_custom(expression, 3.0, 6.0, 0.3, 8.0, 74.0, 0)

    def cells():
        for interactions in networks.interactions.numpy():
            simulate(interactions)

    return shortest(cells) / n_networks


def stream_growth(n_tasks):
    """Megabytes by which the process grows over a stream, after its first batches."""
    before = 0
    for number, systems in enumerate(LinearPrior(10).stream(n_tasks, 0, batch_size=1000)):
        systems.sample(1, random_state=0)
        if number < 10:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def main():
    """Parse the arguments, run, and write a CSV file next to this script."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--n-tasks", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    torch.set_num_threads(1)
    lines = []

    def report(what, unit, ours, peer=None, peer_value=None):
        ratio = None if peer_value is None else round(peer_value / ours, 1)
        lines.append(
            {"what": what, "unit": unit, "ours": ours, "peer": peer, "value": peer_value}
            | {"ratio": ratio}
        )
        print(lines[-1], flush=True)

    has_sempler = importlib.util.find_spec("sempler") is not None
    has_sergio = importlib.util.find_spec("sergio_rs") is not None
    priors = {
        "linear": LinearPrior(10),
        "linear, published active-design prior": LinearPrior.preset("caasl"),
        "linear, cyclic": LinearPrior(10, n_cycles=1),
        "linear, two confounders": LinearPrior(10, n_confounders=2),
        "linear, heteroskedastic": LinearPrior(10, heteroskedastic=True),
        "nonlinear, Fourier features": NonlinearPrior(10),
        "nonlinear, Fourier features, not standardized": NonlinearPrior(10, standardize=None),
        "nonlinear, perceptrons": NonlinearPrior(10, mechanism="mlp"),
    }
    for name, prior in priors.items():
        rows, draw = linear_rows(prior, args.device)
        peer = f"sempler {version('sempler')}" if name == "linear" and has_sempler else None
        value = 1000 * sempler_rows() if peer else None
        report(f"{name}: one row each", "ms per 1,000 systems", 1000 * rows, peer, value)
        report(f"{name}: drawing the systems", "ms per 1,000 systems", 1000 * draw)
    for noise in (None, "10x_chromium", "drop_seq"):
        cells, both = network_cells(noise, args.device)
        peer = f"sergio_rs {version('sergio_rs')}" if has_sergio and noise != "drop_seq" else None
        value = 1000 * sergio_cells(noise) if peer else None
        report(f"gene networks, {noise or 'clean'}: cells", "ms per network", 1000 * cells)
        report(
            f"gene networks, {noise or 'clean'}: networks and cells",
            "ms per network",
            1000 * both,
            peer,
            value,
        )
    report(f"stream of {args.n_tasks} tasks: memory growth", "MB", stream_growth(args.n_tasks))
    args.out.mkdir(parents=True, exist_ok=True)
    device = torch.cuda.get_device_name() if args.device.startswith("cuda") else "cpu, 1 thread"
    write_csv(
        pd.DataFrame(lines).round(4),
        args.out / "simulator_speed.csv",
        device=device,
        torch=version("torch"),
    )


if __name__ == "__main__":
    main()
