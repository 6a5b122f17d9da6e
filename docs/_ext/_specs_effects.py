"""What the tables on perturbations and treatment effects show: files, rows and columns."""

from _tables import PUBLISHED, Column, Row, Table

REPRODUCE = "python benchmarks/reproduce/"
ONE_THREAD = f"OMP_NUM_THREADS=1 {REPRODUCE}"

DO = "perturbation_do.csv"
SYNTHETIC = f"{ONE_THREAD}perturbation_synthetic.py --problem"


def graphs(label, learner):
    """One learner in the tables of shifts and of hard interventions."""
    where = {"learner": learner, "features": "mixed"}
    return Row(label, where, also={DO: where})


def errors(*features):
    """Error of predicted means for two kinds of new perturbations."""
    for kind in features:
        name = {"mixed": "mixed", "raw": "listed"}[kind]
        for split, heading in {"partly": "new doses", "fully": "new drugs"}.items():
            yield Column(
                f"{name} features, {heading}",
                f"rmse_{split}_ood",
                {"features": kind},
                over="range",
                decimals=2,
            )


PERTURBATION = {
    "graphs": Table(
        "perturbation_shift.csv",
        "Linear systems of 20 variables, 40 drugs at four doses: median over the seeds (least to "
        "greatest).",
        f"{SYNTHETIC} shift, then {SYNTHETIC} do",
        (
            Column("seeds", "seed", over="count"),
            Column("shifts: errors in the graph (SHD)", "shd", over="range"),
            Column("shifts: F1 of targets", "target_f1", over="range", decimals=2),
            Column("hard: errors in the graph (SHD)", "shd", file=DO, over="range"),
            Column("hard: F1 of targets", "target_f1", file=DO, over="range", decimals=2),
        ),
        (
            graphs("``GenerativeInterventionModel()``", "GIM"),
            graphs("``UnknownTargetIGSP()``", "UT-IGSP"),
            graphs("the same from random orders", "UT-IGSP, random starts"),
        ),
    ),
    "networks": Table(
        "perturbation_networks.csv",
        "Nonlinear systems of 20 variables: median over the seeds (least to greatest).",
        f"{SYNTHETIC} networks",
        (
            Column("seeds", "seed", over="count"),
            Column("errors in the graph (SHD)", "shd", over="range"),
            Column("F1 of targets", "target_f1", over="range", decimals=2),
            Column("fit (s)", "seconds", over="range", digits=2),
        ),
        (
            Row('``GenerativeInterventionModel("mlp")``', {"learner": "GIM, mlp"}),
            Row("``GenerativeInterventionModel()``", {"learner": "GIM, linear"}),
            Row("``UnknownTargetIGSP()``", {"learner": "UT-IGSP"}),
        ),
    ),
    "gradient": Table(
        "perturbation_gradient.csv",
        "The published recipe, gradient descent, and the search over orders on the same data.",
        f"{SYNTHETIC} gradient --seeds 0 1",
        (
            Column("edges", "edges"),
            Column("errors in the graph (SHD)", "shd"),
            Column("F1 of targets", "target_f1", decimals=2),
            Column("RMSE, new doses", "rmse_partly_ood", decimals=2),
            Column("RMSE, new drugs", "rmse_fully_ood", decimals=2),
            Column("fit (s)", "seconds", digits=2),
        ),
        tuple(
            Row(f"{label}, seed {seed}", {"solver": name, "seed": seed})
            for seed in (0, 1)
            for name, label in {"gradient": "gradient descent", "order": "search"}.items()
        ),
    ),
    "prediction": Table(
        "perturbation_prediction.csv",
        "Root mean squared error of the predicted means: median over the seeds (least to "
        "greatest). Regressions are tuned inside the training data.",
        f"{SYNTHETIC} prediction",
        tuple(errors("mixed", "raw")),
        tuple(
            Row(label, {"learner": name})
            for name, label in {
                "GIM, kernel": "``GenerativeInterventionModel()``",
                "GIM, linear": "the same, linear in the features",
                "GIM, mlp": "the same, a network of the features",
                "ridge, degree 1": "ridge",
                "ridge, degree 2": "ridge with products",
                "lasso, degree 2": "lasso with products",
                "kernel_ridge, degree 1": "kernel ridge",
                "mlp, degree 1": "perceptron",
                "UT-IGSP": "``UnknownTargetIGSP()``",
                "mean treated": "mean of the treated",
                "no change": "no change",
            }.items()
        ),
    ),
}

MELANOMA = "perturbation_real_melanoma.csv"
NORMAN = "perturbation_real_norman.csv"
PAPALEXI = "perturbation_real_papalexi.csv"


def real(label, l1000=None, melanoma=None, norman=None, papalexi=None):
    """One model in the four tables of real data."""
    names = {MELANOMA: melanoma, NORMAN: norman, PAPALEXI: papalexi}
    also = {file: {"model": name} for file, name in names.items() if name}
    return Row(label, {"model": l1000} if l1000 else None, also=also)


CHOSEN = {"chosen": True}
RIDGE, KERNEL_RIDGE = "ridge without intercept", "FeatureRegression kernel_ridge"

PERTURBATION["real"] = Table(
    "perturbation_real_l1000.csv",
    "Real data. L1000: highest dose from lower ones. Melanoma: pairs of drugs from single ones. "
    "Norman: pairs of genes from single ones. Papalexi: knock-outs in a third replicate.",
    f"{ONE_THREAD}perturbation_real.py --melanoma FOLDER",
    (
        Column("L1000, RMSE", "rmse", CHOSEN, decimals=3),
        Column("L1000, correlation", "pearson_delta", CHOSEN, decimals=2),
        Column(
            "melanoma, squared error",
            "mse",
            CHOSEN | {"task": "66 pairs from 23 singles"},
            file=MELANOMA,
            decimals=3,
        ),
        Column(
            "Norman, squared error",
            "mse",
            CHOSEN | {"task": "5 pairs with both singles"},
            file=NORMAN,
            decimals=4,
        ),
        Column(
            "Papalexi, squared error",
            "mse",
            {"task": "third replicate, 40 genes"},
            file=PAPALEXI,
            decimals=4,
        ),
    ),
    (
        real(
            "``GenerativeInterventionModel``",
            "GIM linear, graph none",
            "GIM linear, graph none",
            "GIM linear, graph learned",
            "GIM kernel, graph learned",
        ),
        real("sum of the single effects", None, "sum of singles", "sum of singles"),
        real("ridge without intercept", RIDGE, RIDGE, RIDGE, RIDGE),
        real("kernel ridge", KERNEL_RIDGE, KERNEL_RIDGE, None, KERNEL_RIDGE),
        real("mean of the treated", *4 * ["mean treated"]),
        real("no change", *4 * ["no change"]),
    ),
)

TUTORIAL = {"paper": "Causal representation learning (web tutorial)"}
SHALIT = {"paper": "Shalit, Johansson & Sontag (2017)", "setting": "IHDP"}
SWEEP = "effects_environments_sweep.csv"


def leaky_hum():
    """Errors of the two variants of the leaky hum."""
    for shift, name in {0.0: "no shift", 0.25: "shift"}.items():
        where = {"shift": shift}
        yield Column(f"{name}: effect RMSE ± sd", "pehe", where, spread="pehe_sd", decimals=2)
        yield Column("new environment", "pehe_heldout", where, decimals=2)
        yield Column("factual error", "factual_mse", where, decimals=2)
        yield Column("in the new environment", "factual_mse_heldout", where, decimals=1)


def picked():
    """Errors after a choice of the weight without true effects."""
    for shift, name in {0.0: "no shift", 0.25: "shift"}.items():
        where = {"shift": shift}
        yield Column(f"{name}: picked", "pehe_picked", where, over="mean", decimals=3)
        yield Column("best of the sweep", "pehe_best", where, over="mean", decimals=3)
        yield Column("no alignment", "pehe_0", where, over="mean", decimals=3)


EFFECTS = {
    "recipe": Table(
        "effects_environments_sensor_noise.csv",
        "The data of the tutorial's recipe, the network of the library: root mean squared error "
        "of unit effects.",
        f"{ONE_THREAD}effects_environments.py --parts sensor_noise",
        (
            Column(
                "published",
                "value",
                TUTORIAL | {"metric": "effect RMSE"},
                file=PUBLISHED,
                relation="relation",
            ),
            Column("measured, mean", "pehe", decimals=3),
            Column("worst seed", "pehe_worst", decimals=3),
            Column("factual error (MSE)", "factual_mse", decimals=4),
        ),
        (
            Row("with alignment, ``env_alpha=1``", {"model": "env_alpha=1"}, "with alignment"),
            Row("without, ``env_alpha=0``", {"model": "env_alpha=0"}, "without alignment"),
            Row("difference of the two means, no network", {"model": "difference of means"}),
        ),
    ),
    "leaky_hum": Table(
        SWEEP,
        "Leaky hum, where alignment of environments should help.",
        f"{ONE_THREAD}effects_environments.py --parts sweep",
        tuple(leaky_hum()),
        (
            *(
                Row(f"``env_alpha={alpha}``", {"model": f"env_alpha={alpha}"})
                for alpha in (0, 1, 3, 10, 30, 100)
            ),
            Row("aligned by treatment", {"model": "treatment alignment, alpha=30"}),
            Row("without the hum, the aim", {"model": "without the hum"}),
        ),
    ),
    "selection": Table(
        "effects_environments_selection.csv",
        "Choice of ``env_alpha`` by leaving one of three environments out: mean effect RMSE.",
        f"{ONE_THREAD}effects_environments.py --parts selection",
        tuple(picked()),
        tuple(
            Row(name, {"scorer": name})
            for name in ("R2", "arm-balanced error", "nearest-neighbour PEHE", "R-score")
        ),
    ),
}

LEARNERS = {
    "CFRRegressor()": "``CFRRegressor()``",
    "CFRRegressor(effect_head=True)": "``CFRRegressor(effect_head=True)``",
    "CFRRegressor(alpha=0)": "``CFRRegressor(alpha=0)``, TARNet",
    "T, ridge": "T-learner, ridge",
    "S, boosting": "S-learner, boosting",
    "T, boosting": "T-learner, boosting",
    "X, boosting": "X-learner, boosting",
    "DR, boosting": "DR-learner, boosting",
    "DR, ridge": "DR-learner, ridge",
    "causal forest, boosting": "causal forest",
    "difference of means": "difference of the means",
}
SHIPPED = {"CFRRegressor(alpha=0)": "TARNet", "causal forest, boosting": "causal forest"}


def learners(*files):
    """Rows of all learners, also in other files."""
    return tuple(
        Row(
            label,
            {"learner": name},
            SHIPPED.get(name, ""),
            {file: {"learner": name} for file in files},
        )
        for name, label in LEARNERS.items()
    )


EFFECTS |= {
    "ihdp": Table(
        "effects_ihdp.csv",
        "IHDP: root mean squared error of unit effects (PEHE). Published: mean of 1,000 "
        "realizations. Measured: realizations 1 to 30.",
        f"{ONE_THREAD}effects_ihdp.py --data-home FOLDER",
        (
            Column("published, in", "value", SHALIT | {"metric": "PEHE in sample"}, file=PUBLISHED),
            Column(
                "published, out", "value", SHALIT | {"metric": "PEHE out of sample"}, file=PUBLISHED
            ),
            Column("mean in ± standard error", "pehe_in_mean", spread="pehe_in_se", decimals=2),
            Column("mean out ± standard error", "pehe_out_mean", spread="pehe_out_se", decimals=2),
            Column("median in", "pehe_in_median", decimals=2),
            Column("median out", "pehe_out_median", decimals=2),
            Column("coverage of 90 % intervals, out", "coverage_out", decimals=2),
        ),
        (
            Row("CFR, Wasserstein", None, "CFR, Wasserstein"),
            Row("CFR, MMD", None, "CFR, MMD"),
            Row("BART", None, "BART"),
            *learners(),
        ),
    ),
    "acic": Table(
        "effects_acic.csv",
        "ACIC 2016, sets 1 to 5, and Jobs and Twins, all out of sample.",
        f"{ONE_THREAD}effects_acic.py, then {ONE_THREAD}effects_jobs_twins.py",
        (
            Column("ACIC: mean PEHE", "pehe_out", decimals=2),
            Column("ACIC 2, constant effect", "pehe_out_2", decimals=2),
            Column("ACIC 3, constant effect", "pehe_out_3", decimals=2),
            Column("ACIC: coverage (aim 0.9)", "coverage_out", decimals=2),
            Column(
                "Jobs: policy risk ± standard error",
                "policy_risk_out",
                file="effects_jobs.csv",
                spread="policy_risk_out_se",
                decimals=3,
            ),
            Column(
                "Twins: error of the average", "ate_error_out", file="effects_twins.csv", decimals=3
            ),
        ),
        (
            *learners("effects_jobs.csv", "effects_twins.csv"),
            Row("treat everyone", also={"effects_jobs.csv": {"learner": "treat everyone"}}),
            Row(
                "inverse-propensity weighting, true propensity",
                also={
                    "effects_twins.csv": {
                        "learner": "inverse-propensity weighting, true propensity"
                    }
                },
            ),
        ),
    ),
}
