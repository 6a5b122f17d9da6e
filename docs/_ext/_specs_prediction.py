"""What the tables on predictions and designs show: files, rows and columns.

Settings such as the number of rows may be typed here; results may not.
"""

from _tables import PUBLISHED, Column, Row, Table

REPRODUCE = "python benchmarks/reproduce/"
ONE_THREAD = f"OMP_NUM_THREADS=1 {REPRODUCE}"
MANTA = {"paper": "Manta, Brouillard & Sridhar (2025)", "metric": "transfer loss"}
SIZES = (4, 10, 20)


def transfer_loss(value, prefix=""):
    """Give columns of published and measured transfer loss for each number of variables."""
    for d in SIZES:
        setting = f"{d} variables"
        yield Column(
            f"d = {d}, published",
            "value",
            MANTA | {"setting": setting},
            file=PUBLISHED,
            spread="spread",
        )
        where = {"setting": f"{prefix}{d}"} if prefix else {"d": d}
        yield Column(f"d = {d}, measured", value, where, decimals=3)


PREDICTION = {
    "graphs": Table(
        "table1_baselines_table1.csv",
        "Transfer loss of a variable predicted from its parents (mean squared error in training "
        "variances), unseen pairs of interventions.",
        f"{REPRODUCE}table1_baselines.py",
        tuple(transfer_loss("parents")),
        (
            Row("true graph (GT)", {"method": "true graph"}, "GT"),
            Row("``GIES()``", {"method": "GIES"}, "GIES"),
            Row("``IGSP()``", {"method": "IGSP"}),
            Row("IGSP as published", {"method": "IGSP as published"}, "IGSP"),
            Row("GES, mask ignored", {"method": "GES, all rows as one sample"}),
            Row("PC, mask ignored", {"method": "PC, all rows as one sample"}),
            Row("complete graph (Full)", {"method": "full graph"}, "Full"),
        ),
    ),
    "conditional": Table(
        "intervention_prediction.csv",
        "Transfer loss of a variable predicted from all others, the input that MIP-FT has "
        "(mean squared error in training variances).",
        f"{REPRODUCE}intervention_prediction.py",
        tuple(transfer_loss("others", "seed_d")),
        (
            Row("MIP-FT", None, "MIP-FT"),
            Row("MIP, without fine-tuning", None, "MIP"),
            Row("SL, supervised", None, "SL"),
            Row("``MetaInterventionPredictor()``", {"method": "meta"}),
            Row("ridge on all other variables", {"method": "conditional ridge"}),
            Row("ridge on the mask", {"method": "additive ridge"}),
            Row("``GIES()``", {"method": "GIES"}),
            Row("``IGSP()``", {"method": "IGSP"}),
            Row("true parameters, the floor", {"method": "true parameters"}),
            Row("no effect", {"method": "no effect"}),
        ),
    ),
}

PAPER = f"{REPRODUCE}intervention_prediction_paper.py"
FIRST = {"learning_rate": 0.002, "rate": 0.3}
STEPS = {"learning_rate": 0.002, "rate": 1.0}
SLOW = {"learning_rate": 5e-05, "rate": 0.3}
PREDICTION["published_network"] = Table(
    "intervention_prediction_paper.csv",
    "Published network and meta-training at d = 4: transfer loss (mean squared error in training "
    "variances).",
    f"{PAPER} --learning-rates 2e-3 --epochs 6, then {PAPER} --learning-rates 5e-5 --epochs 1, "
    f"then {PAPER} --objectives maml --learning-rates 2e-3 --rates 1 --epochs 2, "
    f"then {PAPER} --objectives maml --learning-rates 5e-5 --epochs 0",
    (
        Column(
            "published, 5 runs",
            "value",
            MANTA | {"setting": "4 variables"},
            file=PUBLISHED,
            spread="spread",
        ),
        Column("measured mean ± standard error", "mean", spread="se", decimals=3),
        Column("median", "median", decimals=3),
        Column("mean of 5 systems: 5 % quantile", "five_low", decimals=2),
        Column("and 95 % quantile", "five_high", decimals=2),
    ),
    (
        Row("MIP-FT, larger fine-tuning steps", {"method": "MIP-FT", **STEPS}, "MIP-FT"),
        Row("MIP-FT", {"method": "MIP-FT", **FIRST}, "MIP-FT"),
        Row("MIP-FT, published learning rate", {"method": "MIP-FT", **SLOW}, "MIP-FT"),
        Row("untrained network, fine-tuned", {"method": "untrained-FT", **SLOW}),
        Row("MIP", {"method": "MIP", **FIRST}, "MIP"),
        Row(
            "MIP, context of another system", {"method": "MIP, context of another system", **FIRST}
        ),
        Row("SL", {"method": "SL", **FIRST}, "SL"),
        Row("SL, fine-tuned", {"method": "SL-FT", **FIRST}),
        Row("training mean", {"method": "training mean"}),
        Row("least squares on all others", {"method": "least squares"}),
    ),
)


def effects(**headings):
    """Mean and median effect error of settings."""
    return tuple(
        Column(heading, "effect", {"setting": setting}, beside="effect_median", decimals=3)
        for setting, heading in headings.items()
    )


PREDICTION["unseen"] = Table(
    "intervention_prediction.csv",
    "Root mean squared error of E[X | do] of unseen interventions, ten variables, observational "
    "and single interventions with 50 or 5 rows each (training standard deviations): mean "
    "(median) over the systems.",
    f"{REPRODUCE}intervention_prediction.py",
    effects(
        singles_n50_d10="50 rows",
        singles_n5_d10="5 rows",
        cycles_n50="50 rows, feedback",
        cycles_n5="5 rows, feedback",
        confounders_n50="50 rows, confounders",
        confounders_n5="5 rows, confounders",
        untargeted_n50="50 rows, some never targets",
        nonlinear_n50="50 rows, nonlinear",
    ),
    tuple(
        Row(label, {"method": name})
        for name, label in {
            "true graph": "least squares on the true graph",
            "meta": "``MetaInterventionPredictor()``",
            "meta, 10 gradient steps": "the same, ten gradient steps",
            "GIES, pooled": '``GIES(centering="pooled")``',
            "GIES": "``GIES()``",
            "IGSP": "``IGSP()``",
            "ShiftOrder": "``ShiftOrder()``",
            "additive ridge": "ridge on the mask",
            "conditional ridge": "ridge on all other variables",
            "no effect": "no effect",
        }.items()
    ),
)

MELANOMA = "intervention_prediction_real_melanoma.csv"
NORMAN = "intervention_prediction_real_norman.csv"


GROWTH = {"training": "singles", "encoding": "given"}
CHOSEN = {"chosen": True}


def real(label, sachs=None, melanoma=None, norman=None):
    """One model in the three tables of real data."""
    also = {}
    if melanoma:
        also[MELANOMA] = {"model": melanoma}
    if norman:
        also[NORMAN] = {"model": norman}
    return Row(label, {"model": sachs} if sachs else None, also=also)


PREDICTION["real"] = Table(
    "intervention_prediction_real_sachs.csv",
    "Real data. Sachs: squared error of the means of a held-out condition (control variances). "
    "Melanoma: pairs of drugs from single ones. Growth: pairs of genes from single ones.",
    f"{ONE_THREAD}intervention_prediction_real.py --melanoma FOLDER --norman FOLDER",
    (
        Column("Sachs, mean", "mean"),
        Column("Sachs, median", "median", decimals=2),
        Column("melanoma, squared error", "mse", CHOSEN, file=MELANOMA, decimals=3),
        Column("melanoma, correlation", "correlation", CHOSEN, file=MELANOMA, decimals=2),
        Column(
            "growth, squared error",
            "mse",
            {"training": "singles", "encoding": "given"},
            file=NORMAN,
            decimals=4,
        ),
    ),
    (
        real("no effect", "no effect", "no effect", "no effect"),
        real("sum of single shifts", "additive shifts", "additive shifts", "additive shifts"),
        real("ridge on the mask", "additive ridge", "additive ridge", "additive ridge, alpha=1"),
        real("the same, tuned", "additive ridge, tuned", "ridge without intercept, tuned"),
        real("``GIES()``", "GIES", "GIES"),
        real("the same, tuned", "GIES, tuned"),
        real('``GIES(centering="pooled")``', "GIES, pooled intercept", "GIES, pooled intercept"),
        real("``IGSP()``", "IGSP", "IGSP"),
        real("``ShiftOrder()``", "ShiftOrder", "ShiftOrder", "ShiftOrder"),
        real("``MetaInterventionPredictor()``", "meta", "meta", "meta"),
        real("the same, ten gradient steps", "meta, 10 gradient steps", "meta, 10 gradient steps"),
    ),
)

AFTER_TEN = "expected correct entries after 10 interventions"
CAASL = {"paper": "Annadani, Tigas, Bauer & Foster (2024)"}
DESIGNERS = {
    "observational": "``observational``",
    "single_cycle": "``single_cycle``",
    "random_extreme": "``random_extreme``",
    "balanced_half": "``balanced_half``, a rule",
    "lookahead, network": "``lookahead``, draws of the network",
    "lookahead": "``lookahead``",
    "distilled": "``distilled``, the policy in the box",
    "lookahead, yoked": "designs of ``lookahead`` for another system",
    "distilled, yoked": "designs of ``distilled`` for another system",
}


def scores(*names):
    """Scores of designs as columns."""
    headings = {
        "log_score": "log score (nats per pair)",
        "auprc": "average precision",
        "shd": "expected SHD",
    }
    return tuple(
        Column(headings[name], "mean", {"score": name}, decimals=2 if name == "shd" else 3)
        for name in names
    )


S = Column("expected correct entries, of 100", "mean", {"score": "edges"}, decimals=1)
GAIN = Column(
    "difference from ``balanced_half`` (95 %)",
    "gain",
    {"score": "edges"},
    low="gain_low",
    high="gain_high",
    decimals=2,
    signed=True,
)
RETURN = Column(
    "published: expected correct entries",
    "value",
    CAASL | {"metric": AFTER_TEN},
    file=PUBLISHED,
    relation="relation",
)

DESIGN = {
    "designs": Table(
        "active_design_linear.csv",
        "Ten experiments of one row each on dense linear systems of ten variables, judged by the "
        "exact posterior.",
        f"{REPRODUCE}active_design.py --tables linear",
        (RETURN, S, GAIN, *scores("log_score", "auprc", "shd")),
        (
            Row("``random``, as published", {"designer": "random"}, "random"),
            *(Row(label, {"designer": name}) for name, label in DESIGNERS.items()),
        ),
        {"n_designs": 10},
    ),
    "published_designs": Table(
        "active_design_published.csv",
        "The same task on fewer systems, with DiffCBED and SS-Finite.",
        f"{REPRODUCE}active_design.py --tables published --systems 100",
        (S, GAIN, *scores("log_score", "auprc", "shd")),
        (
            Row("``random``, as published", {"designer": "random"}),
            Row("``diffcbed``", {"designer": "diffcbed"}),
            Row("``ss_finite``", {"designer": "ss_finite"}),
            Row("``balanced_half``, a rule", {"designer": "balanced_half"}),
            Row("``lookahead``", {"designer": "lookahead"}),
            Row("``distilled``, the policy in the box", {"designer": "distilled"}),
        ),
        {"n_designs": 10, "judge": "exact"},
    ),
}


def gains(*designers):
    """Gain of designers over the rule, as columns."""
    return tuple(
        Column(
            f"``{name}``",
            "gain",
            {"score": "edges", "designer": name},
            low="gain_low",
            high="gain_high",
            decimals=2,
            signed=True,
        )
        for name in designers
    )


def settings(n_designs=10, **labels):
    """Rows by the column "setting"."""
    return tuple(
        Row(label, {"setting": name.replace("_", " "), "n_designs": n_designs})
        for name, label in labels.items()
    )


DESIGN |= {
    "shifts": Table(
        "active_design_shifts.csv",
        "Other systems and budgets than in training: difference from ``balanced_half`` in expected "
        "correct entries of 100 (95 %), judged by the exact posterior.",
        f"{REPRODUCE}active_design.py --tables shifts",
        gains("random", "random_extreme", "distilled"),
        (
            Row("scale-free graphs", {"setting": "scale-free", "n_designs": 10}),
            *settings(
                weights="other weights",
                gumbel="Gumbel noise",
                heteroskedastic="heteroskedastic noise",
                shift_interventions="shift interventions",
            ),
            Row("5 experiments", {"setting": "5 experiments", "n_designs": 5}),
            Row("20 experiments", {"setting": "20 experiments", "n_designs": 20}),
            Row("5 rows in each", {"setting": "5 rows each", "n_designs": 10}),
        ),
    ),
    "sizes": Table(
        "active_design_sizes.csv",
        "More variables than in training: difference from ``balanced_half`` in expected correct "
        "entries (95 %) after ten experiments, judged by the network.",
        f"{REPRODUCE}active_design.py --tables sizes",
        gains("observational", "random", "random_extreme", "distilled"),
        tuple(Row(f"{d} variables", {"setting": f"{d} variables"}) for d in (15, 20, 25, 30)),
        {"n_designs": 10},
    ),
    "genes": Table(
        "active_design_genes.csv",
        "Simulated single cells under knock-outs: difference from ``balanced_half`` in expected "
        "correct entries (95 %) after ten experiments of one cell, judged by the network.",
        f"{REPRODUCE}active_design.py --tables genes",
        gains("random", "single_cycle", "distilled"),
        tuple(
            Row(label, {"setting": f"genes, {name}"})
            for name, label in {
                "10X": "as in training",
                "scale-free": "scale-free graphs",
                "drop-seq": "Drop-seq noise",
                "knock-down": "knock-downs",
                "noisy knock-outs": "knock-outs that miss",
                "15 genes": "15 genes",
                "20 genes": "20 genes",
            }.items()
        ),
        {"n_designs": 10},
    ),
    "proposals": Table(
        "active_design_speed.csv",
        "Time of one proposal, one thread, ten variables.",
        f"{REPRODUCE}active_design.py --tables speed",
        (Column("median (ms)", "median_ms", digits=2), Column("least (ms)", "least_ms", digits=2)),
        labels=("designer",),
    ),
}
