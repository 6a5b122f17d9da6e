"""Real interventional data in one layout, and synthetic data in one call."""

from skcausal.datasets._acic2016 import load_acic2016
from skcausal.datasets._dose_response import make_dose_response
from skcausal.datasets._dream4 import load_dream4
from skcausal.datasets._gene_network import make_gene_network
from skcausal.datasets._hepg2_phospho import load_hepg2_phospho
from skcausal.datasets._ihdp import fetch_ihdp
from skcausal.datasets._jobs import load_jobs
from skcausal.datasets._l1000_a375 import load_l1000_a375
from skcausal.datasets._melanoma_combo import load_melanoma_combo
from skcausal.datasets._norman_fitness import load_norman_fitness
from skcausal.datasets._norman_perturbseq import load_norman_perturbseq
from skcausal.datasets._papalexi import load_papalexi
from skcausal.datasets._sachs import load_sachs
from skcausal.datasets._scm import make_scm
from skcausal.datasets._synthetic import make_linear_scm
from skcausal.datasets._treatment import make_leaky_hum, make_sensor_noise
from skcausal.datasets._twins import load_twins

__all__ = [
    "fetch_ihdp",
    "load_acic2016",
    "load_dream4",
    "load_hepg2_phospho",
    "load_jobs",
    "load_l1000_a375",
    "load_melanoma_combo",
    "load_norman_fitness",
    "load_norman_perturbseq",
    "load_papalexi",
    "load_sachs",
    "load_twins",
    "make_dose_response",
    "make_gene_network",
    "make_leaky_hum",
    "make_linear_scm",
    "make_scm",
    "make_sensor_noise",
]
