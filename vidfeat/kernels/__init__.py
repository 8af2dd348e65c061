"""Kernel matrices: computing, centring and scaling them. Arrays in, arrays out; no caller's array is changed."""

from vidfeat.kernels.centring import Centring
from vidfeat.kernels.linear import linear_gram

__all__ = ["Centring", "linear_gram"]
