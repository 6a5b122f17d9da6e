"""Metrics of graphs, interventions, samples and effects; scorers that hand metadata on."""

from skcausal.metrics._calibration import edge_calibration_error, edge_log_score
from skcausal.metrics._distribution import energy_distance, maximum_mean_discrepancy
from skcausal.metrics._effect_scorers import (
    make_effect_scorer,
    neg_arm_balanced_error_scorer,
    neg_nearest_neighbor_pehe_scorer,
    policy_value_scorer,
    r_score_scorer,
)
from skcausal.metrics._effect_validation import arm_balanced_error, nearest_neighbor_pehe
from skcausal.metrics._effects import ate_error, pehe, policy_risk
from skcausal.metrics._graph import (
    adjustment_identification_distance,
    edge_average_precision,
    edge_f1,
    edge_precision,
    edge_recall,
    edge_roc_auc,
    structural_hamming_distance,
    structural_intervention_distance,
    target_average_precision,
    target_f1,
)
from skcausal.metrics._perturbation import delta_correlation, delta_rmse
from skcausal.metrics._policy_value import policy_value
from skcausal.metrics._prediction import interventional_mean_error, transfer_loss
from skcausal.metrics._r_score import r_score
from skcausal.metrics._scorers import (
    log_likelihood_scorer,
    neg_interventional_mean_error_scorer,
    neg_parental_transfer_loss_scorer,
    neg_transfer_loss_scorer,
)
from skcausal.metrics._wasserstein import wasserstein_distance

__all__ = [
    "adjustment_identification_distance",
    "arm_balanced_error",
    "ate_error",
    "delta_correlation",
    "delta_rmse",
    "edge_average_precision",
    "edge_calibration_error",
    "edge_f1",
    "edge_log_score",
    "edge_precision",
    "edge_recall",
    "edge_roc_auc",
    "energy_distance",
    "interventional_mean_error",
    "log_likelihood_scorer",
    "make_effect_scorer",
    "maximum_mean_discrepancy",
    "nearest_neighbor_pehe",
    "neg_arm_balanced_error_scorer",
    "neg_interventional_mean_error_scorer",
    "neg_nearest_neighbor_pehe_scorer",
    "neg_parental_transfer_loss_scorer",
    "neg_transfer_loss_scorer",
    "pehe",
    "policy_risk",
    "policy_value",
    "policy_value_scorer",
    "r_score",
    "r_score_scorer",
    "structural_hamming_distance",
    "structural_intervention_distance",
    "target_average_precision",
    "target_f1",
    "transfer_loss",
    "wasserstein_distance",
]
