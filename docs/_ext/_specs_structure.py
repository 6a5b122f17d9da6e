"""What the tables on graphs, simulators and reliability show: files, rows and columns."""

from _tables import Checks, Column, Row, Table

REPRODUCE = "python benchmarks/reproduce/"
ONE_THREAD = f"OMP_NUM_THREADS=1 {REPRODUCE}"


def precision(**headings):
    """Average precision of settings, as columns."""
    return tuple(
        Column(heading, "auprc", {"setting": setting}, decimals=2)
        for setting, heading in headings.items()
    )


STRUCTURE = {
    "recovery": Table(
        "graph_posterior_recovery.csv",
        "Average precision of edges, systems of ten variables with 50 or 5 rows in each regime.",
        f"{REPRODUCE}graph_posterior.py --tables recovery",
        precision(
            singles_n50_d10="50 rows",
            singles_n5_d10="5 rows",
            observational_n500="500 observational rows",
            cycles_n50="50 rows, feedback",
            cycles_n5="5 rows, feedback",
            confounders_n50="50 rows, confounders",
            confounders_n5="5 rows, confounders",
        ),
        (
            Row("``AmortizedGraphPosterior()``", {"method": "network, linear"}),
            Row("``ExactGraphPosterior()``", {"method": "exact"}),
            Row("``MetaInterventionPredictor()``", {"method": "meta"}),
            Row('``GIES(centering="pooled")``', {"method": "GIES, pooled"}),
            Row("``GIES()``", {"method": "GIES"}),
            Row("``IGSP()``", {"method": "IGSP"}),
        ),
    ),
    "calibration": Table(
        "graph_posterior_designs.csv",
        "Dense linear systems of ten variables, 50 observational rows and ten rows under "
        "interventions on half of the variables.",
        f"{REPRODUCE}graph_posterior.py --tables designs",
        (
            Column(
                "expected correct entries, of 100 ± standard error", "S", spread="S_se", decimals=1
            ),
            Column("average precision", "auprc", decimals=3),
            Column("log score (nats per pair)", "log_score", decimals=3),
            Column("calibration error", "ece", decimals=3),
            Column("systems", "systems"),
        ),
        (
            Row("``ExactGraphPosterior`` with the true prior", {"method": "exact"}),
            Row("network trained on such systems", {"method": "network, caasl"}),
            Row("``AmortizedGraphPosterior()``", {"method": "network, linear"}),
            Row("30 bootstraps of GIES", {"method": "GIES, 30 bootstraps"}),
        ),
        {"n_variables": 10, "design": "BalancedHalf", "systems": 200},
    ),
    "genes": Table(
        "graph_posterior_genes.csv",
        "Simulated single-cell counts of ten genes, 50 cells and ten knock-outs of one cell each.",
        f"{REPRODUCE}graph_posterior.py --tables genes",
        (
            Column(
                "10X noise: average precision ± standard error",
                "auprc",
                {"setting": "10x_50_10"},
                spread="auprc_se",
                decimals=3,
            ),
            Column("log score (nats per pair)", "log_score", {"setting": "10x_50_10"}, decimals=2),
            Column(
                "Drop-seq noise: average precision ± standard error",
                "auprc",
                {"setting": "drop_seq_50_10"},
                spread="auprc_se",
                decimals=3,
            ),
        ),
        tuple(
            Row(label, {"method": name})
            for name, label in {
                "network, gene-network": "network trained on gene networks",
                "GIES, pooled": '``GIES(centering="pooled")``',
                "GIES, 30 bootstraps": "30 bootstraps of it",
                "correlation": "correlation",
                "random forest": "random forest importances",
            }.items()
        ),
    ),
    "sachs": Table(
        "graph_posterior_sachs.csv",
        "Sachs: the learned graph against three reference graphs (average precision).",
        f"{REPRODUCE}graph_posterior.py --tables sachs",
        (
            *(
                Column(heading, "auprc", {"graph": graph}, decimals=2)
                for graph, heading in {
                    "inferred17": "17 edges, as inferred",
                    "consensus18": "18 edges, consensus",
                    "consensus20": "20 edges, consensus",
                }.items()
            ),
            Column("edges learned", "edges", {"graph": "consensus20"}),
        ),
        tuple(
            Row(label, {"method": name})
            for name, label in {
                "network, linear": "``AmortizedGraphPosterior()``",
                "exact": "``ExactGraphPosterior()``",
                "meta": "``MetaInterventionPredictor()``",
                "GIES, 30 bootstraps": "30 bootstraps of GIES",
                "GIES": "``GIES()``",
                "GIES, pooled": '``GIES(centering="pooled")``',
                "IGSP": "``IGSP()``",
            }.items()
        ),
    ),
    "gies": Table(
        "gies_speed.csv",
        "``GIES()`` and the package `gies` on the same data, one thread.",
        f"{ONE_THREAD}gies_speed.py --sizes 10 20 50",
        (
            Column("systems", "seed", over="count"),
            Column("same graph", "same_graph", over="share"),
            Column("ours, median (s)", "seconds", over="median", digits=2),
            Column("`gies`, median (s)", "reference_seconds", over="median", digits=2),
            Column("ratio, median (least to greatest)", "speedup", over="range", decimals=0),
        ),
        tuple(Row(f"{d} variables", {"d": d}) for d in (10, 20, 50)),
    ),
    "simulators": Table(
        "simulator_speed.csv",
        "Time of a simulation, ten variables, one thread.",
        f"{ONE_THREAD}simulator_speed.py",
        (
            Column("unit", "unit"),
            Column("ours", "ours"),
            Column("peer", "peer"),
            Column("peer's time", "value"),
            Column("ratio", "ratio", digits=2),
        ),
        tuple(
            Row(label, {"what": name})
            for name, label in {
                "linear: one row each": "linear systems, one row each",
                "linear: drawing the systems": "drawing them",
                "nonlinear, perceptrons: one row each": "nonlinear systems, one row each",
                "nonlinear, perceptrons: drawing the systems": "drawing them",
                "gene networks, clean: networks and cells": "gene networks and cells, no noise",
                "gene networks, 10x_chromium: networks and cells": "the same, 10X noise",
                "gene networks, drop_seq: networks and cells": "the same, Drop-seq noise",
                "stream of 1000000 tasks: memory growth": "growth of memory over a million tasks",
            }.items()
        ),
    ),
}


def checks(caption, **options):
    """One of the two tables of checks."""
    return Checks("reliability.csv", caption, f"{ONE_THREAD}reliability.py", **options)


def growth(varied):
    """How time grows with rows or variables."""
    return Table(
        "growth.csv",
        f"Time against the number of {varied}: exponent of the fitted power law.",
        f"{ONE_THREAD}growth.py",
        (
            Column("exponent (95 %)", "slope", low="slope_low", high="slope_high", decimals=2),
            Column(f"fewest {varied}", "smallest", decimals=0),
            Column(f"most {varied}", "largest", decimals=0),
            Column("time of the fewest (s)", "seconds_smallest", digits=2),
            Column("time of the most (s)", "seconds_largest", digits=2),
        ),
        where={"varied": varied},
        labels=("estimator", "operation"),
    )


RELIABILITY = {
    "reliability_library": checks("Checks with one figure for the whole library."),
    "reliability_estimators": checks("Checks with a figure per estimator.", by_estimator=True),
    "growth_rows": growth("rows"),
    "growth_variables": growth("variables"),
}
