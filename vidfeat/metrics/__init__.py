"""Measures of classification and ranking: arrays in, numbers out, each written once."""

from vidfeat.metrics.classification import accuracy, confusion, hit_at_k, mean_per_class_accuracy, per_class
from vidfeat.metrics.flow import endpoint_error, endpoint_errors, known_flow
from vidfeat.metrics.interval import group_bootstrap
from vidfeat.metrics.order import temporal_order_error
from vidfeat.metrics.paired import (
    MEASURES,
    Outcome,
    bootstrap_figures,
    paired_bootstrap,
    paired_differences,
    swap_test,
)
from vidfeat.metrics.ranking import (
    average_precision,
    average_precisions,
    mean_average_precision,
    trapezoid_average_precision,
)
from vidfeat.metrics.weighted import weighted_average_precision, weighted_recalls

__all__ = [
    "MEASURES",
    "Outcome",
    "accuracy",
    "average_precision",
    "average_precisions",
    "bootstrap_figures",
    "confusion",
    "endpoint_error",
    "endpoint_errors",
    "group_bootstrap",
    "hit_at_k",
    "known_flow",
    "mean_average_precision",
    "mean_per_class_accuracy",
    "paired_bootstrap",
    "paired_differences",
    "per_class",
    "swap_test",
    "temporal_order_error",
    "trapezoid_average_precision",
    "weighted_average_precision",
    "weighted_recalls",
]
