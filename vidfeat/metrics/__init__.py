"""Measures of classification and ranking: arrays in, numbers out, each written once."""

from vidfeat.metrics.classification import accuracy, confusion, hit_at_k, mean_per_class_accuracy
from vidfeat.metrics.flow import endpoint_error, endpoint_errors, known_flow
from vidfeat.metrics.interval import group_bootstrap
from vidfeat.metrics.order import temporal_order_error
from vidfeat.metrics.ranking import (
    average_precision,
    average_precisions,
    mean_average_precision,
    trapezoid_average_precision,
)

__all__ = [
    "accuracy",
    "average_precision",
    "average_precisions",
    "confusion",
    "endpoint_error",
    "endpoint_errors",
    "group_bootstrap",
    "hit_at_k",
    "known_flow",
    "mean_average_precision",
    "mean_per_class_accuracy",
    "temporal_order_error",
    "trapezoid_average_precision",
]
