"""Kernel matrices: computing, centring and scaling them. Arrays in, arrays out; no caller's array is changed."""

from vidfeat.kernels.centring import Centring
from vidfeat.kernels.functions import (
    KERNELS,
    NON_NEGATIVE,
    WITH_GAMMA,
    base_matrix,
    from_base,
    kernel_matrix,
    mean_distance,
)
from vidfeat.kernels.linear import linear_gram

__all__ = [
    "KERNELS",
    "NON_NEGATIVE",
    "WITH_GAMMA",
    "Centring",
    "base_matrix",
    "from_base",
    "kernel_matrix",
    "linear_gram",
    "mean_distance",
]
